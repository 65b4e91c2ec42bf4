"""Answers with dropout on: reproducible, independent of the batch, and refused where senseless."""

import numpy as np
import pytest
import torch
from fakes import FakeRecognizer

from emocli.errors import ModelError
from emocli.models.dropout import DropoutDraws
from emocli.models.protocol import ModelCard, Recognizer


class Network(torch.nn.Module):
    def __init__(self, p: float) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(8)
        self.dropout = torch.nn.Dropout(p)
        self.linear = torch.nn.Linear(8, 2)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.linear(self.dropout(self.norm(values)))


class Dropping(Recognizer):
    def __init__(self, p: float = 0.5) -> None:
        torch.manual_seed(0)
        self.card = ModelCard(name="m", labels=("happy", "sad"))
        self.module = Network(p).eval()

    def _logits(self, utterances):
        with torch.inference_mode():
            return self.module(torch.from_numpy(np.stack(utterances))).double().numpy()


@pytest.fixture
def waveforms(rng):
    return list(rng.normal(size=(5, 8)).astype(np.float32))


def test_draws_differ_and_their_mean_is_near_the_answer_without_dropout(waveforms):
    recognizer = Dropping()
    draws = DropoutDraws(recognizer, 400).logits(waveforms)
    assert draws.shape == (5, 400, 2)
    assert (draws.std(axis=1) > 0.05).all()
    # Dropout scales what it keeps, so a linear layer behind it has the same mean.
    np.testing.assert_allclose(draws.mean(axis=1), recognizer.logits(waveforms), atol=0.15)


def test_an_utterance_s_draws_depend_on_nothing_else(waveforms):
    state = torch.random.get_rng_state()
    together = DropoutDraws(Dropping(), 4).logits(waveforms)
    alone = DropoutDraws(Dropping(), 4).logits(waveforms[3:4])
    np.testing.assert_array_equal(together[3:4], alone)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_many_answers_take_as_long_as_more_audio():
    recognizer = Dropping()
    recognizer.pool_seconds = 120.0
    assert DropoutDraws(recognizer, 10).pool_seconds == 12.0


def test_dropout_is_off_again_afterwards(waveforms):
    recognizer = Dropping()
    before = recognizer.logits(waveforms)
    DropoutDraws(recognizer, 2).logits(waveforms)
    np.testing.assert_array_equal(recognizer.logits(waveforms), before)
    assert not recognizer.module.norm.training


@pytest.mark.parametrize(
    ("recognizer", "n_draws", "sentence"),
    [
        (
            FakeRecognizer(), 5,
            "fake has no dropout layers, expected some for --mc-dropout. "
            "Leave it out, or fuse several checkpoints instead.",
        ),
        (
            Dropping(p=0.0), 5,
            "m has no dropout layers, expected some for --mc-dropout. "
            "Leave it out, or fuse several checkpoints instead.",
        ),
        (
            FakeRecognizer(labels=(), dimensions=("arousal",)), 5,
            "fake gives arousal, expected labels for --mc-dropout. "
            "Leave it out, or choose a model of emotions.",
        ),
        (
            Dropping(), 1,
            "--mc-dropout 1: one answer has no spread, expected 2 or more. Use 10 to 50.",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_several_times(recognizer, n_draws, sentence):
    with pytest.raises(ModelError) as caught:
        DropoutDraws(recognizer, n_draws)
    assert str(caught.value) == sentence


def test_remarks_are_the_model_s_own(waveforms):
    assert DropoutDraws(Dropping(), 2).remarks(waveforms) == [""] * 5
