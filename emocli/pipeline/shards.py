"""A part of a run's inputs, for machines that share them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from emocli.pipeline.inputs import Utterance


@dataclass(frozen=True)
class Shard:
    """The ``number``-th of ``n_shards`` parts, counted from 1.

    Parts are stretches of the inputs in their order and differ by one utterance at most, so that
    the tables of all parts, one below another, have the rows of the whole in its order.
    """

    number: int
    n_shards: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """A shard such as ``"2/8"``.

        Raises:
            ValueError: something else; says what was expected.

        Example:
            >>> Shard.parse("2/8")
            Shard(number=2, n_shards=8)
        """
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if not found or int(found[2]) == 0:
            raise ValueError(f"{text!r} is not a part of a whole, such as 2/8")
        number, n_shards = int(found[1]), int(found[2])
        if not 1 <= number <= n_shards:
            raise ValueError(
                f"{text}: parts count from 1 to {n_shards}; where jobs count from 0, add 1, as in "
                f"$((SLURM_ARRAY_TASK_ID + 1))/{n_shards}"
            )
        return cls(number, n_shards)

    def of(self, utterances: Sequence[Utterance]) -> Sequence[Utterance]:
        """This part of some utterances."""
        n = len(utterances)
        first, stop = ((i * n) // self.n_shards for i in (self.number - 1, self.number))
        return utterances[first:stop]
