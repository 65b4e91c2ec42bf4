"""The prosody path of FACodec against a plain account of what its published code computes."""

import numpy as np
import pytest
import torch

from emocli.errors import ModelError, ModelUnavailable
from emocli.models.encoders import load_encoder
from emocli.networks.facodec_prosody import FACodecProsody

FILE = "ns3_facodec_decoder_v2.bin"


@pytest.fixture(scope="module")
def state():
    """Random tensors under the published names, among others of the codec."""
    rng = np.random.default_rng(11)
    shapes = {"melspec_linear.weight": (256, 20), "melspec_linear.bias": (256,)}
    for i in range(4):
        base = f"melspec_encoder.layers.{i}."
        shapes |= {
            f"{base}ln_1.weight": (256,), f"{base}ln_1.bias": (256,),
            f"{base}ln_2.weight": (256,), f"{base}ln_2.bias": (256,),
            f"{base}self_attn.in_proj_weight": (768, 256),
            f"{base}self_attn.in_proj_bias": (768,),
            f"{base}self_attn.out_proj.weight": (256, 256),
            f"{base}self_attn.out_proj.bias": (256,),
            f"{base}ffn.ffn_1.weight": (1024, 256, 5), f"{base}ffn.ffn_1.bias": (1024,),
            f"{base}ffn.ffn_2.weight": (256, 1024), f"{base}ffn.ffn_2.bias": (256,),
        }  # fmt: skip
    shapes |= {
        "melspec_encoder.last_ln.weight": (256,), "melspec_encoder.last_ln.bias": (256,),
        "quantizer.0.layers.0.in_proj.weight_g": (8, 1),
        "quantizer.0.layers.0.in_proj.weight_v": (8, 256),
        "quantizer.0.layers.0.in_proj.bias": (8,),
        "quantizer.0.layers.0.out_proj.weight_g": (256, 1),
        "quantizer.0.layers.0.out_proj.weight_v": (256, 8),
        "quantizer.0.layers.0.out_proj.bias": (256,),
        "quantizer.0.layers.0._codebook.weight": (1024, 8),
        "quantizer.1.layers.0._codebook.weight": (1024, 8),
        "melspec_encoder.position_emb.pe": (5000, 1, 256),
        "timbre_linear.weight": (512, 256),
    }  # fmt: skip
    return {name: rng.normal(0, 0.08, shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def file(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("facodec") / FILE
    torch.save({name: torch.from_numpy(values) for name, values in state.items()}, path)
    return path


def normed(x, weight, bias):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(
        x.var(-1, keepdims=True) + 1e-5
    ) * weight + bias


def expected(mels, state):
    """Quantised frames and codes of low mel bands, by loops over frames and heads."""
    wide = {name: values.astype(np.float64) for name, values in state.items()}
    x = mels @ wide["melspec_linear.weight"].T + wide["melspec_linear.bias"]
    x[:, 1::2] += 1  # the cosines of position 0
    for i in range(4):
        own = {
            name.removeprefix(f"melspec_encoder.layers.{i}."): values
            for name, values in wide.items()
            if name.startswith(f"melspec_encoder.layers.{i}.")
        }
        y = normed(x, own["ln_1.weight"], own["ln_1.bias"])
        q, k, v = np.split(
            y @ own["self_attn.in_proj_weight"].T + own["self_attn.in_proj_bias"], 3, 1
        )
        heads = []
        for h in range(4):
            part = slice(64 * h, 64 * h + 64)
            scores = q[:, part] @ k[:, part].T / 8
            weights = np.exp(scores - scores.max(1, keepdims=True))
            heads.append(weights / weights.sum(1, keepdims=True) @ v[:, part])
        joined = np.concatenate(heads, 1)
        x = x + joined @ own["self_attn.out_proj.weight"].T + own["self_attn.out_proj.bias"]
        y = np.pad(normed(x, own["ln_2.weight"], own["ln_2.bias"]), ((2, 2), (0, 0)))
        hidden = np.stack(
            [np.einsum("tc,oct->o", y[t : t + 5], own["ffn.ffn_1.weight"]) for t in range(len(x))]
        )
        hidden = np.maximum(hidden + own["ffn.ffn_1.bias"], 0)
        x = x + hidden @ own["ffn.ffn_2.weight"].T + own["ffn.ffn_2.bias"]
    x = normed(x, wide["melspec_encoder.last_ln.weight"], wide["melspec_encoder.last_ln.bias"])
    base = "quantizer.0.layers.0."

    def linear(values, name):
        v, g = wide[f"{base}{name}.weight_v"], wide[f"{base}{name}.weight_g"]
        weight = g * v / np.linalg.norm(v, axis=1, keepdims=True)
        return values @ weight.T + wide[f"{base}{name}.bias"]

    z = linear(x, "in_proj")
    codes = wide[f"{base}_codebook.weight"]
    unit = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    nearest = ((z[:, None] - unit) ** 2).sum(2).argmin(1)
    return linear(codes[nearest], "out_proj")


def test_frames_are_what_the_published_code_computes(state, file):
    rng = np.random.default_rng(2)
    waveform = rng.normal(0, 0.1, 6001).astype(np.float32)
    encoder = load_encoder(str(file), device="cpu")
    assert (encoder.identity.dim, encoder.identity.frames_per_second) == (256, 80)
    assert encoder.identity.modality == "prosody"
    (found,) = encoder.encode([waveform])
    assert found.shape == (31, 256)
    mels = FACodecProsody().low_mels(torch.from_numpy(waveform)).double().numpy()
    np.testing.assert_allclose(found, expected(mels, state), atol=1e-4)
    together = encoder.encode([waveform[:3000], waveform])
    np.testing.assert_array_equal(together[1], found)


def test_low_mel_bands_are_those_of_the_definition():
    """20 of 80 Slaney bands, each a triangle of area 1 between 0 and 8 kHz."""
    rng = np.random.default_rng(3)
    waveform = rng.normal(0, 0.1, 1000).astype(np.float32)
    found = FACodecProsody().low_mels(torch.from_numpy(waveform)).numpy()
    assert found.shape == (6, 20)  # 200 zeros are added to a multiple of 200
    padded = np.pad(np.pad(waveform, (0, 200)), 412, mode="reflect")
    window = np.zeros(1024)
    window[112:912] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(800) / 800)
    # Below 1 kHz the scale is linear, 3 mel for 200 Hz; above, 27 mel for each factor of 6.4.
    top = 15 + 27 * np.log(8) / np.log(6.4)
    mel = np.linspace(0, top, 82)
    hz = np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))
    bins = np.arange(513) * 16000 / 1024
    for frame in range(6):
        spectrum = np.abs(np.fft.rfft(padded[200 * frame : 200 * frame + 1024] * window))
        for band in range(20):
            low, mid, high = hz[band : band + 3]
            triangle = np.minimum((bins - low) / (mid - low), (high - bins) / (high - mid)).clip(0)
            value = np.log(max(spectrum @ triangle * 2 / (high - low), 1e-5))
            assert found[frame, band] == pytest.approx(value, abs=2e-3)


