"""Transcribing recordings, with a model that says what it is told to."""

import json
import math
import threading
import time
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from fakes import write_tone

from emocli.asr.load import Machine
from emocli.asr.transcriber import Abandoned, Transcriber, no_report
from emocli.errors import ModelError
from emocli.models.lanes import shared_threads
from emocli.models.protocol import ModelCard
from emocli.pipeline import transcribe as pipeline
from emocli.pipeline.inputs import read_inputs
from emocli.pipeline.transcribe import transcribe, transcribe_utterances, transcript_rows
from emocli.table import PredictionTable
from emocli.transcript import Segment, TranscribeOptions, Transcript, Word


def segment(start, end, text, **facts):
    defaults = {"avg_logprob": -0.5, "no_speech_prob": 0.1, "compression_ratio": 1.2}
    return Segment(start, end, text, n_tokens=len(text.split()), **{**defaults, **facts})


HELLO = segment(0.1, 0.5, " Hello there.", words=(Word(0.1, 0.3, " Hello", 0.9),))
AGAIN = segment(0.6, 0.9, " Again.")
GHOST = segment(0.95, 0.99, " Thanks for watching!", no_speech_prob=0.5)


@dataclass
class FakeTranscriber(Transcriber):
    """Says the same of every recording and remembers what it was given."""

    said: Transcript = Transcript("en", (HELLO, AGAIN))  # noqa: RUF009 - frozen
    card: ModelCard = ModelCard(name="fake")  # noqa: RUF009 - frozen
    heard: list = field(default_factory=list)
    fails: bool = False
    most_lanes: int = 1
    languages: tuple = ("en", "pl")

    def n_lanes(self, options):
        return self.most_lanes

    def shared(self, n_lanes):
        return shared_threads(n_lanes)

    def check(self, options):
        if options.language == "la":
            raise ModelError("fake knows no Latin.")

    def transcribe(self, waveform, options, on_window=no_report):
        if self.fails:
            raise ModelError("out of ideas.")
        on_window(0.0)
        self.heard.append(len(waveform))
        return self.said


GHOSTLY = Transcript("en", (HELLO, AGAIN, GHOST))


def spoken(waveform):
    """A detector that hears a ghost at the end of a second."""
    return [(0.0, 0.7)]


def run(paths, transcriber, *, detector=None, segments=False, **options):
    how = TranscribeOptions(**options)
    utterances = read_inputs(paths).utterances
    done = transcribe_utterances(utterances, transcriber, how, detector)
    listed = (transcript_rows(one, transcriber, how, segments=segments) for one in done)
    return [row for rows in listed for row in rows]


@pytest.fixture
def tone(tmp_path):
    return write_tone(tmp_path / "tone.wav", 1.0)


def test_a_row_of_a_recording(tone):
    (row,) = run(tone, FakeTranscriber(GHOSTLY), detector=spoken)
    assert (row["start"], row["end"], row["model"]) == (0.0, 1.0, "fake")
    assert (row["text"], row["language"]) == ("Hello there. Again.", "en")
    assert row["avg_logprob"] == pytest.approx(-0.5)
    assert row["dropped_text"] == "Thanks for watching!"
    assert row["note"] == "dropped 1 segment without speech (0.95 to 0.99 s)"
    assert row["error"] == ""
    assert "words" not in row


def test_rows_of_segments(tone):
    rows = run(tone, FakeTranscriber(GHOSTLY), detector=spoken, segments=True)
    assert [(row["start"], row["end"], row["text"]) for row in rows] == [
        (0.1, 0.5, "Hello there."),
        (0.6, 0.9, "Again."),
        (0.95, 0.99, ""),
    ]
    assert [row["dropped_text"] for row in rows] == ["", "", "Thanks for watching!"]
    assert [row["note"] for row in rows] == ["", "", "no speech"]


def test_words_are_json(tone):
    (row,) = run(tone, FakeTranscriber(), word_timestamps=True)
    assert json.loads(row["words"]) == [
        {"word": " Hello", "start": 0.1, "end": 0.3, "probability": 0.9}
    ]


def test_digital_silence_is_not_listened_to(tmp_path):
    path = write_tone(tmp_path / "silent.wav", 1.0, amplitude=0.0)
    fake = FakeTranscriber()
    for segments in (False, True):
        (row,) = run(path, fake, detector=spoken, segments=segments)
        assert (row["text"], row["language"], row["error"]) == ("", "", "")
        assert row["note"] == "digital silence; no speech"
        assert math.isnan(row["avg_logprob"])
    assert fake.heard == []


