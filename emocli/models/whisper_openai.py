"""Whisper networks computed by openai-whisper, from its ``.pt`` checkpoints."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import whisper
from numpy.typing import NDArray
from torch.overrides import TorchFunctionMode
from whisper.audio import N_FRAMES, N_SAMPLES, log_mel_spectrogram, pad_or_trim
from whisper.model import ModelDimensions
from whisper.timing import add_word_timestamps
from whisper.tokenizer import Tokenizer, get_tokenizer

from emocli.errors import ModelError
from emocli.models.protocol import ModelCard
from emocli.models.whisper import HOP_SAMPLES, SAMPLING_RATE, Decoded, TokenSegment
from emocli.models.whisper_decoder import Decoder, OnTorch, WindowStepper, openai_decoder
from emocli.models.whisper_search import Vocabulary, search
from emocli.transcript import Segment, TranscribeOptions, Word


@dataclass(frozen=True)
class OpenAIWhisper(OnTorch):
    """A `WhisperNetwork` on top of ``whisper.model.Whisper``.

    Attributes:
        model: the network, on its device.
        card: what the model is.
        fp16: compute in half precision.
    """

    model: Any
    card: ModelCard
    fp16: bool = False

    @property
    def end_of_text(self) -> int:
        """The first token that is no text."""
        return int(self._tokenizer.eot)

    @property
    def first_time_token(self) -> int:
        """The token of second 0.00."""
        return int(self._tokenizer.timestamp_begin)

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages that the model knows."""
        return tuple(self._tokenizer.all_language_codes) if self.model.is_multilingual else ("en",)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        with _quiet():
            return get_tokenizer(self.model.is_multilingual, num_languages=self.model.num_languages)

    def features(self, waveform: NDArray[np.float32]) -> torch.Tensor:
        """Log-mel spectrogram of the waveform and 30 s of silence, (n_mels, n_frames + 3000)."""
        return log_mel_spectrogram(
            torch.from_numpy(np.ascontiguousarray(waveform)),
            self.model.dims.n_mels,
            padding=N_SAMPLES,
        )

    def hear(self, window: torch.Tensor) -> torch.Tensor:
        """The encoder's output for a window, (n_audio_ctx, n_audio_state)."""
        return self.model.encoder(self._padded(window)[None])[0]

    def _padded(self, window: torch.Tensor) -> torch.Tensor:
        dtype = torch.float16 if self.fp16 else torch.float32
        return pad_or_trim(window, N_FRAMES).to(self.model.device, dtype)  # (n_mels, 3000)

    def detect_language(self, heard: torch.Tensor) -> str:
        """Code of the most probable language; English for a model that knows no other."""
        if self.languages == ("en",):
            return "en"
        _, probs = self.model.detect_language(heard)
        return str(max(probs, key=probs.__getitem__))

    def decode(
        self,
        heard: torch.Tensor,
        prompt: Sequence[int],
        language: str,
        options: TranscribeOptions,
        temperature: float,
        chance: torch.Generator,
    ) -> Decoded:
        """Text of a window."""
        words = self._tokenizer
        half = self.model.dims.n_text_ctx // 2
        before = [words.sot_prev, *prompt[-(half - 1) :]] if prompt else []
        n_beams = options.beam_size if temperature == 0 else None
        return search(
            WindowStepper(self._decoder, heard, n_beams or 1),
            [*before, *self._start(language, options.task)],
            self._vocabulary,
            temperature=temperature,
            chance=chance,
            n_beams=n_beams,
            max_tokens=half,
            max_length=self.model.dims.n_text_ctx,
        )

    def _start(self, language: str, task: str) -> list[int]:
        """The tokens that say what is to be written."""
        words = self._tokenizer
        if not self.model.is_multilingual:
            return [words.sot]
        asked = words.transcribe if task == "transcribe" else words.translate
        return [words.sot, words.to_language_token(language), asked]

    @cached_property
    def _decoder(self) -> Decoder:
        return openai_decoder(self.model.decoder)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        words = self._tokenizer
        special = (words.transcribe, words.translate, words.sot, words.sot_prev, words.sot_lm)
        suppressed = {*words.non_speech_tokens, *special, words.no_speech} - {None}
        return Vocabulary(
            end_of_text=words.eot,
            start=words.sot,
            previous=words.sot_prev,
            no_times=words.no_timestamps,
            no_speech=words.no_speech,
            first_time=words.timestamp_begin,
            suppressed=tuple(sorted(suppressed)),
            blank=(*words.encode(" "), words.eot),
        )

    def encode(self, text: str) -> list[int]:
        """Tokens of a text."""
        return list(self._tokenizer.encode(text))

    def text(self, tokens: Sequence[int]) -> str:
        """Text of tokens, without time tokens."""
        return str(self._tokenizer.decode(list(tokens)))

    def time_words(
        self,
        window: torch.Tensor,
        segments: Sequence[TokenSegment],
        language: str,
        options: TranscribeOptions,
        last_speech_seconds: float,
    ) -> list[Segment]:
        """The segments with the times of their words, by the library's own alignment."""
        entries = [_entry(segment) for segment in segments]
        tokenizer = get_tokenizer(
            self.model.is_multilingual,
            num_languages=self.model.num_languages,
            language=language,
            task=options.task,
        )
        with _quiet():
            add_word_timestamps(
                segments=entries,
                model=self.model,
                tokenizer=tokenizer,
                mel=self._padded(window),
                num_frames=window.shape[-1],
                last_speech_timestamp=last_speech_seconds,
            )
        return [
            replace(
                piece.segment,
                start=entry["start"],
                end=entry["end"],
                words=tuple(
                    Word(
                        float(word["start"]),
                        float(word["end"]),
                        word["word"],
                        float(word["probability"]),
                    )
                    for word in entry["words"]
                ),
            )
            for piece, entry in zip(segments, entries, strict=True)
        ]


