"""Voice activity as an option of a run: what finds speech, and how much was not speech."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from emocli.audio.voice_activity import Detector, find_detector, speech_by_silero

NO_SPEECH = "no speech"


@dataclass
class VoiceActivity:
    """What finds speech in a run, and what it left out.

    Attributes:
        detector: stretches of speech of a waveform at 16 kHz.
        seconds: of each recording, how many were looked at and how many were left out.
    """

    detector: Detector
    seconds: dict[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def find(cls, method: str = "auto") -> "VoiceActivity | None":
        """Voice activity by name, see `find_detector`.

        Raises:
            MissingDependency: silero was asked for by name and is not installed.
        """
        detector = find_detector(method)
        return None if detector is None else cls(detector)

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

    @property
    def method(self) -> str:
        """How speech is told from other sound, in words."""
        if self.detector is speech_by_silero:
            return "silero"
        return "level above -60 dBFS; for silero install emocli[vad]"

    def sentence(self) -> str:
        """How much of the run was left out."""
        total = sum(seconds for seconds, _ in self.seconds.values())
        left_out = sum(seconds for _, seconds in self.seconds.values())
        return (
            f"Voice activity ({self.method}): {left_out:.1f} of {total:.1f} s without speech "
            f"were left out."
        )

    def details(self) -> list[str]:
        """How much of each recording was left out."""
        return [
            f"{file}: {left_out:.1f} of {total:.1f} s without speech were left out."
            for file, (total, left_out) in self.seconds.items()
        ]
