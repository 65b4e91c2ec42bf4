"""Whisper over recordings of any length, whatever library computes the network.

Whisper hears 30 seconds at a time. The walk over a recording (where the next window starts, when
to try again at a higher temperature, what counts as silence, how the text is cut at time tokens)
is done here, for all libraries alike. It takes the same decisions as ``whisper.transcribe`` of
openai-whisper 20250625 and gives the same segments, with two differences: what is dropped as
silence is returned too, apart from the rest; and the language is the most probable one of the
first window that somebody speaks in, as the encoder heard it for its text. The reference runs the
encoder once more for it and hears silence instead of zeros after the end of a shorter recording;
faster-whisper hears zeros.

Source: Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision",
section 4.5.
"""

import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emocli.errors import ModelError
from emocli.models.protocol import ModelCard
from emocli.models.whisper_languages import LANGUAGES
from emocli.transcript import (
    Segment,
    Span,
    TranscribeOptions,
    Transcript,
    overlaps,
)

SAMPLING_RATE = 16000
HOP_SAMPLES = 160
FRAMES_PER_SECOND = SAMPLING_RATE // HOP_SAMPLES  # 100
WINDOW_SECONDS = 30
WINDOW_FRAMES = WINDOW_SECONDS * FRAMES_PER_SECOND  # 3000
SECONDS_PER_TIME_TOKEN = 0.02
FRAMES_PER_TIME_TOKEN = 2
MAX_FIRST_TIME_TOKEN = 50
"""The first time token of a window is at most 1 s: speech that starts later has another window."""
LEADING_MARKS = "\"'“¿([{-"
TRAILING_MARKS = "\"'.。,，!！?？:：”)]}、"
"""Punctuation that belongs to the word after it, and to the one before it."""
SLACK_SECONDS = 0.2
"""How far a segment and speech may be apart and still belong together.

Whisper's times are rarely better than that.
"""


class Abandoned(Exception):
    """Nobody waits for the transcript any more."""


def _always() -> bool:
    return True


class Transcriber(Protocol):
    """A loaded recogniser."""

    @property
    def card(self) -> ModelCard:
        """What the model is."""
        ...

    def n_lanes(self, options: TranscribeOptions) -> int:
        """Recordings that are best transcribed at a time, in as many threads."""
        ...

    def shared(self, n_lanes: int) -> AbstractContextManager[Callable[[], None] | None]:
        """Deals the processor over lanes; gives what each of their threads calls first, if any."""
        ...

    def check(self, options: TranscribeOptions) -> None:
        """Make sure that the model can do what is asked.

        Raises:
            ModelError: it does not know the language, or cannot translate.
        """
        ...

    def transcribe(
        self,
        waveform: NDArray[np.float32],
        options: TranscribeOptions,
        *,
        speech: Sequence[Span] | None = None,
        is_wanted: Callable[[], bool] = _always,
    ) -> Transcript:
        """What is said in a recording. The same recording gives the same text every time.

        Args:
            waveform: mono, shape (n_samples,), 16000 Hz, [-1, 1].
            options: how to transcribe.
            speech: where somebody speaks, in seconds; None where nobody has looked. Windows
                without speech are not listened to, segments without speech are dropped.
            is_wanted: asked before each window whether anybody still waits for the transcript.

        Raises:
            Abandoned: nobody does.
        """
        ...


@dataclass(frozen=True)
class Decoded:
    """The text of one window.

    Attributes:
        tokens: text and time tokens, without those that start and end the text.
        avg_logprob: mean log probability of the tokens and of the end, in nats.
        no_speech_prob: probability of no speech, 0 to 1.
    """

    tokens: tuple[int, ...]
    avg_logprob: float
    no_speech_prob: float


class WhisperNetwork(Protocol):
    """A Whisper network and its vocabulary, behind one library or another."""

    @property
    def card(self) -> ModelCard:
        """What the model is."""
        ...

    @property
    def times_words_alone(self) -> bool:
        """Whether nothing else may be computed while `time_words` is at work."""
        ...

    @property
    def languages(self) -> Sequence[str]:
        """Codes of the languages that the model knows; only ``"en"`` for an English one."""
        ...

    @property
    def end_of_text(self) -> int:
        """The first token that is no text."""
        ...

    @property
    def first_time_token(self) -> int:
        """The token of second 0.00; later times follow in steps of 0.02 s."""
        ...

    def features(self, waveform: NDArray[np.float32]) -> Any:
        """Log-mel spectrogram of the waveform and 30 s of silence, (n_mels, n_frames + 3000)."""
        ...

    def hear(self, window: Any) -> Any:
        """What the encoder makes of a window, (n_mels, up to 3000); zeros fill the window."""
        ...

    def detect_language(self, heard: Any) -> str:
        """Code of the most probable language of a window."""
        ...

    def decode(
        self,
        heard: Any,
        prompt: Sequence[int],
        language: str,
        options: TranscribeOptions,
        temperature: float,
        chance: Any,
    ) -> Decoded:
        """Text of a window that `hear` has heard; above temperature 0 ``chance`` draws it."""
        ...

    def chance(self) -> Any:
        """A source of random numbers for one recording, the same for each."""
        ...

    def shared(self, n_lanes: int) -> AbstractContextManager[Callable[[], None] | None]:
        """Deals the processor over lanes; gives what each of their threads calls first, if any."""
        ...

    def encode(self, text: str) -> list[int]:
        """Tokens of a text."""
        ...

    def text(self, tokens: Sequence[int]) -> str:
        """Text of tokens; time tokens and other special ones are left out."""
        ...

    def time_words(
        self,
        window: Any,
        segments: Sequence["TokenSegment"],
        language: str,
        options: TranscribeOptions,
        last_speech_seconds: float,
    ) -> list[Segment]:
        """The segments of one window with the times of their words."""
        ...


