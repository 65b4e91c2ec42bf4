"""What holds of every splitter, whoever speaks."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emocli.errors import CorpusError, TableError
from emocli.splits import (
    MAX_FOLDS,
    even_folds,
    fold_speakers,
    folds_by_corpus,
    held_out_units,
    named,
    split_speakers,
    stratified_folds,
    units,
)

speakers = st.lists(st.sampled_from(["", "", "a", "b", "c", "d", "e", "f"]), min_size=12)
seeds = st.integers(0, 1000)


def apart(names, places) -> bool:
    """Whether no named speaker is in two places."""
    pairs = {pair for pair in zip(names, places, strict=True) if pair[0]}
    return len(pairs) == len({name for name, _ in pairs})


@given(names=speakers)
def test_unnamed_rows_are_units_by_themselves(names):
    found = units(names)
    assert len(set(found)) == len(set(names) - {""}) + names.count("")
    assert [one if name else "" for one, name in zip(found, names, strict=True)] == names


@settings(max_examples=60, deadline=None)
@given(names=speakers, seed=seeds, data=st.data())
def test_stratified_folds_part_speakers_and_deal_the_others_evenly(names, seed, data):
    truth = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(names),
                                        max_size=len(names))))  # fmt: skip
    counts = np.bincount(truth)
    possible = min(5, int(counts[counts > 0].min()), len(set(units(names))))
    if possible < 2:
        with pytest.raises(TableError):
            stratified_folds(truth, names, seed=seed)
        return
    folds = stratified_folds(truth, names, seed=seed)
    assert apart(names, folds.tolist())
    assert folds.min() >= 0
    assert folds.max() < possible
    np.testing.assert_array_equal(folds, stratified_folds(truth, names, seed=seed))
    alone = np.array(names) == ""
    for label in np.unique(truth):
        own = truth == label
        held = np.bincount(folds[own & ~alone], minlength=possible)
        whole = np.bincount(folds[own], minlength=possible)
        # Rows without a name level the folds as far as there are enough of them.
        filled = whole > held
        if filled.any():
            assert whole[filled].max() - whole.min() <= 1


@settings(max_examples=60, deadline=None)
@given(names=speakers.filter(lambda names: len(set(units(names))) >= 4), seed=seeds)
def test_parts_and_folds_share_no_speaker_and_none_is_empty(names, seed):
    parts = split_speakers(names, (0.6, 0.2, 0.2), seed)
    folds = fold_speakers(names, 4, seed)
    assert set(parts) == {"train", "dev", "test"}
    assert set(folds) == {1, 2, 3, 4}
    assert apart(names, parts)
    assert apart(names, folds)
    assert parts == split_speakers(names, (0.6, 0.2, 0.2), seed)
    if set(names) == {""}:
        assert max(Counter(folds).values()) - min(Counter(folds).values()) <= 1


@settings(max_examples=60, deadline=None)
@given(names=speakers.filter(lambda names: len(set(units(names))) >= 3), seed=seeds)
def test_folds_of_calibration_and_of_corpora(names, seed):
    even = even_folds(units(names))
    assert apart(names, even.tolist())
    assert sorted(set(even.tolist())) == list(range(min(len(set(units(names))), MAX_FOLDS)))
    dealt = folds_by_corpus([("one", unit) for unit in units(names)], 3, seed)
    assert apart(names, dealt.tolist())
    assert set(dealt.tolist()) == {0, 1, 2}
    held = held_out_units(units(names), 0.2, seed)
    assert 1 <= len(held) < len(set(units(names)))


@pytest.mark.parametrize("cell", ["", None, "Unknown", "unknown ", "nan", float("nan"), "<NA>"])
def test_cells_that_name_nobody(cell):
    assert named(cell) == ""


def test_too_few_units():
    with pytest.raises(CorpusError, match="too few for 3 parts"):
        split_speakers(["", ""], (0.6, 0.2, 0.2), 0)


def test_many_unnamed_rows_are_dealt_out_fast():
    truth = np.random.default_rng(0).integers(0, 8, 60_000)
    names = ["a"] * 100 + ["b"] * 100 + [""] * 59_800
    folds = stratified_folds(truth, names)
    assert apart(names, folds.tolist())
    assert np.ptp(np.bincount(folds)) <= 8
