import json

import checkpoints
import numpy as np
import pytest
import torch

from emocli.errors import ModelError
from emocli.models.batching import plan_batches
from emocli.models.checkpoint import Checkpoint, is_complete, match_names, n_layers_held
from emocli.models.devices import choose_device, choose_dtype

STATE = {"a.weight": torch.zeros(2, 3), "b.bias": torch.ones(4)}
AGAIN = "Fetch the checkpoint again."


def error_of(call) -> str:
    with pytest.raises(ModelError) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize("form", ["safetensors", "sharded", "bin"])
def test_shapes_and_tensors_of_every_form(form, tmp_path):
    found = Checkpoint(checkpoints.save(tmp_path, STATE, {}, form=form), "tiny")
    assert found.shapes == {"a.weight": (2, 3), "b.bias": (4,)}
    assert found.n_parameters == 10
    assert {key: value.tolist() for key, value in found.load().items()} == {
        key: value.tolist() for key, value in STATE.items()
    }
    assert found.size_bytes == sum(path.stat().st_size for path in found.weight_files)


def test_safetensors_go_before_pickles(tmp_path):
    checkpoints.save(tmp_path, STATE, {})
    (tmp_path / "pytorch_model.bin").write_bytes(b"not read")
    assert Checkpoint(tmp_path, "tiny").weight_files == (tmp_path / "model.safetensors",)


def test_no_config(tmp_path):
    assert error_of(lambda: Checkpoint(tmp_path, "tiny").config) == (
        f"tiny: folder {tmp_path} has no config.json, expected a checkpoint. Point to a folder "
        f"that holds config.json and weights."
    )


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b"[" * 100_000])
def test_config_that_is_not_json(content, tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    assert error_of(lambda: Checkpoint(tmp_path, "tiny").config) == (
        f"tiny: {path} cannot be read as JSON. {AGAIN}"
    )


def test_config_that_is_a_list(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("[]")
    assert error_of(lambda: Checkpoint(tmp_path, "tiny").config) == (
        f"tiny: {path} holds a JSON list, expected an object. {AGAIN}"
    )


def test_no_weights(tmp_path):
    assert error_of(lambda: Checkpoint(tmp_path, "tiny").weight_files) == (
        f"tiny: folder {tmp_path} has no weights, expected model.safetensors or "
        f"pytorch_model.bin. Point to a folder that holds a complete checkpoint."
    )


def test_an_index_without_a_map(tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text("{}")
    assert error_of(lambda: Checkpoint(tmp_path, "tiny").weight_files) == (
        f"tiny: {index} has no weight_map, expected tensor names and the files that hold them. "
        f"{AGAIN}"
    )


@pytest.mark.parametrize("shard", ["gone.safetensors", "../model.safetensors"])
def test_an_index_of_files_that_are_not_in_the_folder(shard, tmp_path):
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "model.safetensors").write_bytes(b"")
    index = {"weight_map": {"a": shard}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert error_of(lambda: Checkpoint(folder, "tiny").weight_files) == (
        f"tiny: weight files {shard} are missing from {folder}. {AGAIN}"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Expecting value: line 1 column 1 (char 0)"),
        (b"\xff" * 8, "header longer than the file"),
        (b"\x02" + bytes(7) + b"[]", "list indices must be integers or slices, not str"),
    ],
)
def test_broken_safetensors(content, reason, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    message = error_of(lambda: Checkpoint(tmp_path, "tiny").shapes)
    assert message.startswith(f"tiny: weight file {path} cannot be read (")
    assert message.endswith(f"). {AGAIN}")


def test_truncated_safetensors(tmp_path):
    checkpoints.save(tmp_path, STATE, {})
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    message = error_of(lambda: Checkpoint(tmp_path, "tiny").load())
    assert message.startswith(f"tiny: weight file {path} cannot be read (")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04rubbish"])
def test_broken_pickles(content, tmp_path):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(content)
    message = error_of(lambda: Checkpoint(tmp_path, "tiny").shapes)
    assert message.startswith(f"tiny: weight file {path} cannot be read (")


class Trap:
    ran = False

    def __reduce__(self):
        return (setattr, (Trap, "ran", True))


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": Trap()}, path)
    assert error_of(lambda: Checkpoint(tmp_path, "tiny").load()) == (
        f"tiny: {path} holds code beside tensors, which is never run here, expected tensors alone. "
        f"Do not trust it; ask for the model as safetensors."
    )
    assert not Trap.ran


def test_a_pickle_of_more_than_tensors(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"state": STATE}, path)
    assert error_of(lambda: Checkpoint(tmp_path, "tiny").load()) == (
        f"tiny: {path} holds more than tensors by name. Convert it to safetensors, or use a "
        f"checkpoint that has them."
    )


def test_complete_folders(tmp_path):
    assert not is_complete(tmp_path)
    assert is_complete(checkpoints.save(tmp_path, STATE, {"model_type": "x"}, form="sharded"))
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    assert not is_complete(tmp_path)


def test_names_are_matched_in_both_directions():
    old = {"c.weight_g": (1,), "c.weight_v": (2,)}
    new = {"c.parametrizations.weight.original0": (1,), "c.parametrizations.weight.original1": (2,)}
    assert match_names("tiny", old, new) == dict(zip(new, old, strict=True))
    assert match_names("tiny", new, old) == dict(zip(old, new, strict=True))


def test_layers_are_counted_not_believed():
    keys = ["a.layers.0.w", "a.layers.0.b", "a.layers.999999.w", "b.layer.0.w", "c.w"]
    assert n_layers_held(keys) == 2


def test_batches_cover_everything_once():
    lengths = [5, 3, 5, 9, 3, 3]
    for mixed in (True, False):
        for batch_size, max_total in ((None, 10), (2, 0), (8, 0), (None, 1)):
            batches = list(
                plan_batches(lengths, batch_size=batch_size, max_total=max_total, mixed=mixed)
            )
            assert sorted(np.concatenate(batches).tolist()) == list(range(6))
            for batch in batches:
                longest = max(lengths[i] for i in batch)
                assert len(batch) == 1 or len(batch) * longest <= max_total or batch_size
                assert mixed or len({lengths[i] for i in batch}) == 1


def test_devices_and_number_formats():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_dtype("auto") == choose_dtype("fp32") == torch.float32
    assert (choose_dtype("bf16"), choose_dtype("fp16")) == (torch.bfloat16, torch.float16)
    assert error_of(lambda: choose_device("gpu")) == (
        "Device 'gpu' is unknown, expected auto, cpu, mps, cuda or cuda:N. Choose one with "
        "--device."
    )
    assert error_of(lambda: choose_dtype("int8")) == (
        "Number format 'int8' is unknown, expected one of auto, fp32, bf16, fp16. Choose one "
        "with --dtype."
    )


def test_a_device_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda:0")
    assert error_of(lambda: choose_device("cuda:3")) == (
        "Device cuda:3 is not there, this machine has 1 of its kind. Use --device auto or "
        "--device cpu."
    )