@dataclass(frozen=True)
class TokenSegment:
    """A segment with the tokens that it was cut from.

    Attributes:
        segment: times, text and figures.
        tokens: its text and time tokens.
        offset_seconds: where its window starts in the recording.
    """

    segment: Segment
    tokens: tuple[int, ...]
    offset_seconds: float


@dataclass(frozen=True)
class WhisperTranscriber:
    """A `Transcriber` that walks a `WhisperNetwork` over recordings.

    Attributes:
        network: hears windows.
        most_lanes: recordings that it was loaded for at a time.
    """

    network: WhisperNetwork
    most_lanes: int = 1

    @property
    def card(self) -> ModelCard:
        """What the model is."""
        return self.network.card

    def n_lanes(self, options: TranscribeOptions) -> int:
        """Recordings at a time; see `Transcriber.n_lanes`."""
        alone = options.word_timestamps and self.network.times_words_alone
        return 1 if alone else self.most_lanes

    def shared(self, n_lanes: int) -> AbstractContextManager[Callable[[], None] | None]:
        """The processor dealt over lanes; see `Transcriber.shared`."""
        return self.network.shared(n_lanes)

    def check(self, options: TranscribeOptions) -> None:
        """Make sure that the model can do what is asked; see `Transcriber.check`."""
        known = self.network.languages
        asked = options.language
        if tuple(known) == ("en",) and (asked not in (None, "en") or options.task == "translate"):
            wish = "translate" if options.task == "translate" else LANGUAGES.get(asked or "", asked)
            raise ModelError(
                f"{self.card.name} knows English only, asked for {wish}. "
                f"Choose a model without .en in its name."
            )
        if asked is not None and asked not in known:
            raise ModelError(
                f"{self.card.name} knows {len(known)} languages, and {LANGUAGES.get(asked, asked)} "
                f"is not one of them. Choose another model, or leave the language out."
            )

    def transcribe(
        self,
        waveform: NDArray[np.float32],
        options: TranscribeOptions,
        *,
        speech: Sequence[Span] | None = None,
        is_wanted: Callable[[], bool] = _always,
    ) -> Transcript:
        """What is said in a recording; see `Transcriber.transcribe`."""
        self.check(options)
        features = self.network.features(waveform)
        language = options.language or ""
        return _Walk(self.network, options, features, speech, is_wanted, language).run()


