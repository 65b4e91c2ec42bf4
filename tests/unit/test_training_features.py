from pathlib import Path

import numpy as np
import pytest
import soundfile

from emocli.errors import RecipeError
from emocli.networks.functionals import N_FUNCTIONALS
from emocli.training.augment import augment_frames, augment_waveform, coloured_noise, room
from emocli.training.batches import Draws, FrameBatches, FunctionalBatches
from emocli.training.data import Utterance
from emocli.training.features import compute_features
from emocli.training.recipe import AugmentationRecipe, MemberRecipe, parse_recipe
from emocli.training.whitening import discriminant, whitening_matrix

MEMBER = MemberRecipe(kind="perceptron", utterances_per_epoch=16, batch_size=8, crop_frames=30)


def recipe(copies=1, seed=1):
    return parse_recipe(
        {
            "name": "mine",
            "labels": ["angry", "sad"],
            "seed": seed,
            "data": [{"name": "own", "table": "labels.csv"}],
            "members": [{"kind": "perceptron"}],
            "augmentation": {"copies": copies},
        },
        "r.toml",
    )


def read(path: Path, sampling_rate: int):
    return soundfile.read(path, dtype="float32")[0]


@pytest.fixture
def people(tmp_path, rng):
    found = []
    for index, label in enumerate(("angry", "sad", "angry")):
        path = tmp_path / f"{index}.wav"
        soundfile.write(path, rng.normal(0, 0.1, 8000 + 3000 * index), 16000)
        found.append(Utterance(path.name, path, "own", label, str(index)))
    return found


def test_features_come_from_the_cache_the_second_time(people, tmp_path):
    first = compute_features(people, recipe(), tmp_path / "cache", read)
    assert first.n_copies == 1
    assert first.functionals.shape == (2, 3, N_FUNCTIONALS)

    def no_reading(path, sampling_rate):
        raise AssertionError("read again")

    again = compute_features(people, recipe(), tmp_path / "cache", no_reading)
    assert np.array_equal(first.functionals, again.functionals)
    for one, other in zip(first.frames[1], again.frames[1], strict=True):
        assert np.array_equal(one, other)


def test_the_cache_follows_content_not_names(people, tmp_path, rng):
    first = compute_features(people, recipe(), tmp_path / "cache", read)
    moved = [people[1], people[0], people[2]]
    swapped = compute_features(moved, recipe(), tmp_path / "cache", read)
    assert np.array_equal(first.frames[1][0], swapped.frames[1][1])
    soundfile.write(people[0].path, rng.normal(0, 0.1, 9000), 16000)
    changed = compute_features(people, recipe(), tmp_path / "cache", read)
    assert not np.array_equal(first.frames[0][0], changed.frames[0][0])


def test_another_seed_alters_otherwise(people, tmp_path):
    first = compute_features(people, recipe(), tmp_path / "cache", read)
    other = compute_features(people, recipe(seed=2), tmp_path / "cache", read)
    assert np.array_equal(first.frames[0][0], other.frames[0][0])
    assert not np.array_equal(first.frames[1][0][:5], other.frames[1][0][:5])


def test_recordings_that_cannot_be_trained_on(people, tmp_path):
    people[0].path.unlink()
    with pytest.raises(RecipeError) as caught:
        compute_features(people, recipe(), tmp_path / "cache", read)
    assert str(caught.value) == (
        f"{people[0].path}: cannot be read (No such file or directory), expected a recording. "
        f"Check the file column of the table, and --data."
    )
    soundfile.write(people[0].path, np.zeros(8000), 16000)
    with pytest.raises(RecipeError) as caught:
        compute_features(people, recipe(), tmp_path / "cache", read)
    assert str(caught.value) == (
        f"{people[0].path}: silent, expected speech to train on. Take it out of the table."
    )


def test_altered_waveforms_keep_about_their_length_and_level(rng):
    options = AugmentationRecipe(room_share=1, noise_share=1, distortion_share=1)
    waveform = rng.normal(0, 0.1, 16000).astype(np.float32)
    for seed in range(8):
        altered = augment_waveform(waveform, 16000, np.random.default_rng(seed), options)
        assert altered.dtype == np.float32
        assert 16000 / 1.15 < len(altered) < 16000 * 1.15
        assert 10 ** (-31 / 20) < abs(altered).max() < 0.9


def test_a_room_begins_with_the_direct_sound_and_decays(rng):
    response = room(16000, rng)
    assert response[0] == 1
    half = len(response) // 2
    assert np.square(response[1:half]).sum() > np.square(response[half:]).sum()


def test_noise_has_deviation_one(rng):
    hz = np.fft.rfftfreq(16384, 1 / 16000)
    noise = coloured_noise(9000, hz, rng, np.ones_like(hz))
    assert (len(noise), noise.std()) == (9000, pytest.approx(1, abs=1e-6))


def test_altered_frames_are_at_most_a_crop(rng):
    frames = rng.normal(0, 1, (80, 10)).astype(np.float32)
    altered = augment_frames(frames, 6, rng, MEMBER)
    assert altered.shape == (30, 10)
    assert np.isfinite(altered).all()
    assert augment_frames(frames[:2], 6, rng, MEMBER).shape == (20, 10)


def test_batches_of_an_epoch_can_be_repeated(people, tmp_path):
    features = compute_features(people, recipe(), tmp_path / "cache", read)
    draws = Draws(people, (0, 1), recipe(), MEMBER, features.n_copies)
    for batches in (
        FunctionalBatches(features.functionals, draws, MEMBER),
        FrameBatches(features, draws, MEMBER, 64),
    ):
        first = list(batches.epoch(np.random.default_rng(1)))
        again = list(batches.epoch(np.random.default_rng(1)))
        assert len(first) == batches.n_batches == 2
        for one, other in zip(first, again, strict=True):
            assert np.array_equal(one.inputs[0].numpy(), other.inputs[0].numpy())
            assert one.targets.sum(1).numpy() == pytest.approx(np.ones(8))


def test_whitened_inputs_are_white_within_labels(rng):
    spread = rng.normal(0, 1, (6, 6))
    labels = ["angry", "sad"] * 300
    inputs = (rng.normal(0, 1, (600, 6)) @ spread).astype(np.float32)
    inputs[::2] += 2
    white = inputs @ whitening_matrix(inputs[None], labels, 0.0, 1e-6)
    residual = np.concatenate([white[i::2] - white[i::2].mean(0) for i in (0, 1)])
    covariance = residual.T @ residual / len(residual)
    assert covariance / covariance[0, 0] == pytest.approx(np.eye(6), abs=1e-2)


def test_whitening_makes_small_what_augmentation_changes(rng):
    plain = rng.normal(0, 1, (400, 2)).astype(np.float32)
    altered = plain + rng.normal(0, (5, 0.1), (400, 2)).astype(np.float32)
    matrix = whitening_matrix(np.stack([plain, altered]), ["angry"] * 400, 1.0, 1e-6)
    scale = np.sqrt(np.square(matrix).sum(1))
    assert scale[0] < scale[1] / 3


def test_discriminant_of_white_clouds_is_the_bayes_rule(rng):
    labels = np.repeat([0, 1], 20000)
    inputs = rng.normal(0, 1, (40000, 2)).astype(np.float32)
    inputs[labels == 1, 0] += 2
    weights, biases = discriminant(inputs, labels)
    assert weights[1] - weights[0] == pytest.approx([2, 0], abs=0.05)
    assert biases[1] - biases[0] == pytest.approx(-2, abs=0.05)
