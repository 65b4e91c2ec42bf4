"""Values from files, checked one by one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emocli.errors import FuserError
from emocli.schema import Fields, is_number, is_text

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
READERS = ("text", "flag", "count", "figure", "number", "objects", "inner", "names", "items")


def fields(**values):
    return Fields.parse(json.dumps(values), "f.json")


@pytest.mark.parametrize("value", [0, -1.5, 10**300, 1e308])
def test_numbers(value):
    assert is_number(value)


@pytest.mark.parametrize("value", [True, "1", None, float("nan"), float("inf"), 10**400, [1], {}])
def test_no_numbers(value):
    assert not is_number(value)


@pytest.mark.parametrize(
    ("value", "expected"), [("", True), ("né", True), ("a\0", False), ("\ud800", False), (1, False)]
)
def test_texts_can_be_written(value, expected):
    assert is_text(value) is expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "line 1: Expecting property name enclosed in double quotes"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "a number is too long"),
    ],
)
def test_what_is_no_json_is_told(text, reason):
    with pytest.raises(FuserError) as caught:
        Fields.parse(text, "f.json")
    assert str(caught.value) == (
        f"f.json: not JSON ({reason}), expected a fuser that emocli fuse --save wrote. "
        f"Check the path, or fit it again."
    )


def test_a_default_stands_for_a_field_that_is_missing_or_null_and_not_for_a_wrong_one():
    found = fields(null=None, wrong="1")
    assert found.count("none", 3) == found.count("null", 3) == 3
    assert found.text("none", "") == ""
    assert found.flag("null", False) is False
    assert found.number("none", default=0.5) == 0.5
    assert found.choice("none", ("a", "b"), "b") == "b"
    with pytest.raises(FuserError) as caught:
        found.count("wrong", 3)
    assert str(caught.value) == (
        'f.json: wrong is "1", expected a whole number from 0 on. '
        "Fit the fuser again, or correct the field."
    )


def test_a_count_between_limits():
    found = fields(n=5)
    assert found.count("n", smallest=1, largest=5) == 5
    with pytest.raises(FuserError, match="n is 5, expected a whole number from 1 to 4"):
        found.count("n", smallest=1, largest=4)


def test_a_value_that_would_break_the_line_of_the_message_is_escaped():
    with pytest.raises(FuserError, match=r'n is "1\\u20282", expected a number'):
        fields(n="1\u20282").number("n")
    with pytest.raises(FuserError, match=r'n is "\\ud800", expected a text'):
        fields(n="\ud800").text("n")


@given(JSON, st.sampled_from(READERS))
def test_whatever_a_field_is_it_is_read_or_refused(value, reader):
    found = ""
    try:
        getattr(Fields("f.json", "", {"x": value}), reader)("x")
    except FuserError as error:
        found = str(error)
    assert not found or found.startswith("f.json: x is ")
