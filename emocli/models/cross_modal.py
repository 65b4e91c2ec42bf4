"""Cross-modal networks with their frozen encoders, and stacks of them, as folders for ``-m``.

A folder holds the network and names its encoders, which are looked for where they were. Frames of
each encoder are computed once for all networks of a stack.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emocli.encoder_identity import EncoderIdentity
from emocli.errors import ModelError
from emocli.fusion.features import LOGITS, POSTERIORS, SMALLEST
from emocli.fusion.stacking import Stacking
from emocli.fusion.storage import load_fuser
from emocli.labels import plain_label
from emocli.models.batching import plan_batches
from emocli.models.building import skeleton_shapes
from emocli.models.checkpoint import Checkpoint, match_names
from emocli.models.devices import FAST
from emocli.models.encoders import Encoder, content_hash, load_encoder
from emocli.models.protocol import LoadOptions, ModelCard, Recognizer
from emocli.models.registry import MULTIMODAL, STACK_FILE
from emocli.networks.cross_modal import CrossModalConfig, CrossModalNetwork
from emocli.posteriors import log_softmax

NETWORK_TYPE = "emocli-cross-modal"
STACK_TYPE = "emocli-stack"
FRAMES_PER_BATCH = 20_000
"""Frames of the longest input in a batch with padding: 160 MB of states of 1024 values."""


@dataclass(frozen=True)
class Spoken:
    """An utterance as a multimodal model takes it.

    Attributes:
        waveform: float32 mono of shape (n_samples,).
        text: what is said; empty where nobody spoke.
    """

    waveform: NDArray[np.float32]
    text: str = ""

    def __len__(self) -> int:
        """Samples, by which utterances are arranged in batches."""
        return len(self.waveform)


class FlatNetwork(CrossModalNetwork):
    """A cross-modal network whose inputs are one tensor after the other.

    First the frames of each modality, then how many of them are valid. Gives logits alone where it
    has no second output.
    """

    def forward(self, *values: Tensor) -> Any:  # type: ignore[override]
        """Scores of utterances, see `CrossModalNetwork.forward`."""
        half = len(values) // 2
        scores = super().forward(values[:half], values[half:])
        return scores.logits if scores.neutral is None else scores


def averaged(frames: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Means of groups of frames that follow one another, the last group maybe smaller.

    Args:
        frames: shape (n_frames, dim).
        size: frames of a group.

    Returns:
        Shape (ceil(n_frames / size), dim).

    Example:
        >>> averaged(np.float32([[1], [3], [5]]), 2).tolist()
        [[2.0], [5.0]]
    """
    if size == 1:
        return frames
    starts = np.arange(0, len(frames), size)
    counts = np.diff([*starts, len(frames)])[:, np.newaxis]
    return np.asarray(np.add.reduceat(frames, starts, axis=0) / counts, dtype=np.float32)


def padded(frames: Sequence[Sequence[NDArray[np.float32]]]) -> tuple[Tensor, ...]:
    """Inputs of a `FlatNetwork`, on the CPU.

    Args:
        frames: of each modality, a sequence of arrays of shape (n_frames, n_channels).
    """
    stacked, counts = [], []
    for own in frames:
        lengths = [len(one) for one in own]
        values = torch.zeros(len(own), max(lengths), own[0].shape[1])
        for row, one in zip(values, own, strict=True):
            row[: len(one)] = torch.from_numpy(one)
        stacked.append(values)
        counts.append(torch.tensor(lengths))
    return (*stacked, *counts)


def score_frames(
    network: FlatNetwork, frames: Sequence[Sequence[NDArray[np.float32]]]
) -> NDArray[np.float64]:
    """Logits of utterances in batches of like length, shape (n_utterances, n_labels).

    Args:
        network: in evaluation mode.
        frames: of each modality, a sequence of arrays of shape (n_frames, n_channels).
    """
    device = next(network.parameters()).device
    lengths = np.max([[len(one) for one in own] for own in frames], axis=0)
    logits = np.empty((len(lengths), network.config.n_labels))
    most = FRAMES_PER_BATCH if network.config.masked else 1  # else padding would change results
    batches = plan_batches(lengths.tolist(), batch_size=None, max_total=most, mixed=True)
    for batch in batches:
        inputs = padded([[own[i] for i in batch] for own in frames])
        with torch.inference_mode():
            scores = network(*(values.to(device) for values in inputs))
        outputs = scores if isinstance(scores, Tensor) else scores.logits
        logits[batch] = outputs.double().cpu().numpy()
    return logits


