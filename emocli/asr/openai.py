"""Whisper by openai-whisper, from its ``.pt`` checkpoints."""

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
import whisper
from numpy.typing import NDArray
from torch.overrides import TorchFunctionMode
from whisper.decoding import DecodingOptions, DecodingResult
from whisper.model import ModelDimensions
from whisper.tokenizer import get_tokenizer

from emocli.asr.transcriber import OnWindow, Transcriber, no_report
from emocli.errors import ModelError
from emocli.models.lanes import count_lanes, shared_threads
from emocli.models.protocol import ModelCard
from emocli.transcript import Segment, TranscribeOptions, Transcript, Word

SECONDS_PER_WINDOW = 30.0
_SAMPLING = Lock()  # openai-whisper draws from the generator that all threads of torch share


class Network(whisper.model.Whisper):
    """openai-whisper's network, with two changes to how ``whisper.transcribe`` decodes a window.

    A window is encoded once for all temperatures. When the text of every temperature fails the
    thresholds, the most probable of those that do not repeat themselves is kept, as faster-whisper
    does it; openai-whisper keeps the last, which is drawn at the highest temperature.
    """

    def begin(self, options: TranscribeOptions, on_window: OnWindow) -> None:
        """Get ready for a recording."""
        self._options = options
        self._on_window = on_window
        self._n_windows = 0
        self._mel: torch.Tensor | None = None
        self._tried: list[DecodingResult] = []

    @torch.no_grad()
    def decode(self, mel: torch.Tensor, options: DecodingOptions) -> DecodingResult:
        """The text of a window, (n_mels, 3000), at one temperature."""
        if options.temperature == self._options.temperatures[0]:
            self._on_window(self._n_windows * SECONDS_PER_WINDOW)
            self._n_windows += 1
            self._tried = []
        if self._mel is None or not torch.equal(self._mel, mel):
            self._mel, self._heard = mel, self.encoder(mel[None])[0]
        if options.temperature > 0:
            with _SAMPLING, _seeded(self.device):
                result = super().decode(self._heard, options)
        else:
            result = super().decode(self._heard, options)
        self._tried.append(result)
        if options.temperature == self._options.temperatures[-1] and self._fails(result):
            return self._most_probable(options.temperature)
        return result

    def _fails(self, result: DecodingResult) -> bool:
        return self._repeats(result) or result.avg_logprob < self._options.logprob_threshold

    def _repeats(self, result: DecodingResult) -> bool:
        return result.compression_ratio > self._options.compression_ratio_threshold

    def _most_probable(self, temperature: float) -> DecodingResult:
        """The best text of a window; its temperature is the last, which resets the prompt."""
        usable = [result for result in self._tried if not self._repeats(result)] or self._tried
        return replace(max(usable, key=lambda one: one.avg_logprob), temperature=temperature)