def test_text_where_no_speech_was_detected_is_kept_with_a_note_if_it_is_sure(tone):
    said = Transcript("en", (segment(0.1, 0.9, " Stop it!"),))
    (row,) = run(tone, FakeTranscriber(said), detector=lambda waveform: ())
    assert (row["text"], row["language"]) == ("Stop it!", "en")
    assert row["note"] == "text where no speech was detected (0.10 to 0.90 s)"
    (row,) = run(tone, FakeTranscriber(said), detector=lambda waveform: (), segments=True)
    assert row["note"] == "text where no speech was detected"
    unsure = Transcript("en", (segment(0.1, 0.9, " Thanks.", no_speech_prob=0.5),))
    (row,) = run(tone, FakeTranscriber(unsure), detector=lambda waveform: ())
    assert (row["text"], row["language"], row["dropped_text"]) == ("", "", "Thanks.")
    assert row["note"] == "no speech; dropped 1 segment without speech (0.10 to 0.90 s)"


@pytest.mark.parametrize("facts", [{"avg_logprob": -1.2}, {"compression_ratio": 2.5}])
def test_a_text_that_failed_at_every_temperature_has_a_note(tone, facts):
    said = Transcript("en", (HELLO, segment(0.6, 0.9, " I run across.", **facts)))
    (row,) = run(tone, FakeTranscriber(said), detector=spoken)
    assert row["text"] == "Hello there. I run across."
    assert row["note"] == (
        "no temperature gave a good text, kept the most probable (0.60 to 0.90 s)"
    )
    rows = run(tone, FakeTranscriber(said), detector=spoken, segments=True)
    assert [row["note"] for row in rows] == [
        "",
        "no temperature gave a good text, kept the most probable",
    ]


def test_nothing_is_said_after_the_end(tone):
    late = Transcript("en", (segment(0.5, 3.0, " Yes."), segment(29.0, 30.0, " Ghost.")))
    (row,) = run(tone, FakeTranscriber(late))
    assert (row["text"], row["dropped_text"]) == ("Yes.", "Ghost.")
    kept, *_ = run(tone, FakeTranscriber(late), segments=True)
    assert kept["end"] == 1.0


def test_segments_of_a_manifest_have_times_of_the_recording(tmp_path):
    write_tone(tmp_path / "long.wav", 5.0)
    table = PredictionTable.from_rows(
        [{"file": str(tmp_path / "long.wav"), "start": 2.0, "end": 3.0, "speaker": "anna"}]
    )
    (row,) = run(table, FakeTranscriber())
    assert (row["start"], row["end"], row["speaker"]) == (2.0, 3.0, "anna")
    rows = run(table, FakeTranscriber(), segments=True, word_timestamps=True)
    assert [row["start"] for row in rows] == [2.1, 2.6]
    assert json.loads(rows[0]["words"])[0]["start"] == 2.1


def test_an_older_transcript_gives_way(tone):
    table = PredictionTable.from_rows(
        [{"file": str(tone), "text": "old", "language": "pl", "speaker": "anna"}]
    )
    (row,) = run(table, FakeTranscriber())
    assert (row["text"], row["language"], row["speaker"]) == ("Hello there. Again.", "en", "anna")


def test_failures_have_rows(tmp_path, tone):
    broken = tmp_path / "broken.wav"
    broken.touch()
    first, second = run([str(broken), str(tone)], FakeTranscriber())
    assert first["error"].startswith(f"{broken}: empty (0 bytes), ")
    assert (first["text"], second["error"]) == ("", "")
    (row,) = run(tone, FakeTranscriber(fails=True))
    assert row["error"] == f"{tone}: out of ideas."


def test_rows_come_one_recording_at_a_time(tmp_path, tone):
    broken, last = tmp_path / "broken.wav", write_tone(tmp_path / "last.wav", 1.0)
    broken.touch()
    fake, how = FakeTranscriber(), TranscribeOptions()
    utterances = read_inputs([str(tone), str(broken), str(last)]).utterances
    done = transcribe_utterances(utterances, fake, how, None)
    listed = (transcript_rows(one, fake, how, segments=True) for one in done)
    assert len(next(listed)) == 2
    assert len(fake.heard) == 1
    (row,) = next(listed)
    assert row["error"].startswith(f"{broken}: empty (0 bytes), ")
    assert [len(rows) for rows in listed] == [2]


