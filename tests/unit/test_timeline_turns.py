import pytest

from emocli.errors import TableError
from emocli.timeline.turns import (
    Turn,
    is_rttm,
    overlap_notes,
    parse_rttm,
    same_time_once,
    turns_of_columns,
)

RTTM = """;; made by hand
SPKR-INFO talk 1 <NA> <NA> <NA> unknown anna <NA> <NA>

SPEAKER talk 1 0.500 2.000 <NA> <NA> anna 0.9 <NA>
SPEAKER talk 1 2 1.5 <NA> <NA> bob
"""


def test_rttm():
    assert parse_rttm(RTTM, "x.rttm").turns() == [
        Turn("talk", 0.5, 2.5, "anna"),
        Turn("talk", 2.0, 3.5, "bob"),
    ]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (RTTM, True),
        ("speaker,start,end\nanna,0,1\n", False),
        ("speaker\tstart\n", False),
        ('[{"speaker": "anna"}]', False),
        ("", False),
    ],
)
def test_what_is_rttm(text, answer):
    assert is_rttm(text) is answer


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "SPEAKER talk 1 0.5",
            "x.rttm: line 1 has 4 fields, expected SPEAKER, file, channel, start, duration, <NA>, "
            "<NA> and the speaker. Correct the line.",
        ),
        (
            "SPEAKER talk 1 now 2 <NA> <NA> anna",
            "x.rttm: line 1 has the time 'now', expected seconds. Correct it.",
        ),
        (
            "SPEAKER talk 1 3 0 <NA> <NA> anna",
            "x.rttm: line 1 is a turn from 3 to 3 s, expected a start of at least 0 and an end "
            "after it. Correct the times.",
        ),
        (
            "SPKR-INFO talk 1",
            "x.rttm: no turn of a speaker in it, expected at least one. Check that it is RTTM or "
            "a table with speaker, start and end.",
        ),
    ],
)
def test_damaged_rttm(line, sentence):
    with pytest.raises(TableError) as caught:
        parse_rttm(line, "x.rttm").turns()
    assert str(caught.value) == sentence


def test_columns():
    columns = {"speaker": ["anna", "bob"], "start": ["0", 1.5], "end": ["1.5", 2]}
    assert turns_of_columns(columns, "t").turns() == [
        Turn("", 0, 1.5, "anna"),
        Turn("", 1.5, 2, "bob"),
    ]
    files = {**columns, "file": ["b\\a.wav", None]}
    assert [turn.file for turn in turns_of_columns(files, "t").turns()] == ["b\\a.wav", ""]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"speaker": None},
            "t: no column speaker, expected speaker, start, end and perhaps file. "
            "Name the columns so, or give an RTTM file.",
        ),
        ({"end": ["soon"]}, "t: row 1 has the time 'soon', expected seconds. Correct it."),
        ({"end": [None]}, "t: row 1 has the time None, expected seconds. Correct it."),
        ({"start": ["nan"]}, "t: row 1 has the time 'nan', expected seconds. Correct it."),
        (
            {"start": ["-1"]},
            "t: row 1 is a turn from -1 to 2 s, expected a start of at least 0 and an end after "
            "it. Correct the times.",
        ),
        ({"speaker": [""]}, "t: row 1 has no speaker, expected a name. Fill it in."),
    ],
)
def test_columns_that_are_no_turns(change, sentence):
    columns = {"speaker": ["anna"], "start": ["1"], "end": ["2"], **change}
    with pytest.raises(TableError) as caught:
        turns_of_columns({key: value for key, value in columns.items() if value}, "t").turns()
    assert str(caught.value) == sentence


def test_turns_of_one_time_are_one():
    turns = [Turn("a", 1, 2, "bob"), Turn("a", 0, 1, "anna"), Turn("a", 1.0001, 2, "anna")]
    assert same_time_once(turns) == [Turn("a", 0, 1, "anna"), Turn("a", 1, 2, "bob+anna")]
    assert same_time_once([]) == []


def test_overlaps_add_up():
    turns = [Turn("a", 0, 10, "anna"), Turn("a", 1, 2, "bob"), Turn("a", 4, 6, "bob")]
    assert overlap_notes(turns) == [
        "overlaps bob (3.00 s)",
        "overlaps anna (1.00 s)",
        "overlaps anna (2.00 s)",
    ]
