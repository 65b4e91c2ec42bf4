"""The prediction table: derived columns, checks, joins."""

import numpy as np
import pytest

from emocli.errors import TableError
from emocli.table import PredictionTable, join, listing


def table(**columns):
    return PredictionTable.from_columns({"file": ["a.wav", "b.wav"], **columns})


def message(call, *arguments, **options) -> str:
    with pytest.raises(TableError) as caught:
        call(*arguments, **options)
    return str(caught.value)


def test_what_follows_from_posteriors_is_computed():
    found = table(p_sad=[0.75, 0.5], p_happy=[0.25, 0.5])
    assert found["label"].tolist() == ["sad", ""]  # none where all are equally likely
    assert table(p_sad=[0.5, 0.4], p_happy=[0.5, 0.4], p_calm=[0.0, 0.2])["label"][0] == "sad"
    np.testing.assert_allclose(found["entropy"], [np.log(4) - 0.75 * np.log(3), np.log(2)])
    np.testing.assert_allclose(found["varentropy"], [0.1875 * np.log(3) ** 2, 0], atol=1e-15)
    np.testing.assert_allclose(found["margin"], [0.5, 0.0])


def test_a_given_label_stands_and_given_measures_are_computed_afresh():
    found = table(label=["happy", ""], entropy=[9, 9], p_sad=[0.75, 1], p_happy=[0.25, 0])
    assert found["label"].tolist() == ["happy", ""]
    np.testing.assert_allclose(found["entropy"], [np.log(4) - 0.75 * np.log(3), 0], atol=1e-15)


def test_columns_come_in_the_order_of_the_definition():
    found = table(
        speaker=["x", "y"], error=["", ""], p_b=[1, 0], p_a=[0, 1], end=[1, 2], start=[0, 0]
    )
    assert list(found.columns) == [
        "file", "start", "end", "label", "p_b", "p_a", "entropy", "varentropy", "margin",
        "normalized_entropy", "error",
        "speaker",
    ]  # fmt: skip


def test_rounded_posteriors_are_scaled_to_sum_to_one():
    found = table(p_a=["0.3333", 0.5], p_b=["0.3333", 0.25], p_c=["0.3333", 0.25])
    np.testing.assert_allclose(found.probs.sum(axis=1), 1.0, atol=1e-12)


def test_rows_of_several_label_sets():
    found = table(p_a=[0.4, ""], p_b=[0.6, 0.6], p_c=["", 0.4])
    assert found["label"].tolist() == ["b", "b"]
    np.testing.assert_array_equal(np.isnan(found.probs), [[0, 0, 1], [1, 0, 0]])


def test_a_failed_row_has_no_prediction():
    found = table(p_a=[1.0, None], error=["", "broken"])
    assert found.failed.tolist() == [False, True]
    assert found["label"].tolist() == ["a", ""]
    assert np.isnan(found["entropy"][1])


def test_from_rows_fills_gaps():
    found = PredictionTable.from_rows([{"file": "a", "p_x": 1.0}, {"file": "b", "note": "short"}])
    assert [row["note"] for row in found] == ["", "short"]
    assert np.isnan(found["p_x"][1])


def test_no_rows_and_no_tables():
    assert len(PredictionTable.from_rows([])) == 0
    assert len(PredictionTable.concat([])) == 0
    assert table(p_a=[1, 1]).select(np.array([], dtype=int)).probs.shape == (0, 1)


def test_concat_unites_columns():
    one = PredictionTable.from_columns({"file": ["a"], "model": ["m"], "p_x": [1.0]})
    two = PredictionTable.from_columns({"file": ["a"], "model": ["n"], "p_y": [1.0]})
    both = PredictionTable.concat([one, two])
    assert both.labels == ("x", "y")
    assert both["label"].tolist() == ["x", "y"]


def test_missing_columns_are_missing_values():
    found = table()
    assert np.isnan(found.column("entropy")).all()
    assert found.column("note").tolist() == ["", ""]
    assert "note" not in found


