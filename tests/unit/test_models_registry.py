import hashlib
import json
import sys
from types import SimpleNamespace

import checkpoints
import huggingface_hub
import numpy as np
import pytest
from fakes import FakeRecognizer
from huggingface_hub import errors

import emocli
from emocli.errors import ModelError, ModelUnavailable
from emocli.models import hub, probes, registry, speech, text, verify
from emocli.models.aliases import aliases

NAME = "someone/some-model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the hub of our own, and an environment that does not speak of another."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path / "hf" / "hub"


@pytest.fixture(scope="module")
def network():
    return checkpoints.speech_network("wav2vec2")


@pytest.fixture
def cached(cache, network):
    """A checkpoint as the hub's library caches it: blobs by checksum, links, a branch."""
    return put_in_cache(cache, network)


def put_in_cache(cache, network, name=NAME, commit=COMMIT, branch="main"):
    repo = cache / f"models--{name.replace('/', '--')}"
    snapshot = checkpoints.save_network(repo / "snapshots" / commit, network)
    (repo / "blobs").mkdir(exist_ok=True)
    for path in list(snapshot.iterdir()):
        content = path.read_bytes()
        name = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        if path.suffix == ".safetensors":
            name = hashlib.sha256(content).hexdigest()
        (repo / "blobs" / name).write_bytes(content)
        path.unlink()
        path.symlink_to(f"../../blobs/{name}")
    if branch:
        (repo / "refs").mkdir(exist_ok=True)
        (repo / "refs" / branch).write_text(commit)
    return snapshot


def error_of(call, kind=ModelError) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


def test_kinds_are_those_that_are_loaded():
    assert registry.KINDS["speech"] == speech.SPEECH_TYPES | {
        registry.COMPACT_TYPE,
        registry.WHISPER_EMOTION_TYPE,
    }
    assert registry.KINDS["text"] == text.TEXT_TYPES | {registry.HASHED_TEXT_TYPE}


def test_names_of_the_hub():
    for name in (NAME, f"hf:{NAME}"):
        assert registry.find(name) == registry.Reference(NAME, hub=NAME)
        assert registry.find(f"{name}@v1.0").revision == "v1.0"
        assert registry.find(name, revision="abc").revision == "abc"


def test_short_names():
    found = registry.find("audeering-dim")
    assert found.hub == "audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim"
    assert found.alias is aliases()["audeering-dim"]
    assert registry.find("audeering-dim@abc").revision == "abc"
    assert registry.find(f"hf:{found.hub.upper()}").alias is found.alias


@pytest.mark.parametrize("name", aliases())
def test_every_short_name_says_what_it_gives(name):
    alias = aliases()[name]
    assert bool(alias.hub) != bool(alias.folder)
    if alias.hub:
        assert bool(alias.labels) != bool(alias.dimensions)
        assert alias.description


def test_a_misspelt_name():
    assert error_of(lambda: registry.find("audering-dim")) == (
        "No model is called audering-dim, and no file or folder is: did you mean audeering-dim? "
        "`emocli models list` shows short names; hf:owner/name and folders work too."
    )
    assert error_of(lambda: registry.find("./nowhere/at/all")) == (
        "No model is called ./nowhere/at/all, and no file or folder is: `emocli models list` "
        "shows short names; hf:owner/name and folders work too."
    )


def test_a_folder_and_a_weight_file(tmp_path, network, rng):
    folder = checkpoints.save_network(tmp_path / "mine", network)
    waveforms = [rng.normal(0, 0.1, 1000).astype(np.float32)]
    by_folder = registry.resolve(str(folder), device="cpu")
    by_file = registry.resolve(str(folder / "model.safetensors"), device="cpu", modality="speech")
    np.testing.assert_array_equal(by_folder.logits(waveforms), by_file.logits(waveforms))
    assert by_folder.card.identifier == str(folder)


