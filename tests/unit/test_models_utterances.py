"""What callers hand to `Recognizer.logits`."""

import numpy as np
import pytest
import soxr
from fakes import FakeRecognizer, FakeTextRecognizer, tone

import emocli
from emocli.errors import ModelError


def message(given, model=None, **options) -> str:
    with pytest.raises(ModelError) as caught:
        (model or FakeRecognizer()).logits(given, **options)
    return str(caught.value)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_floating_point_waveform_is_taken(dtype):
    waveform = np.round(tone(0.5) * 256) / 256  # exact in all of them
    model = FakeRecognizer()
    expected = model.logits([waveform.astype(np.float32)])
    np.testing.assert_allclose(model.logits([waveform.astype(dtype)]), expected)
    np.testing.assert_allclose(model.logits([list(map(float, waveform))]), expected)
    np.testing.assert_allclose(model.logits([waveform.astype(dtype)[::-1]])[0, 0], expected[0, 0])


def test_a_waveform_of_another_rate_is_resampled():
    waveform = tone(0.5, sampling_rate=44100)
    model = FakeRecognizer()
    found = model.logits([waveform], sampling_rate=44100)
    assert model.calls == [[8000]]
    np.testing.assert_allclose(found, model.logits([soxr.resample(waveform, 44100, 16000)]))
    np.testing.assert_allclose(model.logits([tone()], 16000), model.logits([tone()]))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (tone(), "Utterance 0 is a number, expected a waveform of shape (n_samples,). "
         "Give a list of waveforms."),
        (["a.wav"], "Utterance 0 is str, expected a waveform of shape (n_samples,). "
         "Give a list of waveforms."),
        ([tone(), np.zeros((2, 160))], "Utterance 1 has 2 axes (2×160), expected a waveform of "
         "shape (n_samples,). Take one channel, or the mean of all."),
        ([[[0.1], [0.1, 0.2]]], "Utterance 0 has 2 axes (0×0), expected a waveform of shape "
         "(n_samples,). Take one channel, or the mean of all."),
        ([np.zeros(160, np.int16)], "Utterance 0 has samples of type int16, expected "
         "floating-point numbers with full scale at 1. Divide 16 bit samples by 32768."),
        ([np.zeros(0, np.float32)], "Utterance 0 has no samples, expected a waveform. Leave it "
         "out."),
        ([np.array([0.1, np.nan, np.inf])], "Utterance 0 has 2 NaN or infinite samples of 3, "
         "expected finite ones. Mend or cut them."),
    ],
)  # fmt: skip
def test_what_is_no_waveform_is_refused(given, sentence):
    assert message(given) == sentence


@pytest.mark.parametrize("rate", [0, -1, 10**8])
def test_a_rate_that_is_none(rate):
    assert message([tone()], sampling_rate=rate) == (
        f"A sampling rate of {rate} Hz, expected 1 to 10,000,000. Correct it."
    )


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("so happy", "A text alone, expected a list of texts. Give [text]."),
        ([tone()], "Utterance 0 is ndarray, expected a text. Give a model of recordings "
         "waveforms, and one of words strings."),
        (["a", None], "Utterance 1 is NoneType, expected a text. Give a model of recordings "
         "waveforms, and one of words strings."),
    ],
)  # fmt: skip
def test_what_is_no_text_is_refused(given, sentence):
    assert message(given, FakeTextRecognizer()) == sentence


def test_the_embedded_model_takes_float64_at_another_rate():
    model = emocli.load("builtin")
    wave = tone(1.0, 200.0, sampling_rate=48000).astype(np.float64)
    expected = model.logits([soxr.resample(wave.astype(np.float32), 48000, 16000)])
    np.testing.assert_allclose(model.logits([wave], sampling_rate=48000), expected, atol=1e-6)
