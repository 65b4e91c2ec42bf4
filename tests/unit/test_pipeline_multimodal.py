"""Rows of models that take a recording with its text, and what such models refuse."""

import json

import numpy as np
import pytest
import soundfile

from emocli.errors import ModelError
from emocli.fusion.features import POSTERIORS, Input
from emocli.fusion.logistic import fit_logistic
from emocli.fusion.storage import dump_fuser
from emocli.models.cross_modal import read_stack_fuser, sampling_rate_of
from emocli.models.protocol import ModelCard, Recognizer
from emocli.pipeline.inputs import Utterance
from emocli.pipeline.multimodal import multimodal_blocks
from emocli.pipeline.progress import Tally
from emocli.pipeline.scoring import PredictOptions


class Counting(Recognizer):
    """Logits are the number of samples and of letters."""

    def __init__(self, max_seconds=0.0, *, needs_text=True):
        self.card = ModelCard(name="counting", modality="multimodal", labels=("angry", "sad"))
        self.max_seconds, self.needs_text = max_seconds, needs_text

    def _logits(self, utterances):
        return np.array([[len(one.waveform) / 16000, len(one.text)] for one in utterances])


@pytest.fixture
def recordings(tmp_path, rng):
    made = []
    for number, seconds in enumerate((0.5, 1.0)):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, rng.uniform(-0.5, 0.5, round(seconds * 16000)), 16000)
        made.append(Utterance(path.name, path, carried={"text": "ab"} if number else {}))
    return made


def rows(recordings, *recognizers, options=PredictOptions()):  # noqa: B008 - frozen
    blocks = multimodal_blocks([recordings], recognizers, options, Tally(len(recordings), None))
    return [row for block in blocks for _, own in block for row in own]


def test_recordings_are_heard_as_a_whole_with_their_texts(recordings):
    first, second = rows(recordings, Counting())
    assert first["error"] == (
        "0.wav: no transcript, expected a column text in a table or 0.txt beside the recording. "
        "Make one with emocli transcribe."
    )
    assert (second["start"], second["end"], second["text"]) == (0.0, 1.0, "ab")
    assert second["p_sad"] == pytest.approx(1 / (1 + np.exp(1.0 - 2)))


def test_models_of_voices_alone_need_no_text(recordings):
    found = rows(recordings, Counting(needs_text=False), Counting())
    assert [row["error"] == "" for row in found] == [True, False, True, True]


def test_longer_than_the_encoders_take(recordings):
    _, second = rows(recordings, Counting(0.75, needs_text=False))
    assert second["error"] == (
        "1.wav: longer than the 0.75 s that the model's encoders take at once. Name parts of it "
        "with start and end in a manifest."
    )
    first = rows([Utterance("1.wav", recordings[1].path, 0.2, 0.9)], Counting(needs_text=False))[0]
    assert (first["start"], first["end"], first["error"]) == (0.2, 0.9, "")


def test_windows_are_refused(recordings):
    with pytest.raises(ModelError) as caught:
        rows(recordings, Counting(), options=PredictOptions(windows=True))
    assert str(caught.value) == (
        "counting takes a recording with its text as a whole, expected neither windows nor voice "
        "activity. Leave out --windows and --segments."
    )


def test_encoders_of_two_rates():
    identities = [{"sampling_rate": rate, "modality": "speech"} for rate in (16000, 8000)]
    with pytest.raises(ModelError) as caught:
        sampling_rate_of(identities, "m")
    assert str(caught.value) == (
        "m: encoders that hear at 8000 and 16000 Hz, expected one rate. Choose encoders of one "
        "rate."
    )


def test_a_stack_with_another_fuser(tmp_path, rng):
    inputs = [Input("a", POSTERIORS, ("angry", "sad"))]
    blocks, truth = [rng.normal(size=(12, 2))], np.arange(12) % 2
    fuser, _ = fit_logistic(
        blocks, truth, ("angry", "sad"), inputs, np.arange(12) // 6, criterion="uar",
        balanced=False,
    )  # fmt: skip
    (tmp_path / "fuser.safetensors").write_bytes(dump_fuser(fuser))
    assert json.loads(dump_fuser(fuser))["method"] == "logistic"
    with pytest.raises(ModelError) as caught:
        read_stack_fuser(tmp_path / "fuser.safetensors", "m")
    assert str(caught.value) == (
        "m: fuser.safetensors holds another fuser, expected forests. Copy the folder again, or "
        "train again."
    )
