"""Doubts about a recording that its samples give: silence, clipping, a wrong scale."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEAR_SILENCE_DBFS = -60.0
"""Mean level below which a recording is called nearly silent.

33 steps of a 16 bit recording. One in a hundred clips of RAVDESS, which is recorded unusually
quietly, lies below it (median -41, lowest -64 dBFS), and none of nEMO or LibriSpeech (lowest -42).
"""

SOUNDLESS_DBFS = -90.0
"""Mean level below which there is no signal: a step of a 16 bit recording is a peak of -90.3 dBFS,
so what lies below is dither, or rounding."""

FULL_SCALE = 0.98
"""From this magnitude on a sample counts as clipped: the largest value of mu-law is 0.980."""

HEAVY_CLIPPING_SHARE = 0.005
"""Share of samples at full scale from which on clipping is called heavy.

Of speech scaled to reach full scale at its loudest sample 0.14 % of samples at most lie up there
(RAVDESS, nEMO, LibriSpeech). Amplified by another 6 dB it is 0.6 to 1.2 % in the median.
"""

UNSCALED_PEAK = 4.0
"""A peak 12 dB above full scale is no overshoot of a lossy codec but another scale altogether."""


@dataclass(frozen=True)
class Level:
    """Level statistics of some samples; those of consecutive stretches add up.

    Attributes:
        n_samples: how many.
        total: their sum.
        energy: sum of their squares.
        lowest: smallest sample.
        highest: largest sample.
        n_clipped: samples at full scale or above in any channel.
    """

    n_samples: int = 0
    total: float = 0.0
    energy: float = 0.0
    lowest: float = math.inf
    highest: float = -math.inf
    n_clipped: int = 0

    @classmethod
    def of(
        cls, waveform: NDArray[np.float32], frames: NDArray[np.float32] | None = None
    ) -> "Level":
        """Statistics of a waveform.

        Args:
            waveform: shape (n_samples,); if one is NaN or infinite, so is ``total``.
            frames: the channels that it was mixed from, shape (n_samples, n_channels); clipping
                is looked for there, because mixing hides it.
        """
        if len(waveform) == 0:
            return cls()
        lowest, highest = float(waveform.min()), float(waveform.max())
        # Squares in float32 would drown a quiet sound on top of a constant.
        exact = waveform.astype(np.float64)
        return cls(
            n_samples=len(waveform),
            total=float(exact.sum()),
            # Not as a product: BLAS would start threads, which takes the cores that decode.
            energy=float(np.einsum("i,i->", exact, exact)),
            lowest=lowest,
            highest=highest,
            n_clipped=_count_clipped(frames if frames is not None else waveform),
        )

    def __add__(self, other: "Level") -> "Level":
        return Level(
            self.n_samples + other.n_samples,
            self.total + other.total,
            self.energy + other.energy,
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
            self.n_clipped + other.n_clipped,
        )

    @property
    def peak(self) -> float:
        """Largest magnitude; full scale is 1."""
        return max(abs(self.lowest), abs(self.highest)) if self.n_samples else 0.0

    @property
    def dbfs(self) -> float:
        """Root mean square around the mean, in dB of full scale; -inf for a constant."""
        if self.lowest >= self.highest:
            return -math.inf
        mean = self.total / self.n_samples
        variance = self.energy / self.n_samples - mean * mean
        return 10.0 * math.log10(variance) if variance > 0 else -math.inf

    @property
    def is_soundless(self) -> bool:
        """Whether there is nothing to hear: a constant, or no more than rounding around it."""
        return self.n_samples > 0 and self.dbfs < SOUNDLESS_DBFS

    @property
    def clipped_share(self) -> float:
        """Share of samples at full scale, from 0 to 1."""
        return self.n_clipped / self.n_samples if self.n_samples else 0.0


def _count_clipped(samples: NDArray[np.float32]) -> int:
    """Number of frames with a sample at full scale; most recordings need no more than the peak."""
    if samples.max() < FULL_SCALE and samples.min() > -FULL_SCALE:
        return 0
    at_full_scale = np.abs(samples) >= FULL_SCALE
    return int(np.count_nonzero(at_full_scale.any(axis=1) if samples.ndim > 1 else at_full_scale))


def quality_remarks(level: Level) -> list[str]:
    """Short phrases on what makes a recording doubtful; none for a sound one.

    Example:
        >>> quality_remarks(Level.of(np.zeros(16000, np.float32)))
        ['digital silence']
    """
    remarks = []
    if level.n_samples and level.lowest == level.highest:
        constant = level.lowest
        remarks.append("digital silence" if constant == 0 else f"no sound (constant {constant:g})")
    elif level.n_samples and level.dbfs < NEAR_SILENCE_DBFS:
        remarks.append(f"near silence ({level.dbfs:.0f} dBFS)")
    if level.peak > UNSCALED_PEAK:
        remarks.append(f"samples up to {level.peak:.0f} times full scale")
    elif level.clipped_share >= HEAVY_CLIPPING_SHARE and level.lowest < level.highest:
        remarks.append(f"heavy clipping ({level.clipped_share:.1%} of samples at full scale)")
    return remarks


def join_remarks(*remarks: str) -> str:
    """One note of several remarks, joined by semicolons; empty and repeated ones are left out.

    Example:
        >>> join_remarks("near silence", "", "too short; near silence")
        'near silence; too short'
    """
    phrases = [phrase.strip() for remark in remarks for phrase in remark.split(";")]
    return "; ".join(dict.fromkeys(phrase for phrase in phrases if phrase))