@dataclass
class _Walk:
    """One pass over one recording: what was heard so far, and where to listen next."""

    network: WhisperNetwork
    options: TranscribeOptions
    features: Any  # (n_mels, n_frames + 3000)
    speech: Sequence[Span] | None
    is_wanted: Callable[[], bool]
    language: str = ""
    seek: int = 0  # frames
    told: list[int] = field(default_factory=list)  # tokens, for the prompt of the next window
    forget_before: int = 0  # index into ``told``
    last_speech_seconds: float = 0.0
    kept: list[Segment] = field(default_factory=list)
    dropped: list[Segment] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = self.network.chance()

    def run(self) -> Transcript:
        if self.options.initial_prompt:
            self.told += self.network.encode(" " + self.options.initial_prompt.strip())
        n_frames = self.features.shape[-1] - WINDOW_FRAMES
        while self.seek < n_frames:
            if not self.is_wanted():
                raise Abandoned
            self._listen(min(WINDOW_FRAMES, n_frames - self.seek))
        return Transcript(self.language, tuple(self.kept), tuple(self.dropped))

    def _listen(self, n_frames: int) -> None:
        """Transcribe one window and move on, by all of it or to the end of its last sentence."""
        start, end = self.seek / FRAMES_PER_SECOND, (self.seek + n_frames) / FRAMES_PER_SECOND
        if self.speech is not None and not overlaps(start, end, self.speech):
            self.seek += n_frames
            return
        window = self.features[:, self.seek : self.seek + n_frames]
        heard = self.network.hear(window)
        self.language = self.language or self.network.detect_language(heard)
        decoded, temperature = self._decode(heard)
        if _is_silence(decoded, self.options):
            self._drop_window(decoded, start, end)
            self.seek += n_frames
            return
        pieces, advance = self._cut(decoded, n_frames)
        if self.options.word_timestamps:
            advance = self._time_words(window, pieces, decoded, advance)
        self.seek += advance
        self._remember(pieces, temperature)

    def _decode(self, heard: Any) -> tuple[Decoded, float]:
        """The first decoding that is neither repetitive nor improbable, else the last one."""
        prompt = self.told[self.forget_before :]
        for temperature in self.options.temperatures:
            decoded = self.network.decode(
                heard, prompt, self.language, self.options, temperature, self.chance
            )
            if not self._is_poor(decoded):
                break
        return decoded, temperature

    def _is_poor(self, decoded: Decoded) -> bool:
        options = self.options
        improbable = decoded.avg_logprob < options.logprob_threshold
        if improbable and decoded.no_speech_prob > options.no_speech_threshold:
            return False  # silence: no temperature makes it speech
        text = self.network.text(decoded.tokens).strip()
        return improbable or compression_ratio(text) > options.compression_ratio_threshold

    def _drop_window(self, decoded: Decoded, start: float, end: float) -> None:
        segment = self._segment(decoded, decoded.tokens, start, end)
        if segment.text.strip():
            self.dropped.append(segment)

    def _cut(self, decoded: Decoded, n_frames: int) -> tuple[list[TokenSegment], int]:
        """Segments of a window, and how many frames to move on."""
        offset = self.seek / FRAMES_PER_SECOND
        tokens = decoded.tokens
        zero = self.network.first_time_token
        is_time = [token >= zero for token in tokens]
        ends_in_one_time = is_time[-2:] == [False, True]
        cuts = [at for at in range(1, len(tokens)) if is_time[at - 1] and is_time[at]]
        if not cuts:
            times = [token - zero for token in tokens if token >= zero]
            seconds = n_frames / FRAMES_PER_SECOND
            if times and times[-1] > 0:
                seconds = times[-1] * SECONDS_PER_TIME_TOKEN
            segment = self._segment(decoded, tokens, offset, offset + seconds)
            return [TokenSegment(segment, tokens, offset)], n_frames
        if ends_in_one_time:  # nothing is said after it
            cuts.append(len(tokens))
        pieces = []
        for begin, end in zip([0, *cuts[:-1]], cuts, strict=True):
            piece = tokens[begin:end]
            first, last = (
                offset + (token - zero) * SECONDS_PER_TIME_TOKEN for token in (piece[0], piece[-1])
            )
            segment = self._segment(decoded, piece, first, last)
            pieces.append(TokenSegment(segment, piece, offset))
        if ends_in_one_time:
            return pieces, n_frames
        # The last sentence is cut off by the window's end: the next window starts where it began.
        return pieces, (tokens[cuts[-1] - 1] - zero) * FRAMES_PER_TIME_TOKEN

    def _segment(
        self, decoded: Decoded, tokens: Sequence[int], start: float, end: float
    ) -> Segment:
        words = [token for token in tokens if token < self.network.end_of_text]
        return Segment(
            start=start,
            end=end,
            text=self.network.text(words),
            avg_logprob=decoded.avg_logprob,
            no_speech_prob=decoded.no_speech_prob,
            compression_ratio=compression_ratio(self.network.text(decoded.tokens).strip()),
            n_tokens=len(words),
        )

    def _time_words(
        self, window: Any, pieces: list[TokenSegment], decoded: Decoded, advance: int
    ) -> int:
        """Replace segments by ones with timed words; how many frames to move on then."""
        timed = self.network.time_words(
            window, pieces, self.language, self.options, self.last_speech_seconds
        )
        pieces[:] = [
            replace(piece, segment=segment) for piece, segment in zip(pieces, timed, strict=True)
        ]
        ends = [word.end for segment in timed for word in segment.words]
        self.last_speech_seconds = end = ends[-1] if ends else timed[-1].end
        is_time = [token >= self.network.first_time_token for token in decoded.tokens[-2:]]
        if is_time != [False, True] and end > self.seek / FRAMES_PER_SECOND:
            return round(end * FRAMES_PER_SECOND) - self.seek
        return advance

    def _remember(self, pieces: Sequence[TokenSegment], temperature: float) -> None:
        """Keep what has text and a length, and what the next window is to be told."""
        telling = [
            piece
            for piece in pieces
            if piece.segment.text.strip() and piece.segment.start != piece.segment.end
        ]
        for piece in telling:
            if self._is_spoken(piece.segment):
                self.kept.append(piece.segment)
                self.told += piece.tokens
            else:
                self.dropped.append(piece.segment)
        if not self.options.condition_on_previous_text or temperature > 0.5:
            self.forget_before = len(self.told)  # text sampled this freely would mislead

    def _is_spoken(self, segment: Segment) -> bool:
        return self.speech is None or overlaps(
            segment.start, segment.end, self.speech, SLACK_SECONDS
        )


def _is_silence(decoded: Decoded, options: TranscribeOptions) -> bool:
    return (
        decoded.no_speech_prob > options.no_speech_threshold
        and not decoded.avg_logprob > options.logprob_threshold
    )


def compression_ratio(text: str) -> float:
    """Bytes of a text over its bytes after zlib, above 0; repetitive text has a large one.

    Example:
        >>> compression_ratio("") == 0.0, compression_ratio("ha" * 50) > 2.4
        (True, True)
    """
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw))
