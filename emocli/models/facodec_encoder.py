"""FACodec's prosody from the published weights of its second version."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from emocli.encoder_identity import EncoderIdentity
from emocli.errors import ModelUnavailable
from emocli.models import hub
from emocli.models.building import skeleton_shapes
from emocli.models.checkpoint import Checkpoint, match_names
from emocli.models.encoders import FACODEC_FILE
from emocli.networks.facodec_prosody import DIM, HOP_SAMPLES, SAMPLING_RATE, FACodecProsody

VERSION = 1
"""Counts up when the same checkpoint gives other frames."""
HUB = "amphion/naturalspeech3_facodec"
MAX_SECONDS = 120.0
_WANTED = ("melspec_linear.", "melspec_encoder.", "quantizer.0.")
_POSITIONS = "position_emb.pe"


class FACodecEncoder:
    """An `Encoder` of prosody, one of 1,024 vectors of 256 values every 12.5 ms.

    Attributes:
        identity: what decides the frames.
        max_seconds: longest recording.
    """

    max_seconds = MAX_SECONDS

    def __init__(
        self, identity: EncoderIdentity, network: FACodecProsody, device: torch.device
    ) -> None:
        self.identity = identity
        self._network, self._device = network.to(device).eval(), device

    @property
    def value_names(self) -> Sequence[str]:
        """Numbers, see `Encoder.value_names`."""
        return self.identity.value_numbers

    def encode(self, batch: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Frames of waveforms, one waveform after the other; see `Encoder.encode`."""
        with torch.inference_mode():
            return [
                self._network(torch.tensor(waveform, device=self._device)).cpu().numpy()
                for waveform in batch
            ]

    def remarks(self, batch: Sequence[NDArray[np.float32]]) -> list[str]:
        """Nothing, for each waveform is heard as a whole."""
        return [""] * len(batch)


def find_weights() -> Path:
    """The published weights in the hub's cache.

    Raises:
        ModelUnavailable: they are not there.
    """
    found = sorted((hub.repo_dir(HUB) / "snapshots").glob(f"*/{FACODEC_FILE}"))
    if found:
        return found[-1]
    raise ModelUnavailable(
        f"facodec needs {FACODEC_FILE} of {HUB}, which is not in {hub.repo_dir(HUB)}. "
        f"Fetch it with `hf download {HUB} {FACODEC_FILE}`, or name a copy of it as the encoder."
    )


def load_facodec(path: Path, device: torch.device) -> FACodecEncoder:
    """FACodec's prosody from a weight file.

    Args:
        path: ``ns3_facodec_decoder_v2.bin`` or a copy of it.
        device: where to compute.

    Raises:
        ModelError: the file cannot be read, or lacks tensors of the prosody path.
    """
    checkpoint = Checkpoint(path.parent, str(path), weights=path)
    held = {
        name: shape
        for name, shape in checkpoint.shapes.items()
        if name.startswith(_WANTED) and not name.endswith(_POSITIONS)
    }
    names = match_names(str(path), held, skeleton_shapes(checkpoint, FACodecProsody))
    tensors = checkpoint.load()
    network = FACodecProsody()
    network.load_state_dict({target: tensors[key].float() for target, key in names.items()})
    identity = EncoderIdentity(
        name="facodec",
        revision=sha256(path.read_bytes()).hexdigest(),
        modality="prosody",
        dim=DIM,
        frames_per_second=SAMPLING_RATE / HOP_SAMPLES,
        sampling_rate=SAMPLING_RATE,
        version=VERSION,
    )
    return FACodecEncoder(identity, network, device)