@pytest.mark.parametrize("n_samples", [0, 1, 199, 400])
def test_short_recordings(n_samples, file):
    (found,) = load_encoder(str(file), device="cpu").encode([np.zeros(n_samples, np.float32)])
    assert found.shape == (3, 256)


def test_weights_that_are_not_there(tmp_path, monkeypatch, file):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    place = tmp_path / "models--amphion--naturalspeech3_facodec"
    with pytest.raises(ModelUnavailable) as caught:
        load_encoder("facodec")
    assert str(caught.value) == (
        f"facodec needs {FILE} of amphion/naturalspeech3_facodec, which is not in {place}. Fetch "
        f"it with `hf download amphion/naturalspeech3_facodec {FILE}`, or name a copy of it as the "
        "encoder."
    )
    (place / "snapshots/abc").mkdir(parents=True)
    (place / "snapshots/abc" / FILE).symlink_to(file)
    cached = load_encoder("facodec", device="cpu").identity
    assert cached == load_encoder(str(file), device="cpu").identity


def test_weights_that_are_not_whole(tmp_path, state):
    path = tmp_path / FILE
    kept = {k: torch.from_numpy(v) for k, v in state.items() if "ln_2" not in k or ".3." not in k}
    torch.save(kept, path)
    with pytest.raises(ModelError) as caught:
        load_encoder(str(path), device="cpu")
    assert str(caught.value).startswith(
        f"{path}: the weights do not fit the network: missing "
        "melspec_encoder.layers.3.ln_2.weight, melspec_encoder.layers.3.ln_2.bias. "
    )