def test_lanes_change_neither_rows_nor_their_order(tmp_path):
    for number in range(9):
        write_tone(tmp_path / f"{number}.wav", 1.0 if number % 3 else 0.2)
    (tmp_path / "4.wav").write_text("no sound")

    @dataclass
    class Slow(FakeTranscriber):
        def transcribe(self, waveform, options, on_window=no_report):
            time.sleep(len(waveform) / 16000 / 50)  # what comes later is often done first
            told = replace(HELLO, text=f" {len(waveform)}")
            return Transcript("en", (told,))

    found = run(tmp_path, Slow(most_lanes=3))
    assert found == run(tmp_path, Slow())
    assert [row["file"] for row in found] == [f"{tmp_path}/{number}.wav" for number in range(9)]
    assert [row["text"] for row in found][:5] == ["3200", "16000", "16000", "3200", ""]
    assert found[4]["error"].startswith(f"{tmp_path}/4.wav: ")


def test_lanes_are_at_work_together_and_stop_when_nobody_waits(tmp_path):
    for number in range(9):
        write_tone(tmp_path / f"{number}.wav", 1.0)
    meeting, begun, abandoned = threading.Barrier(2, timeout=10), threading.Event(), []

    @dataclass
    class Endless(FakeTranscriber):
        def transcribe(self, waveform, options, on_window=no_report):
            self.heard.append(len(waveform))
            if len(self.heard) <= 2:
                meeting.wait()
                return self.said
            begun.set()
            try:
                while True:
                    on_window(0.0)
                    time.sleep(0.001)
            except Abandoned:
                abandoned.append(len(waveform))
                raise

    utterances = read_inputs(tmp_path).utterances
    done = transcribe_utterances(utterances, Endless(most_lanes=2), TranscribeOptions(), None)
    assert [next(done).transcript.text, next(done).transcript.text] == ["Hello there. Again."] * 2
    assert begun.wait(10)
    done.close()  # as an interrupt does
    assert 0 < len(abandoned) <= 2


def test_progress(tone, tmp_path):
    write_tone(tmp_path / "two.wav", 2.0)
    states = []
    utterances = read_inputs(str(tmp_path)).utterances

    class Slow(FakeTranscriber):
        def transcribe(self, waveform, options, on_window=no_report):
            on_window(0.5)
            return super().transcribe(waveform, options, on_window)

    list(transcribe_utterances(utterances, Slow(), TranscribeOptions(), None, states.append))
    assert [(one.utterances_done, one.seconds_done) for one in states] == [
        (0, 0.5),
        (0, 0.5),
        (1, 1.0),
        (1, 1.5),
        (1, 1.5),
        (2, 3.0),
    ]


def test_from_python(tone, monkeypatch):
    asked = []

    def load(name, machine, **facts):
        asked.append((name, machine, facts))
        return FakeTranscriber()

    monkeypatch.setattr(pipeline, "load_transcriber", load)
    table = transcribe(tone, "tiny", vad=False, offline=True, model_dir="models")
    assert table["text"].tolist() == ["Hello there. Again."]
    assert asked == [("tiny", Machine(n_recordings=1), {"model_dir": "models", "offline": True})]
    with pytest.raises(ModelError, match="knows no Latin"):
        transcribe(tone, language="latin", vad=False)
    with pytest.raises(ModelError, match="Language 'latni' is none of the 100"):
        transcribe(tone, language="latni")


def test_columns_survive_a_table_without_predictions(tone):
    table = PredictionTable.from_rows(run(tone, FakeTranscriber()))
    assert list(table.columns)[:11] == [
        *("file", "start", "end", "model", "text", "language", "avg_logprob", "no_speech_prob"),
        *("compression_ratio", "note", "error"),
    ]
    assert np.isnan(table.probs).all()


def test_remarks_on_inputs_are_told(tone, monkeypatch):
    monkeypatch.setattr(pipeline, "load_transcriber", lambda *_, **__: FakeTranscriber())
    told = []
    table = transcribe([tone, tone], vad=False, remark=told.append)
    assert table["text"].tolist() == ["Hello there. Again."]
    assert told == [f"Named more than once and taken once: {tone}."]
