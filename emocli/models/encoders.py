"""From the name of an encoder to the encoder: waveforms or texts in, sequences of frames out.

A name is one of

    logmel, functionals, prosody    of the package, for recordings
    words               of the package, for texts
    egemaps             the 88 functionals of eGeMAPSv02, by opensmile
    facodec             the prosody of NaturalSpeech 3's codec; or a copy of its weight file
    a short name of `SHORT_NAMES`
    whatever `emocli.models.registry` knows: hf:owner/name[@revision], a folder, a weight file
    a .pt file of openai-whisper

Any classifier, recogniser or bare checkpoint of a kind that emocli knows will do; only its encoder
is used and nothing is trained.
"""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emocli.encoder_identity import EncoderIdentity
from emocli.errors import ModelError
from emocli.models import whisper_pt
from emocli.models.aliases import aliases
from emocli.models.checkpoint import Checkpoint
from emocli.models.registry import KINDS, modality_of, open_checkpoint

BUILTIN = ("logmel", "functionals", "prosody", "words", "egemaps")
FACODEC = "facodec"
FACODEC_FILE = "ns3_facodec_decoder_v2.bin"
SHORT_NAMES = {
    "deberta-v2-xlarge": "microsoft/deberta-v2-xlarge",
    "hubert-xlarge": "facebook/hubert-xlarge-ls960-ft",
    "roberta-large": "FacebookAI/roberta-large",
    "wavlm-base": "microsoft/wavlm-base",
    "wavlm-large": "microsoft/wavlm-large",
    "whisper-large-v3": "openai/whisper-large-v3",
    "whisper-small": "openai/whisper-small",
}
MAX_TOKENS = 80
"""Tokens of a text that are read unless the user says otherwise.

Source: the features of arXiv 2505.20007.
"""

Layer = str | int


class Encoder(Protocol):
    """A frozen network, or a transform, that turns an utterance into a sequence of frames."""

    @property
    def identity(self) -> EncoderIdentity:
        """What decides the frames."""
        ...

    @property
    def value_names(self) -> Sequence[str]:
        """Names of the values of a frame, in their order: numbers where they mean nothing alone."""
        ...

    @property
    def max_seconds(self) -> float:
        """Longest recording that it takes, for its memory grows with the square; 0 for any."""
        ...

    def encode(self, batch: Sequence[Any]) -> list[NDArray[np.float32]]:
        """Frames of utterances, each independent of the others in the call.

        Args:
            batch: float32 mono waveforms of shape (n_samples,) at ``identity.sampling_rate``, or
                strings where ``identity.modality`` is ``text``.

        Returns:
            For each utterance an array of shape (n_frames, ``identity.dim``), without padding.
        """
        ...

    def remarks(self, batch: Sequence[Any]) -> list[str]:
        """What of each utterance is not taken in, empty where all is."""
        ...


def load_encoder(
    name: str,
    *,
    layer: Layer = "auto",
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int | None = None,
    max_tokens: int = MAX_TOKENS,
    keeps_padding: bool = False,
    offline: bool = False,
) -> Encoder:
    """The encoder of a name, loaded; one of the hub is fetched if it is not on this machine.

    Args:
        name: see the module's docstring.
        layer: ``last`` for the network's last hidden state, a number from 0, which is what enters
            the first block, to the number of blocks, or ``weighted`` for all of these averaged:
            by the checkpoint's own ``layer_weights`` if it has some, else evenly. ``auto`` is the
            middle layer of Whisper, see `emocli.models.backbones.Backbone.usual_layer`, and
            ``last`` for all other networks.
        revision: branch, tag or commit of the hub, instead of one in the name.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        dtype: number format to compute in: ``auto`` (fp32), ``fp32``, ``bf16`` or ``fp16``.
        batch_size: most utterances at once; None for a size that suits the device.
        max_tokens: of a text, with those that mark its ends; the rest is not read.
        keeps_padding: of a text, whether the states of padding up to ``max_tokens`` are frames too,
            as in the features of arXiv 2505.20007; it is masked within the encoder in any case.
        offline: use only what is on this machine.

    Raises:
        ModelError: no encoder has that name, or it cannot be used as asked.
        ModelUnavailable: it is not on this machine and could not be fetched.
    """
    if name in BUILTIN:
        _check_last(name, layer)
        from emocli.models.builtin_encoders import builtin_encoder

        return builtin_encoder(name)
    if name == FACODEC or Path(name).name == FACODEC_FILE:
        _check_last(name, layer)
        return _facodec(name, device)
    shown, checkpoint = _open(name, revision, offline)
    modality = modality_of(checkpoint)
    _check_kind(checkpoint)
    from emocli.models.devices import choose_device, choose_dtype

    place, precision = choose_device(device), choose_dtype(dtype)
    version = checkpoint.revision or content_hash(checkpoint)
    if modality == "text":
        from emocli.models.text_encoder import load_text_encoder

        return load_text_encoder(
            checkpoint,
            place,
            precision,
            name=shown,
            revision=version,
            layer=str(layer),
            max_tokens=max_tokens,
            batch_size=batch_size,
            keeps_padding=keeps_padding,
        )
    from emocli.models.speech_encoder import load_speech_encoder

    return load_speech_encoder(
        checkpoint,
        place,
        precision,
        name=shown,
        revision=version,
        layer=str(layer),
        batch_size=batch_size,
    )