@contextmanager
def _seeded(device: torch.device) -> Iterator[None]:
    """Draw the same each time, and leave the generators as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        yield


class OpenAITranscriber(Transcriber):
    """A `Transcriber` that calls ``whisper.transcribe``.

    Args:
        network: on its device, for inference.
        card: what the model is.
        fp16: compute in half precision.
        n_recordings: how many it shall hear.
    """

    def __init__(
        self, network: Network, card: ModelCard, *, fp16: bool = False, n_recordings: int = 1
    ) -> None:
        self.card = card
        self.network = network
        self._fp16 = fp16
        self._n_recordings = n_recordings
        with _quiet():
            words = get_tokenizer(network.is_multilingual, num_languages=network.num_languages)
        self.languages = words.all_language_codes if network.is_multilingual else ("en",)
        self._end_of_text = words.eot

    def n_lanes(self, options: TranscribeOptions) -> int:
        """Recordings at a time; one where the library changes what all threads share.

        Word times switch the attention of all networks, sampling draws from one generator.
        """
        alone = options.word_timestamps or options.temperatures[0] > 0
        if alone or self.network.device.type != "cpu":
            return 1
        return count_lanes(torch.get_num_threads(), self._n_recordings)

    @contextmanager
    def shared(self, n_lanes: int) -> Iterator[Callable[[], None]]:
        """Torch's threads dealt over lanes; the library keeps its remarks to itself."""
        with _quiet(), shared_threads(n_lanes) as take_share:
            yield take_share

    def transcribe(
        self,
        waveform: NDArray[np.float32],
        options: TranscribeOptions,
        on_window: OnWindow = no_report,
    ) -> Transcript:
        """What ``whisper.transcribe`` writes down; see `Transcriber.transcribe`."""
        network = self._own_network()
        network.begin(options, on_window)
        found = whisper.transcribe(
            network,
            np.ascontiguousarray(waveform),
            language=options.language,
            task=options.task,
            initial_prompt=options.initial_prompt,
            word_timestamps=options.word_timestamps,
            beam_size=options.beam_size,
            temperature=options.temperatures,
            condition_on_previous_text=options.condition_on_previous_text,
            no_speech_threshold=options.no_speech_threshold,
            logprob_threshold=options.logprob_threshold,
            compression_ratio_threshold=options.compression_ratio_threshold,
            fp16=self._fp16,
        )
        segments = [self._segment(one) for one in found["segments"] if one["text"].strip()]
        return Transcript(found["language"], tuple(segments))

    def _own_network(self) -> Network:
        """A network of the same weights for one thread: the decoder's cache hangs on modules."""
        tensors = chain(self.network.parameters(), self.network.buffers())
        return copy.deepcopy(self.network, {id(tensor): tensor for tensor in tensors})

    def _segment(self, found: Mapping[str, Any]) -> Segment:
        return Segment(
            start=float(found["start"]),
            end=float(found["end"]),
            text=found["text"],
            avg_logprob=found["avg_logprob"],
            no_speech_prob=found["no_speech_prob"],
            compression_ratio=found["compression_ratio"],
            n_tokens=sum(token < self._end_of_text for token in found["tokens"]),
            words=tuple(
                Word(float(one["start"]), float(one["end"]), one["word"], float(one["probability"]))
                for one in found.get("words", ())
            ),
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without remarks of the library that a user can do nothing about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Failed to launch Triton kernels", UserWarning)
        warnings.filterwarnings("ignore", "Performing inference on CPU", UserWarning)
        warnings.filterwarnings("ignore", "Word-level timestamps on translations", UserWarning)
        warnings.filterwarnings("ignore", "__array_wrap__ must accept", DeprecationWarning)
        warnings.filterwarnings("ignore", r"unclosed file .*\.tiktoken", ResourceWarning)
        yield


def load_checkpoint(
    path: Path, card: ModelCard, *, device: str, fp16: bool = False, n_recordings: int = 1
) -> OpenAITranscriber:
    """A transcriber from a ``.pt`` checkpoint of openai-whisper.

    Only tensors and plain values are read from the file: a checkpoint can run no code.

    Args:
        path: the checkpoint.
        card: what is known of it, with the SHA-256 of the file as its revision; the number of
            weights and the size are filled in.
        device: where to compute, such as ``"cpu"``.
        fp16: compute in half precision.
        n_recordings: how many recordings it shall hear.

    Raises:
        ModelError: the file is no Whisper checkpoint, or its weights do not fit its dimensions.
    """
    checkpoint = _read(path)
    try:
        dims = ModelDimensions(**checkpoint["dims"])
        if not all(type(size) is int and size > 0 for size in vars(dims).values()):
            raise TypeError("dimensions that are no numbers above 0")
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"{path}: no Whisper checkpoint ({_first_line(error)}), expected dims and "
            f"model_state_dict as openai-whisper saves them. Choose another file."
        ) from None
    try:
        with _Undrawn():
            network = Network(dims)
        network.load_state_dict(checkpoint["model_state_dict"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{path}: weights do not fit a Whisper network of its dimensions "
            f"({_first_line(error)}), expected all of them and no other. Fetch the file again."
        ) from None
    size = next((size for size in whisper._MODELS if published_sha256(size) == card.revision), "")
    if size in whisper._ALIGNMENT_HEADS:
        network.set_alignment_heads(whisper._ALIGNMENT_HEADS[size])
    network.eval().requires_grad_(False).to(device)
    card = replace(
        card,
        n_parameters=sum(weight.numel() for weight in network.parameters()),
        size_bytes=path.stat().st_size,
        number_format="fp16" if fp16 else "fp32",
    )
    return OpenAITranscriber(network, card, fp16=fp16, n_recordings=n_recordings)


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
