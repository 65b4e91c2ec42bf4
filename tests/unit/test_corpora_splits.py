"""Parts and folds that share no speaker."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emocli.corpora.splits import (
    check_parts,
    fold_groups,
    fold_speakers,
    parts_of_fold,
    shares_of,
    split_speakers,
)
from emocli.errors import CorpusError

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
    assert fails(fold_speakers, ["a", "", ""], 2, 0) == (
        "No speaker is known for 2 of 3 utterances, expected one for each to part them by. Keep "
        "the corpus's own split, or leave those utterances out."
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
