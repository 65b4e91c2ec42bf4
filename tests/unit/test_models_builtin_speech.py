"""The embedded speech model as it is shipped."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from emocli.models.compact import load_compact
from emocli.posteriors import softmax

FOLDER = Path(str(files("emocli.models").joinpath("builtin", "speech")))


@pytest.fixture(scope="module")
def model():
    return load_compact(FOLDER)


def voice(seconds, hz, rng):
    time = np.arange(int(16000 * seconds)) / 16000
    phase = 2 * np.pi * hz * (time + 0.02 * np.sin(2 * np.pi * 3 * time))
    wave = sum(np.sin(k * phase) / k for k in range(1, 10)) * (1.2 + np.sin(2 * np.pi * 4 * time))
    return (0.1 * wave + rng.normal(0, 0.003, len(time))).astype(np.float32)


def test_the_card_names_the_labels_and_the_licence(model):
    assert model.card.name == "builtin"
    assert model.card.labels == ("angry", "happy", "neutral", "sad")
    assert model.card.licence == "CC BY-NC-SA 4.0"
    assert model.card.sampling_rate == 16000
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 2_000_000
    card = (FOLDER / "README.md").read_text()
    for word in ("RAVDESS", "nEMO", "CC BY-NC-SA 4.0", "--cross-validate", "--leave-corpus-out"):
        assert word in card


def test_a_batch_gives_what_its_utterances_give_alone(model, rng):
    waveforms = [
        voice(seconds, 90 + 40 * seconds, rng) for seconds in (0.1, 0.4, 1, 1.5, 2, 3, 4, 6)
    ]
    alone = np.concatenate([model.logits([waveform]) for waveform in waveforms])
    assert model.logits(waveforms) == pytest.approx(alone, abs=1e-5)


def test_silence_is_uniform_and_moments_are_finite(model, rng):
    silence = np.zeros(16000, np.float32)
    moment = rng.normal(0, 0.1, 1600).astype(np.float32)
    logits = model.logits([silence, moment, moment[:1], voice(12, 200, rng)])
    assert softmax(logits[0]).tolist() == [0.25] * 4
    assert np.isfinite(logits).all()


def test_the_level_of_a_recording_does_not_decide(model, rng):
    waveform = voice(2, 150, rng)
    assert model.logits([waveform]) == pytest.approx(model.logits([waveform / 50]), abs=0.02)
