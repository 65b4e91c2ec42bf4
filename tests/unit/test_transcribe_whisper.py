"""Whisper checkpoints: the text of the reference library, whichever library computes."""

import base64
import gzip
import hashlib
import json
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")

pytest.importorskip("whisper")
import checkpoints  # noqa: E402
import whisper  # noqa: E402
import whisper_checkpoints  # noqa: E402

from emocli.errors import MissingDependency, ModelError, ModelUnavailable  # noqa: E402
from emocli.models import hub, transcribers  # noqa: E402
from emocli.models.transcribers import resolve_transcriber  # noqa: E402
from emocli.pipeline.inputs import read_inputs  # noqa: E402
from emocli.pipeline.transcribe import TranscriptionRun  # noqa: E402
from emocli.transcript import TranscribeOptions  # noqa: E402

NEVER_SILENT = {"no_speech_threshold": 1.0}
GREEDY = {"temperatures": (0.0,), **NEVER_SILENT}


@pytest.fixture(scope="module")
def pt(tmp_path_factory) -> Path:
    return whisper_checkpoints.write_openai(tmp_path_factory.mktemp("openai") / "random.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return whisper_checkpoints.write_hub(tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
def by_openai(pt):
    return resolve_transcriber(str(pt), device="cpu")


@pytest.fixture(scope="module")
def by_hub(folder):
    return resolve_transcriber(str(folder), device="cpu")


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (0.1 * rng.standard_normal(16000 * 12)).astype(np.float32)


@pytest.fixture(autouse=True)
def empty_caches(tmp_path, monkeypatch):
    """No checkpoint is on this machine and none can be fetched."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


CASES = {
    "fallback": NEVER_SILENT,
    "dropped silence": {"no_speech_threshold": 0.0, "logprob_threshold": -4.0},
    "beams and prompt": {"beam_size": 3, "initial_prompt": "Anna and Ola", **GREEDY},
    "translate": {
        "task": "translate",
        "language": "pl",
        "condition_on_previous_text": False,
        **GREEDY,
    },
}


@pytest.mark.parametrize("name", list(CASES))
def test_the_same_segments_as_the_reference(by_openai, noise, name):
    options = CASES[name]
    ours = by_openai.transcribe(noise, TranscribeOptions(**options))
    theirs = reference(noise, **{"language": ours.language, **options})
    assert [one.text for one in ours.segments] == [one["text"] for one in theirs["segments"]]
    for own, other in zip(ours.segments, theirs["segments"], strict=True):
        assert (own.start, own.end) == (other["start"], other["end"])
        assert own.avg_logprob == pytest.approx(other["avg_logprob"], abs=1e-5)
        assert own.no_speech_prob == pytest.approx(other["no_speech_prob"], abs=1e-6)
        assert own.compression_ratio == other["compression_ratio"]
    if name == "dropped silence":
        assert ours.dropped  # which the reference does not tell of
    else:
        assert ours.text == theirs["text"].strip() != ""


def test_the_language_of_the_reference(by_openai, by_hub, noise):
    window = np.resize(noise, 16000 * 30)  # shorter ones end in silence there and in zeros here
    theirs = reference(window, **GREEDY)["language"]
    for transcriber in (by_openai, by_hub):
        assert transcriber.transcribe(window, TranscribeOptions(**GREEDY)).language == theirs


def reference(
    waveform,
    *,
    temperatures=(0.0, 0.2, 0.4, 0.6, 0.8, 1.0),
    n_vocabulary=whisper_checkpoints.N_VOCABULARY,
    **options,
):
    """What openai-whisper says, without segments that it emptied."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array_wrap__ must accept", DeprecationWarning)
        torch.manual_seed(0)
        found = whisper.transcribe(
            whisper_checkpoints.network(n_vocabulary),
            waveform,
            fp16=False,
            temperature=temperatures,
            **options,
        )
    return {**found, "segments": [one for one in found["segments"] if one["text"].strip()]}


@pytest.mark.parametrize("name", list(CASES))
def test_both_libraries_say_the_same(by_openai, by_hub, noise, name):
    options = TranscribeOptions(**CASES[name])
    assert_alike(by_hub.transcribe(noise, options), by_openai.transcribe(noise, options))