class Encoders:
    """Encoders that several networks share, each loaded once and asked once for an utterance.

    Args:
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        dtype: number format of the encoders: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        batch_size: most utterances at once; None for a size that suits the device.
        offline: use only what is on this machine.
    """

    def __init__(
        self, device: str, dtype: str, batch_size: int | None = None, *, offline: bool = False
    ) -> None:
        self._machine = (device, dtype, batch_size, offline)
        self._loaded: dict[str, Encoder] = {}

    def load(self, facts: Mapping[str, Any], name: str) -> Encoder:
        """The encoder that a network was trained with.

        Args:
            facts: ``encoder``, ``layer``, ``max_tokens`` and ``identity``.
            name: of the network, for messages.

        Raises:
            ModelError: it is another one by now, or cannot be used.
            ModelUnavailable: it is not on this machine and could not be fetched.
        """
        wanted = EncoderIdentity.from_facts(facts["identity"])
        if wanted.key not in self._loaded:
            found = self._open(facts)
            if found.identity != wanted:
                raise ModelError(
                    f"{name} was trained with {wanted}, found {found.identity} as "
                    f"{facts['encoder']}. Put the encoder back, or train again."
                )
            self._loaded[wanted.key] = found
        return self._loaded[wanted.key]

    def _open(self, facts: Mapping[str, Any]) -> Encoder:
        device, dtype, batch_size, offline = self._machine
        return load_encoder(
            facts["encoder"],
            layer=facts["layer"],
            max_tokens=facts["max_tokens"],
            keeps_padding=facts.get("keeps_padding", False),
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            offline=offline,
        )


class CrossModalRecognizer(Recognizer):
    """A network on frozen encoders, for recordings with their texts.

    Attributes:
        encoders: of its inputs, in their order.

    Args:
        group_sizes: frames of each encoder that are averaged, see `averaged`; 1 by default.
    """

    def __init__(
        self,
        card: ModelCard,
        module: FlatNetwork,
        encoders: Sequence[Encoder],
        group_sizes: Sequence[int] | None = None,
    ) -> None:
        self.card, self.module, self.encoders = card, module, tuple(encoders)
        self._group_sizes = tuple(group_sizes or [1] * len(self.encoders))
        self.needs_text = any(one.identity.modality == "text" for one in self.encoders)
        self.max_seconds = shortest_limit(self.encoders)

    def _logits(self, utterances: Sequence[Spoken]) -> NDArray[np.float64]:
        """Logits of utterances, shape (n_utterances, n_labels); see `Recognizer.logits`."""
        if not utterances:
            return np.empty((0, len(self.card.labels)))
        return self.logits_of(frames_of(self.encoders, utterances))

    def logits_of(self, frames: Mapping[str, Sequence[NDArray[np.float32]]]) -> NDArray[np.float64]:
        """Logits from the frames of its encoders, which go by the keys of their identities."""
        inputs = [
            [averaged(one, size) for one in frames[encoder.identity.key]]
            for encoder, size in zip(self.encoders, self._group_sizes, strict=True)
        ]
        return score_frames(self.module, inputs)

    def remarks(self, utterances: Sequence[Spoken]) -> list[str]:
        """What its encoders do not take in of each utterance."""
        return remarks_of(self.encoders, utterances)


class StackRecognizer(Recognizer):
    """Networks and the forests that were grown on their outputs.

    Attributes:
        members: the networks, in the order of the forests' features.
        fuser: the forests.
    """

    def __init__(
        self, card: ModelCard, members: Sequence[CrossModalRecognizer], fuser: Stacking
    ) -> None:
        self.card, self.members, self.fuser = card, tuple(members), fuser
        self._encoders = tuple(
            {one.identity.key: one for member in members for one in member.encoders}.values()
        )
        self.needs_text = any(member.needs_text for member in self.members)
        self.max_seconds = shortest_limit(self._encoders)

    def _logits(self, utterances: Sequence[Spoken]) -> NDArray[np.float64]:
        """Logarithms of the forests' mean votes, shape (n_utterances, n_labels)."""
        if not utterances:
            return np.empty((0, len(self.card.labels)))
        frames = frames_of(self._encoders, utterances)
        blocks = [
            stacked_block(member.logits_of(frames), given.kind)
            for member, given in zip(self.members, self.fuser.inputs, strict=True)
        ]
        return np.log(np.maximum(self.fuser.probs(blocks), np.finfo(np.float64).tiny))

    def remarks(self, utterances: Sequence[Spoken]) -> list[str]:
        """What the encoders do not take in of each utterance."""
        return remarks_of(self._encoders, utterances)


