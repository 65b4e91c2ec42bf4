import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from fakes import write_tone

from emocli.errors import MissingDependency, ModelUnavailable, TableError, TimelineError
from emocli.models.diarization import Diarizer, load_diarizer
from emocli.pipeline.inputs import Utterance, read_inputs
from emocli.pipeline.speakers import speaker_utterances


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def recordings(*files):
    return [Utterance(file, Path(file), carried={"emotion": "sad"}) for file in files]


def cut(utterances, text, name="turns.csv"):
    Path(name).write_text(text)
    found, remarks = speaker_utterances(utterances, name)
    return [
        (one.file, one.start, one.end, one.carried["speaker"], one.note) for one in found
    ], remarks


def test_turns_of_rttm_by_name_without_ending():
    rttm = (
        "SPEAKER a 1 1.0 2.0 <NA> <NA> anna <NA> <NA>\n"
        "SPEAKER a 1 0.0 1.5 <NA> <NA> bob <NA> <NA>\n"
    )
    expected = [
        ("x/a.wav", 0.0, 1.5, "bob", "overlaps anna (0.50 s)"),
        ("x/a.wav", 1.0, 3.0, "anna", "overlaps bob (0.50 s)"),
    ]
    for name in ("turns.rttm", "turns.txt"):
        found, remarks = cut(recordings("x/a.wav", "x/b.wav"), rttm, name)
        assert (found, remarks) == (expected, [f"{name}: no turns of x/b.wav, left out."])


def test_other_columns_stay():
    Path("t.csv").write_text("speaker,start,end\nanna,0,1\n")
    (found,), _ = speaker_utterances(recordings("a.wav"), "t.csv")
    assert found.carried == {"emotion": "sad", "speaker": "anna"}


@pytest.mark.parametrize("file", ["x/a.wav", "./x/a.wav", "a.wav", "a"])
def test_turns_of_a_table_by_path_or_name(file):
    found, _ = cut(recordings("x/a.wav", "y/b.wav"), f"file,speaker,start,end\n{file},anna,0,1\n")
    assert found == [("x/a.wav", 0.0, 1.0, "anna", "")]


def test_a_path_beside_the_table():
    Path("x").mkdir()
    text = "file,speaker,start,end\na.wav,anna,0,1\n"
    found, _ = cut(recordings("x/a.wav", "y/a.wav"), text, "x/turns.csv")
    assert [one[0] for one in found] == ["x/a.wav"]


def test_json_and_clocks():
    found, _ = cut(
        recordings("a.wav"),
        '[{"speaker": "anna", "start": "0 days 00:00:01.5", "end": "0 days 00:00:03"}]',
        "turns.json",
    )
    assert found == [("a.wav", 1.5, 3.0, "anna", "")]


@pytest.mark.parametrize(
    ("files", "text", "sentence"),
    [
        (
            ["a.wav", "b.wav"],
            "speaker,start,end\nanna,0,1\n",
            "turns.csv: no file is named and there are 2 recordings, expected a column file. "
            "Add it, or give one recording.",
        ),
        (
            ["a.wav"],
            "file,speaker,start,end\n" + "".join(f"{i}.wav,anna,0,1\n" for i in range(12)),
            "turns.csv: 12 of 12 files are not among the recordings: 0.wav, 1.wav, 2.wav, 3.wav, "
            "4.wav, 5.wav, 6.wav, 7.wav, 8.wav, 9.wav and 2 more. Give these recordings too, or "
            "remove their turns.",
        ),
        (
            ["x/a.wav", "y/a.wav"],
            "file,speaker,start,end\na.wav,anna,0,1\n",
            "turns.csv: a.wav may be several of the recordings, expected names that tell them "
            "apart. Give paths in a table with a column file.",
        ),
    ],
)
def test_turns_that_fit_no_recording(files, text, sentence):
    with pytest.raises(TimelineError) as caught:
        cut(recordings(*files), text)
    assert str(caught.value) == sentence


def test_parts_of_recordings_are_not_cut():
    with pytest.raises(TimelineError) as caught:
        speaker_utterances([Utterance("a.wav", Path("a.wav"), start=1.0)], "turns.csv")
    assert str(caught.value) == (
        "a.wav: start and end are given, expected whole recordings for --speakers to cut. "
        "Leave out --speakers, or start and end."
    )


def test_a_file_that_is_not_there():
    with pytest.raises(TableError) as caught:
        speaker_utterances(recordings("a.wav"), "turns.csv")
    assert str(caught.value) == (
        "turns.csv: cannot be read (No such file or directory), expected turns of speakers. "
        "Check the path."
    )


