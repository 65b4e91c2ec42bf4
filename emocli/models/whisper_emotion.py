"""Emotion heads on Whisper's encoder, for who has Whisper on this machine anyway.

The package has the head; the encoder is the one that ``emocli transcribe`` uses, from the folder of
openai-whisper or from the cache of the hub.
"""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from emocli.calibration.adaptation import ADAPTATION_FILE, Adaptation
from emocli.errors import ModelError, ModelUnavailable
from emocli.models import hub
from emocli.models.checkpoint import Checkpoint
from emocli.models.protocol import ModelCard, Recognizer
from emocli.models.whisper_pt import SUFFIX, WhisperFile
from emocli.networks.whisper_emotion import (
    SAMPLING_RATE,
    WINDOW_SAMPLES,
    EncoderShape,
    LowerEncoder,
    WhisperEmotion,
)
from emocli.user_cache import whisper_folder

MIN_SECONDS = 0.1
POOL_SECONDS = 120.0
HEAD = ("mean", "deviation", "classifier.weight", "classifier.bias")


class WhisperEmotionRecognizer(Recognizer):
    """A head on Whisper's encoder behind the protocol of `emocli.models.protocol`.

    Args:
        card: what the model is.
        network: with its weights.
        adaptation: how it errs on recordings unlike those of its training.
    """

    pool_seconds = POOL_SECONDS

    def __init__(
        self, card: ModelCard, network: WhisperEmotion, adaptation: Adaptation | None = None
    ) -> None:
        self.card = card
        self.module = network.eval()
        self.adaptation = adaptation
        self._last: tuple[bytes, NDArray[np.float32]] | None = None

    def _logits(self, utterances: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """Logits of shape (n_utterances, n_labels); see `Recognizer.logits`.

        They do not depend on the level of a waveform; those of one without sound are 0.
        """
        statistics, sounding = self._statistics(utterances)
        with torch.inference_mode():
            found = self.module.classify(torch.from_numpy(statistics)).double().numpy()
        return np.asarray(found * sounding[:, None])

    def traits(self, utterances: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """Traits of the statistics, 0 for a waveform without sound; see `Recognizer.traits`."""
        assert self.adaptation is not None
        statistics, sounding = self._statistics(utterances)
        traits = self.adaptation.directions.traits(statistics.astype(np.float64))
        return traits * sounding[:, None]

    def _statistics(
        self, utterances: Sequence[NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Statistics of shape (n_utterances, n_features), and which utterances have sound.

        Those of the last call are kept, for traits are asked for after logits.
        """
        key = _digest(utterances)
        if self._last is not None and self._last[0] == key:
            found = self._last[1]
        else:
            with torch.inference_mode():
                own = [self._of_one(waveform) for waveform in utterances]
            found = np.stack(own) if own else np.empty((0, len(self.module.mean)), np.float32)
            self._last = (key, found)
        sounding = np.asarray(np.isfinite(found).all(axis=1))
        heard = np.where(sounding[:, None], found, 0).astype(np.float32)
        return heard, sounding

    def _of_one(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        found = self.module.statistics(torch.from_numpy(np.ascontiguousarray(waveform)))
        if found is None:
            return np.full(len(self.module.mean), np.nan, np.float32)
        return np.asarray(found.cpu().numpy())


def _digest(utterances: Sequence[NDArray[np.float32]]) -> bytes:
    """What tells waveforms from others."""
    found = blake2b(digest_size=16)
    for waveform in utterances:
        found.update(len(waveform).to_bytes(8, "little"))
        found.update(waveform.tobytes())
    return found.digest()


def load_whisper_emotion(folder: Path, encoder: Path | None, *, offline: bool) -> Recognizer:
    """The head in a folder, on an encoder of this machine.

    Args:
        folder: with ``config.json`` and ``model.safetensors`` of the head.
        encoder: a ``.pt`` file of openai-whisper or a folder of the hub's kind; None looks for
            the published one.
        offline: use only what is on this machine.

    Raises:
        ModelError: a file is damaged, or the encoder is of another size.
        ModelUnavailable: the encoder is not on this machine and could not be fetched.
    """
    config = Checkpoint(folder, folder.name).config
    size, layers, labels = config["encoder"], config["layers"], tuple(config["labels"])
    checkpoint = _checkpoint(encoder) if encoder else _published(size, offline)
    network = WhisperEmotion(_encoder(checkpoint, max(layers)), layers, len(labels))
    try:
        tensors = load_file(folder / "model.safetensors")
        state = network.state_dict() | {name: tensors[name].float() for name in HEAD}
        network.load_state_dict(state)
        beside = {n: v.numpy() for n, v in load_file(folder / ADAPTATION_FILE).items()}
        adaptation = Adaptation.from_arrays(beside, len(labels))
    except (OSError, SafetensorError, LookupError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{folder}: no head for the encoder of Whisper {size} ({_first_line(error)}), expected "
            f"one of its width. Use Whisper {size}, or install emocli again."
        ) from error
    card = ModelCard(
        name=str(config["name"]),
        labels=labels,
        sampling_rate=SAMPLING_RATE,
        min_seconds=MIN_SECONDS,
        n_parameters=sum(parameter.numel() for parameter in network.parameters()),
        size_bytes=checkpoint.size_bytes,
        licence=str(config["licence"]),
        source=str(folder),
        description=str(config["description"]),
    )
    return WhisperEmotionRecognizer(card, network, adaptation)


def _checkpoint(path: Path) -> Checkpoint:
    if path.suffix == SUFFIX:
        return WhisperFile(path.parent, str(path), weights=path)
    return Checkpoint(path, str(path))


def _published(size: str, offline: bool) -> Checkpoint:
    """The published encoder of a size, fetched from the hub if it is nowhere."""
    file = whisper_folder() / f"{size}{SUFFIX}"
    if file.is_file():
        return _checkpoint(file)
    name = f"openai/whisper-{size}"
    cached = hub.find_cached(name)
    if cached is not None:
        return Checkpoint(cached, name, cached.name)
    if offline:
        raise ModelUnavailable(
            f"Whisper {size} is not on this machine ({file} and {hub.repo_dir(name)} are not "
            f"there) and --offline forbids the network. Fetch it with `emocli models pull "
            f"hf:{name}`, or name a file or folder of yours: -m PATH+emotion."
        )
    fetched = hub.fetch(name)
    return Checkpoint(fetched, name, fetched.name)


def load_encoder(path: Path, n_layers: int) -> LowerEncoder:
    """The lower layers of an encoder, to train a head on.

    Args:
        path: a ``.pt`` file of openai-whisper or a folder of the hub's kind.
        n_layers: blocks that are needed.

    Raises:
        ModelError: it is no encoder of Whisper, or its weights cannot be read.
    """
    return _encoder(_checkpoint(path), n_layers)


def _encoder(checkpoint: Checkpoint, n_layers: int) -> LowerEncoder:
    config = checkpoint.config
    if config.get("model_type") != "whisper":
        raise ModelError(
            f"{checkpoint.name}: model_type {config.get('model_type')!r}, expected 'whisper' for "
            f"an emotion head. Name a .pt file of openai-whisper or a folder of the hub's kind."
        )
    shape = EncoderShape(
        int(config["d_model"]), int(config["encoder_attention_heads"]),
        int(config["num_mel_bins"]), n_layers,
    )  # fmt: skip
    network = LowerEncoder(shape, _mel_filters(shape.n_mels))
    tensors = {
        key.rpartition("encoder.")[2] if "decoder." not in key else key: value.float()
        for key, value in checkpoint.load().items()
    }
    try:
        network.load_encoder(tensors)
    except (KeyError, RuntimeError) as error:
        raise ModelError(
            f"{checkpoint.name}: not the weights of Whisper's encoder ({_first_line(error)}), "
            f"expected those that config.json describes. Fetch the checkpoint again."
        ) from error
    return network


def _mel_filters(n_mels: int) -> torch.Tensor:
    """Whisper's mel filters, shape (201, n_mels)."""
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        num_frequency_bins=1 + WINDOW_SAMPLES // 2,
        num_mel_filters=n_mels,
        min_frequency=0.0,
        max_frequency=SAMPLING_RATE / 2,
        sampling_rate=SAMPLING_RATE,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(filters).float()


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
