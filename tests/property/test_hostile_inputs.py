"""Damaged files are refused in a sentence or read; `tests/benchmarks/fuzz.py` tries far more."""

import json
import zlib

import numpy as np
import pytest
from hostile_inputs import DOORS, damaged, open_door

from emocli.errors import ModelError
from emocli.models.registry import describe
from emocli.table_io import parse_table


@pytest.mark.parametrize("name", DOORS)
def test_whole_files_are_taken_and_damaged_ones_taken_or_refused(name, tmp_path):
    door = open_door(name, tmp_path)
    assert all(door.refuses_or_takes(data, seed) for seed, data in enumerate(door.seeds))
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    taken = 0
    for _ in range(door.n_tries):
        seed = int(rng.integers(len(door.seeds)))
        taken += door.refuses_or_takes(damaged(door.seeds[seed], rng), seed)
    assert 0 < taken < door.n_tries  # some damage is harmless, and some is not


def test_labels_that_json_has_as_numbers_are_text():
    rows = [{"file": "a.wav", "label": 3}, {"file": "b.wav", "label": None}]
    table = parse_table(json.dumps(rows).encode(), "t.json", kind="json")
    assert list(table["label"]) == ["3", ""]


def test_a_configuration_without_a_kind_in_words(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": {}}')
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelError, match=r"config.json says model_type \{\}, expected one that "):
        describe(str(tmp_path))
