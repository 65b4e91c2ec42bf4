"""Sentences about a run that as a whole should not be trusted."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from emocli.table import PredictionTable

UNIFORM_ENTROPY = 0.95
"""Mean normalised entropy from which a run as a whole says next to nothing."""
COLLAPSE_SHARE = 0.95
"""Share of one label from which a run looks as if the model had collapsed."""
COLLAPSE_ROWS = 10
"""Rows below which one label for all may be plain truth."""

LONG_SECONDS = 60.0
"""Length from which on one label for a recording hides more than it tells."""


@dataclass
class _Seen:
    """What the predictions of a model have come to."""

    labels: Counter[str] = field(default_factory=Counter)  # without those that were left out
    n_rows: int = 0
    evenness: float = 0.0


class Cautions:
    """What a run has come to, gathered piece by piece.

    A model that gives nearly every recording the same label, or posteriors that are close to
    uniform, does not fit the recordings, whatever it says of each of them.

    Attributes:
        n_failed: rows with an error.
        n_long: rows of a minute or more that have a posterior.
    """

    def __init__(self) -> None:
        self.n_failed = 0
        self.n_long = 0
        self._seen: dict[str, _Seen] = {}

    def add(self, table: PredictionTable) -> None:
        """Look at some rows of the run."""
        self.n_failed += int(table.failed.sum())
        seconds = table.column("end") - table.column("start")
        known = ~np.isnan(table.column("normalized_entropy"))
        self.n_long += int(((seconds >= LONG_SECONDS) & known).sum())
        evenness, models = table.column("normalized_entropy"), table.column("model")
        for model in dict.fromkeys(models.tolist()):
            rows = (models == model) & ~np.isnan(evenness)
            seen = self._seen.setdefault(model, _Seen())
            seen.labels.update(filter(None, table.column("label")[rows].tolist()))
            seen.n_rows += int(rows.sum())
            seen.evenness += float(evenness[rows].sum())

    def sentences(self) -> Iterator[str]:
        """What to say of the run, model by model."""
        for model, seen in self._seen.items():
            n_labelled = seen.labels.total()
            ((label, count),) = seen.labels.most_common(1) or [("", 0)]
            if n_labelled >= COLLAPSE_ROWS and count >= COLLAPSE_SHARE * n_labelled:
                yield (
                    f"{model} gives {count} of {n_labelled} rows the same label, {label}. "
                    f"Either they are alike, or the model does not fit these recordings."
                )
            mean = seen.evenness / max(seen.n_rows, 1)
            if seen.n_rows >= COLLAPSE_ROWS and mean > UNIFORM_ENTROPY:
                yield (
                    f"{model} is near uniform: the mean entropy is {mean:.0%} of the largest "
                    f"possible. Its labels say next to nothing about these recordings."
                )


def cautions(table: PredictionTable) -> list[str]:
    """What to say of a run whose table is there as a whole; see `Cautions`."""
    run = Cautions()
    run.add(table)
    return list(run.sentences())
