"""What is heard of a recording and what is believed, with a model that says what it is told."""

import numpy as np
import pytest

from emocli.asr.listening import listen
from emocli.asr.transcriber import Transcriber
from emocli.models.protocol import ModelCard
from emocli.transcript import Segment, TranscribeOptions, Transcript

RATE = 16000


def segment(start, end, text, **facts):
    defaults = {"avg_logprob": -0.5, "no_speech_prob": 0.05, "compression_ratio": 1.2}
    return Segment(start, end, text, n_tokens=1, **{**defaults, **facts})


class Told(Transcriber):
    """Says the given segments, the same in each stretch, and remembers what it was given."""

    card = ModelCard(name="told")
    languages = ("en", "pl")

    def __init__(self, *segments):
        self.segments = segments
        self.heard = []

    def transcribe(self, waveform, options, on_window=lambda seconds: None):
        on_window(0.0)
        self.heard.append((len(waveform) / RATE, options.language, options.temperatures))
        return Transcript(options.language or "pl", self.segments)


def noise(*levels):
    """Seconds of noise, each of a level."""
    rng = np.random.default_rng(0)
    return np.concatenate([a * rng.standard_normal(RATE) for a in levels]).astype(np.float32)


def said(found):
    return [one.text for one in found.segments], [one.text for one in found.dropped]


OPTIONS = TranscribeOptions()


@pytest.mark.parametrize("spans", [None, (), [(0.0, 1.0)]])
def test_digital_silence_is_not_heard(spans):
    told = Told(segment(0, 1, "Ghost."))
    detector = None if spans is None else lambda waveform: spans
    for silence in (np.zeros(RATE, np.float32), np.full(RATE, 0.5, np.float32), np.empty(0)):
        assert listen(silence, told, OPTIONS, detector) == Transcript()
    assert told.heard == []


def test_without_a_detector_all_is_believed():
    told = Told(segment(0, 1, "Poor.", avg_logprob=-3.0, no_speech_prob=0.9))
    found = listen(noise(0.1, 0.1), told, OPTIONS)
    assert said(found) == (["Poor."], [])
    assert found.segments[0].is_detected
    assert found.language == "pl"


def test_what_is_written_beside_detected_speech_is_dropped():
    told = Told(segment(0.2, 0.9, "Yes."), segment(2.0, 2.5, "Thanks for watching!"))
    found = listen(noise(0.1, 0.1, 0.01, 0.01), told, OPTIONS, lambda waveform: [(0.0, 1.0)])
    assert said(found) == (["Yes."], ["Thanks for watching!"])
    assert told.heard == [(4.0, None, OPTIONS.temperatures)]


@pytest.mark.parametrize(("slack", "kept"), [(0.15, True), (0.25, False)])
def test_times_may_be_off_by_a_fifth_of_a_second(slack, kept):
    told = Told(segment(1.0 + slack, 1.6, "Yes.", no_speech_prob=0.5))
    found = listen(noise(0.1, 0.1), told, OPTIONS, lambda waveform: [(0.0, 1.0)])
    assert bool(found.segments) is kept


@pytest.mark.parametrize(
    ("facts", "kept"),
    [
        ({}, True),
        ({"avg_logprob": -0.99, "no_speech_prob": 0.29}, True),
        ({"avg_logprob": -1.0}, False),
        ({"no_speech_prob": 0.3}, False),
        ({"compression_ratio": 2.5}, False),
    ],
)
def test_without_detected_speech_only_a_sure_text_is_believed(facts, kept):
    told = Told(segment(0.0, 1.0, "Kids are talking by the door!", **facts))
    found = listen(noise(0.1), told, OPTIONS, lambda waveform: ())
    assert bool(found.segments) is kept
    assert bool(found.dropped) is not kept
    assert found.language == ("pl" if kept else "")
    assert not any(one.is_detected for one in found.segments)
    assert told.heard == [(1.0, None, (0.0,))]  # what would be drawn is never sure


@pytest.mark.parametrize(("level", "kept"), [(0.2, True), (0.05, False)])
def test_a_shout_beside_detected_speech_is_as_loud_as_that(level, kept):
    told = Told(segment(2.0, 3.0, "Stop!"))
    waveform = noise(0.1, 0.1, level, 0.01)
    found = listen(waveform, told, OPTIONS, lambda waveform: [(0.0, 2.0 - 0.3)])
    assert bool(found.segments) is kept


def test_long_gaps_are_heard_apart_and_after_the_speech():
    waveform = noise(*[0.1] * 12, *[0.1] * 4, *[0.1] * 40, *[0.1] * 4)
    spans = [(12.0, 14.0), (14.5, 16.0), (56.0, 58.0)]
    told = Told(segment(0.5, 1.5, "Yes."))
    reached = []
    found = listen(waveform, told, OPTIONS, lambda waveform: spans, reached.append)
    # Speech with a second around it, to the end where the rest is short; then what lies between.
    assert [seconds for seconds, *_ in told.heard] == [6.0, 5.0, 11.0, 38.0]
    assert [language for _, language, _ in told.heard] == [None, "pl", "pl", "pl"]
    assert [len(temperatures) for *_, temperatures in told.heard] == [6, 6, 1, 1]
    assert [one.start for one in found.segments] == [0.5, 11.5, 17.5, 55.5]
    assert [one.is_detected for one in found.segments] == [False, True, False, True]
    assert reached == [0.0, 6.0, 11.0, 22.0]


def test_silent_gaps_are_not_heard():
    waveform = noise(0.1, *[1e-4] * 20, 0.1)
    told = Told(segment(0.0, 0.5, "Yes."))
    listen(waveform, told, OPTIONS, lambda waveform: [(0.0, 1.0), (21.0, 22.0)])
    assert [seconds for seconds, *_ in told.heard] == [2.0, 2.0]


def test_nothing_is_said_after_the_end():
    told = Told(segment(0.5, 3.0, "Yes."), segment(29.0, 30.0, "Ghost."))
    found = listen(noise(0.1), told, OPTIONS)
    assert said(found) == (["Yes."], ["Ghost."])
    assert (found.segments[0].end, found.dropped[0].start) == (1.0, 1.0)