def test_to_pandas():
    frame = table(p_a=[1.0, 1.0], speaker=["x", None]).to_pandas()
    assert frame["speaker"].tolist() == ["x", ""]
    assert frame["p_a"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (
            {"path": ["a"], "p_x": [1]},
            "t: no column file among path, p_x. A table needs a header line with at least file; "
            "--file-column names another.",
        ),
        (
            {},
            "t: no column file among no columns. A table needs a header line with at least file; "
            "--file-column names another.",
        ),
        (
            {"file": ["a", "b"], "text": ["x"]},
            "t: columns have unequal lengths (file 2, text 1), expected one value for each row. "
            "Complete the short ones.",
        ),
        (
            {"file": ["a", " ", ""]},
            "t: row 3 has no file name, expected a path in column file. "
            "Fill it in or remove the row.",
        ),
        (
            {"file": ["a", "b\0"]},
            "t: the file name in row 2 has a null character in it, expected a path. Correct it or "
            "remove the row.",
        ),
        (
            {"file": ["a"], "p_x": ["much"]},
            "t: p_x of a is 'much', expected a number. Correct it or leave it empty.",
        ),
        (
            {"file": ["a"], "p_x": [1.5], "p_y": [-0.5]},
            "t: the probabilities of a include a negative one, expected posteriors that sum to 1. "
            "Give probabilities rather than logits or percentages.",
        ),
        (
            {"file": ["a"], "p_x": [90], "p_y": [10]},
            "t: the probabilities of a sum to 100, expected posteriors that sum to 1. "
            "Give probabilities rather than logits or percentages.",
        ),
    ],
)
def test_what_is_no_table(columns, sentence):
    assert message(PredictionTable.from_columns, columns, name="t") == sentence


def test_repeated_keys_are_refused():
    one = PredictionTable.from_columns({"file": ["a"], "model": ["m"], "start": [0], "end": [1]})
    assert message(PredictionTable.concat, [one, one]) == (
        "table: 1 rows repeat a key, expected one row for each file, start, end and model: a. "
        "Remove the repeated rows."
    )


def test_listing_names_ten():
    assert listing("abc") == "a, b, c"
    assert listing(range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"


WHOLE = -1


def test_join_by_times():
    left = [("a", 0, 1000), ("a", 1000, 2000), ("b", 0, 500)]
    right = [("b", 0, 500), ("a", 0, 1000), ("c", 0, 1)]
    found = join(left, right)
    assert found.right.tolist() == [1, -1, 0]
    assert found.left_only.tolist() == [1]
    assert found.right_only.tolist() == [2]


def test_a_table_without_times_speaks_of_whole_files():
    found = join([("b", 0, 700), ("a", 0, 500)], [("a", WHOLE, WHOLE), ("b", WHOLE, WHOLE)])
    assert found.right.tolist() == [1, 0]


def test_windows_do_not_meet_whole_files():
    windows = [("a", 0, 1000), ("a", 1000, 2000)]
    assert message(join, windows, [("a", WHOLE, WHOLE)], names=("p.csv", "t.csv")) == (
        "p.csv: 1 rows repeat an utterance, expected one row for each: a. "
        "Give both tables start and end, or one row for each file."
    )


def test_two_models_do_not_join_as_one():
    rows = [("a", 0, 1000), ("a", 0, 1000)]
    assert message(join, rows, [("a", 0, 1000)], names=("p.csv", "t.csv")) == (
        "p.csv: 1 rows repeat an utterance, expected one row for each: a. "
        "Choose one model's rows, or remove the repeated ones."
    )


def test_a_label_that_is_given_stays_where_all_are_equally_likely():
    assert table(p_sad=[0.5] * 2, p_happy=[0.5] * 2, label=["sad", ""])["label"][0] == "sad"


def test_open_ends_meet_the_only_row_from_their_start():
    truth = [("a", 0, 1500), ("a", 1500, -1), ("b", 0, -1), ("c", 0, -1)]
    found = join(
        truth, [("b", 0, 5605), ("a", 1500, 3000), ("a", 0, 1500), ("c", 0, 1), ("c", 0, 2)]
    )
    assert found.right.tolist() == [2, 1, 0, -1]
    assert (found.left_only.tolist(), found.right_only.tolist()) == ([3], [3, 4])