def stacked_block(logits: NDArray[np.float64], kind: str) -> NDArray[np.float64]:
    """What the forests see of a network.

    Its log posteriors are its logits but for a constant of each utterance, and go down to ln 1e-6.

    Args:
        logits: shape (n_utterances, n_labels).
        kind: ``posteriors`` for log posteriors, as `emocli fuse` gives them; ``logits`` for the
            logits as they are, as the paper has it.
    """
    return logits if kind == LOGITS else np.maximum(log_softmax(logits), np.log(SMALLEST))


def shortest_limit(encoders: Sequence[Encoder]) -> float:
    """Longest recording that all encoders take in seconds; 0 for any."""
    limits = [one.max_seconds for one in encoders if one.max_seconds > 0]
    return min(limits, default=0.0)


def frames_of(
    encoders: Sequence[Encoder], utterances: Sequence[Spoken]
) -> dict[str, list[NDArray[np.float32]]]:
    """Frames of utterances by each encoder, by the key of its identity."""
    return {one.identity.key: one.encode(_given(one, utterances)) for one in encoders}


def remarks_of(encoders: Sequence[Encoder], utterances: Sequence[Spoken]) -> list[str]:
    """What encoders do not take in of each utterance, each remark once."""
    said = [one.remarks(_given(one, utterances)) for one in encoders]
    return ["; ".join(dict.fromkeys(filter(None, own))) for own in zip(*said, strict=True)]


def _given(encoder: Encoder, utterances: Sequence[Spoken]) -> list[Any]:
    """What an encoder takes of utterances."""
    if encoder.identity.modality == "text":
        return [one.text for one in utterances]
    return [one.waveform for one in utterances]


