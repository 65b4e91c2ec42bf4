"""What a recogniser heard in a recording: segments, their times, and how much to trust them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

Span = tuple[float, float]
"""Start and end in seconds."""

FALLBACK_TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Tried in turn until a window's text is neither repetitive nor improbable."""

NO_SPEECH_THRESHOLD = 0.6
LOGPROB_THRESHOLD = -1.0
COMPRESSION_RATIO_THRESHOLD = 2.4
"""The thresholds that Whisper's authors chose (Radford et al. 2022, section 4.5)."""


@dataclass(frozen=True, kw_only=True)
class TranscribeOptions:
    """How to transcribe.

    Attributes:
        language: code such as ``"en"``; None detects it in the first 30 seconds.
        task: ``"transcribe"``, or ``"translate"`` into English.
        initial_prompt: text that the first window is told came before it.
        word_timestamps: also find the times of words.
        beam_size: width of the beam search at temperature 0; None decodes greedily.
        temperatures: sampling temperatures, tried in turn while the text fails the thresholds.
        condition_on_previous_text: tell each window what the one before it said.
        no_speech_threshold: a window above it is silence, unless its text is probable.
        logprob_threshold: mean log probability in nats a token below which a text is improbable.
        compression_ratio_threshold: text that compresses better than this repeats itself.
    """

    language: str | None = None
    task: str = "transcribe"
    initial_prompt: str | None = None
    word_timestamps: bool = False
    beam_size: int | None = None
    temperatures: tuple[float, ...] = FALLBACK_TEMPERATURES
    condition_on_previous_text: bool = True
    no_speech_threshold: float = NO_SPEECH_THRESHOLD
    logprob_threshold: float = LOGPROB_THRESHOLD
    compression_ratio_threshold: float = COMPRESSION_RATIO_THRESHOLD


@dataclass(frozen=True)
class Word:
    """One word, with the blank before it and punctuation attached.

    Attributes:
        start: seconds from the start of the recording.
        end: seconds from the start of the recording.
        text: the word as it stands in the segment's text.
        probability: mean probability of its tokens, 0 to 1.
    """

    start: float
    end: float
    text: str
    probability: float


@dataclass(frozen=True)
class Segment:
    """One phrase. Its figures are those of the 30 second window that it was decoded in.

    Attributes:
        start: seconds from the start of the recording.
        end: seconds from the start of the recording.
        text: what was said, with the blank that leads it.
        avg_logprob: mean log probability of the window's tokens in nats, at most 0.
        no_speech_prob: probability that the window holds no speech, 0 to 1.
        compression_ratio: bytes of the window's text over its bytes after zlib.
        n_tokens: number of text tokens of this segment.
        words: its words, if their times were asked for.
    """

    start: float
    end: float
    text: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    n_tokens: int
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Transcript:
    """What was heard in one recording.

    Attributes:
        language: code of the language; empty where the recording was never listened to.
        segments: what is taken to have been said, in order of time.
        dropped: what the model wrote where nobody seems to speak, in order of time.
    """

    language: str = ""
    segments: tuple[Segment, ...] = ()
    dropped: tuple[Segment, ...] = ()

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
