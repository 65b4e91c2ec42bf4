"""Parts and folds that share no speaker."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emocli.errors import CorpusError
from emocli.splits import (
    check_parts,
    even_folds,
    fold_groups,
    fold_speakers,
    folds_by_corpus,
    held_out_units,
    part_named,
    parts_of_fold,
    random_folds,
    shares_of,
    split_speakers,
    stratified_folds,
    told_apart,
    units,
)

TEN = [f"s{n}" for n in range(10) for _ in range(6)]


def fails(function, *arguments) -> str:
    with pytest.raises(CorpusError) as caught:
        function(*arguments)
    return str(caught.value)


def test_shares_of_rows():
    parts = split_speakers(TEN, (0.8, 0.1, 0.1), 0)
    assert Counter(parts) == {"train": 48, "dev": 6, "test": 6}
    assert parts == split_speakers(TEN, (0.8, 0.1, 0.1), 0)
    assert any(parts != split_speakers(TEN, (0.8, 0.1, 0.1), seed) for seed in (1, 2))
    assert set(split_speakers(TEN, (0.5, 0.5), 0)) == {"train", "dev"}


@given(
    st.lists(st.sampled_from("abcdefgh"), min_size=20).filter(lambda names: len(set(names)) > 3),
    st.integers(0, 100),
)
def test_no_speaker_is_in_two_parts_or_folds_and_none_is_empty(speakers, seed):
    for found, wanted in (
        (split_speakers(speakers, (0.8, 0.1, 0.1), seed), {"train", "dev", "test"}),
        (fold_speakers(speakers, 4, seed), {1, 2, 3, 4}),
    ):
        assert set(found) == wanted
        assert len(set(zip(speakers, found, strict=True))) == len(set(speakers))


def test_folds_of_sessions_and_speakers():
    sessions, speakers = ["1", "1", "2", "3"], ["a", "b", "c", "d"]
    assert fold_groups(sessions, speakers, "session") == [1, 1, 2, 3]
    assert fold_groups(speakers, speakers, "speaker") == [1, 2, 3, 4]
    assert fails(fold_groups, sessions, ["a", "b", "a", "d"], "session") == (
        "a would be in several folds, for they speak in more than one session. Give --folds a "
        "number or speaker."
    )
    assert fails(fold_groups, ["", "", "1", "2"], speakers, "session") == (
        "No session is known for 2 of 4 utterances, expected one for each to fold by. Give --folds "
        "a number or speaker."
    )
    assert fails(fold_groups, ["1"] * 4, speakers, "session") == (
        "There is only one session (1), expected two or more to fold by. Give --split instead."
    )


def test_a_fold_is_tested_and_the_next_is_for_development():
    assert parts_of_fold([1, 2, 3, 3], 2) == ["train", "test", "dev", "dev"]
    assert fails(parts_of_fold, [1, 2, 3], 4) == (
        "--fold is 4 of 3 folds, expected one of at least three, of which the next is for "
        "development. Give another number, or more --folds."
    )
    assert "--fold is 1 of 2 folds" in fails(parts_of_fold, [1, 2], 1)


@pytest.mark.parametrize(
    "text", ["0.8", "0.8,0.3", "1,0", "a,b", "0.4,0.3,0.2,0.1", "nan,1", "1,nan", "inf,1"]
)
def test_shares_that_are_none(text):
    assert fails(shares_of, text) == (
        f"--split is {text!r}, expected two or three shares above 0 that sum to 1, for train, dev "
        f"and test. Write for example --split 0.8,0.1,0.1."
    )


def test_too_few_speakers_and_unknown_ones():
    assert fails(split_speakers, ["a", "b"], (0.8, 0.1, 0.1), 0) == (
        "2 speakers (a, b) are too few for 3 parts that share none. Ask for fewer parts."
    )
    assert fails(fold_groups, ["a", "", ""], ["a", "", ""], "speaker").startswith("No speaker is")
    assert sorted(fold_speakers(["a", "", ""], 2, 0)) in ([1, 1, 2], [1, 2, 2])
    assert fails(fold_speakers, ["a", "a", "", ""], 4, 0) == (
        "1 speakers (a) and 2 recordings whose speakers nobody names are too few for 4 folds that "
        "share none. Ask for fewer folds."
    )


def test_a_speaker_in_two_parts_is_named_with_files():
    parts = ["train", "dev", "test1", "test2", "train"]
    check_parts(parts, ["a", "b", "c", "c", ""], list("vwxyz"), "X")
    assert fails(check_parts, parts, ["a", "a", "c", "b", "b"], list("vwxyz"), "X") == (
        "X: 2 speakers are in more than one part of the split: a (v in train, w in dev); b (y in "
        "test, z in train). Add --split 0.8,0.1,0.1 for one that parts speakers, or "
        "--shared-speakers to keep this one."
    )
    many = ["train"] * 5 + ["dev"] * 5
    assert "; and 2 more. Add" in fails(check_parts, many, list("abcde") * 2, many, "X")


def test_the_same_seed_gives_the_folds_that_it_always_gave():
    rng = np.random.default_rng(5)
    names = [f"s{n}" for n in rng.integers(0, 9, 60)]
    truth = rng.integers(0, 3, 60)
    corpora = [f"c{n}" for n in rng.integers(0, 2, 60)]

    def shown(found) -> str:
        return "".join(str(one)[0] for one in found)

    assert shown(stratified_folds(truth, names, seed=42)) == (
        "241411300103332111202320030020442331323103003421322430104401"
    )
    assert shown(stratified_folds(truth, seed=42)) == (
        "044120243400040304434342314321120141113042331312203222013021"
    )
    assert shown(split_speakers(names, (0.6, 0.2, 0.2), 42)) == (
        "ttdtttttddtttttdddtdtttttttdtdtttttttttddtdttttdtttttttdtttd"
    )
    assert shown(fold_speakers(names, 4, 42)) == (
        "232311441241413222313424414131333141424214141332123314113342"
    )
    assert shown(random_folds(60, 42)) == (
        "858477709945759170292484652309616340063681112950752348263138"
    )
    assert shown(folds_by_corpus([*zip(corpora, names, strict=True)], 4, 42)) == (
        "013122010312023333303001121030113202000300012133203121201113"
    )
    assert held_out_units(units(names), 0.25, 42) == {"s2", "s7"}
    assert shown(even_folds(names)) == (
        "820277516014543000363581141636223457585065614230483241762210"
    )


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *[
            (name, "dev")
            for name in ("Validation", "validation", "Dev", "DEV", "development", "val")
        ],
        *[(name, "dev") for name in ("Development", "valid", "Valid ", "dev_set", "val-set")],
        *[("Train", "train"), ("training", "train"), ("train-clean", "train"), ("TEST", "test")],
        *[("Test1", "test1"), ("Test 3", "test3"), ("test-other", "test"), ("", ""), ("X", "")],
    ],
)
def test_parts_have_many_names(name, part):
    assert part_named(name) == part


def test_what_folds_keep_apart_is_said():
    assert told_apart(["a", "b"]) == "speakers"
    assert told_apart(["", ""]) == "recordings, whose speakers nobody names"
    assert told_apart(["a", "", "b", ""]) == (
        "speakers (2 of 4 recordings name none and are one each)"
    )