def _entry(piece: TokenSegment) -> dict[str, Any]:
    """A segment as `add_word_timestamps` wants it."""
    return {
        "seek": round(piece.offset_seconds * SAMPLING_RATE / HOP_SAMPLES),
        "start": piece.segment.start,
        "end": piece.segment.end,
        "tokens": list(piece.tokens),
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Without remarks of the library that a user can do nothing about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Failed to launch Triton kernels", UserWarning)
        warnings.filterwarnings("ignore", "__array_wrap__ must accept", DeprecationWarning)
        warnings.filterwarnings("ignore", r"unclosed file .*\.tiktoken", ResourceWarning)
        yield


def load_checkpoint(
    path: Path, card: ModelCard, *, size: str, device: str, fp16: bool
) -> OpenAIWhisper:
    """A network from a ``.pt`` checkpoint of openai-whisper.

    Only tensors and plain values are read from the file: a checkpoint can run no code.

    Args:
        path: the checkpoint.
        card: what is known of it; the number of weights and the size are filled in.
        size: name such as ``"tiny"`` if it is a published one, for the attention heads that
            word times come from; empty otherwise.
        device: where to compute, such as ``"cpu"``.
        fp16: compute in half precision.

    Raises:
        ModelError: the file is no Whisper checkpoint, or its weights do not fit its dimensions.
    """
    checkpoint = _read(path)
    try:
        dims = ModelDimensions(**checkpoint["dims"])
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"{path}: no Whisper checkpoint ({_first_line(error)}), expected dims and "
            f"model_state_dict as openai-whisper saves them. Choose another file."
        ) from None
    with _Undrawn():
        model = whisper.model.Whisper(dims)
    try:
        model.load_state_dict(checkpoint["model_state_dict"])
    except (KeyError, TypeError, RuntimeError) as error:
        raise ModelError(
            f"{path}: weights do not fit a Whisper network of its dimensions "
            f"({_first_line(error)}), expected all of them and no other. Fetch the file again."
        ) from None
    if size in whisper._ALIGNMENT_HEADS:
        model.set_alignment_heads(whisper._ALIGNMENT_HEADS[size])
    model.eval().requires_grad_(False).to(device)
    card = replace(
        card,
        n_parameters=sum(weight.numel() for weight in model.parameters()),
        size_bytes=path.stat().st_size,
    )
    return OpenAIWhisper(model, card, fp16)


class _Undrawn(TorchFunctionMode):
    """Leaves new weights as they are: a checkpoint replaces them, and drawing them takes seconds.

    Only for networks all of whose weights are loaded afterwards.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in (torch.nn.init.kaiming_uniform_, torch.nn.init.uniform_, torch.nn.init.normal_):
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def published_sha256(size: str) -> str:
    """The checksum of a published checkpoint, which is part of its address."""
    return str(whisper._MODELS[size].split("/")[-2])


def _read(path: Path) -> Any:
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (
        torch.serialization.pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:
        raise ModelError(
            f"{path}: cannot be read as a checkpoint ({_first_line(error)}), expected a .pt file "
            f"of openai-whisper with tensors only. Fetch the file again."
        ) from None
    return checkpoint if isinstance(checkpoint, dict) else {}


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".: ")
