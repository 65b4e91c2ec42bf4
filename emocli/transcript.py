"""What a recogniser heard in a recording: segments, their times, and how much to trust them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, nan

Span = tuple[float, float]
"""Start and end in seconds, of the recording unless another reference is named."""

FALLBACK_TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Tried in turn until a window's text is neither repetitive nor improbable."""

NO_SPEECH_THRESHOLD = 0.6
LOGPROB_THRESHOLD = -1.0
COMPRESSION_RATIO_THRESHOLD = 2.4
"""The thresholds that Whisper's authors chose (Radford et al. 2022, section 4.5)."""


@dataclass(frozen=True, kw_only=True)
class TranscribeOptions:
    """How to transcribe."""

    language: str | None = None
    """Code such as ``"en"``; None detects it in the first 30 seconds."""
    task: str = "transcribe"
    """``"transcribe"``, or ``"translate"`` into English."""
    initial_prompt: str | None = None
    """Text that the model is told came before."""
    word_timestamps: bool = False
    """Also find the times of words."""
    beam_size: int | None = None
    """Width of the beam search at temperature 0; None decodes greedily."""
    temperatures: tuple[float, ...] = FALLBACK_TEMPERATURES
    """Sampling temperatures without repeats, tried in turn while the text fails the thresholds."""
    condition_on_previous_text: bool = True
    """Tell each window what the one before it said."""
    no_speech_threshold: float = NO_SPEECH_THRESHOLD
    """A window above it is silence, unless its text is probable."""
    logprob_threshold: float = LOGPROB_THRESHOLD
    """Mean log probability in nats a token below which a text is improbable."""
    compression_ratio_threshold: float = COMPRESSION_RATIO_THRESHOLD
    """Text that compresses better than this repeats itself."""


@dataclass(frozen=True)
class Word:
    """One word, with the blank before it and punctuation attached."""

    start: float
    end: float
    text: str
    probability: float
    """Mean probability of its tokens, 0 to 1."""


@dataclass(frozen=True)
class Segment:
    """One phrase. Its figures are those of the 30 second window that it was decoded in."""

    start: float
    end: float
    text: str
    """What was said, with the blank that leads it."""
    avg_logprob: float
    """Mean log probability of the window's tokens in nats, at most 0."""
    no_speech_prob: float
    """Probability that the window holds no speech, 0 to 1."""
    compression_ratio: float
    """Bytes of the window's text over its bytes after zlib."""
    n_tokens: int
    """Number of text tokens of this segment."""
    words: tuple[Word, ...] = ()
    """Its words, if their times were asked for."""
    is_detected: bool = True
    """Whether voice activity found speech there, or was not asked."""

    def moved(self, seconds: float, latest: float = inf) -> "Segment":
        """The segment later by some seconds; no time in it is after ``latest``."""

        def at(time: float) -> float:
            return min(time + seconds, latest)

        words = tuple(replace(one, start=at(one.start), end=at(one.end)) for one in self.words)
        return replace(self, start=at(self.start), end=at(self.end), words=words)


@dataclass(frozen=True)
class Transcript:
    """What was heard in one recording, in order of time."""

    language: str = ""
    """Code of the language; empty where nothing is taken to have been said."""
    segments: tuple[Segment, ...] = ()
    """What is taken to have been said."""
    dropped: tuple[Segment, ...] = ()
    """What the model wrote where nobody seems to speak."""

    def moved(self, seconds: float) -> "Transcript":
        """The transcript later by some seconds."""
        return replace(
            self,
            segments=tuple(one.moved(seconds) for one in self.segments),
            dropped=tuple(one.moved(seconds) for one in self.dropped),
        )

    @property
    def text(self) -> str:
        """The text of all segments, without blanks around it."""
        return "".join(segment.text for segment in self.segments).strip()

    @property
    def dropped_text(self) -> str:
        """The text of the dropped segments, without blanks around it."""
        return "".join(segment.text for segment in self.dropped).strip()

    @property
    def avg_logprob(self) -> float:
        """Mean of the segments' log probabilities, each weighted by its number of tokens."""
        told = self._told
        n_tokens = sum(segment.n_tokens for segment in told)
        if not n_tokens:
            return nan
        return sum(segment.avg_logprob * segment.n_tokens for segment in told) / n_tokens

    @property
    def no_speech_prob(self) -> float:
        """The segments' largest: one window without speech puts the whole text in doubt."""
        return max((segment.no_speech_prob for segment in self._told), default=nan)

    @property
    def compression_ratio(self) -> float:
        """The segments' largest: the most repetitive window."""
        return max((segment.compression_ratio for segment in self._told), default=nan)

    @property
    def _told(self) -> tuple[Segment, ...]:
        """The segments that figures speak of: the kept ones, or the dropped where none was kept."""
        return self.segments or self.dropped


def overlaps(start: float, end: float, spans: Sequence[Span], slack_seconds: float = 0.0) -> bool:
    """Whether a stretch of time meets one of the spans, or is no further away than the slack."""
    return any(
        start < span_end + slack_seconds and end > span_start - slack_seconds
        for span_start, span_end in spans
    )