def test_a_file_that_is_no_weight_file(tmp_path):
    path = tmp_path / "model.onnx"
    path.touch()
    assert error_of(lambda: registry.find(str(path))) == (
        f"{path} is a file, expected a folder with config.json and weights, or a weight file "
        f"(.safetensors, .bin) in one. Name the folder."
    )


@pytest.mark.parametrize("name", ["builtin", "."])
def test_a_revision_of_what_has_none(name):
    assert error_of(lambda: registry.find(name, revision="v1")) == (
        f"{name} is not a model of the hub, so it has no revisions. Leave the revision out."
    )


def test_a_speech_model_where_a_text_model_is_needed(tmp_path, network):
    folder = checkpoints.save_network(tmp_path / "mine", network)
    assert error_of(lambda: registry.resolve(str(folder), modality="text")) == (
        f"{folder} is a speech model, expected a text model. `emocli models list` shows which "
        f"are which."
    )


def test_a_cached_model_needs_no_network(cached):
    model = registry.resolve(NAME, device="cpu", offline=True)
    assert model.card.identifier == f"{NAME}@{COMMIT[:12]}"
    assert model.card.source == f"hf:{NAME}"


def test_revisions_in_the_cache(cached, cache, network):
    other = "f" * 40
    put_in_cache(cache, network, commit=other, branch="v2")
    assert hub.find_cached(NAME).name == COMMIT
    assert hub.find_cached(NAME, "v2").name == other
    assert hub.find_cached(NAME, other[:9]).name == other
    assert hub.find_cached(NAME, "ffff") is None  # too short to be meant as a commit
    assert hub.find_cached(NAME, "v3") is None
    assert hub.find_cached("someone/else") is None


def test_a_pinned_revision_alone_serves_for_any(cache, network):
    put_in_cache(cache, network, branch="")
    assert hub.find_cached(NAME).name == COMMIT


def test_an_incomplete_snapshot_is_not_there(cached):
    (cached / "model.safetensors").unlink()
    assert hub.find_cached(NAME) is None


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"HF_HUB_CACHE": "/a"}, "/a"),
        ({"HF_HOME": "/b"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({"HOME": "/d"}, "/d/.cache/huggingface/hub"),
    ],
)
def test_where_the_cache_is(variables, expected, monkeypatch):
    for name in ("HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(hub.cache_dir()) == expected


def missing(why, at=""):
    folder = hub.repo_dir(NAME)
    return (
        f"{NAME}{at} is not on this machine and {why}. Its configuration and weights belong in "
        f"{folder}; fetch them with `emocli models pull hf:{NAME}{at}` where there is a network."
    )


def test_offline_by_option_and_by_environment(monkeypatch):
    assert error_of(
        lambda: registry.resolve(f"{NAME}@v1", offline=True), ModelUnavailable
    ) == missing("--offline forbids the network", "@v1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert error_of(lambda: registry.resolve(NAME), ModelUnavailable) == missing(
        "HF_HUB_OFFLINE forbids the network"
    )
    assert ModelUnavailable.exit_status == 4


def test_offline_is_told_to_the_library_before_it_is_imported(monkeypatch):
    environment = {}
    monkeypatch.setattr(registry.os, "environ", environment)
    registry._stay_offline()
    assert environment == {}
    monkeypatch.delitem(sys.modules, "huggingface_hub")
    registry._stay_offline()
    assert environment == {"HF_HUB_OFFLINE": "1"}


def refuse_with(monkeypatch, error):
    def model_info(*_, **__):
        raise error

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)


def http_error(kind):
    return kind("said so", response=SimpleNamespace(headers={}, request=None, status_code=404))


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (
            http_error(errors.GatedRepoError),
            "its owners ask for consent: give it on the hub and set HF_TOKEN",
        ),
        (
            http_error(errors.RepositoryNotFoundError),
            "the hub has no model of that name, or it is private (set HF_TOKEN)",
        ),
        (http_error(errors.RevisionNotFoundError), "the hub has no such revision of it"),
        (errors.HFValidationError("x"), "that is no name the hub can have"),
        (http_error(errors.HfHubHTTPError), "the hub cannot be reached (said so)"),
        (errors.OfflineModeIsEnabled("it is off"), "the hub cannot be reached (it is off)"),
        (OSError("no route"), "the hub cannot be reached (no route)"),
        (errors.HTTPError(""), "the hub cannot be reached (HTTPError)"),
    ],
)
def test_what_the_hub_says(error, why, monkeypatch):
    refuse_with(monkeypatch, error)
    assert error_of(lambda: hub.fetch(NAME), ModelUnavailable) == missing(why)


