"""Vectors of utterances from their frames."""

from types import SimpleNamespace

import numpy as np
import pytest

from emocli.encoder_identity import EncoderIdentity
from emocli.errors import FeatureError
from emocli.pipeline.features import PooledFrames

ENCODER = SimpleNamespace(
    identity=EncoderIdentity(name="e", modality="speech", dim=2), value_names=["pitch", "level"]
)


def test_means_and_deviations(rng):
    frames = rng.normal(size=(9, 2)).astype(np.float32)
    place = PooledFrames(ENCODER, "mean-sd")
    assert place.names == ["pitch_mean", "level_mean", "pitch_sd", "level_sd"]
    assert PooledFrames(ENCODER, "mean").names == ["pitch", "level"]
    assert place.find("k") is None
    assert place.write("k", frames, "cut").note == "cut"
    assert place.find("k").n_frames == 9
    found = place.vectors(["k", "", "k"])
    np.testing.assert_allclose(found[0], [*frames.mean(0), *frames.std(0)], rtol=1e-5)
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[0], found[2])
    assert place.vectors([]).shape == (0, 4)


def test_frames_that_have_no_mean():
    place = PooledFrames(ENCODER, "mean")
    assert place.fault(np.zeros((0, 2), np.float32)) == (
        "e gave no frames. Leave the recording out."
    )
    assert place.fault(np.full((1, 2), np.inf, np.float32)) == (
        "e gave values that are no numbers. Compute in fp32."
    )
    assert place.fault(np.zeros((1, 2), np.float32)) == ""


def test_an_unknown_pooling():
    with pytest.raises(FeatureError) as caught:
        PooledFrames(ENCODER, "median")
    assert str(caught.value) == (
        "Pooling 'median' is unknown, expected one of mean, mean-sd. Choose one of them."
    )
