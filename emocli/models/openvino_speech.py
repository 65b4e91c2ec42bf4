"""Speech networks on OpenVINO, which is quicker on a CPU than torch.

A network is converted once, for utterances of any length, and kept in the cache folder; it computes
in fp32, also where the CPU has units for bf16. Utterances go through it one by one, so none changes
another's result.
"""

import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor, nn

from emocli.errors import ModelError
from emocli.models.aliases import Alias
from emocli.models.building import silence
from emocli.models.checkpoint import Checkpoint
from emocli.models.lanes import POOL_SECONDS, count_lanes
from emocli.models.protocol import ModelCard, Recognizer
from emocli.models.quiet_openvino import openvino
from emocli.models.speech import build_network, card_of
from emocli.models.speech_network import SpeechNetwork, count_frames, not_heard
from emocli.user_cache import cache_folder

CONVERSION = 1
"""Counts up when the same checkpoint converts to something else."""
EXAMPLE_SECONDS = 2.0


class OpenVinoRecognizer(Recognizer):
    """A `Recognizer` of waveforms whose network runs on OpenVINO.

    Args:
        card: what the model is.
        network: how waveforms enter the network; its module is not needed any more.
        compiled: the network, compiled by `compile_network`.
    """

    engine = "openvino fp32"
    pool_seconds = POOL_SECONDS

    def __init__(self, card: ModelCard, network: SpeechNetwork, compiled: Any) -> None:
        self.card = card
        self._network = network
        self._compiled = compiled
        self._takes_frames = len(compiled.inputs) > 1

    def _logits(self, utterances: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """Scores of waveforms; see `Recognizer.logits`."""
        result = np.empty((len(utterances), self._network.outputs.n_logits))

        def keep(request: Any, index: int) -> None:
            result[index] = request.get_output_tensor(0).data[0]

        queue = openvino.AsyncInferQueue(self._compiled)
        queue.set_callback(keep)
        # The longest first, so that the streams end together.
        for index in sorted(range(len(utterances)), key=lambda i: -len(utterances[i])):
            queue.start_async(self._inputs(utterances[index]), index)
        queue.wait_all()
        return self._network.outputs.logits(result)

    def remarks(self, utterances: Sequence[NDArray[np.float32]]) -> list[str]:
        """What of each utterance the model does not take in, empty where it takes all."""
        return not_heard(self._network, utterances)

    def _inputs(self, waveform: NDArray[np.float32]) -> list[NDArray[Any]]:
        missing = self._network.min_samples - len(waveform)
        heard = np.pad(waveform, (0, missing)) if missing > 0 else waveform
        values = self._network.front_end(heard)[np.newaxis]  # (1, n_samples)
        if not self._takes_frames:
            return [values]
        (n_frames,) = count_frames([values.shape[1]], self._network.convolutions)
        return [values, np.ones((1, n_frames), dtype=bool)]


def load_openvino(checkpoint: Checkpoint, *, alias: Alias | None = None) -> OpenVinoRecognizer:
    """A speech recogniser on OpenVINO; the first time it is converted, which takes a while.

    Args:
        checkpoint: what to load.
        alias: facts that the checkpoint itself may lack.

    Raises:
        ModelError: the checkpoint cannot be loaded, or OpenVINO cannot take it.
    """
    network = build_network(checkpoint, alias)
    try:
        compiled = compile_network(checkpoint, network)
    except (RuntimeError, TypeError, ValueError, OSError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise ModelError(
            f"{checkpoint.name}: OpenVINO could not take the network: {reason}. Use --engine torch."
        ) from error
    return OpenVinoRecognizer(card_of(checkpoint, network, alias), network, compiled)


def compile_network(checkpoint: Checkpoint, network: SpeechNetwork) -> Any:
    """A network ready to run, converted first if it has not been yet.

    Args:
        checkpoint: where it is from.
        network: on waveforms, in fp32 on the CPU.
    """
    folder = cache_folder() / "openvino" / _key(checkpoint)
    if not (folder / "network.xml").exists():
        _convert(network, folder)
    n_threads = torch.get_num_threads()
    core = openvino.Core()
    return core.compile_model(
        str(folder / "network.xml"),
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": n_threads,
            "NUM_STREAMS": count_lanes(n_threads),
            "CACHE_DIR": str(folder),
            "CACHE_MODE": "OPTIMIZE_SIZE",  # the weights are there already
        },
    )


def _key(checkpoint: Checkpoint) -> str:
    """A name for what a checkpoint converts to with what is installed."""
    weights = [(path.name, path.stat().st_size, path.stat().st_mtime_ns)
               for path in checkpoint.weight_files]  # fmt: skip
    versions = [CONVERSION, openvino.__version__, torch.__version__, transformers.__version__]
    settings = [checkpoint.config, checkpoint.preprocessor]
    facts = [str(checkpoint.folder.resolve()), checkpoint.revision, weights, versions, settings]
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _convert(network: SpeechNetwork, folder: Path) -> None:
    """Write a converted network; a folder that is there is whole, whoever wrote it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder.parent))
    try:
        openvino.save_model(_traced(network), draft / "network.xml", compress_to_fp16=False)
        try:
            os.rename(draft, folder)
        except OSError:
            if not (folder / "network.xml").exists():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


class _Unpadded(nn.Module):
    """A network as it is called for a batch without padding."""

    def __init__(self, network: SpeechNetwork) -> None:
        super().__init__()
        self.module = network.module
        self._forward = network.forward

    def forward(self, values: Tensor, valid: Tensor) -> Tensor:
        """Scores of shape (n_utterances, n_outputs)."""
        return self._forward(values, None, valid)


def _traced(network: SpeechNetwork) -> Any:
    """The network in OpenVINO's form, for one utterance of any length."""
    n_samples = max(round(EXAMPLE_SECONDS * network.sampling_rate), network.min_samples)
    (n_frames,) = count_frames([n_samples], network.convolutions)
    example = (torch.zeros(1, n_samples), torch.ones(1, n_frames, dtype=torch.bool))
    with silence(), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the tracer, on shapes that it takes for constants
        return openvino.convert_model(
            _Unpadded(network),
            example_input=example,
            input=[openvino.PartialShape([1, -1]), openvino.PartialShape([1, -1])],
        )
