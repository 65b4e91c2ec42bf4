"""Record what librosa's pYIN says of the pitch of a recording; see README.md."""

import json
import sys
from pathlib import Path

import librosa
import numpy as np
import soxr

RATE, HOP = 16000, 160


def main(recording: str) -> None:
    """Write ``expected.json`` for a recording."""
    samples, rate = librosa.load(recording, sr=None, mono=True)
    waveform = soxr.resample(samples, rate, RATE)
    pitch, _, _ = librosa.pyin(
        waveform, fmin=65, fmax=500, sr=RATE, frame_length=1024, hop_length=HOP
    )
    low, median, high = np.nanpercentile(pitch, (5, 50, 95))
    expected = {
        "librosa": librosa.__version__,
        "pitch_low_hz": round(float(low), 2),
        "pitch_median_hz": round(float(median), 2),
        "pitch_high_hz": round(float(high), 2),
        "hz": [None if np.isnan(hz) else round(float(hz), 1) for hz in pitch],
    }
    Path(__file__).with_name("expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