def test_fetching(monkeypatch, cached):
    names = ("config.json", "model.safetensors", "pytorch_model.bin", "README.md", "run.py")
    asked = {}

    def model_info(_, name, **options):
        asked["info"] = (name, options)
        return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in names])

    def snapshot_download(name, **options):
        asked["files"] = (name, options["revision"], options["allow_patterns"])
        return str(cached)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert hub.fetch(NAME, "v1") == cached
    assert asked["info"] == (NAME, {"revision": "v1", "timeout": 10.0})
    assert asked["files"] == (NAME, "v1", ["config.json", "model.safetensors", "README.md"])


def test_a_repository_without_weights(monkeypatch):
    info = SimpleNamespace(siblings=[SimpleNamespace(rfilename="model.onnx")])
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: info)
    assert error_of(lambda: hub.fetch(NAME)) == (
        f"{NAME} has no model.safetensors and no pytorch_model.bin. Use a checkpoint of the "
        f"transformers library."
    )


def test_files_of_sharded_and_pickled_repositories():
    shards = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
    index = "pytorch_model.bin.index.json"
    names = ["config.json", *shards, index, "tf_model.h5", "tokenizer.json", "spm.model"]
    assert hub.files_to_fetch(names) == [
        "config.json",
        *shards,
        index,
        "tokenizer.json",
        "spm.model",
    ]
    safe = "model-00001-of-00001.safetensors"
    assert hub.files_to_fetch(
        ["model.safetensors.index.json", safe, "model.fp16.safetensors", *shards, index]
    ) == ["model.safetensors.index.json", safe]


def test_a_listing_of_what_is_not_here():
    listing = registry.describe("roberta-go-emotions")
    assert not listing.on_this_machine
    assert len(listing.card.labels) == 28
    assert listing.card.multi_label
    assert listing.text == ""
    assert registry.describe(NAME).card.name == NAME


def test_a_listing_of_what_is_here(cached, network):
    (cached / "README.md").write_text("---\nlicense: mit\n---\n# About\n")
    listing = registry.describe(NAME)
    assert listing.folder == cached
    assert listing.card.labels == ("neutral", "happy", "angry", "sad")
    assert listing.card.n_parameters == sum(p.numel() for p in network.parameters())
    assert (listing.card.licence, listing.text) == ("mit", "# About")


def test_a_listing_of_what_has_no_card(cached):
    listing = registry.describe(NAME)
    assert (listing.on_this_machine, listing.text) == (True, "")


def test_a_listing_of_pickled_weights_loads_nothing(tmp_path, network):
    folder = checkpoints.save_network(tmp_path, network, form="bin")
    assert registry.describe(str(folder)).card.n_parameters == 0


def test_listing_and_loading_say_the_same(tmp_path, network):
    folder = str(checkpoints.save_network(tmp_path, network))
    listed, loaded = registry.describe(folder).card, registry.resolve(folder, device="cpu").card
    assert listed.outputs == loaded.outputs
    assert listed.sampling_rate == loaded.sampling_rate
    assert listed.size_bytes == loaded.size_bytes


def test_the_public_name():
    assert emocli.load is registry.resolve


def test_all_short_names_are_listed():
    assert [listing.alias for listing in registry.list_models()] == list(aliases())


@pytest.fixture
def torch_alone(monkeypatch):
    """No other engine is installed, so that none is compared with torch, which takes long."""
    monkeypatch.setattr("emocli.models.engines.importlib.util.find_spec", lambda name: None)