def test_an_empty_file():
    with pytest.raises(TableError) as caught:
        cut(recordings("a.wav"), " \n")
    assert str(caught.value) == (
        "turns.csv: empty, expected a table with a header line. "
        "Check that the command before it succeeded."
    )


# --- pyannote.audio ----------------------------------------------------------------------------


def annotation(*turns):
    """What pyannote gives: turns as (start, end, speaker)."""
    tracks = [(SimpleNamespace(start=a, end=b), "_", name) for a, b, name in turns]
    return SimpleNamespace(itertracks=lambda yield_label: iter(tracks))


class FakePipeline:
    """A pipeline that hears one turn a second, of two speakers."""

    loaded: object = None

    def __init__(self, wrapped=True):
        self.wrapped = wrapped
        self.device = None

    @classmethod
    def from_pretrained(cls, name):
        print("talk that is no data")  # noqa: T201 - as the real one does
        cls.asked = name
        if isinstance(cls.loaded, Exception):
            raise cls.loaded
        return cls.loaded

    def to(self, device):
        self.device = str(device)

    def __call__(self, given):
        assert given["sample_rate"] == 16000
        n_seconds = given["waveform"].shape[1] // 16000
        found = annotation(*((i, i + 1, f"SPEAKER_{i % 2:02}") for i in reversed(range(n_seconds))))
        return SimpleNamespace(speaker_diarization=found) if self.wrapped else found


@pytest.fixture
def pyannote(monkeypatch):
    module = ModuleType("pyannote.audio")
    module.Pipeline = FakePipeline
    monkeypatch.setitem(sys.modules, "pyannote", ModuleType("pyannote"))
    monkeypatch.setitem(sys.modules, "pyannote.audio", module)
    monkeypatch.setenv("PYANNOTE_METRICS_ENABLED", "0")
    monkeypatch.setattr(FakePipeline, "loaded", FakePipeline())


@pytest.mark.parametrize("wrapped", [True, False])
def test_turns_by_pyannote(wrapped):
    found = Diarizer(FakePipeline(wrapped)).turns(np.zeros(32000, np.float32))
    assert found == [(0.0, 1.0, "SPEAKER_00"), (1.0, 2.0, "SPEAKER_01")]


def test_utterances_by_pyannote(pyannote, capsys):
    write_tone(Path("a.wav"), 2.0)
    write_tone(Path("b.wav"), 0.5)
    Path("broken.wav").write_bytes(b"")
    utterances = read_inputs(["a.wav", "b.wav", "broken.wav"]).utterances
    found, remarks = speaker_utterances(utterances, "pyannote:my/model", device="cpu")
    assert [(one.file, one.start, one.carried.get("speaker")) for one in found] == [
        ("a.wav", 0.0, "SPEAKER_00"),
        ("a.wav", 1.0, "SPEAKER_01"),
        ("broken.wav", None, None),
    ]
    assert remarks == ["pyannote:my/model: no turns of b.wav, left out."]
    assert (FakePipeline.asked, FakePipeline.loaded.device) == ("my/model", "cpu")
    assert capsys.readouterr().out == ""


def test_the_usual_model(pyannote):
    speaker_utterances([], "pyannote", device="cpu")
    assert FakePipeline.asked == "pyannote/speaker-diarization-community-1"


def test_without_pyannote(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyannote", None)
    monkeypatch.setenv("PYANNOTE_METRICS_ENABLED", "0")
    with pytest.raises(MissingDependency) as caught:
        load_diarizer()
    assert str(caught.value) == (
        "Turns of speakers by pyannote need the package pyannote.audio, which is not installed. "
        'Run pip install "emocli[speakers]", or give --speakers an RTTM file or a table.'
    )


@pytest.mark.parametrize(
    ("loaded", "reason"),
    [(None, "the hub does not give it"), (OSError("no\n network"), "no network")],
)
def test_a_pipeline_that_cannot_be_had(pyannote, monkeypatch, loaded, reason):
    monkeypatch.setattr(FakePipeline, "loaded", loaded)
    with pytest.raises(ModelUnavailable) as caught:
        load_diarizer("my/model", device="cpu")
    assert str(caught.value) == (
        f"my/model: cannot be had ({reason}), expected a pipeline of pyannote.audio. Accept its "
        f"conditions on the hub and set HF_TOKEN, or give a folder."
    )