def _open(name: str, revision: str | None, offline: bool) -> tuple[str, Checkpoint]:
    """What to call an encoder, and its checkpoint."""
    path = Path(name).expanduser()
    if path.suffix == whisper_pt.SUFFIX and path.is_file():
        return path.name, whisper_pt.WhisperFile(path.parent, name, weights=path)
    short, at, pinned = name.partition("@")
    if short in SHORT_NAMES and not path.exists():
        name = f"{SHORT_NAMES[short]}{at}{pinned}"
    elif short not in aliases() and "/" not in name and not path.exists():
        raise ModelError(
            f"No encoder is called {name}, and no file or folder is: use "
            f"{', '.join([*BUILTIN, FACODEC, *SHORT_NAMES])}, hf:owner/name or a folder."
        )
    reference, checkpoint = open_checkpoint(name, revision=revision, offline=offline)
    # A folder goes by its name, so that the same checkpoint elsewhere is the same encoder.
    return path.resolve().name if reference.folder else reference.name, checkpoint


def content_hash(checkpoint: Checkpoint) -> str:
    """A hash of a checkpoint's weights and of the small files that decide what it computes."""
    weights = checkpoint.weight_files
    alone = isinstance(checkpoint, whisper_pt.WhisperFile)
    small = [
        path
        for path in ([] if alone else checkpoint.folder.iterdir())
        if path.suffix in {".json", ".txt", ".model"} and path not in weights
    ]
    total = sha256()
    for path in sorted([*small, *weights]):
        with path.open("rb") as file:
            digest = sha256()
            while block := file.read(1 << 20):
                digest.update(block)
        total.update(f"{path.name}\0{digest.hexdigest()}\n".encode())
    return total.hexdigest()


def parse_layer(name: str, layer: str, n_layers: int) -> str:
    """A layer as it is written in an identity.

    Args:
        name: of the encoder, for messages.
        layer: ``last``, ``weighted`` or a number.
        n_layers: blocks of the network.

    Raises:
        ModelError: the network has no such layer.
    """
    if layer in ("last", "weighted"):
        return layer
    if layer.isdecimal() and int(layer) <= n_layers:
        return str(int(layer))
    raise ModelError(
        f"{name}: layer {layer!r}, expected last, weighted or a number from 0 to {n_layers}. "
        f"0 is what enters the first block, {n_layers} what leaves the last."
    )


def _facodec(name: str, device: str) -> Encoder:
    from emocli.models.devices import choose_device
    from emocli.models.facodec_encoder import find_weights, load_facodec

    path = find_weights() if name == FACODEC else Path(name).expanduser()
    return load_facodec(path, choose_device(device))


def _check_last(name: str, layer: Layer) -> None:
    if layer not in ("auto", "last"):
        raise ModelError(f"{name}: layer {str(layer)!r}, but it has only one. Leave the layer out.")


def _check_kind(checkpoint: Checkpoint) -> None:
    kind = checkpoint.config["model_type"]
    known = [one for kinds in KINDS.values() for one in kinds if not one.startswith("emocli-")]
    if kind not in known:
        raise ModelError(
            f"{checkpoint.name}: a model of type {kind} has no frames to give. Use one of "
            f"{', '.join(BUILTIN)}, or a checkpoint of type {', '.join(sorted(known))}."
        )
