"""Voice activity as an option of a run: what finds speech, and how much was not speech."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from emocli.audio.voice_activity import Detector, find_speech

NO_SPEECH = "no speech"


@dataclass
class VoiceActivity:
    """What finds speech in a run, and what it left out."""

    detector: Detector = find_speech
    """Stretches of speech of a waveform at 16 kHz."""
    seconds: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Of each recording, how many were looked at and how many were left out."""

    def count(self, file: str, seconds: float, windows: Sequence[tuple[float, float]]) -> None:
        """Note how much of an utterance its windows cover.

        Args:
            file: the recording.
            seconds: length of the utterance.
            windows: start and end in seconds, in order of time; overlaps count once.
        """
        covered, reached = 0.0, 0.0
        for start, end in windows:
            covered += max(0.0, end - max(start, reached))
            reached = max(reached, end)
        total, left_out = self.seconds.get(file, (0.0, 0.0))
        self.seconds[file] = (total + seconds, left_out + max(0.0, seconds - covered))

    def sentence(self) -> str:
        """How much of the run was left out."""
        total = sum(seconds for seconds, _ in self.seconds.values())
        left_out = sum(seconds for _, seconds in self.seconds.values())
        return f"Voice activity: {left_out:.1f} of {total:.1f} s without speech were left out."

    def details(self) -> list[str]:
        """How much of each recording was left out."""
        return [
            f"{file}: {left_out:.1f} of {total:.1f} s without speech were left out."
            for file, (total, left_out) in self.seconds.items()
        ]
