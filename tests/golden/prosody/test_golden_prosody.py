"""Pitch of a real voice against librosa's pYIN."""

import json
from pathlib import Path

import numpy as np
import pytest

from emocli.audio.decode import read_waveform
from emocli.audio.prosody import describe_prosody
from emocli.networks.pitch import track_pitch

EXPECTED = json.loads(Path(__file__).with_name("expected.json").read_text())


@pytest.fixture(scope="module")
def waveform(data_dir):
    return read_waveform(data_dir / "jfk.flac", 16000).samples


@pytest.mark.parametrize("name", ["pitch_low_hz", "pitch_median_hz", "pitch_high_hz"])
def test_percentiles(name, waveform):
    assert getattr(describe_prosody(waveform, 16000), name) == pytest.approx(
        EXPECTED[name], rel=0.01
    )


def test_frames(waveform):
    track = track_pitch(waveform, 16000)
    hz = np.array(EXPECTED["hz"], dtype=float)  # frame i lies around i * 10 ms
    between = np.sqrt(hz[:-1] * hz[1:])  # around (i + 0.5) * 10 ms, as here
    n_frames = min(len(between), len(track.hz))
    octaves = np.abs(np.log2(track.hz[:n_frames] / between[:n_frames]))
    both = np.isfinite(octaves)
    assert both.sum() > 500
    assert (octaves[both] > np.log2(1.2)).mean() < 0.005  # gross errors: more than 20 %
    assert np.median(octaves[both]) * 1200 < 12  # cents
    assert abs(track.voiced.mean() - np.isfinite(hz).mean()) < 0.05
