"""Networks on waveforms: what they take in, and one batch of it through them."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor, nn

from emocli.errors import ModelError
from emocli.models.batching import plan_batches
from emocli.models.building import place_network
from emocli.models.checkpoint import Checkpoint
from emocli.models.lanes import count_lanes, run_in_lanes
from emocli.models.outputs import Outputs
from emocli.models.speech_features import (
    FrontEnd,
    LibraryFeatures,
    StackedFilterbank,
    UtteranceNorm,
    WhisperSpectrogram,
)
from emocli.networks.masked_norm import MaskedGroupNorm

EXACT_WITH_PADDING = {"wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat"}
SECONDS_PER_BATCH = {"cpu": 30, "mps": 60, "cuda": 400}
"""Most seconds of audio in a batch unless the user says otherwise, with padding.

On a CPU larger batches gain nothing and cost memory.
"""
KALDI_FRAME_SAMPLES, KALDI_HOP_SAMPLES = 400, 160
WHISPER_HOP_SAMPLES = 160
WHISPER_HOPS_PER_POSITION = 2

Result = TypeVar("Result")

Forward = Callable[[Tensor, Tensor | None, Tensor], Tensor]
"""Inputs, sample mask (None without padding) and valid frames to the result."""


@dataclass(frozen=True)
class SpeechNetwork:
    """A network with all that has to be known to use it.

    Attributes:
        module: the network.
        forward: how to call it.
        front_end: what it takes in.
        outputs: what it gives.
        sampling_rate: Hz.
        convolutions: kernel and stride of each convolution over samples; empty if there are none.
        exact_with_padding: whether its answer stays the same when zeros and a mask are appended.
        min_samples: shortest waveform that it takes.
        max_samples: what it hears of a waveform; 0 if there is no limit.
        remark: a doubt about how the checkpoint is to be used.
    """

    module: nn.Module
    forward: Forward
    front_end: FrontEnd
    outputs: Outputs
    sampling_rate: int
    convolutions: tuple[tuple[int, int], ...] = ()
    exact_with_padding: bool = False
    min_samples: int = 1
    max_samples: int = 0
    remark: str = ""


class MemoryFull(ModelError):
    """A batch did not fit into the memory of the device."""


class NetworkRunner:
    """Puts waveforms through a network in batches.

    Utterances are batched with others of their own length, or of any length where padding is
    exact and the device gains from it; either way no utterance changes another's result. A CPU
    computes several batches at a time, each on its share of the threads.

    Args:
        name: of the model, for messages.
        network: what to run; it is moved to the device.
        device: where to compute.
        dtype: number format to compute in; see `place_network`.
        batch_size: most utterances at once; None for a size that suits the device.
        mixed_lengths: whether utterances of different lengths may share a batch where padding is
            exact; None for yes except on a CPU.
    """

    def __init__(
        self,
        name: str,
        network: SpeechNetwork,
        device: torch.device,
        dtype: torch.dtype,
        *,
        batch_size: int | None = None,
        mixed_lengths: bool | None = None,
    ) -> None:
        self._name, self._network = name, network
        self._device, self._dtype = device, dtype
        self._batch_size = batch_size
        wanted = device.type != "cpu" if mixed_lengths is None else mixed_lengths
        self._mixed = wanted and network.exact_with_padding
        self._norms = mask_norms(network.module) if self._mixed else []
        place_network(network.module, device, dtype)

    def in_batches(
        self,
        compute: Callable[[list[NDArray[np.float32]]], Result],
        utterances: Sequence[NDArray[np.float32]],
    ) -> list[tuple[NDArray[np.intp], Result]]:
        """Places of the utterances of each batch, and what is computed for them.

        Args:
            compute: calls `forward` with what the network takes in for a batch; on a CPU in
                several threads at a time.
            utterances: waveforms.
        """
        network = self._network
        heard = [self._heard(waveform) for waveform in utterances]
        # Spectrograms of Whisper all have one length, whatever the waveforms have.
        lengths = [network.max_samples or len(waveform) for waveform in heard]
        seconds = SECONDS_PER_BATCH.get(self._device.type, SECONDS_PER_BATCH["cpu"])
        plan = plan_batches(
            lengths,
            batch_size=self._batch_size,
            max_total=seconds * network.sampling_rate,
            mixed=self._mixed,
        )
        batches = list(plan)
        inputs = ([network.front_end(heard[i]) for i in batch] for batch in batches)
        with _no_warning_of_masks():
            results = run_in_lanes(compute, inputs, self._count_lanes(len(batches)))
        return list(zip(batches, results, strict=True))

    def _count_lanes(self, n_batches: int) -> int:
        """Batches that are computed at a time."""
        if self._device.type != "cpu" or self._mixed:  # masked norms are told of one batch
            return 1
        return count_lanes(torch.get_num_threads(), n_batches)

    def forward(self, inputs: Sequence[NDArray[np.float32]]) -> Tensor:
        """What the network gives for the inputs of one batch.

        Raises:
            MemoryFull: memory runs out.
        """
        lengths = [len(values) for values in inputs]
        stacked = self._sent(torch.from_numpy(stack(inputs))).to(self._dtype)
        padded = len(set(lengths)) > 1
        mask = valid_positions(self._counts(lengths), max(lengths)).long() if padded else None
        n_frames = count_frames(lengths, self._network.convolutions)
        valid = valid_positions(self._counts(n_frames), max(n_frames))
        self._tell_norms(lengths if padded else None)
        try:
            with torch.inference_mode(), _exact_arithmetic(self._device, self._dtype):
                return self._network.forward(stacked, mask, valid)
        except torch.OutOfMemoryError as error:
            raise MemoryFull(
                f"{self._name}: memory of {self._device} ran out with {len(inputs)} "
                f"utterances of up to {max(lengths)} values at once. Use a smaller --batch-size "
                f"or a shorter --window."
            ) from error

    def _sent(self, values: Tensor) -> Tensor:
        """Values on the device; on their way there while it computes the batch before."""
        if self._device.type == "cuda":
            values = values.pin_memory()  # or the copy would wait for all before it
        return values.to(self._device, non_blocking=True)

    def _counts(self, numbers: Sequence[int]) -> Tensor:
        """Whole numbers on the device."""
        return self._sent(torch.tensor(numbers))

    def _heard(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        missing = self._network.min_samples - len(waveform)
        return np.pad(waveform, (0, missing)) if missing > 0 else waveform

    def _tell_norms(self, n_samples: Sequence[int] | None) -> None:
        first = self._network.convolutions[:1]
        for norm in self._norms:
            norm.n_frames = (
                None if n_samples is None else self._counts(count_frames(n_samples, first))
            )


def not_heard(network: SpeechNetwork, utterances: Sequence[NDArray[np.float32]]) -> list[str]:
    """What of each utterance a network does not take in, empty where it takes all."""
    limit = network.max_samples
    said = f"only the first {limit / network.sampling_rate:g} s were heard"
    return [said if 0 < limit < len(waveform) else "" for waveform in utterances]


# What networks take in.


def with_waveforms(
    checkpoint: Checkpoint, config: Any, module: nn.Module, outputs: Outputs
) -> SpeechNetwork:
    """A network on waveforms that are normalised as the checkpoint's preprocessor says."""
    settings = checkpoint.preprocessor
    convolutions = tuple(zip(config.conv_kernel, config.conv_stride, strict=True))
    exact = config.model_type in EXACT_WITH_PADDING
    return SpeechNetwork(
        module=module,
        forward=module,
        front_end=UtteranceNorm(checkpoint.preprocessor_fields.flag("do_normalize", True)),
        outputs=outputs,
        sampling_rate=sampling_rate_of(checkpoint),
        convolutions=convolutions,
        # A batch norm before the positional convolution turns the zeros of padding into others.
        exact_with_padding=exact and not getattr(config, "conv_pos_batch_norm", False),
        min_samples=receptive_field(convolutions, getattr(config, "squeeze_factor", 1)),
        remark=""
        if settings
        else "It has no preprocessor_config.json; waveforms of 16 kHz with zero mean and unit "
        "variance are assumed.",
    )