def assert_alike(ours, theirs) -> None:
    assert ours.language == theirs.language
    assert (ours.text, ours.dropped_text) == (theirs.text, theirs.dropped_text)
    own, other = ours.segments + ours.dropped, theirs.segments + theirs.dropped
    for a, b in zip(own, other, strict=True):
        assert (a.text, a.start, a.end, a.n_tokens) == (b.text, b.start, b.end, b.n_tokens)
        assert a.avg_logprob == pytest.approx(b.avg_logprob, abs=1e-5)
        assert a.no_speech_prob == pytest.approx(b.no_speech_prob, abs=1e-5)
        assert [(w.text, w.start, w.end) for w in a.words] == [
            (w.text, w.start, w.end) for w in b.words
        ]
        for word, same in zip(a.words, b.words, strict=True):
            assert word.probability == pytest.approx(same.probability, abs=1e-5)


@pytest.fixture
def plain_alignment(monkeypatch):
    """Compiling the reference's alignment takes longer than aligning a few words without it."""
    for name in ("dtw_cpu", "backtrace"):
        monkeypatch.setattr(whisper.timing, name, getattr(whisper.timing, name).py_func)


WORDS = TranscribeOptions(word_timestamps=True, language="pl", **GREEDY)


@pytest.mark.usefixtures("plain_alignment")
def test_words_are_timed_alike(by_openai, by_hub, noise):
    theirs = by_openai.transcribe(noise[: 16000 * 3], WORDS)
    ours = by_hub.transcribe(noise[: 16000 * 3], WORDS)
    assert sum(len(one.words) for one in ours.segments) > 0
    assert_alike(ours, theirs)


@pytest.mark.usefixtures("plain_alignment")
def test_words_are_timed_by_the_heads_that_the_checkpoint_names(
    by_hub, pt, folder, noise, tmp_path
):
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    generation = json.loads((folder / "generation_config.json").read_text())
    (tmp_path / "generation_config.json").unlink()
    (tmp_path / "generation_config.json").write_text(
        json.dumps({**generation, "alignment_heads": [[0, 1], [1, 0]]})
    )
    by_openai = resolve_transcriber(str(pt), device="cpu")
    by_openai.network.model.set_alignment_heads(_heads([[False, True], [True, False]]))
    theirs = by_openai.transcribe(noise[: 16000 * 3], WORDS)
    ours = resolve_transcriber(str(tmp_path), device="cpu").transcribe(noise[: 16000 * 3], WORDS)
    assert_alike(ours, theirs)
    by_others = by_hub.transcribe(noise[: 16000 * 3], WORDS)
    assert [one.words for one in by_others.segments] != [one.words for one in ours.segments]


def test_the_text_of_transformers_own_generation(by_hub, noise):
    network = by_hub.network
    for name, value in network.generation.items():
        setattr(network.model.generation_config, name, value)
    waveform = np.resize(noise, 16000 * 30)
    with torch.no_grad():
        generated = network.model.generate(
            network.features(waveform)[None, :, :3000],
            language="pl",
            task="transcribe",
            return_timestamps=True,
            max_new_tokens=whisper_checkpoints.N_CONTEXT // 2,
        )[0].tolist()
    options = TranscribeOptions(language="pl", condition_on_previous_text=False, **GREEDY)
    ours = by_hub.transcribe(waveform, options)
    spoken = [token for token in generated if token < network.end_of_text]
    assert ours.text == network.text(spoken).strip() != ""


def test_features_are_those_of_the_reference(by_openai, by_hub, noise):
    np.testing.assert_allclose(
        by_hub.network.features(noise), by_openai.network.features(noise), atol=1e-6
    )


def test_the_same_text_every_time_and_the_generator_untouched(by_hub, noise):
    options = TranscribeOptions(language="en", temperatures=(0.5,), **NEVER_SILENT)
    first = by_hub.transcribe(noise[:16000], options)
    torch.rand(3)
    state = torch.get_rng_state()
    assert by_hub.transcribe(noise[:16000], options) == first
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", ["pt", "folder"])
def test_lanes_change_no_text(kind, request, noise, tmp_path):
    name = str(request.getfixturevalue(kind))
    for number in range(4):
        soundfile.write(tmp_path / f"{number}.wav", noise[: 8000 * (1 + number % 3)], 16000)
    inputs = read_inputs([tmp_path])
    options = TranscribeOptions(language="en", temperatures=(0.4,), **NEVER_SILENT)

    def said(n_recordings):
        transcriber = resolve_transcriber(name, device="cpu", n_recordings=n_recordings)
        return list(TranscriptionRun(inputs, transcriber, options).transcripts())

    one_by_one = said(1)
    with checkpoints.torch_threads(2):
        together = said(4)
        assert torch.get_num_threads() == 2
    assert any(one.transcript.text for one in together)
    for own, other in zip(together, one_by_one, strict=True):
        assert_alike(own.transcript, other.transcript)


