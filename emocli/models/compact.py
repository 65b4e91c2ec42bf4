"""The compact speech models: the embedded one and those that ``emocli train`` makes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from emocli.calibration.adaptation import ADAPTATION_FILE, Adaptation
from emocli.errors import ModelError
from emocli.models.checkpoint import ConfigFields
from emocli.models.protocol import ModelCard, Recognizer
from emocli.networks.compact import CompactConfig, CompactNetwork, MemberConfig
from emocli.networks.logmel import FrontEndConfig
from emocli.table import listing

BATCH_SAMPLES = 32 * 48_000
"""Most samples, padding included, that go through the network at once: 32 utterances of 3 s."""
MIN_SECONDS = 0.1


class CompactRecognizer(Recognizer):
    """A compact network behind the protocol of `emocli.models.protocol`.

    Args:
        card: what the model is.
        network: with its weights.
        adaptation: what is known of how it errs on recordings unlike those of its training.
    """

    one_core = True

    def __init__(
        self, card: ModelCard, network: CompactNetwork, adaptation: Adaptation | None = None
    ) -> None:
        self.card = card
        self.adaptation = adaptation
        self.module = network.eval()

    def _logits(self, utterances: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """Logits of shape (n_utterances, 4 or as many labels as there are).

        They do not depend on the level of a waveform, nor on the others of the call; those of a
        waveform without sound are 0, so that its posterior is uniform.

        Args:
            utterances: float32 mono at 16 kHz, shape (n_samples,) each, of any lengths.
        """
        found = np.zeros((len(utterances), len(self.card.labels)))
        for part in _batches([len(waveform) for waveform in utterances]):
            waveforms = [torch.from_numpy(np.ascontiguousarray(utterances[i])) for i in part]
            with torch.inference_mode(), _one_thread():
                found[part] = self.module(waveforms).numpy()
        return found

    def traits(self, utterances: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """Traits for `emocli.calibration.adaptation`, shape (n_utterances, n_traits).

        Only for a model with an ``adaptation``; 0 for a waveform without sound.

        Args:
            utterances: as for `logits`.
        """
        assert self.adaptation is not None
        directions = self.adaptation.directions
        found = np.zeros((len(utterances), directions.directions.shape[1]))
        for part in _batches([len(waveform) for waveform in utterances]):
            waveforms = [torch.from_numpy(np.ascontiguousarray(utterances[i])) for i in part]
            with torch.inference_mode(), _one_thread():
                sounding, functionals = self.module.describe(waveforms)
            if sounding:
                places = [part[index] for index in sounding]
                found[places] = directions.traits(functionals.numpy().astype(np.float64))
        return found


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for torch: operations this small lose time to more, and their sums differ by it.

    The other cores decode meanwhile.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Indices in batches of similar lengths, each within `BATCH_SAMPLES` or of one utterance."""
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if batches and (len(batches[-1]) + 1) * lengths[index] <= BATCH_SAMPLES:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def load_compact(folder: Path) -> CompactRecognizer:
    """The compact model in a folder.

    Args:
        folder: with ``config.json`` and ``model.safetensors``.

    Raises:
        ModelError: a file is missing or damaged, or the weights are not those that the
            configuration describes.
    """
    fields = _read_config(folder / "config.json")
    weights = folder / "model.safetensors"
    config = CompactConfig(
        labels=fields.names("labels"),
        members=tuple(one.build(MemberConfig) for one in fields.objects("members")),
        front_end=fields.inner("front_end").build(FrontEndConfig),
        temperature=fields.number("temperature", 0.0, open_=True),
    )
    network = _load_network(config, weights, fields.name)
    labels = config.labels
    card = ModelCard(
        name=fields.text("name"),
        modality="speech",
        labels=labels,
        sampling_rate=network.config.front_end.sampling_rate,
        min_seconds=MIN_SECONDS,
        n_parameters=sum(parameter.numel() for parameter in network.parameters()),
        size_bytes=weights.stat().st_size,
        licence=fields.text("licence", ""),
        source=str(folder),
        description=fields.text("description", ""),
    )
    return CompactRecognizer(card, network, _read_adaptation(folder / ADAPTATION_FILE, len(labels)))


def _read_adaptation(path: Path, n_labels: int) -> Adaptation | None:
    if not path.is_file():
        return None
    try:
        arrays = {name: value.numpy() for name, value in load_file(path).items()}
        return Adaptation.from_arrays(arrays, n_labels)
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelError(
            f"{path}: not the figures of this model's adaptation ({error}), expected those that "
            f"`emocli train` wrote. Train the model again, or delete the file."
        ) from error


def _read_config(path: Path) -> ConfigFields:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no UTF-8"
        raise ModelError(
            f"{path}: cannot be read ({reason}), expected the configuration of a compact "
            f"model. Name the folder that `emocli train` wrote."
        ) from error
    return ConfigFields.parse(text, str(path))


def _load_network(config: CompactConfig, path: Path, name: str) -> CompactNetwork:
    """A network with its weights, whose sizes are compared before memory is taken for it."""
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path}: no weights in it ({error}), expected those of a compact model. "
            f"Train the model again."
        ) from error
    try:
        with torch.device("meta"):
            skeleton = CompactNetwork(config).state_dict()
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{name}: describes no network that can be built ({reason}). Train the model again."
        ) from error
    expected = {
        name: value for name, value in skeleton.items() if not name.endswith("num_batches_tracked")
    }
    wrong = sorted(
        name
        for name in expected.keys() | tensors.keys()
        if name not in expected
        or name not in tensors
        or expected[name].shape != tensors[name].shape
    )
    if wrong:
        raise ModelError(
            f"{path}: {listing(wrong)} are not as config.json says, expected weights of the same "
            f"network. Train the model again."
        )
    network = CompactNetwork(config)
    network.load_state_dict({n: value.float() for n, value in tensors.items()}, strict=False)
    return network
