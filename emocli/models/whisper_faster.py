"""Whisper networks computed by faster-whisper, that is by CTranslate2, in int8 or halves too."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens
from numpy.typing import NDArray

from emocli.errors import ModelError
from emocli.models.lanes import count_lanes
from emocli.models.protocol import ModelCard
from emocli.models.whisper import (
    LEADING_MARKS,
    MAX_FIRST_TIME_TOKEN,
    TRAILING_MARKS,
    WINDOW_FRAMES,
    Decoded,
    TokenSegment,
)
from emocli.models.whisper_languages import LANGUAGES
from emocli.transcript import Segment, TranscribeOptions, Word

FACTS = "emocli.json"
"""File of a converted checkpoint that holds what CTranslate2 does not keep."""

COMPUTE_TYPES = {
    ("cpu", "auto"): "int8_float32",
    ("cpu", "int8"): "int8_float32",
    ("cuda", "auto"): "float16",
    ("cuda", "int8"): "int8_float16",
}
"""What CTranslate2 calls a number format on a device; ``fp32`` and the like are the same on all."""

_PLAIN_TYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
_CONTEXT = 448
"""Tokens that the decoder of every published Whisper holds."""


@dataclass(frozen=True)
class FasterWhisper:
    """A `WhisperNetwork` on top of ``faster_whisper.WhisperModel``.

    Attributes:
        model: the network, on its device.
        card: what the model is.
        load_again: loads a second one; None where memory is too dear for that.
    """

    model: Any
    card: ModelCard
    load_again: Callable[[], Any] | None = None

    times_words_alone = False

    @cached_property
    def end_of_text(self) -> int:
        """The first token that is no text."""
        return int(self._words("en", "transcribe").eot)

    @cached_property
    def first_time_token(self) -> int:
        """The token of second 0.00."""
        return int(self._words("en", "transcribe").timestamp_begin)

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages that the model knows."""
        if not self.model.model.is_multilingual:
            return ("en",)
        number = self.model.hf_tokenizer.token_to_id
        return tuple(code for code in LANGUAGES if number(f"<|{code}|>") is not None)

    def _words(self, language: str, task: str) -> Tokenizer:
        known = self.model.model.is_multilingual
        return Tokenizer(self.model.hf_tokenizer, known, task=task, language=language)

    @cached_property
    def _suppressed(self) -> list[int]:
        return list(get_suppressed_tokens(self._words("en", "transcribe"), [-1]))

    def features(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-mel spectrogram of the waveform, zeros after it, (n_mels, n_frames + 3000)."""
        known = self.model.feature_extractor(waveform)  # (n_mels, n_frames + 1)
        return np.pad(known, ((0, 0), (0, WINDOW_FRAMES - 1)))

    def hear(self, window: NDArray[np.float32]) -> Any:
        """The encoder's output for a window, (1, n_audio_ctx, n_states)."""
        filled = np.pad(window, ((0, 0), (0, WINDOW_FRAMES - window.shape[-1])))
        return self.model.encode(filled)

    def detect_language(self, heard: Any) -> str:
        """Code of the most probable language; English for a model that knows no other."""
        if self.languages == ("en",):
            return "en"
        ((best, _), *_), *_ = self.model.model.detect_language(heard)
        return str(best[2:-2])

    def decode(
        self,
        heard: Any,
        prompt: Sequence[int],
        language: str,
        options: TranscribeOptions,
        temperature: float,
        chance: "Chance",
    ) -> Decoded:
        """Text of a window."""
        how: dict[str, Any] = {"beam_size": options.beam_size or 1, "patience": 1}
        network = self.model.model
        if temperature > 0:
            how = {"beam_size": 1, "sampling_topk": 0, "sampling_temperature": temperature}
            network = chance.network
        words = self._words(language, options.task)
        (result,) = network.generate(
            heard,
            [self.model.get_prompt(words, list(prompt))],
            length_penalty=1,
            max_length=self.model.max_length,
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=self._suppressed,
            max_initial_timestamp_index=MAX_FIRST_TIME_TOKEN,
            **how,
        )
        (tokens, *_), (score, *_) = result.sequences_ids, result.scores
        avg_logprob = score * len(tokens) / (len(tokens) + 1)
        return Decoded(tuple(tokens), avg_logprob, result.no_speech_prob)

    def chance(self) -> "Chance":
        """A source of random numbers for one recording; on a CPU it is the same for each."""
        return Chance(self.load_again or (lambda: self.model.model))

    def shared(self, n_lanes: int) -> AbstractContextManager[None]:
        """Nothing, for the network was loaded with as many workers."""
        return nullcontext()

    def encode(self, text: str) -> list[int]:
        """Tokens of a text."""
        return list(self.model.hf_tokenizer.encode(text, add_special_tokens=False).ids)

    def text(self, tokens: Sequence[int]) -> str:
        """Text of tokens, without time tokens."""
        return str(self._words("en", "transcribe").decode(list(tokens)))

    def time_words(
        self,
        window: NDArray[np.float32],
        segments: Sequence[TokenSegment],
        language: str,
        options: TranscribeOptions,
        last_speech_seconds: float,
    ) -> list[Segment]:
        """The segments with the times of their words, by the library's own alignment."""
        entries = [
            {
                "seek": round(piece.offset_seconds * self.model.frames_per_second),
                "start": piece.segment.start,
                "end": piece.segment.end,
                "tokens": list(piece.tokens),
            }
            for piece in segments
        ]
        self.model.add_word_timestamps(
            [entries],
            self._words(language, options.task),
            self.hear(window),
            window.shape[-1],
            LEADING_MARKS,
            TRAILING_MARKS,
            last_speech_seconds,
        )
        return [
            _with_words(piece.segment, entry)
            for piece, entry in zip(segments, entries, strict=True)
        ]


def _with_words(segment: Segment, entry: dict[str, Any]) -> Segment:
    words = tuple(
        Word(float(word["start"]), float(word["end"]), word["word"], float(word["probability"]))
        for word in entry["words"]
    )
    return replace(segment, start=float(entry["start"]), end=float(entry["end"]), words=words)


class Chance:
    """The network that draws the tokens of one recording, loaded when a window first needs it.

    CTranslate2 seeds the random numbers of a network's threads once, when they are first used. So
    only a network of its own draws the same for a recording whatever was drawn before.

    Args:
        load: loads one.
    """

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load

    @cached_property
    def network(self) -> Any:
        """What draws."""
        ctranslate2.set_random_seed(0)
        return self._load()


def load_converted(
    folder: Path, card: ModelCard, *, device: str, dtype: str, n_recordings: int = 1
) -> tuple[FasterWhisper, int]:
    """A network from a folder that was converted for CTranslate2.

    Args:
        folder: holds ``model.bin``, ``config.json``, a vocabulary and ``tokenizer.json``.
        card: what is known of it; the number of weights and the size are filled in.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        dtype: ``"auto"`` (int8 on a CPU, fp16 on a GPU), ``"fp32"``, ``"bf16"``, ``"fp16"`` or
            ``"int8"``.
        n_recordings: how many there are; on a CPU several can be heard at a time.

    Returns:
        The network, and how many recordings at a time it was loaded for.

    Raises:
        ModelError: the device or the number format is not there, or the folder is damaged.
    """
    kind, _, number = device.partition(":")
    if kind == "auto":
        kind = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    if not (folder / "tokenizer.json").is_file():
        raise ModelError(
            f"{card.name}: {folder} holds no tokenizer.json, expected one beside model.bin. "
            f"Fetch the checkpoint again, or name the one that it was converted from."
        )
    compute_type = _compute_type(kind, dtype)
    n_threads = _n_threads()
    n_lanes = count_lanes(n_threads, n_recordings) if kind == "cpu" else 1
    try:
        model = WhisperModel(
            str(folder),
            device=kind,
            device_index=int(number or 0),
            compute_type=compute_type,
            cpu_threads=n_threads // n_lanes,
            num_workers=n_lanes,
            local_files_only=True,
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError(
            f"{card.name}: CTranslate2 cannot load {folder} ({' '.join(str(error).split())}), "
            f"expected a Whisper checkpoint converted for it. Remove that folder and try again."
        ) from None
    facts = json.loads(path.read_text()) if (path := folder / FACTS).is_file() else {}
    model.max_length = int(facts.get("n_text_ctx", _CONTEXT))
    card = replace(
        card,
        n_parameters=int(facts.get("n_parameters", 0)),
        size_bytes=card.size_bytes or (folder / "model.bin").stat().st_size,
    )
    load_again = partial(
        ctranslate2.models.Whisper,
        str(folder),
        compute_type=compute_type,
        intra_threads=n_threads // n_lanes,
    )
    return FasterWhisper(model, card, load_again if kind == "cpu" else None), n_lanes


def _compute_type(kind: str, dtype: str) -> str:
    """What CTranslate2 calls a number format.

    Raises:
        ModelError: it cannot compute in it on this machine.
    """
    wanted = _PLAIN_TYPES.get(dtype) or COMPUTE_TYPES.get((kind, dtype), "")
    try:
        known = ctranslate2.get_supported_compute_types(kind)
    except (RuntimeError, ValueError):
        raise ModelError(
            f"Device {kind} is not there for faster-whisper, expected one that CTranslate2 knows. "
            f"Use --device cpu."
        ) from None
    if wanted not in known:
        raise ModelError(
            f"faster-whisper cannot compute in {dtype} on this {kind}, "
            f"which does {', '.join(sorted(known))}. Use --dtype auto."
        )
    return wanted


def _n_threads() -> int:
    """Threads on a CPU: as many as the user said for other libraries, else one for each core."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit():
        return int(given)
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