def test_checksums_of_the_cache(cached, torch_alone):
    passed = {check.what: check.passed for check in verify.verify(NAME)}
    assert passed == {
        "config.json": True,
        "model.safetensors": True,
        "preprocessor_config.json": True,
    }
    (cached / "config.json").resolve().write_text("{}")
    with pytest.raises(ModelError):
        registry.describe(NAME)
    failed = [check for check in verify.verify(NAME) if not check.passed]
    assert [check.what for check in failed] == ["config.json"]
    assert failed[0].detail.startswith("checksum 9e26dfeeb6e6, expected ")


def test_a_known_answer(tmp_path, network, torch_alone):
    folder = checkpoints.save_network(tmp_path, network)
    unrecorded = {check.what: check.passed for check in verify.verify(str(folder))}
    assert unrecorded["config.json"] is None
    assert unrecorded["model.safetensors"] is None
    verify.record_known_answer(folder)
    checks = {check.what: check for check in verify.verify(str(folder), device="cpu")}
    assert checks["model.safetensors"].passed
    assert checks["known answer"].passed
    assert checks["config.json"] == verify.Check("config.json", None, "no checksum is recorded")

    path = folder / "known_answer.json"
    content = json.loads(path.read_text())
    content["logits"][0][0] += 0.5
    path.write_text(json.dumps(content))
    wrong = verify.verify(str(folder), device="cpu")[-1]
    assert wrong == verify.Check(
        "known answer", False, "logits within 5.0e-01 of the recorded ones"
    )

    path.write_text(json.dumps({"logits": "none"}))
    wrong = verify.verify(str(folder), device="cpu")[-1]
    assert wrong.detail == "known_answer.json has other outputs than the model"


@pytest.mark.parametrize("content", ["{", "[]", '{"sha256": 3}'])
def test_a_known_answer_that_cannot_be_read(content, tmp_path, network):
    folder = checkpoints.save_network(tmp_path, network)
    path = folder / "known_answer.json"
    path.write_text(content)
    assert error_of(lambda: verify.verify(str(folder))) == (
        f"{path} cannot be read as a known answer, expected a JSON object with sha256 and "
        f"logits. Install emocli again, or record it anew."
    )


@pytest.mark.parametrize(
    ("card", "apart"),
    [
        ({}, "1.9e-02"),  # softmax of 0.1 and three zeros is 0.2692, of four zeros 0.25
        ({"multi_label": True}, "2.5e-02"),  # the sigmoid of 0.1 is 0.525
        ({"labels": (), "dimensions": ("arousal",)}, "1.0e-01"),
    ],
)
def test_verify_compares_what_a_model_gives(card, apart, tmp_path, network, monkeypatch):
    def resolve(name, *, engine="torch", **options):
        model = FakeRecognizer(**card)
        changed = 0.1 if engine == "auto" else 0.0
        model.statistics = lambda waveform: [changed, 0.0, 0.0, 0.0][: len(model.card.outputs)]
        model.engine = "openvino fp32" if engine == "auto" else "torch fp32"
        return model

    folder = checkpoints.save_network(tmp_path, network)
    monkeypatch.setattr(registry, "resolve", resolve)
    (found,) = [check for check in verify.verify(str(folder)) if "beside" in check.what]
    told = f"posteriors within {apart}"
    assert found == verify.Check("openvino fp32 beside torch fp32", False, told)


def test_verify_has_nothing_to_compare_with_torch_itself():
    assert [one for one in verify.verify("builtin", device="cpu") if "beside" in one.what] == []


def test_probes_are_the_same_everywhere():
    model = SimpleNamespace(card=SimpleNamespace(modality="speech", sampling_rate=16000))
    long, short = probes.probes(model)
    assert (len(long), len(short), long.dtype) == (32000, 11200, np.float32)
    assert np.abs(long).max() == pytest.approx(0.42653719, abs=1e-6)
    assert long[1234] == pytest.approx(-0.10580782, abs=1e-6)
    model.card.modality = "text"
    assert probes.probes(model) == probes.TEXTS
