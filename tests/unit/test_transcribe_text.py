"""Transcripts as values, subtitles and languages."""

import math
from dataclasses import replace

import pytest

from emocli.asr.languages import LANGUAGES, language_code
from emocli.errors import ModelError
from emocli.subtitles import subtitles
from emocli.transcript import Segment, Transcript, overlaps

ONE = Segment(0.0, 2.5, " Hello, <you>.", -0.2, 0.1, 0.9, 4)
TWO = Segment(2.5, 3661.0, " A --> B", -0.8, 0.7, 1.4, 12)


def test_figures_of_a_transcript():
    both = Transcript("en", (ONE, TWO))
    assert both.text == "Hello, <you>. A --> B"
    assert both.avg_logprob == pytest.approx((-0.2 * 4 - 0.8 * 12) / 16)
    assert (both.no_speech_prob, both.compression_ratio) == (0.7, 1.4)


def test_figures_of_what_was_dropped_where_nothing_was_kept():
    dropped = Transcript("en", (), (TWO,))
    assert (dropped.text, dropped.dropped_text) == ("", "A --> B")
    assert (dropped.avg_logprob, dropped.no_speech_prob) == (pytest.approx(-0.8), 0.7)


def test_figures_of_nothing():
    nothing = Transcript()
    assert nothing.text == nothing.dropped_text == nothing.language == ""
    assert math.isnan(nothing.avg_logprob)
    assert math.isnan(nothing.no_speech_prob)
    assert math.isnan(nothing.compression_ratio)
    assert math.isnan(Transcript("en", (replace(ONE, n_tokens=0),)).avg_logprob)


@pytest.mark.parametrize(
    ("start", "end", "slack", "expected"),
    [(0, 1, 0, False), (0, 1.1, 0, True), (2, 3, 0, False), (2, 3, 0.1, True), (1.2, 1.3, 0, True)],
)
def test_overlaps(start, end, slack, expected):
    assert overlaps(start, end, [(1.0, 2.0)], slack) is expected


def test_srt():
    assert subtitles([ONE, TWO], "srt") == (
        "1\n00:00:00,000 --> 00:00:02,500\nHello, <you>.\n\n"
        "2\n00:00:02,500 --> 01:01:01,000\nA -> B\n\n"
    )


def test_vtt_escapes_its_markup():
    assert subtitles([ONE], "vtt") == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:02.500\nHello, &lt;you&gt;.\n\n"
    )


def test_txt_and_nothing():
    assert subtitles([ONE, TWO], "txt") == "Hello, <you>.\nA -> B\n"
    assert [subtitles([], form) for form in ("srt", "vtt", "txt")] == ["", "WEBVTT\n\n", ""]


def test_times_round_into_the_next_minute():
    late = replace(ONE, start=59.9996)
    assert "00:01:00,000 --> " in subtitles([late], "srt")


@pytest.mark.parametrize(
    ("given", "code"),
    [("en", "en"), (" Polish ", "pl"), ("JW", "jw"), ("Mandarin", "zh"), ("haitian creole", "ht")],
)
def test_language_by_code_or_name(given, code):
    assert language_code(given) == code


def test_languages_are_those_of_the_reference():
    tokenizer = pytest.importorskip("whisper.tokenizer")
    assert list(LANGUAGES.items()) == list(tokenizer.LANGUAGES.items())
    for name, code in tokenizer.TO_LANGUAGE_CODE.items():
        assert language_code(name) == code


def test_unknown_languages():
    with pytest.raises(ModelError) as near:
        language_code("polsh")
    assert str(near.value) == (
        "Language 'polsh' is none of the 100 that Whisper knows. Did you mean polish or welsh?"
    )
    with pytest.raises(ModelError) as far:
        language_code("xx")
    assert str(far.value) == (
        "Language 'xx' is none of the 100 that Whisper knows. Give one such as en or polish, or "
        "leave it out to have it detected."
    )
