import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
import transformers
from safetensors.torch import load_file
from tuning_data import SMALL, roberta, tones, wavlm

from emocli.audio.decode import read_waveform
from emocli.errors import AudioError, ModelError, RecipeError
from emocli.models.outputs import Outputs
from emocli.models.registry import describe, open_checkpoint, resolve
from emocli.models.speech_features import CorpusNorm
from emocli.models.tunable import tunable_speech
from emocli.pipeline import tuning, tuning_tasks
from emocli.training.shipped import find_recipe


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tones(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders")
    return {
        "wavlm": wavlm(folder / "wavlm"),
        "group": wavlm(folder / "group", norm="group"),
        "hubert": wavlm(folder / "hubert", "hubert"),
        "wav2vec2": wavlm(folder / "wav2vec2", "wav2vec2"),
        "base": wavlm(folder / "base", "wav2vec2", norm="group"),
        "roberta": roberta(folder / "roberta"),
        "bert": roberta(folder / "bert", "bert"),
    }


def prepared(recipe, data, encoder, *more, **machine):
    settings = [*SMALL, f"encoder={encoder}", *more]
    return tuning.prepare_tuning(find_recipe(recipe), str(data), settings=settings, **machine)


def tuned(recipe, data, encoder, folder, *more, progress=None, **machine):
    return tuning.tune(prepared(recipe, data, encoder, *more, **machine), folder, progress)


@pytest.fixture
def scores(monkeypatch):
    """Scores of all evaluations, by kind of task."""
    found = []
    for kind in (tuning_tasks.SpeechTask, tuning_tasks.TextTask):
        score = kind.score

        def kept(self, network, score=score):
            found.append(score(self, network))
            return found[-1]

        monkeypatch.setattr(kind, "score", kept)
    return found


def predicted(folder, examples, rate=16000, seconds=12.0):
    """What the model's folder gives for the development set."""
    model = resolve(str(folder))
    dev = examples.parts["dev"]
    if model.card.modality == "text":
        return model, model.logits([examples.texts[i] for i in dev])
    waveforms = [read_waveform(examples.paths[i], rate).samples for i in dev]
    return model, model.logits([waveform[: round(seconds * rate)] for waveform in waveforms])


@pytest.mark.parametrize(
    ("recipe", "encoder", "more"),
    [
        ("odyssey-baseline", "wavlm", ()),
        ("odyssey-baseline", "group", ("frozen=nothing", "crop_seconds=0.25")),
        ("emojudge-speech", "hubert", ("sampling=class-balanced",)),
        ("emojudge-dimensional", "wav2vec2", ("micro_batch=8", "frozen=encoder")),
        ("emojudge-text", "roberta", ()),
        ("emojudge-dimensional", "roberta", ("modality=text", "micro_batch=8", "max_tokens=5")),
    ],
)
def test_the_folder_predicts_what_the_training_judged(
    recipe, encoder, more, data, encoders, tmp_path, scores
):
    given = tuned(recipe, data, encoders[encoder], tmp_path / "model", *more)
    examples = given.prepared.examples
    crop = 0.25 if more and "crop" in more[-1] else 12.0
    model, found = predicted(tmp_path / "model", examples, seconds=crop)
    assert model.card.outputs == examples.names
    np.testing.assert_allclose(found, scores[given.history.best], atol=1e-5)
    losses = [item.loss for item in given.history.evaluations]
    assert losses[-1] < losses[0]
    held = {path.name for path in (tmp_path / "model").iterdir()}
    expected = {"README.md", "config.json", "curves.svg", "history.csv", "model.safetensors"}
    if model.card.modality == "text":
        expected |= {"tokenizer.json", "tokenizer_config.json"}
        assert model.max_tokens == given.prepared.recipe.max_tokens or model.max_tokens == 16
    assert held == expected


def test_a_baseline_has_the_layout_of_the_published_ones(data, encoders, tmp_path):
    given = tuned("odyssey-baseline", data, encoders["wavlm"], tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["model_type"] == "ser"
    assert config["id2label"] == {"0": "anger", "1": "sad"}
    assert (config["mean"], config["std"]) == (given.heard.norm.mean, given.heard.norm.std)
    assert config["encoder"]["model_type"] == "wavlm"
    names = set(load_file(tmp_path / "model" / "model.safetensors"))
    assert {
        "pool_model.attention", "pool_model.sap_linear.weight", "ser_model.fc.0.0.weight",
        "ser_model.fc.0.1.bias", "ser_model.out.0.weight",
        "ssl_model.encoder.layers.0.attention.rel_attn_embed.weight",
    } <= names  # fmt: skip
    frozen = load_file(encoders["wavlm"] / "model.safetensors")
    trained = load_file(tmp_path / "model" / "model.safetensors")
    first = "feature_extractor.conv_layers.0.conv.weight"
    assert torch.equal(trained[f"ssl_model.{first}"], frozen[first])
    key = "feature_projection.projection.weight"
    assert not torch.equal(trained[f"ssl_model.{key}"], frozen[key])


@pytest.mark.parametrize("encoder", ["base", "hubert"])
def test_mean_pooling_gives_a_classifier_of_the_library(encoder, data, encoders, tmp_path, scores):
    given = tuned(
        "entropy-selection-speech", data, encoders[encoder], tmp_path, "dropout=0.0",
        "crop_seconds=0.3", "epochs=2",
    )  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {
        "README.md", "config.json", "curves.svg", "history.csv", "model.safetensors",
        "preprocessor_config.json",
    }  # fmt: skip
    network, found = transformers.AutoModelForAudioClassification.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(found[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert network.config.id2label == {0: "anger", 1: "sad"}
    assert network.projector.out_features == network.config.classifier_proj_size == 16
    extractor = transformers.AutoFeatureExtractor.from_pretrained(tmp_path)
    examples = given.prepared.examples
    waveforms = [
        np.resize(read_waveform(examples.paths[i], 16000).samples, 4800)
        for i in examples.parts["dev"]
    ]
    inputs = extractor(waveforms, sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        expected = network(**inputs).logits.numpy()
    np.testing.assert_allclose(scores[given.history.best], expected, atol=1e-5)
    model = resolve(str(tmp_path))
    assert model.card.labels == ("anger", "sad")
    np.testing.assert_allclose(model.logits(waveforms), expected, atol=1e-5)


def test_mean_pooling_leaves_padding_out_as_the_library_does(encoders, rng):
    _, checkpoint = open_checkpoint(str(encoders["wav2vec2"]))
    tunable = tunable_speech(
        checkpoint, Outputs(labels=("angry", "sad")), CorpusNorm(0.0, 1.0), pooling="mean",
        hidden=8, residual_blocks=0, dropout=0.0, frozen="nothing", masking=False, seed=1,
    )  # fmt: skip
    module = tunable.module.eval()
    facts = {"classifier_proj_size": 8, "num_labels": 2}
    config = transformers.Wav2Vec2Config(**{**tunable.config.to_dict(), **facts})
    library = transformers.Wav2Vec2ForSequenceClassification(config).eval()
    library.load_state_dict(
        {key.replace("ssl_model.", "wav2vec2."): one for key, one in module.state_dict().items()}
    )
    lengths = [3000, 5000]
    inputs = torch.zeros(2, 5000)
    for row, length in zip(inputs, lengths, strict=True):
        row[:length] = torch.from_numpy(rng.normal(0, 1, length).astype(np.float32))
    mask, valid = tunable.arguments(lengths, 5000)
    with torch.no_grad():
        own, expected = module(inputs, mask, valid), library(inputs, attention_mask=mask).logits
    torch.testing.assert_close(own, expected, atol=1e-5, rtol=0)


def test_recordings_are_repeated_or_cut_to_one_length(encoders, tmp_path):
    table = tones(tmp_path / "data", n=2)
    long = np.arange(-6000, 6000, dtype=np.float32) / 8192
    for name, wave in (("a0", long), ("a1", long[:2000]), ("b0", long[:4800]), ("b1", long[:4799])):
        soundfile.write(tmp_path / "data" / f"{name}.wav", wave, 16000, subtype="FLOAT")
    settings = ("crop_seconds=0.3", "dropout=0.0", "seed=1")
    ready = prepared("entropy-selection-speech", table, encoders["wav2vec2"], *settings)
    heard = tuning.Heard(CorpusNorm(0.0, 0.1), {}, {})
    task = tuning.SpeechTask(ready, tuning._speech(ready, heard.norm), heard)
    found = {path.stem: task._waveform(i) for i, path in enumerate(ready.examples.paths)}
    first = long[:2000]
    np.testing.assert_array_equal(found["a0"], long[:4800])
    np.testing.assert_array_equal(found["a1"], np.concatenate([first, first, first[:800]]))
    np.testing.assert_array_equal(found["b0"], long[:4800])
    np.testing.assert_array_equal(found["b1"], np.append(long[:4799], long[0]))
    assert {len(waveform) for waveform in found.values()} == {4800}
    inputs, mask, valid = task.inputs(np.arange(2))
    assert (inputs.shape, mask, bool(valid.all())) == ((2, 4800), None, True)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("dropout=0.1", "dropout is 0.1, expected 0 with pooling mean"),
        ("residual_blocks=2", "residual_blocks is 2, expected 0 with pooling mean"),
        ("attention_penalty=0.1", "attention_penalty is 0.1, expected 0 with pooling mean"),
        ("crop_seconds=0", "crop_seconds is 0.0, expected above 0 to tile recordings"),
        ("pooling=max", "pooling is 'max', expected attentive-statistics or mean"),
    ],
)
def test_settings_that_mean_pooling_and_tiling_have_no_place_for(setting, said, data):
    with pytest.raises(RecipeError) as caught:
        tuning.prepare_tuning(
            find_recipe("entropy-selection-speech"), str(data), settings=[setting]
        )
    assert said in str(caught.value)


def test_a_model_may_be_trained_from_a_trained_one(data, encoders, tmp_path):
    tuned("odyssey-baseline", data, encoders["group"], tmp_path / "one", "epochs=1")
    again = tuned("emojudge-speech", data, tmp_path / "one", tmp_path / "two", "epochs=1")
    assert resolve(str(tmp_path / "two")).card.labels == again.prepared.examples.names


def test_norms_of_a_saved_model_have_the_names_of_the_library(data, encoders, tmp_path):
    tuned("odyssey-baseline", data, encoders["group"], tmp_path / "model", "epochs=1")
    names = set(load_file(tmp_path / "model" / "model.safetensors"))
    assert "ssl_model.feature_extractor.conv_layers.0.layer_norm.weight" in names


def test_the_same_seed_gives_the_same_files(data, encoders, tmp_path):
    for name in ("a", "b"):
        tuned("emojudge-speech", data, encoders["wavlm"], tmp_path / name, "workers=2")
    for file in ("model.safetensors", "config.json", "README.md", "history.csv", "curves.svg"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    tuned("emojudge-speech", data, encoders["wavlm"], tmp_path / "c", "seed=8")
    one, other = (tmp_path / name / "model.safetensors" for name in "ac")
    assert one.read_bytes() != other.read_bytes()


KILLED = """
import os, signal
from pathlib import Path
from emocli.pipeline import tuning, tuning_tasks
from emocli.training.shipped import find_recipe

def progress(phase, done, total):
    if phase == "training" and done == 5:
        os.kill(os.getpid(), signal.SIGKILL)

ready = tuning.prepare_tuning(
    find_recipe("odyssey-baseline"), {data!r}, settings={settings!r}
)
tuning.tune(ready, Path({folder!r}), progress)
"""


def test_a_killed_training_goes_on_to_the_same_files(data, encoders, tmp_path):
    code = KILLED.format(
        data=str(data),
        settings=[*SMALL, f"encoder={encoders['wavlm']}"],
        folder=str(tmp_path / "a"),
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert sorted(path.name for path in (tmp_path / "a" / "training").iterdir()) == [
        ".emocli", "best.safetensors", "history.csv", "state.pt", "statistics.json",
    ]  # fmt: skip
    phases = []
    for name in ("a", "b"):
        tuned("odyssey-baseline", data, encoders["wavlm"], tmp_path / name,
              progress=lambda phase, *_, name=name: phases.append((name, phase)))  # fmt: skip
    assert ("b", "listening") in phases
    assert ("a", "listening") not in phases
    for file in ("model.safetensors", "config.json", "README.md", "history.csv"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_killed_training_does_not_go_on_with_another_recipe(data, encoders, tmp_path):
    class Stop(Exception):
        pass

    def stop(phase, done, _total):
        if phase == "training" and done == 5:
            raise Stop

    with pytest.raises(Stop):
        tuned("odyssey-baseline", data, encoders["wavlm"], tmp_path, progress=stop)
    with pytest.raises(RecipeError, match="the state of a training with other settings or data"):
        tuned("odyssey-baseline", data, encoders["wavlm"], tmp_path, "masking=false")
    kept = tmp_path / "training" / "statistics.json"
    kept.write_text("{")
    tuned("odyssey-baseline", data, encoders["wavlm"], tmp_path)
    assert not kept.exists()


def test_waveforms_are_standardised_by_all_samples_of_the_training_part(data, encoders, tmp_path):
    given = tuned("odyssey-baseline", data, encoders["wavlm"], tmp_path, "crop_seconds=0.3")
    examples = given.prepared.examples
    waveforms = {
        part: [soundfile.read(examples.paths[i], dtype="float32")[0] for i in examples.parts[part]]
        for part in ("train", "dev")
    }
    samples = np.concatenate(waveforms["train"]).astype(np.float64)
    assert given.heard.norm.mean == pytest.approx(samples.mean(), abs=1e-12)
    assert given.heard.norm.std == pytest.approx(samples.std(), rel=1e-12)
    for part, own in waveforms.items():
        assert given.heard.n_cut[part] == sum(len(waveform) > 4800 for waveform in own) > 0
        assert given.heard.seconds[part] == pytest.approx(sum(map(len, own)) / 16000)
    card = (tmp_path / "README.md").read_text()
    n_train, n_dev = given.heard.n_cut["train"], given.heard.n_cut["dev"]
    assert (
        f"Only the first 0.3 s were heard of longer recordings: {n_train} of train, {n_dev} of dev."
        in card
    )


@pytest.mark.parametrize("kind", ["wavlm", "group"])
def test_padding_changes_nothing_in_training(kind, encoders, rng):
    _, checkpoint = open_checkpoint(str(encoders[kind]))
    tunable = tunable_speech(
        checkpoint, Outputs(labels=("angry", "sad")), CorpusNorm(0.0, 0.1), hidden=8,
        residual_blocks=1, dropout=0.0, frozen="nothing", masking=False, seed=1,
    )  # fmt: skip
    module = tunable.module.train()
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    for layer in module.ssl_model.encoder.layers:
        layer.attention.dropout = 0.0
    module.ssl_model.config.layerdrop = 0.0
    waveforms = [rng.normal(0, 1, n).astype(np.float32) for n in (3000, 5000)]
    stacked = torch.zeros(2, 6000)
    for row, waveform in zip(stacked, waveforms, strict=True):
        row[: len(waveform)] = torch.from_numpy(waveform)
    with torch.no_grad(), tuning._silent_about_masks():
        together = module(stacked, *tunable.arguments([3000, 5000], 6000))
        for place, waveform in enumerate(waveforms):
            alone = torch.from_numpy(waveform)[None]
            one = module(alone, *tunable.arguments([len(waveform)], len(waveform)))
            torch.testing.assert_close(one[0], together[place], atol=1e-5, rtol=1e-5)


def test_a_recording_shorter_than_a_frame_is_filled_up(encoders, tmp_path):
    table = tones(tmp_path / "data", n=2, seconds=(0.005, 0.02))
    given = tuned("odyssey-baseline", table, encoders["wavlm"], tmp_path / "m", "epochs=1")
    assert len(given.history.evaluations) == 1


def test_segments_of_a_recording_are_utterances_of_their_own(encoders, tmp_path):
    time = np.arange(32000) / 16000
    soundfile.write(tmp_path / "long.wav", 0.1 * np.sin(2 * np.pi * 200 * time), 16000)
    rows = ["file,start,end,emotion,speaker,split"]
    for place, (label, who, part) in enumerate(
        [("sad", "a", "train"), ("angry", "a", "train"), ("sad", "b", "dev"), ("angry", "b", "dev")]
    ):
        rows.append(f"long.wav,{place * 0.4},{place * 0.4 + 0.3},{label},{who},{part}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    given = tuned(
        "odyssey-baseline", tmp_path / "labels.csv", encoders["wavlm"], tmp_path / "m", "epochs=1"
    )
    assert given.heard.seconds == {"train": 0.6, "dev": 0.6}


def test_half_precision_on_a_cpu_runs_where_it_is_asked_for(data, encoders, tmp_path):
    ready = prepared("emojudge-text", data, encoders["roberta"])
    assert ready.precision == "fp32"
    ready = prepared("emojudge-text", data, encoders["roberta"], dtype="bf16")
    assert ready.precision == "bf16"
    half = tuning.tune(ready, tmp_path / "half")
    full = tuned("emojudge-text", data, encoders["roberta"], tmp_path / "full")
    assert half.history.evaluations[-1].loss != full.history.evaluations[-1].loss
    assert half.history.evaluations[-1].loss < half.history.evaluations[0].loss


def test_the_attention_is_penalised_and_has_no_decay(data, encoders):
    ready = prepared("emojudge-speech", data, encoders["wavlm"])
    groups = ready.recipe.fit_options("fp32").groups
    assert [(group.name, group.weight_decay) for group in groups] == [
        ("attention", 0.0), ("encoder", 0.01), ("pooling", 0.01), ("head", 0.01),
    ]  # fmt: skip
    heard = tuning.Heard(CorpusNorm(0.0, 0.1), {}, {})
    tunable = tuning._speech(ready, heard.norm)
    penalty = tuning.SpeechTask(ready, tunable, heard).objective.penalty(tunable.module)
    weight, attention = tunable.module.pool_model.attention_weights()
    expected = 1e-4 * (weight.square().sum() + attention.square().sum())
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_card_says_what_was_trained_on_what(data, encoders, tmp_path):
    tuned("emojudge-speech", data, encoders["wavlm"], tmp_path / "m", "licence=MIT", "epochs=1")
    shown = describe(str(tmp_path / "m"))
    assert shown.card.licence == "MIT"
    assert shown.card.description.startswith("EmoJudge's audio network")
    assert "| train | 24 | 3 | 12 | 12 |\n| dev | 8 | 1 | 4 | 4 |" in shown.text
    assert "- macro F1: " in shown.text
    assert "Licence of the weights: MIT." in shown.text
    assert "residual_blocks = 2\n" in shown.text


def test_a_folder_with_a_model_is_left_alone(data, encoders, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RecipeError) as caught:
        tuned("odyssey-baseline", data, encoders["wavlm"], tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: holds a model already, expected a folder for a new one. Choose another with "
        f"-o, or delete it."
    )


def test_a_recording_that_is_missing_is_found_before_training(encoders, tmp_path):
    table = tones(tmp_path / "data", n=2)
    (tmp_path / "data" / "d1.wav").unlink()
    phases = []
    with pytest.raises(AudioError, match=r"^d1\.wav: "):
        tuned("odyssey-baseline", table, encoders["wavlm"], tmp_path / "m",
              progress=lambda phase, *_: phases.append(phase))  # fmt: skip
    assert set(phases) <= {"listening"}


def test_silence_is_an_error(encoders, tmp_path):
    table = tones(tmp_path / "data", n=2)
    for path in (tmp_path / "data").glob("*.wav"):
        soundfile.write(path, np.zeros(4000), 16000)
    with pytest.raises(RecipeError) as caught:
        tuned("odyssey-baseline", table, encoders["wavlm"], tmp_path / "m")
    assert str(caught.value) == (
        f"{table}: all training recordings are silent, expected some sound. Check the recordings."
    )


def test_an_encoder_of_the_other_kind_is_an_error(data, encoders):
    with pytest.raises(RecipeError) as caught:
        prepared("odyssey-baseline", data, encoders["roberta"])
    assert str(caught.value) == (
        f"{encoders['roberta']} is a text model, expected one for speech. Change encoder or "
        f"modality in the recipe."
    )


def test_encoders_without_a_place_for_the_head_are_an_error(data, encoders, tmp_path):
    with pytest.raises(ModelError) as caught:
        tuned("emojudge-text", data, encoders["bert"], tmp_path)
    assert str(caught.value) == (
        f"{encoders['bert']}: an encoder of type 'bert', expected one of camembert, "
        f"data2vec-text, esm, ibert, longformer, luke, mpnet, roberta, roberta-prelayernorm, "
        f"xlm-roberta, xlm-roberta-xl, xmod. Use another encoder."
    )
    config = json.loads((encoders["wavlm"] / "config.json").read_text())
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({**config, "model_type": "whisper"}))
    ready = prepared("odyssey-baseline", data, other)
    with pytest.raises(ModelError) as caught:
        tuning.plan_tuning(ready)
    assert str(caught.value) == (
        f"{other}: an encoder of type 'whisper', expected one of hubert, unispeech, unispeech-sat, "
        f"wav2vec2, wavlm. Use another encoder."
    )


def test_a_trained_model_with_a_strange_encoder_is_refused(data, encoders, tmp_path):
    tuned("odyssey-baseline", data, encoders["wavlm"], tmp_path, "epochs=1")
    config = json.loads((tmp_path / "config.json").read_text())
    config["encoder"]["model_type"] = "bert"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError) as caught:
        resolve(str(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path}: config.json describes an encoder of type 'bert', expected one of hubert, "
        f"unispeech, unispeech-sat, wav2vec2, wavlm. Use another checkpoint."
    )


def test_a_plan_counts_parameters_and_steps(data, encoders):
    plan = tuning.plan_tuning(prepared("odyssey-baseline", data, encoders["wavlm"]))
    _, checkpoint = open_checkpoint(str(encoders["wavlm"]))
    head = 16 * 16 + 16 + 16 + 32 * 16 + 16 + 2 * 16 + 16 * 2 + 2
    extractor = sum(
        int(np.prod(shape)) for name, shape in checkpoint.shapes.items()
        if name.startswith("feature_extractor.")
    )  # fmt: skip
    assert plan.n_frozen == extractor
    assert plan.n_trained == checkpoint.n_parameters - extractor + head
    assert plan.steps_per_epoch == 3
    memory = plan.memory
    assert memory.weights == 4 * (plan.n_trained + plan.n_frozen)
    assert (memory.gradients, memory.moments) == (4 * plan.n_trained, 8 * plan.n_trained)
    s, b, h, a = 599, 4, 16, 2  # 12 s
    assert memory.activations == 2 * (
        2 * (34 * s * b * h + 5 * a * s * s * b) + 3 * b * 38399 * 8 * 2
    )
    assert memory.total == sum(
        (memory.weights, memory.gradients, memory.moments, memory.activations)
    )
    text = tuning.plan_tuning(prepared("emojudge-text", data, encoders["roberta"]))
    assert text.n_frozen == 0
    frozen = tuning.plan_tuning(
        prepared("emojudge-text", data, encoders["roberta"], "frozen=encoder")
    )
    assert frozen.n_trained == 16 * 16 + 16 + 16 * 2 + 2


def test_the_published_settings(data, encoders):
    given = {
        name: tuning.prepare_tuning(
            find_recipe(name), str(data), settings=[f"encoder={encoders[encoder]}"]
        ).recipe
        for name, encoder in [
            ("odyssey-baseline", "wavlm"), ("emojudge-speech", "wavlm"),
            ("emojudge-text", "roberta"), ("emojudge-dimensional", "wavlm"),
        ]
    }  # fmt: skip
    for recipe in given.values():
        options = recipe.fit_options("fp32")
        assert {group.learning_rate for group in options.groups} == {1e-5}
        assert options.effective_batch == 32
    assert (given["odyssey-baseline"].epochs, given["emojudge-text"].epochs) == (20, 15)
    selection = tuning.prepare_tuning(
        find_recipe("entropy-selection-speech"), str(data), settings=[f"encoder={encoders['base']}"]
    ).recipe
    options = selection.fit_options("fp32")
    assert (options.effective_batch, options.patience, options.epochs) == (8, 20, 100)
    assert {group.learning_rate for group in options.groups} == {1e-5}
    assert (selection.crop_seconds, selection.tiled, selection.hidden) == (6.0, True, 256)
    text = given["emojudge-text"].fit_options("fp32")
    assert (text.warm_up, text.schedule, text.evaluate_every) == (0.1, "linear", 2000)
