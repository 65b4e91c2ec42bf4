"""The compact speech models: the embedded one and those that ``emocli train`` makes."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from emocli.calibration.adaptation import ADAPTATION_FILE, Adaptation
from emocli.errors import ModelError
from emocli.models.protocol import ModelCard, Recognizer
from emocli.networks.compact import CompactConfig, CompactNetwork
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

    def logits(self, utterances: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
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
    config = _read_config(folder / "config.json")
    weights = folder / "model.safetensors"
    try:
        network = CompactNetwork(CompactConfig.from_dict(config))
        labels = network.config.labels
        name, licence = str(config["name"]), str(config.get("licence", ""))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{folder}/config.json: not the configuration of a compact model ({error}), expected "
            f"one that `emocli train` wrote. Train the model again."
        ) from error
    _load_weights(network, weights)
    card = ModelCard(
        name=name,
        modality="speech",
        labels=labels,
        sampling_rate=network.config.front_end.sampling_rate,
        min_seconds=MIN_SECONDS,
        n_parameters=sum(parameter.numel() for parameter in network.parameters()),
        size_bytes=weights.stat().st_size,
        licence=licence,
        source=str(folder),
        description=str(config.get("description", "")),
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


def _read_config(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read ({error.strerror}), expected the configuration of a compact "
            f"model. Name the folder that `emocli train` wrote."
        ) from error
    except ValueError as error:
        raise ModelError(
            f"{path}: not JSON ({error}), expected the configuration of a compact model. "
            f"Train the model again."
        ) from error
    return content if isinstance(content, dict) else {}


def _load_weights(network: CompactNetwork, path: Path) -> None:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path}: no weights in it ({error}), expected those of a compact model. "
            f"Train the model again."
        ) from error
    expected = {
        name: value
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
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
    network.load_state_dict({n: value.float() for n, value in tensors.items()}, strict=False)