def network_facts(
    name: str,
    config: CrossModalConfig,
    labels: Sequence[str],
    encoders: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """The ``config.json`` of a network.

    Args:
        name: of the model.
        config: shape of the network.
        labels: of the outputs.
        encoders: of its inputs: ``encoder``, ``layer``, ``max_tokens``, ``mean_of`` and
            ``identity`` each.
        facts: what else to write.
    """
    return {
        "model_type": NETWORK_TYPE,
        "name": name,
        "labels": list(labels),
        "sampling_rate": sampling_rate_of([one["identity"] for one in encoders], name),
        "network": asdict(config),
        "encoders": [dict(one) for one in encoders],
        **facts,
    }


def sampling_rate_of(identities: Sequence[Mapping[str, Any]], name: str) -> int:
    """The rate in Hz at which all encoders of recordings hear.

    Raises:
        ModelError: they do not hear at one rate.
    """
    rates = sorted({one["sampling_rate"] for one in identities if one["modality"] != "text"})
    if len(rates) != 1:
        raise ModelError(
            f"{name}: encoders that hear at {' and '.join(map(str, rates))} Hz, expected one rate. "
            f"Choose encoders of one rate."
        )
    return int(rates[0])


def load_cross_modal(
    checkpoint: Checkpoint, options: LoadOptions
) -> CrossModalRecognizer | StackRecognizer:
    """The network or stack of a folder, with its encoders.

    Raises:
        ModelError: the folder is damaged, or an encoder is not the one of the training.
        ModelUnavailable: an encoder is not on this machine and could not be fetched.
    """
    dtype = "auto" if options.dtype == FAST else options.dtype  # encoders are as in training
    encoders = Encoders(options.device, dtype, options.batch_size, offline=options.offline)
    if checkpoint.config["model_type"] == STACK_TYPE:
        return _load_stack(checkpoint, options.device, encoders)
    return _load_network(checkpoint, options.device, encoders)


def _load_network(checkpoint: Checkpoint, device: str, encoders: Encoders) -> CrossModalRecognizer:
    from emocli.models.devices import choose_device

    fields = checkpoint.fields
    shape = fields.inner("network").build(CrossModalConfig)
    labels = tuple(plain_label(label) for label in fields.names("labels"))
    inputs = fields.objects("encoders")
    identities = [EncoderIdentity.from_fields(one.inner("identity")) for one in inputs]
    sizes = [one.count("mean_of", smallest=1) for one in inputs]
    if len(labels) != shape.n_labels or [one.dim for one in identities] != list(shape.n_channels):
        raise ModelError(
            f"{checkpoint.name}: config.json describes a network of other sizes than its labels "
            f"and encoders. Copy the folder again, or train again."
        )
    facts = [{**one.values, "encoder": one.text("encoder"), "layer": one.text("layer"),
              "max_tokens": one.count("max_tokens"),
              "keeps_padding": one.flag("keeps_padding", False)} for one in inputs]  # fmt: skip
    expected = skeleton_shapes(checkpoint, lambda: FlatNetwork(shape))
    names = match_names(checkpoint.name, checkpoint.shapes, expected)
    loaded = [encoders.load(one, checkpoint.name) for one in facts]
    network = FlatNetwork(shape)
    tensors = checkpoint.load()
    network.load_state_dict({key: tensors[held] for key, held in names.items()})
    network.requires_grad_(False)
    card = _card(checkpoint, labels, checkpoint.n_parameters, content_hash(checkpoint))
    return CrossModalRecognizer(card, network.to(choose_device(device)).eval(), loaded, sizes)


def _load_stack(checkpoint: Checkpoint, device: str, encoders: Encoders) -> StackRecognizer:
    names = checkpoint.fields.names("members")
    members = []
    for name in names:
        inner = Checkpoint(checkpoint.folder / Path(name).name, f"{checkpoint.name}/{name}")
        members.append(_load_network(inner, device, encoders))
    fuser = read_stack_fuser(checkpoint.folder / STACK_FILE, checkpoint.name)
    _check_fuser(fuser, members, checkpoint.name)
    n_parameters = sum(member.card.n_parameters for member in members)
    revision = checkpoint.fields.text("revision", "")
    return StackRecognizer(_card(checkpoint, fuser.labels, n_parameters, revision), members, fuser)


def read_stack_fuser(path: Path, name: str) -> Stacking:
    """The forests of a stack.

    Raises:
        ModelError: they are not there, or something else is.
        FuserError: the file is damaged.
    """
    try:
        fuser = load_fuser(path.read_bytes(), str(path))
    except OSError as error:
        raise ModelError(
            f"{name}: {path.name} cannot be read ({error.strerror}), expected the stack's forests. "
            f"Copy the folder again, or train again."
        ) from error
    if not isinstance(fuser, Stacking):
        raise ModelError(
            f"{name}: {path.name} holds another fuser, expected forests. Copy the folder again, "
            f"or train again."
        )
    return fuser


def _check_fuser(fuser: Stacking, members: Sequence[CrossModalRecognizer], name: str) -> None:
    wanted = [one.model for one in fuser.inputs]
    found = [member.card.identifier for member in members]
    same = all(
        one.kind in (POSTERIORS, LOGITS) and one.outputs == member.card.labels
        for one, member in zip(fuser.inputs, members, strict=False)
    )
    if wanted != found or not same:
        raise ModelError(
            f"{name}: the forests were grown on {', '.join(wanted)}, found {', '.join(found)}. "
            f"Copy the folder again, or train again."
        )


def _card(
    checkpoint: Checkpoint, labels: Sequence[str], n_parameters: int, revision: str
) -> ModelCard:
    fields = checkpoint.fields
    return ModelCard(
        name=fields.text("name", "") or checkpoint.name,
        revision=revision,
        modality=MULTIMODAL,
        labels=tuple(labels),
        sampling_rate=fields.count("sampling_rate", 16000, smallest=1000, largest=192_000),
        n_parameters=n_parameters,
        licence=fields.text("licence", ""),
        source=str(checkpoint.folder),
        description=fields.text("description", ""),
    )
