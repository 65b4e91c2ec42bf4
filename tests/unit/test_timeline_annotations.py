"""Turns in the files of other programs, and in those that emocli writes."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emocli.errors import TableError, TimelineError
from emocli.label_tracks import FORMATS, SUFFIXES, Mark, label_track
from emocli.pipeline.inputs import Utterance
from emocli.pipeline.speakers import read_turns, speaker_utterances
from emocli.subtitles import subtitles
from emocli.timeline.annotations import PARSERS, form_of_annotation
from emocli.timeline.turns import Turn
from emocli.transcript import Segment


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def parsed(text, form=None):
    assert form is None or form_of_annotation(text) == form
    return PARSERS[form_of_annotation(text)](text, "t").turns()


def fault(text, form) -> str:
    with pytest.raises(TableError) as caught:
        PARSERS[form](text, "t").turns()
    return str(caught.value)


MARKS = [
    Mark(0, 1.5, "sad", 0.8, "anna", "hello there"),
    Mark(1.0, 2.5, "happy", 0.6, "anna", "x --> y"),
    Mark(2.5, 3.25, "neutral", 0.5, "Bob B.", ""),
]


@pytest.mark.parametrize("form", FORMATS)
def test_what_emocli_writes_it_reads(form):
    name = f"my call (2){SUFFIXES[form]}"
    Path(name).write_text(label_track(MARKS, form, "x/my call (2).flac"))
    turns, remarks = read_turns(name)
    blank = "_" if form == "rttm" else " "
    assert remarks == []
    assert [(one.start, one.end, one.speaker) for one in sorted(turns, key=lambda t: t.start)] == [
        (0.0, 1.5, "anna"),
        (1.0, 2.5, "anna"),
        (2.5, 3.25, f"Bob{blank}B."),
    ]
    utterance = Utterance("x/my call (2).flac", Path("x/my call (2).flac"))
    found, _ = speaker_utterances([utterance], name)
    assert len(found) == 3


@pytest.mark.parametrize("form", FORMATS)
def test_marks_without_speakers_are_turns_of_nobody(form):
    Path("t" + SUFFIXES[form]).write_text(label_track([Mark(0, 1, "sad", 0.8)], form, "a.wav"))
    (turn,), _ = read_turns("t" + SUFFIXES[form])
    assert turn.speaker == ("emotion" if form in ("textgrid", "eaf") else "")


@pytest.mark.parametrize("form", ["srt", "vtt"])
def test_transcripts_are_turns_with_texts(form):
    segments = [
        Segment(0, 2.5, " Tom & <Ann>.", -0.1, 0, 1, 3),
        Segment(3661, 3662, "b", 0, 0, 1, 1),
    ]
    found = parsed(subtitles(segments, form), "subtitles")
    said = "Tom & ." if form == "srt" else "Tom & <Ann>."  # <Ann> would be markup in SRT
    assert found == [Turn("", 0, 2.5, "", said), Turn("", 3661, 3662, "", "b")]


@pytest.mark.parametrize(
    ("said", "speaker", "text"),
    [
        ("<v anna>hello <i>you</i></v>", "anna", "hello you"),
        ("ANNA: hello", "ANNA", "hello"),
        ("[sad] hello", "", "hello"),
        ("[anna: awe 12%] hello", "anna", "hello"),
        ("[door] hello", "", "[door] hello"),
        ("at 5:30 we left", "", "at 5:30 we left"),
    ],
)
def test_who_speaks_in_a_cue(said, speaker, text):
    cue = f"WEBVTT\n\nintro\n00:01.000 --> 00:02.500 align:start\n{said}\n"
    assert parsed(cue) == [Turn("", 1.0, 2.5, speaker, text)]


SHORT = '''File type = "ooTextFile"
Object class = "TextGrid"

0
3
<exists>
2
"IntervalTier"
"say ""hi"""
0
3
2
0
1.5
"a
b"
1.5
3
""
"TextTier"
"clicks"
0
3
1
1.0
"x"
'''


def test_the_short_form_of_praat():
    assert parsed(SHORT, "textgrid") == [Turn("", 0, 1.5, 'say "hi"')]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
def test_encodings_of_praat(encoding):
    Path("a.TextGrid").write_bytes(SHORT.replace("hi", "h\u00e9").encode(encoding))
    assert read_turns("a.TextGrid")[0] == [Turn("", 0, 1.5, 'say "h\u00e9"')]


EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT><TIME_ORDER>
<TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="0"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="1500"/>
<TIME_SLOT TIME_SLOT_ID="ts3"/></TIME_ORDER>
<TIER TIER_ID="A" PARTICIPANT="anna"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE>x</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3"/>
</ANNOTATION></TIER>
<TIER TIER_ID="words" PARENT_REF="A"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2"/>
</ANNOTATION></TIER></ANNOTATION_DOCUMENT>"""


def test_elan():
    found = PARSERS["eaf"](EAF, "t")
    assert found.turns() == [Turn("", 0, 1.5, "anna")]
    assert found.remarks() == ["t: annotation a2 has the time None, expected seconds; left out."]


def test_what_elan_opens():
    text = label_track([Mark(0, 1.5, "a<b\x01", 1, 'x & "y"'), *MARKS], "eaf", "x/\u00fc 1.wav")
    root = ElementTree.fromstring(text)
    assert root.find("HEADER/MEDIA_DESCRIPTOR").attrib == {
        "MEDIA_URL": "%C3%BC%201.wav",
        "MIME_TYPE": "audio/x-wav",
        "RELATIVE_MEDIA_URL": "./%C3%BC%201.wav",
    }
    tiers = [(one.get("TIER_ID"), one.get("PARTICIPANT")) for one in root.iter("TIER")]
    assert tiers == [('x & "y"',) * 2, ("anna", "anna"), ("anna 2", "anna"), ("Bob B.", "Bob B.")]
    assert next(one.text for one in root.iter("ANNOTATION_VALUE")) == "a<b\ufffd"
    slots = {one.get("TIME_SLOT_ID") for one in root.iter("TIME_SLOT")}
    refs = [
        one.get(f"TIME_SLOT_REF{i}") for one in root.iter("ALIGNABLE_ANNOTATION") for i in (1, 2)
    ]
    assert sorted(slots) == sorted(refs)
    assert label_track([], "eaf", "a.mp3").count("<TIER ") == 1


@pytest.mark.parametrize(
    ("form", "text", "sentence"),
    [
        ("textgrid", SHORT[:120], "t: this TextGrid breaks off or is not as Praat writes it, "
         "expected whole tiers. Save it again."),
        ("textgrid", SHORT.replace('"TextGrid"', '"Pitch"'), "t: a file of Praat that is no "
         "TextGrid, expected turns of speakers. Save the TextGrid."),
        ("eaf", EAF[:-9], "t: damaged XML (no element found: line 13, column 28), expected an ELAN "
         "file. Save it again."),
        ("eaf", "<!DOCTYPE x>" + EAF, "t: XML with definitions of its own, expected what ELAN "
         "writes. Save it again."),
        ("audacity", "1\tx\tanna\n", "t: line 1 has the time 'x', expected seconds. Correct it."),
        ("subtitles", "WEBVTT\n", "t: no turn of a speaker in it, expected at least one. Check "
         "that it is RTTM or a table with speaker, start and end."),
    ],
)  # fmt: skip
def test_damaged_annotations(form, text, sentence):
    found = fault(text, form)
    if form == "eaf" and "damaged" in sentence:
        assert found.startswith("t: damaged XML (")
    else:
        assert found == sentence


@given(st.sampled_from(sorted(PARSERS)), st.text(max_size=80), st.integers(0, 400))
def test_no_text_ends_in_another_error(form, text, cut):
    seeds = {"textgrid": SHORT, "eaf": EAF, "audacity": "0\t1\ta\n",
             "subtitles": "1\n00:00:00,000 --> 00:00:01,000\na\n"}  # fmt: skip
    for whole in (text, seeds[form][:cut] + text + seeds[form][cut:]):
        try:
            PARSERS[form](whole, "t").turns()
        except TableError:
            continue


def test_a_line_that_cannot_be_used_costs_that_line():
    lines = ["SPEAKER a 1 0 1 <NA> <NA> ann <NA> <NA>", "SPEAKER a 1 x", "SPEAKER a 1 0 0 - - b"]
    lines += ["SPEAKER a 1 x 1 <NA> <NA> ann"] * 12
    Path("t.rttm").write_text("\n".join(lines))
    turns, remarks = read_turns("t.rttm")
    assert turns == [Turn("a", 0, 1, "ann")]
    assert remarks[:3] == [
        "t.rttm: line 2 has 4 fields, expected SPEAKER, file, channel, start, duration, <NA>, <NA> "
        "and the speaker; left out.",
        "t.rttm: line 3 is a turn from 0 to 0 s, expected a start of at least 0 and an end after "
        "it; left out.",
        "t.rttm: line 4 has the time 'x', expected seconds; left out.",
    ]
    assert remarks[10:] == ["t.rttm: 4 more lines like these are left out."]


def test_turns_of_a_corpus_for_one_recording():
    Path("t.rttm").write_text(
        "".join(f"SPEAKER {name} 1 0 1 <NA> <NA> ann <NA> <NA>\n" for name in ("a", "b", "c d"))
    )
    found, remarks = speaker_utterances([Utterance("x/b.wav", Path("x/b.wav"))], "t.rttm")
    assert [(one.file, one.end) for one in found] == [("x/b.wav", 1.0)]
    assert remarks == ["t.rttm: turns of a, c d are left out, which are not among the recordings."]


def test_blanks_in_names_of_rttm():
    Path("t.rttm").write_text("SPEAKER my call (2) 1 0 1.5 <NA> <NA> Bob B. <NA> <NA>\n")
    assert read_turns("t.rttm") == ([Turn("my call (2)", 0, 1.5, "Bob B.")], [])


def test_a_folder_of_annotations():
    recordings = [
        Utterance(f"x/{name}", Path(f"x/{name}")) for name in ("a.wav", "s/a.wav", "b.wav")
    ]
    Path("t/s").mkdir(parents=True)
    for name, who in (("a", "ann"), ("s/a", "bob")):
        Path(f"t/{name}.TextGrid").write_text(
            label_track([Mark(0, 1, "sad", 1, who)], "textgrid", "")
        )
    with pytest.raises(TimelineError, match="a may be several of the recordings"):
        speaker_utterances(recordings, "t")
    found, remarks = speaker_utterances([recordings[1], recordings[2]], "t/s")
    assert [(one.file, one.carried["speaker"]) for one in found] == [("x/s/a.wav", "bob")]
    assert remarks == ["t/s: no turns of x/b.wav, left out."]
    Path("none").mkdir()
    with pytest.raises(TableError) as caught:
        read_turns("none")
    assert str(caught.value) == (
        "none: a folder without turns of speakers, expected files that end in .rttm, .textgrid, "
        ".eaf, .srt, .vtt, .txt. Name the file itself."
    )


def test_annotations_called_as_one_of_several_recordings():
    recordings = [Utterance(name, Path(name)) for name in ("a.wav", "b.wav")]
    Path("b.txt").write_text("0\t1\tann\n")
    found, _ = speaker_utterances(recordings, "b.txt")
    assert [one.file for one in found] == ["b.wav"]
