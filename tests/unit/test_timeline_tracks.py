"""Label tracks for other programs, letter by letter."""

from math import nan

import pytest

from emocli.label_tracks import Mark, label_track, marks_of
from emocli.table import PredictionTable

MARKS = [Mark(2.5, 3.0, "happy", 0.61), Mark(0, 2.5, "sad", 0.875)]


def test_rttm():
    assert label_track(MARKS, "rttm", "b/my talk.wav") == (
        "SPEAKER my_talk 1 0.000 2.500 <NA> <NA> sad 0.8750 <NA>\n"
        "SPEAKER my_talk 1 2.500 0.500 <NA> <NA> happy 0.6100 <NA>\n"
    )
    spoken = [Mark(0, 1, "sad", nan, "Anna B.")]
    assert label_track(spoken, "rttm", "a.wav") == (
        "SPEAKER a 1 0.000 1.000 <NA> <NA> Anna_B./sad <NA> <NA>\n"
    )


def test_audacity():
    assert label_track(MARKS, "audacity", "a.wav") == (
        "0.000\t2.500\tsad 88%\n2.500\t3.000\thappy 61%\n"
    )
    assert label_track([Mark(0, 1, "sad", nan, "An\tna")], "audacity", "a.wav") == (
        "0.000\t1.000\tAn na: sad\n"
    )


def test_srt():
    assert label_track([*MARKS, Mark(3661, 3662, "")], "srt", "a.wav") == (
        "1\n00:00:00,000 --> 00:00:02,500\nsad 88%\n\n"
        "2\n00:00:02,500 --> 00:00:03,000\nhappy 61%\n\n"
    )
    said = [Mark(0, 1, "sad", 0.5, "anna", "so\n it --> goes")]
    assert label_track(said, "srt", "a.wav") == (
        "1\n00:00:00,000 --> 00:00:01,000\n[anna: sad 50%] so it -> goes\n\n"
    )


def intervals(text):
    """Name of each tier with its (xmin, xmax, text)."""
    tiers, entry = [], []
    for line in text.splitlines():
        key, _, value = line.strip().partition(" = ")
        if key == "name":
            tiers.append((value.strip('"'), []))
        elif key in ("xmin", "xmax") and line.startswith(" " * 12):
            entry.append(float(value))
        elif key == "text":
            tiers[-1][1].append((*entry, value[1:-1]))
            entry = []
    return tiers


def test_textgrid_letter_by_letter():
    assert label_track([Mark(0, 1.5, 'so "so"')], "textgrid", "a.wav").splitlines() == [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0 ",
        "xmax = 1.500 ",
        "tiers? <exists> ",
        "size = 1 ",
        "item []: ",
        "    item [1]:",
        '        class = "IntervalTier" ',
        '        name = "emotion" ',
        "        xmin = 0 ",
        "        xmax = 1.500 ",
        "        intervals: size = 1 ",
        "        intervals [1]:",
        "            xmin = 0.000 ",
        "            xmax = 1.500 ",
        '            text = "so ""so""" ',
    ]


def test_textgrid_tiers_have_no_gaps():
    text = label_track([Mark(1, 2, "sad"), Mark(2, 3, "happy"), Mark(5, 6, "")], "textgrid", "a")
    assert intervals(text) == [
        ("emotion", [(0, 1, ""), (1, 2, "sad"), (2, 3, "happy"), (3, 6, "")])
    ]
    assert intervals(label_track([Mark(0, 4, "")], "textgrid", "a")) == [("emotion", [(0, 4, "")])]


def test_a_textgrid_ends_with_the_sound():
    text = label_track([Mark(1, 2, "sad")], "textgrid", "a", seconds=2.5)
    assert intervals(text) == [("emotion", [(0, 1, ""), (1, 2, "sad"), (2, 2.5, "")])]
    assert text.count("xmax = 2.500") == 3  # of the file, the tier and its last interval
    assert label_track([Mark(1, 2, "sad")], "textgrid", "a", seconds=1.9999) == label_track(
        [Mark(1, 2, "sad")], "textgrid", "a"
    )


def test_textgrid_has_a_tier_for_each_speaker_and_model_and_for_what_overlaps():
    marks = [
        Mark(0, 2, "sad", speaker="anna", model="m"),
        Mark(1, 3, "sad", speaker="anna", model="m"),
        Mark(2, 3, "happy", speaker="anna", model="m"),
    ]
    assert intervals(label_track(marks, "textgrid", "a")) == [
        ("anna", [(0, 2, "sad"), (2, 3, "happy")]),
        ("anna 2", [(0, 1, ""), (1, 3, "sad")]),
    ]
    several = [Mark(0, 1, "sad", model="m"), Mark(0, 1, "happy", model="n")]
    assert intervals(label_track(several, "textgrid", "a")) == [
        ("m", [(0, 1, "sad")]),
        ("n", [(0, 1, "happy")]),
    ]


@pytest.mark.parametrize("form", ["rttm", "audacity", "srt"])
def test_a_recording_without_emotions_is_an_empty_track(form):
    assert label_track([Mark(0, 1, "")], form, "a.wav") == ""


def test_marks_of_a_table():
    table = PredictionTable.from_rows(
        [
            {"file": "a", "start": 0, "end": 4, "p_sad": 0.8, "p_happy": 0.2, "speaker": "anna"},
            {"file": "a", "start": 2, "end": 6, "p_sad": 0.1, "p_happy": 0.9, "speaker": "anna"},
            {"file": "b", "error": "b: empty. Copy it again."},
            {"file": "c", "p_sad": 0.8, "p_happy": 0.2},
            {"file": "d", "start": 0, "end": 1, "note": "no speech"},
        ]
    )
    found = marks_of(table)
    assert found["a"] == [Mark(0, 3, "sad", 0.8, "anna"), Mark(3, 6, "happy", 0.9, "anna")]
    assert [(one.label, one.end) for one in found["d"]] == [("", 1)]
    assert list(found) == ["a", "d"]
