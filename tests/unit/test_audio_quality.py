import numpy as np
import pytest
from fakes import tone

from emocli.audio.quality import Level, join_remarks, quality_remarks


def remarks(samples):
    return quality_remarks(Level.of(np.asarray(samples, dtype=np.float32)))


def test_level_of_a_sine_is_3_db_below_its_peak():
    level = Level.of(tone(1.0, 400, amplitude=0.1))
    assert level.n_samples == 16000
    assert level.dbfs == pytest.approx(-23.0103, abs=1e-3)
    assert level.peak == pytest.approx(0.1, abs=1e-6)


def test_what_does_not_change_has_no_level():
    for samples in ([], [0.25] * 100):
        assert Level.of(np.asarray(samples, dtype=np.float32)).dbfs == -np.inf


def test_levels_of_stretches_add_up(rng):
    samples = rng.standard_normal(999).astype(np.float32)
    total = Level.of(samples[:10]) + Level.of(samples[10:10]) + Level.of(samples[10:])
    whole = Level.of(samples)
    assert total.n_clipped == whole.n_clipped
    assert (total.lowest, total.highest) == (whole.lowest, whole.highest)
    assert total.dbfs == pytest.approx(whole.dbfs, rel=1e-12)


def test_a_quiet_sound_on_a_constant_is_measured_around_its_mean(rng):
    level = Level.of((0.5 + 1e-4 * rng.standard_normal(100_000)).astype(np.float32))
    assert level.dbfs == pytest.approx(-80.0, abs=0.1)


def test_nothing_to_say_of_a_sound_recording_or_of_none():
    assert remarks(tone()) == []
    assert remarks([]) == []


def test_digital_silence():
    assert remarks(np.zeros(100)) == ["digital silence"]


def test_constant():
    assert remarks(np.full(100, 0.25)) == ["no sound (constant 0.25)"]
    assert remarks(np.ones(100)) == ["no sound (constant 1)"]


def test_near_silence():
    assert remarks(tone(amplitude=10**-3.5)) == ["near silence (-73 dBFS)"]
    assert remarks(tone(amplitude=1.5e-3)) == []


def test_heavy_clipping():
    assert remarks(np.clip(tone(amplitude=2.0), -1, 1)) == [
        "heavy clipping (67.5% of samples at full scale)"
    ]


def test_a_few_samples_at_full_scale_are_no_heavy_clipping():
    samples = tone(1.0)
    samples[:79] = 1.0
    assert remarks(samples) == []
    samples[:80] = -1.0
    assert remarks(samples) == ["heavy clipping (0.5% of samples at full scale)"]


def test_clipping_in_one_channel_is_seen_though_the_mean_hides_it():
    frames = np.stack([np.clip(tone(amplitude=5.0), -1, 1), tone(hertz=200)], axis=1)
    level = Level.of(frames.mean(axis=1), frames)
    assert level.clipped_share == pytest.approx(0.87, abs=0.01)


def test_samples_on_another_scale():
    assert remarks(tone(amplitude=32767.0)) == ["samples up to 32767 times full scale"]


def test_remarks_are_joined_once_each():
    assert join_remarks("a; b", "", "b", "c") == "a; b; c"
    assert join_remarks() == ""
