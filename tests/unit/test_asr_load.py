"""From the name of a Whisper model to what computes it."""

import hashlib
from pathlib import Path

import pytest
import torch
import whisper
import whisper_checkpoints

from emocli.asr import load as loading
from emocli.asr.load import Machine, load_transcriber
from emocli.errors import ModelError, ModelUnavailable
from emocli.models import hub

CPU = Machine(device="cpu")


@pytest.fixture(scope="module")
def pt(tmp_path_factory) -> Path:
    return whisper_checkpoints.write_openai(tmp_path_factory.mktemp("openai") / "random.pt")


@pytest.fixture(autouse=True)
def empty_caches(tmp_path, monkeypatch):
    """No checkpoint is on this machine and none can be fetched."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def taken(monkeypatch):
    """What would be loaded as a folder."""
    found = []
    monkeypatch.setattr(
        loading, "_load_folder", lambda checkpoint, machine: found.append(checkpoint)
    )
    return found


def refused(name, machine=CPU, **options) -> str:
    with pytest.raises(ModelError) as error:
        load_transcriber(str(name), machine, **options)
    return str(error.value)


def test_a_card(pt):
    card = load_transcriber(str(pt), CPU).card
    assert card.identifier == f"{pt}@{hashlib.sha256(pt.read_bytes()).hexdigest()[:12]}"
    weights = whisper_checkpoints.network().parameters()
    assert card.n_parameters == sum(weight.numel() for weight in weights)
    assert (card.size_bytes, card.licence) == (pt.stat().st_size, "")
    assert load_transcriber(str(pt.parent), CPU).card.n_parameters == card.n_parameters


def test_a_size_in_the_folder_of_openai_whisper(pt, tmp_path, monkeypatch):
    digest = hashlib.sha256(pt.read_bytes()).hexdigest()
    monkeypatch.setitem(whisper._MODELS, "tiny", f"https://example.org/{digest}/tiny.pt")
    monkeypatch.setitem(whisper._ALIGNMENT_HEADS, "tiny", b"ABzY8J1N>@0{>%R00Bk>$p{7v037`oCl~+#00")
    asked = []
    monkeypatch.setattr(
        whisper.model.Whisper, "set_alignment_heads", lambda self, heads: asked.append(heads)
    )
    path = tmp_path / "whisper" / "tiny.pt"
    path.parent.mkdir()
    path.write_bytes(pt.read_bytes())
    card = load_transcriber("tiny", CPU).card
    assert (card.identifier, card.licence) == (f"whisper-tiny@{digest[:12]}", "MIT")
    load_transcriber(str(pt), CPU)  # the published file under another name
    assert asked == [whisper._ALIGNMENT_HEADS["tiny"]] * 2


def test_a_size_of_another_content(pt, tmp_path):
    path = tmp_path / "tiny.pt"
    path.write_bytes(pt.read_bytes())
    assert refused("tiny", model_dir=tmp_path) == (
        f"{path}: its checksum is not that of the published Whisper tiny, so it is incomplete or "
        f"something else. Fetch it again, or name the file itself to use it."
    )


def in_the_hub(name: str, *files: str) -> Path:
    snapshot = hub.repo_dir(name) / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    for file in ("config.json", *files):
        (snapshot / file).write_text("{}")
    return snapshot


def test_a_size_in_the_cache_of_the_hub(taken):
    theirs = in_the_hub("openai/whisper-base", "model.safetensors")
    load_transcriber("base", CPU)
    load_transcriber("hf:openai/whisper-base", CPU, offline=True)
    converted = in_the_hub("Systran/faster-whisper-base", "model.bin")
    load_transcriber("base", CPU)
    load_transcriber("hf:Systran/faster-whisper-base", CPU, offline=True)
    assert [one.folder for one in taken] == [theirs, theirs, converted, converted]
    assert [one.name for one in taken[1:3]] == [
        "openai/whisper-base",
        "Systran/faster-whisper-base",
    ]


@pytest.mark.parametrize(
    ("offline", "why"),
    [
        (True, "--offline forbids the network"),
        (False, "HF_HUB_OFFLINE forbids the network"),
    ],
)
def test_a_size_that_is_nowhere(tmp_path, offline, why):
    with pytest.raises(ModelUnavailable) as error:
        load_transcriber("turbo", CPU, offline=offline)
    cache = tmp_path / "hub" / "models--openai--whisper-large-v3-turbo"
    assert error.value.exit_status == 4
    assert str(error.value) == (
        f"Whisper large-v3-turbo is not on this machine "
        f"({tmp_path}/whisper/large-v3-turbo.pt and {cache} are not there) and {why}. Fetch it "
        f"with `emocli models pull hf:openai/whisper-large-v3-turbo` where there is a network, or "
        f"put openai-whisper's large-v3-turbo.pt into {tmp_path}/whisper."
    )


def test_a_size_for_openai_whisper_that_is_nowhere(tmp_path):
    assert refused("tiny", Machine("openai")) == (
        f"Whisper tiny is not on this machine as openai-whisper has it ({tmp_path}/whisper/tiny.pt "
        f"is not there). Put tiny.pt into {tmp_path}/whisper, or use --backend auto."
    )


def test_what_is_fetched_of_a_converted_checkpoint():
    there = ["README.md", "config.json", "model.bin", "tokenizer.json", "vocabulary.txt", "a.py"]
    assert hub.files_to_fetch(there) == there[:-1]
    assert hub.files_to_fetch(["model.bin", "model.safetensors"]) == ["model.safetensors"]


def test_an_unknown_name():
    assert refused("tinny") == (
        "No Whisper model is called tinny, and no file or folder is: did you mean tiny? Sizes are "
        "tiny, base, small, medium, tiny.en, base.en, small.en, medium.en, large-v1, large-v2, "
        "large-v3, large, large-v3-turbo, turbo; hf:owner/name, folders and .pt files work too."
    )


def test_files_and_folders_that_are_no_checkpoints(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    assert refused(tmp_path / "a.txt") == (
        f"{tmp_path}/a.txt is a file, expected a .pt checkpoint of openai-whisper or a folder "
        f"with config.json and weights. Name one of these."
    )
    assert refused(tmp_path) == (
        f"{tmp_path}: folder with 0 .pt checkpoints and no config.json, expected exactly one "
        f"checkpoint or a folder of the hub's kind. Name the file itself."
    )


class Trap:
    """Runs code when it is unpickled by a careless reader."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_checkpoint_runs_no_code(tmp_path):
    path = tmp_path / "trap.pt"
    torch.save({"dims": Trap(tmp_path / "sprung")}, path)
    assert "cannot be read as a checkpoint" in refused(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"weights": 1}, "no Whisper checkpoint ('dims'), expected dims and model_state_dict"),
        ([1, 2], "no Whisper checkpoint ('dims'), expected dims and model_state_dict"),
        (
            {"dims": {**vars(whisper_checkpoints.network().dims), "n_text_head": 0}},
            "no Whisper checkpoint (dimensions that are no numbers above 0)",
        ),
        (
            {"dims": {**vars(whisper_checkpoints.network().dims), "n_mels": "80"}},
            "no Whisper checkpoint (dimensions that are no numbers above 0)",
        ),
        ({"dims": {"n_mels": 80}}, "no Whisper checkpoint (ModelDimensions.__init__() missing 9"),
    ],
)
def test_a_pt_file_of_something_else(tmp_path, content, reason):
    path = tmp_path / "other.pt"
    torch.save(content, path)
    said = refused(path)
    assert said.startswith(f"{path}: {reason}")
    assert said.endswith("as openai-whisper saves them. Choose another file.")


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "less"},
        {"dims": {"n_mels": 81}},
        {"dims": {"n_audio_layer": 2}},
    ],
)
def test_weights_that_do_not_fit(tmp_path, change):
    made = whisper_checkpoints.network()
    weights = dict(made.state_dict())
    if "weights" in change:
        del weights["decoder.ln.bias"]
    dims = {**vars(made.dims), **change.get("dims", {})}
    path = tmp_path / "part.pt"
    torch.save({"dims": dims, "model_state_dict": weights}, path)
    said = refused(path)
    assert said.startswith(f"{path}: weights do not fit a Whisper network of its dimensions (")
    assert said.endswith("), expected all of them and no other. Fetch the file again.")


def test_backends_and_number_formats_that_do_not_fit(pt, tmp_path):
    assert refused(pt, Machine("whisper.cpp")) == (
        "Backend 'whisper.cpp' is unknown, expected one of auto, openai, faster-whisper. "
        "Choose one with --backend."
    )
    for dtype in ("int8", "bf16"):
        assert refused(pt, Machine(device="cpu", dtype=dtype)) == (
            f"{pt}: openai-whisper computes in fp32 or fp16, not in {dtype}. "
            f"Use --dtype fp32, or --backend faster-whisper."
        )
    assert refused(pt, Machine(device="cpu", dtype="fp16")) == (
        "openai-whisper in fp16 on the CPU is slow and inexact, expected fp32 there. "
        "Use --dtype fp32, or --device cuda."
    )
    (tmp_path / "config.json").write_text("{}")
    assert refused(tmp_path, Machine("openai")) == (
        f"{tmp_path}: no .pt file, expected a checkpoint of openai-whisper for --backend openai. "
        f"Use --backend auto."
    )