def test_as_many_lanes_as_threads_and_recordings(pt):
    with checkpoints.torch_threads(2):
        lanes = [
            resolve_transcriber(str(pt), device="cpu", n_recordings=n).most_lanes
            for n in (0, 1, 2, 9)
        ]
    assert lanes == [1, 1, 2, 2]


def test_libraries_keep_quiet(folder, tmp_path):
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.wav", 0.1 * rng.standard_normal(16000), 16000)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "emocli", "transcribe", "a.wav", "-m", str(folder)),
            *("--vad", "off", "--beam-size", "2", "--temperature", "0", "--device", "cpu"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 2


def test_cards(by_openai, by_hub, pt, folder):
    digest = hashlib.sha256(pt.read_bytes()).hexdigest()
    assert by_openai.card.identifier == f"{pt}@{digest[:12]}"
    assert by_hub.card.identifier == str(folder)
    n_weights = sum(weight.numel() for weight in whisper_checkpoints.network().parameters())
    assert by_openai.card.n_parameters == n_weights
    assert by_openai.card.size_bytes == pt.stat().st_size


N_ENGLISH = whisper_checkpoints.N_ENGLISH


@pytest.fixture(scope="module")
def english(tmp_path_factory) -> dict:
    """Both kinds of checkpoint that know English only."""
    made = tmp_path_factory.mktemp("english")
    pt = whisper_checkpoints.write_openai(made / "any.pt", N_ENGLISH)
    folder = whisper_checkpoints.write_hub(made / "hub", N_ENGLISH)
    return {
        kind: resolve_transcriber(str(path), device="cpu")
        for kind, path in {"pt": pt, "folder": folder}.items()
    }


@pytest.mark.parametrize("kind", ["pt", "folder"])
def test_an_english_model(english, kind):
    transcriber = english[kind]
    assert transcriber.network.languages == ("en",)
    assert transcriber.network.detect_language(None) == "en"
    with pytest.raises(ModelError) as error:
        transcriber.check(TranscribeOptions(language="pl"))
    assert str(error.value) == (
        f"{transcriber.card.name} knows English only, asked for polish. "
        f"Choose a model without .en in its name."
    )


@pytest.mark.usefixtures("plain_alignment")
def test_an_english_model_says_what_the_reference_says(english, noise):
    options = {"initial_prompt": "Anna and Ola", "word_timestamps": True, **GREEDY}
    waveform = noise[: 16000 * 3]
    theirs = reference(waveform, n_vocabulary=N_ENGLISH, **options)
    ours = {
        kind: transcriber.transcribe(waveform, TranscribeOptions(**options))
        for kind, transcriber in english.items()
    }
    assert_alike(ours["folder"], ours["pt"])
    assert ours["pt"].language == theirs["language"] == "en"
    assert ours["pt"].text == theirs["text"].strip() != ""
    for own, other in zip(ours["pt"].segments, theirs["segments"], strict=True):
        assert (own.start, own.end) == (other["start"], other["end"])
        assert [(one.text, one.start, one.end) for one in own.words] == [
            (one["word"], one["start"], one["end"]) for one in other["words"]
        ]


def test_a_size_in_the_folder_of_openai_whisper(pt, tmp_path, monkeypatch):
    digest = hashlib.sha256(pt.read_bytes()).hexdigest()
    monkeypatch.setitem(whisper._MODELS, "tiny", f"https://example.org/{digest}/tiny.pt")
    monkeypatch.setitem(whisper._ALIGNMENT_HEADS, "tiny", _heads([[True, True], [True, True]]))
    path = tmp_path / "whisper" / "tiny.pt"
    path.parent.mkdir()
    path.write_bytes(pt.read_bytes())
    card = resolve_transcriber("tiny", device="cpu").card
    assert card.identifier == f"whisper-tiny@{digest[:12]}"
    assert card.licence == "MIT"


def _heads(which) -> bytes:
    """Heads of each layer as openai-whisper packs them."""
    return base64.b85encode(gzip.compress(np.array(which).tobytes()))


def test_a_size_of_another_content(pt, tmp_path):
    path = tmp_path / "tiny.pt"
    path.write_bytes(pt.read_bytes())
    with pytest.raises(ModelError) as error:
        resolve_transcriber("tiny", model_dir=tmp_path)
    assert str(error.value) == (
        f"{path}: its checksum is not that of the published Whisper tiny, so it is incomplete or "
        f"something else. Fetch it again, or name the file itself to use it."
    )


def test_a_size_in_the_cache_of_the_hub(folder, tmp_path):
    snapshots = hub.repo_dir("openai/whisper-large-v3-turbo") / "snapshots"
    snapshots.mkdir(parents=True)
    (snapshots / ("a" * 40)).symlink_to(folder)
    card = resolve_transcriber("turbo", device="cpu").card
    assert card.identifier == f"openai/whisper-large-v3-turbo@{'a' * 12}"
    named = resolve_transcriber("hf:openai/whisper-large-v3-turbo", device="cpu", offline=True)
    assert named.card.identifier == card.identifier


@pytest.mark.parametrize(
    ("offline", "why"),
    [
        (True, "--offline forbids the network"),
        (False, "HF_HUB_OFFLINE forbids the network"),
    ],
)
def test_a_size_that_is_nowhere(tmp_path, offline, why):
    with pytest.raises(ModelUnavailable) as error:
        resolve_transcriber("turbo", offline=offline)
    cache = tmp_path / "hub" / "models--openai--whisper-large-v3-turbo"
    assert error.value.exit_status == 4
    assert str(error.value) == (
        f"Whisper large-v3-turbo is not on this machine "
        f"({tmp_path}/whisper/large-v3-turbo.pt and {cache} are not there) and {why}. Fetch it "
        f"with `emocli models pull hf:openai/whisper-large-v3-turbo` where there is a network, or "
        f"put openai-whisper's large-v3-turbo.pt into {tmp_path}/whisper."
    )


def test_a_checkpoint_without_its_package(pt, tmp_path, monkeypatch):
    monkeypatch.setattr(transcribers, "_has_package", lambda: False)
    expected = (
        "{} is a checkpoint of openai-whisper, and that package is not installed. "
        "Run `pip install 'emocli[whisper]'`, or use a checkpoint of the hub such as "
        "openai/whisper-base."
    )
    with pytest.raises(MissingDependency) as error:
        resolve_transcriber(str(pt))
    assert str(error.value) == expected.format(pt)
    path = tmp_path / "tiny.pt"
    path.touch()
    with pytest.raises(MissingDependency) as error:
        resolve_transcriber("tiny", model_dir=tmp_path)
    assert str(error.value) == expected.format(path)


def test_an_unknown_name():
    with pytest.raises(ModelError) as error:
        resolve_transcriber("tinny")
    assert str(error.value) == (
        "No Whisper model is called tinny, and no file or folder is: did you mean tiny? Sizes are "
        "tiny, base, small, medium, tiny.en, base.en, small.en, medium.en, large-v1, large-v2, "
        "large-v3, large, large-v3-turbo, turbo; hf:owner/name, folders and .pt files work too."
    )


def test_files_and_folders_that_are_no_checkpoints(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(ModelError) as error:
        resolve_transcriber(str(tmp_path / "a.txt"))
    assert str(error.value) == (
        f"{tmp_path}/a.txt is a file, expected a .pt checkpoint of openai-whisper or a folder "
        f"with config.json and weights. Name one of these."
    )
    with pytest.raises(ModelError) as error:
        resolve_transcriber(str(tmp_path))
    assert str(error.value) == (
        f"{tmp_path}: folder with 0 .pt checkpoints and no config.json, expected exactly one "
        f"checkpoint or a folder of the hub's kind. Name the file itself."
    )


def test_a_folder_with_one_checkpoint(pt):
    assert resolve_transcriber(str(pt.parent), device="cpu").card.n_parameters > 0


class Trap:
    """Runs code when it is unpickled by a careless reader."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_checkpoint_runs_no_code(tmp_path):
    path = tmp_path / "trap.pt"
    torch.save({"dims": Trap(tmp_path / "sprung")}, path)
    with pytest.raises(ModelError, match="cannot be read as a checkpoint"):
        resolve_transcriber(str(path))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"weights": 1}, "no Whisper checkpoint ('dims'), expected dims and model_state_dict"),
        ([1, 2], "no Whisper checkpoint ('dims'), expected dims and model_state_dict"),
        ({"dims": {"n_mels": 80}}, "no Whisper checkpoint (ModelDimensions.__init__() missing 9"),
    ],
)
def test_a_pt_file_of_something_else(tmp_path, content, reason):
    path = tmp_path / "other.pt"
    torch.save(content, path)
    with pytest.raises(ModelError) as error:
        resolve_transcriber(str(path))
    assert str(error.value).startswith(f"{path}: {reason}")
    assert str(error.value).endswith("as openai-whisper saves them. Choose another file.")


def test_weights_that_are_missing(tmp_path):
    made = whisper_checkpoints.network()
    weights = {k: v for k, v in made.state_dict().items() if k != "decoder.ln.bias"}
    path = tmp_path / "part.pt"
    torch.save({"dims": vars(made.dims), "model_state_dict": weights}, path)
    with pytest.raises(ModelError) as error:
        resolve_transcriber(str(path))
    assert str(error.value) == (
        f"{path}: weights do not fit a Whisper network of its dimensions (Error(s) in loading "
        f"state_dict for Whisper), expected all of them and no other. Fetch the file again."
    )


def test_a_folder_of_another_model(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "wav2vec2"}')
    with pytest.raises(ModelError) as error:
        resolve_transcriber(str(tmp_path))
    assert str(error.value) == (
        f"{tmp_path}: a model of type wav2vec2, expected whisper. "
        f"Choose a Whisper checkpoint, such as openai/whisper-base."
    )


def test_a_folder_without_tokenizer(folder, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(folder / name)
    with pytest.raises(ModelError) as error:
        resolve_transcriber(str(tmp_path))
    assert str(error.value) == (
        f"{tmp_path}: the vocabulary has no <|startoftranscript|>, expected that of Whisper. "
        f"Point to a folder that holds the tokenizer of the checkpoint."
    )


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (
            {"tokenizer.json": "{"},
            "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        (
            {"vocab.json": "{", "merges.txt": ""},
            "Error while initializing BPE: EOF while parsing an object at line 1 column 1",
        ),
    ],
)
def test_a_tokenizer_that_cannot_be_read(folder, tmp_path, files, reason):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(folder / name)
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ModelError) as error:
        resolve_transcriber(str(tmp_path), device="cpu")
    assert str(error.value) == (
        f"{tmp_path}: no tokenizer can be read from {tmp_path} ({reason}), "
        f"expected tokenizer.json or vocab.json and merges.txt. Fetch the checkpoint again."
    )


def test_a_weight_file_named_outright(by_hub, folder, noise):
    named = resolve_transcriber(str(folder / "model.safetensors"), device="cpu")
    assert named.card == replace(by_hub.card, name=str(folder / "model.safetensors"))
    options = TranscribeOptions(language="en", **GREEDY)
    assert named.transcribe(noise[:16000], options) == by_hub.transcribe(noise[:16000], options)


@pytest.mark.parametrize("kind", ["pt", "folder"])
def test_no_lanes_on_an_accelerator(kind, request, monkeypatch):
    place = (torch.device("meta"), torch.float32)
    monkeypatch.setattr(transcribers, "_machine", lambda machine: place)
    name = str(request.getfixturevalue(kind))
    with checkpoints.torch_threads(2):
        assert resolve_transcriber(name, n_recordings=9).most_lanes == 1


def test_loading_draws_no_weights(pt):
    state = torch.get_rng_state()
    resolve_transcriber(str(pt), device="cpu")
    assert torch.equal(torch.get_rng_state(), state)


def test_number_formats(pt):
    with pytest.raises(ModelError) as error:
        resolve_transcriber(str(pt), device="cpu", dtype="fp16")
    assert str(error.value) == (
        "Whisper in fp16 on the CPU is slow and inexact, expected fp32 there. "
        "Use --dtype fp32, or --device cuda."
    )
    with pytest.raises(ModelError) as error:
        resolve_transcriber(str(pt), device="cpu", dtype="bf16")
    assert str(error.value) == (
        f"{pt}: openai-whisper computes in fp32 or fp16, not in bf16. "
        f"Use --dtype fp32, or a checkpoint of the hub."
    )