def with_filterbank(
    checkpoint: Checkpoint, config: Any, module: nn.Module, outputs: Outputs
) -> SpeechNetwork:
    """A network on pairs of filter bank frames.

    Raises:
        ModelError: preprocessor and network do not fit.
    """
    settings = checkpoint.preprocessor_fields
    stride = settings.count("stride", 2)
    n_bins = settings.count("num_mel_bins", 80, smallest=1)
    if stride != 2 or n_bins * stride != config.feature_projection_input_dim:
        raise ModelError(
            f"{checkpoint.name}: preprocessor_config.json gives {stride} frames of {n_bins} bins "
            f"and the network takes {config.feature_projection_input_dim} values, expected two "
            f"frames that make as many. Repair preprocessor_config.json."
        )
    rate = sampling_rate_of(checkpoint)
    extractor = transformers.SeamlessM4TFeatureExtractor(
        feature_size=n_bins, num_mel_bins=n_bins, sampling_rate=rate, stride=stride
    )
    return SpeechNetwork(
        module=module,
        forward=lambda x, mask, _: module(x, attention_mask=mask).logits,
        front_end=StackedFilterbank(extractor),
        outputs=outputs,
        sampling_rate=rate,
        min_samples=KALDI_FRAME_SAMPLES + (stride - 1) * KALDI_HOP_SAMPLES,  # 560
    )


