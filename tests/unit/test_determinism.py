"""The same recordings give the same table, however a run is arranged."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import emocli
from emocli.pipeline.inputs import read_inputs
from emocli.pipeline.predict import PredictionRun, load_recognizers, rows_of
from emocli.pipeline.scoring import PredictOptions

SAMPLES = Path(__file__).parents[1] / "samples"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Seventy recordings: more than share a batch."""
    place = tmp_path_factory.mktemp("same") / "rec"
    place.mkdir()
    for number in range(14):
        for path in SAMPLES.glob("*.flac"):
            shutil.copyfile(path, place / f"{number:02}-{path.name}")
    return place


@pytest.fixture(scope="module")
def whole(folder):
    return emocli.predict([folder])


def same(one, other):
    assert list(one.columns) == list(other.columns)
    for name in one.columns:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_twice_is_the_same_to_the_last_bit(folder, whole):
    same(emocli.predict([folder]), whole)


@pytest.mark.parametrize("options", [{"n_threads": 0}, {"n_threads": 4}, {"n_processes": 3}])
def test_threads_and_processes_change_no_bit(folder, whole, options):
    run = PredictionRun(
        read_inputs([folder]), load_recognizers("builtin"), PredictOptions(**options)
    )
    same(run.table(rows_of(run.blocks())), whole)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_batches_change_nothing_that_matters(folder, whole, batch_size):
    found = emocli.predict([folder], batch_size=batch_size)
    np.testing.assert_allclose(found.probs, whole.probs, atol=1e-6)
    assert found["label"].tolist() == whole["label"].tolist()


def test_what_else_is_there_and_in_which_order_changes_nothing_that_matters(folder, whole):
    files = sorted(folder.glob("*.flac"), reverse=True)[:9]
    found = emocli.predict(files)
    places = [whole["file"].tolist().index(str(file)) for file in files]
    np.testing.assert_allclose(found.probs, whole.probs[places], atol=1e-6)
