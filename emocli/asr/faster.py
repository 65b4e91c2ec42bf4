"""Whisper by faster-whisper, that is by CTranslate2, in int8 or in halves too."""

import copy
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from numpy.typing import NDArray

from emocli.asr.languages import LANGUAGES
from emocli.asr.transcriber import OnWindow, Transcriber, no_report
from emocli.errors import ModelError
from emocli.models.lanes import count_lanes
from emocli.models.protocol import ModelCard
from emocli.transcript import Segment, TranscribeOptions, Transcript, Word

COMPUTE_TYPES = {
    ("cpu", "auto"): "float32",
    ("cpu", "int8"): "int8_float32",
    ("cuda", "auto"): "float16",
    ("cuda", "int8"): "int8_float16",
}
"""What CTranslate2 calls a number format on a device; ``fp32`` and the like are the same on all."""

_PLAIN_TYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


class _Seeded:
    """CTranslate2's network for one recording: what it draws does not depend on other recordings.

    CTranslate2 seeds the random numbers of a network's threads once, when they are first used. So
    only a network of its own draws the same for a recording whatever was drawn before; it is
    loaded when a window needs it.

    Args:
        network: computes what is not drawn.
        load: loads another.
    """

    def __init__(self, network: Any, load: Callable[[], Any]) -> None:
        self._network = network
        self._load = load

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def generate(self, *inputs: Any, **how: Any) -> Any:
        """Texts of windows; above temperature 0 they are drawn."""
        network = self._drawing if how.get("sampling_temperature") else self._network
        return network.generate(*inputs, **how)

    @cached_property
    def _drawing(self) -> Any:
        ctranslate2.set_random_seed(0)
        return self._load()


class FasterTranscriber(Transcriber):
    """A `Transcriber` that calls ``faster_whisper.WhisperModel.transcribe``.

    Args:
        model: on its device.
        card: what the model is.
        n_lanes: recordings that it was loaded for at a time.
        load_again: loads its network a second time; None where memory is too dear for that, and
            recordings that are drawn depend on each other.
    """

    def __init__(
        self,
        model: WhisperModel,
        card: ModelCard,
        n_lanes: int = 1,
        load_again: Callable[[], Any] | None = None,
    ) -> None:
        self.card = card
        self._model = model
        self._n_lanes = n_lanes
        self._load_again = load_again
        number = model.hf_tokenizer.token_to_id
        known = tuple(code for code in LANGUAGES if number(f"<|{code}|>") is not None)
        self.languages = known if model.model.is_multilingual else ("en",)
        self._end_of_text = number("<|endoftext|>")

    def n_lanes(self, options: TranscribeOptions) -> int:
        """Recordings at a time, as many as the model was loaded for."""
        return self._n_lanes

    def transcribe(
        self,
        waveform: NDArray[np.float32],
        options: TranscribeOptions,
        on_window: OnWindow = no_report,
    ) -> Transcript:
        """What faster-whisper writes down; see `Transcriber.transcribe`."""
        model = copy.copy(self._model)
        if self._load_again is not None:
            model.model = _Seeded(self._model.model, self._load_again)
        on_window(0.0)
        found, facts = model.transcribe(
            waveform,
            language=options.language,
            task=options.task,
            initial_prompt=options.initial_prompt,
            word_timestamps=options.word_timestamps,
            beam_size=options.beam_size or 1,
            best_of=1,
            temperature=list(options.temperatures),
            condition_on_previous_text=options.condition_on_previous_text,
            no_speech_threshold=options.no_speech_threshold,
            log_prob_threshold=options.logprob_threshold,
            compression_ratio_threshold=options.compression_ratio_threshold,
        )
        segments = []
        for one in found:  # computed as they are taken
            on_window(float(one.end))
            segments.append(self._segment(one))
        return Transcript(facts.language, tuple(segments))

    def _segment(self, found: Any) -> Segment:
        return Segment(
            start=float(found.start),
            end=float(found.end),
            text=found.text,
            avg_logprob=found.avg_logprob,
            no_speech_prob=found.no_speech_prob,
            compression_ratio=found.compression_ratio,
            n_tokens=sum(token < self._end_of_text for token in found.tokens),
            words=tuple(
                Word(float(one.start), float(one.end), one.word, float(one.probability))
                for one in found.words or ()
            ),
        )


def load_converted(
    folder: Path, card: ModelCard, *, device: str, dtype: str, n_recordings: int = 1
) -> FasterTranscriber:
    """A transcriber from a folder that was converted for CTranslate2.

    Args:
        folder: holds ``model.bin``, ``config.json``, a vocabulary and ``tokenizer.json``.
        card: what is known of it; the size is filled in.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        dtype: ``"auto"`` (fp32 on a CPU, fp16 on a GPU), ``"fp32"``, ``"bf16"``, ``"fp16"`` or
            ``"int8"``.
        n_recordings: how many there are; on a CPU several can be heard at a time.

    Raises:
        ModelError: the device or the number format is not there, or the folder is damaged.
    """
    kind, _, number = device.partition(":")
    if kind == "auto":
        kind = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    if not (folder / "tokenizer.json").is_file():  # the library would fetch one from the hub
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
    except Exception as error:  # noqa: BLE001 - the tokenizers library raises nothing narrower
        raise ModelError(
            f"{card.name}: CTranslate2 cannot load {folder} ({' '.join(str(error).split())}), "
            f"expected a Whisper checkpoint converted for it. "
            f"Remove it and fetch or convert it again."
        ) from None
    card = replace(
        card,
        size_bytes=card.size_bytes or (folder / "model.bin").stat().st_size,
        number_format={"cpu": "fp32", "cuda": "fp16"}[kind] if dtype == "auto" else dtype,
    )
    load_again = partial(
        ctranslate2.models.Whisper,
        str(folder),
        compute_type=compute_type,
        intra_threads=n_threads // n_lanes,
    )
    return FasterTranscriber(model, card, n_lanes, load_again if kind == "cpu" else None)


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
    if given.isdigit() and int(given):
        return int(given)
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