def with_whisper_front_end(
    checkpoint: Checkpoint, config: Any, module: nn.Module, outputs: Outputs
) -> SpeechNetwork:
    """A network on Whisper's spectrograms, which hold one length of audio."""
    rate = sampling_rate_of(checkpoint)
    n_hops = config.max_source_positions * WHISPER_HOPS_PER_POSITION
    extractor = transformers.WhisperFeatureExtractor(
        feature_size=config.num_mel_bins, sampling_rate=rate
    )
    n_samples = n_hops * WHISPER_HOP_SAMPLES  # 480000, 30 s, in all published checkpoints
    return SpeechNetwork(
        module=module,
        forward=lambda x, _mask, _valid: module(x).logits,
        front_end=WhisperSpectrogram(extractor, n_samples),
        outputs=outputs,
        sampling_rate=rate,
        max_samples=n_samples,
    )


def with_library_front_end(
    checkpoint: Checkpoint, module: nn.Module, outputs: Outputs
) -> SpeechNetwork:
    """A network on what the checkpoint's own feature extractor of the library makes of waveforms.

    Raises:
        ModelError: there is no such extractor, or the network does not take what it gives.
    """
    rate = sampling_rate_of(checkpoint)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of filters so narrow that no frequency is in them
            extractor = transformers.AutoFeatureExtractor.from_pretrained(
                checkpoint.folder, local_files_only=True, trust_remote_code=False
            )
        front_end = LibraryFeatures(extractor)
        with torch.inference_mode():
            module(torch.from_numpy(front_end(np.zeros(rate, np.float32)))[None])
    except Exception as error:  # whatever nonsense in a file makes the library raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(
            f"{checkpoint.name}: preprocessor_config.json describes no features that the network "
            f"takes ({reason}). Fetch the checkpoint again, or repair the file."
        ) from error
    return SpeechNetwork(
        module=module,
        forward=lambda x, _mask, _valid: module(x).logits,
        front_end=front_end,
        outputs=outputs,
        sampling_rate=rate,
        min_samples=KALDI_FRAME_SAMPLES,
        max_samples=front_end.max_samples,
    )


def sampling_rate_of(checkpoint: Checkpoint) -> int:
    """Hz that the checkpoint's preprocessor wants; 16000 where it says nothing.

    Raises:
        ModelError: it says something else than a rate.
    """
    return checkpoint.preprocessor_fields.count(
        "sampling_rate", 16000, smallest=1000, largest=192_000
    )


def receptive_field(convolutions: Sequence[tuple[int, int]], n_frames: int = 1) -> int:
    """Samples that the convolutions need for some frames."""
    length = n_frames
    for kernel, stride in reversed(convolutions):
        length = (length - 1) * stride + kernel
    return length  # 400 for one frame of wav2vec2 and its kin


def count_frames(lengths: Sequence[int], convolutions: Sequence[tuple[int, int]]) -> list[int]:
    """Frames that the convolutions give for inputs of some lengths."""
    counts = list(lengths)
    for kernel, stride in convolutions:
        counts = [(count - kernel) // stride + 1 for count in counts]
    return counts


def valid_positions(lengths: Tensor, longest: int) -> Tensor:
    """True where a sequence is, False where its padding is.

    Args:
        lengths: shape (n_utterances,).
        longest: of them, or more.

    Returns:
        Shape (n_utterances, longest), on the device of the lengths.
    """
    return torch.arange(longest, device=lengths.device) < lengths[:, None]


def stack(inputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """One array with zeros after inputs that are shorter than the longest."""
    stacked = np.zeros((len(inputs), max(map(len, inputs)), *inputs[0].shape[1:]), np.float32)
    for row, values in zip(stacked, inputs, strict=True):
        row[: len(values)] = values
    return stacked


def mask_norms(module: nn.Module) -> list[MaskedGroupNorm]:
    """Replace group norms over time by ones that leave padding out; those that do so already."""
    masked = [norm for norm in module.modules() if isinstance(norm, MaskedGroupNorm)]
    for parent in [part for part in module.modules() if part not in masked]:
        for child_name, child in list(parent.named_children()):
            if isinstance(child, nn.GroupNorm):
                norm = MaskedGroupNorm(child)
                setattr(parent, child_name, norm)
                masked.append(norm)
    return masked


@contextmanager
def _no_warning_of_masks() -> Iterator[None]:
    """WavLM hands torch a bool mask and a float bias, which gives the same numbers.

    Around all threads, for Python's filters of warnings are theirs together.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
        yield


def _exact_arithmetic(
    device: torch.device, dtype: torch.dtype
) -> AbstractContextManager[None, bool | None]:
    """fp32 that is fp32 also in convolutions on CUDA."""
    if device.type == "cuda" and dtype == torch.float32:
        return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    return nullcontext()
