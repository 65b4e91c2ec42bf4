"""A model that answers several times, each time with other parts of it left out.

A network that was trained with dropout and keeps it on gives a different answer at every call.
How far the answers lie apart tells what the network does not know (Gal & Ghahramani 2016).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocli.errors import ModelError
from emocli.models.protocol import Recognizer


class DropoutDraws(Recognizer):
    """A recognizer that answers ``n_draws`` times with its dropout layers switched on.

    Each draw leaves out the same parts for every utterance, and utterances go through the network
    one by one, so that an utterance's answers depend on nothing but the seed.

    Args:
        recognizer: a model on torch with dropout layers.
        n_draws: how many answers, at least 2.
        seed: of the first draw; the others count on from it.

    Raises:
        ModelError: the model has no dropout, gives dimensions, or fewer than two draws are asked.
    """

    def __init__(self, recognizer: Recognizer, n_draws: int, *, seed: int = 0) -> None:
        card = recognizer.card
        if n_draws < 2:
            raise ModelError(
                f"--mc-dropout {n_draws}: one answer has no spread, expected 2 or more. "
                f"Use 10 to 50."
            )
        if not card.labels:
            raise ModelError(
                f"{card.identifier} gives {', '.join(card.dimensions)}, expected labels for "
                f"--mc-dropout. Leave it out, or choose a model of emotions."
            )
        self._layers = _dropout_layers(recognizer.module)
        if not self._layers:
            raise ModelError(
                f"{card.identifier} has no dropout layers, expected some for --mc-dropout. "
                f"Leave it out, or fuse several checkpoints instead."
            )
        self.card, self.module = card, recognizer.module
        self.engine = recognizer.engine
        self._recognizer, self.n_draws, self._seed = recognizer, n_draws, seed
        self.pool_seconds = recognizer.pool_seconds / n_draws

    def _logits(self, utterances: Sequence[Any]) -> NDArray[np.float64]:
        """Logits of shape (n_utterances, n_draws, n_labels); see `Recognizer.logits`."""
        draws = np.empty((len(utterances), self.n_draws, len(self.card.labels)))
        with self._dropping():
            for row, utterance in enumerate(utterances):
                for draw in range(self.n_draws):
                    draws[row, draw] = self._answer(utterance, self._seed + draw)
        return draws

    def remarks(self, utterances: Sequence[Any]) -> list[str]:
        """The remarks of the model itself."""
        return self._recognizer.remarks(utterances)

    def _answer(self, utterance: Any, seed: int) -> NDArray[np.float64]:
        import torch

        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return np.asarray(self._recognizer.logits([utterance])[0])

    @contextmanager
    def _dropping(self) -> Iterator[None]:
        """Dropout on for the block; all else of the network stays as for prediction."""
        for layer in self._layers:
            layer.train()
        try:
            yield
        finally:
            for layer in self._layers:
                layer.eval()


def _dropout_layers(module: Any) -> list[Any]:
    """Layers of a network that leave something out; none for a model without a network."""
    if module is None:
        return []
    from torch.nn.modules.dropout import _DropoutNd

    return [part for part in module.modules() if isinstance(part, _DropoutNd) and part.p > 0]
