"""Adapting a run's predictions to its own recordings, without labels.

It takes statistics of all recordings, so rows are corrected when the last one is there. What they
need beside the posteriors, the traits of `emocli.calibration.adaptation`, comes from a second
recognizer for each model whose outputs are traits. Its rows go wherever those of the model go, so
resuming, sharing among processes and long recordings work as ever.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocli.audio.quality import join_remarks
from emocli.calibration.adaptation import Adaptation, GroupFigures, adapt
from emocli.calibration.tables import log_posteriors, new_labels
from emocli.errors import CalibrationError
from emocli.models.protocol import ModelCard, Recognizer
from emocli.pipeline.scoring import Row
from emocli.table import PROBABILITY_PREFIX, Column, PredictionTable, listing

BY = ("none", "all", "speaker", "file")
"""What groups of recordings a run can be adapted to."""

TRAITS_OF = "traits of "
"""Before the name of a model, the name of the recognizer that gives its traits."""


class TraitsRecognizer(Recognizer):
    """The traits that a model hears, as a dimensional model.

    Args:
        recognizer: the model, with an adaptation.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        self._recognizer = recognizer
        adaptation = recognizer.adaptation
        assert adaptation is not None
        n_traits = adaptation.directions.directions.shape[1]
        own = recognizer.card
        self.one_core, self.pool_seconds = recognizer.one_core, recognizer.pool_seconds
        self.card = ModelCard(
            name=TRAITS_OF + own.identifier,
            modality=own.modality,
            dimensions=tuple(f"trait_{number}" for number in range(n_traits)),
            sampling_rate=own.sampling_rate,
            min_seconds=own.min_seconds,
            source=own.source,
        )

    def _logits(self, utterances: Sequence[Any]) -> NDArray[np.float64]:
        """The traits; see `Recognizer.logits`."""
        return self._recognizer.traits(utterances)


@dataclass(frozen=True)
class AdaptOptions:
    """What a run is adapted to.

    Attributes:
        by: one of `BY`, but for ``"none"``.
        figures: of each model, by its identifier.
        speakers_within_files: the names of speakers mean other people in other recordings.
        remark: called with a sentence on how much the rows of each model were adapted.
    """

    by: str
    figures: dict[str, Adaptation]
    speakers_within_files: bool = False
    remark: Callable[[str], None] | None = None


def adapt_options(
    by: str,
    recognizers: Sequence[Recognizer],
    *,
    dropout: bool = False,
    speakers_within_files: bool = False,
    remark: Callable[[str], None] | None = None,
) -> AdaptOptions | None:
    """Options for a run of these models; None for no adaptation.

    Args:
        by: one of `BY`.
        recognizers: the models.
        dropout: they answer several times.
        speakers_within_files: the names of speakers mean other people in other recordings.
        remark: called with a sentence on how much the rows of each model were adapted.

    Raises:
        CalibrationError: ``by`` is none of `BY`, models answer several times, or one has no figures
            for adaptation.
    """
    if by not in BY:
        raise CalibrationError(
            f"adaptation by {by!r}, expected {', '.join(BY[:-1])} or {BY[-1]}. Choose one of them."
        )
    if by == "none":
        return None
    if dropout:
        raise CalibrationError(
            "--adapt together with --mc-dropout, expected one of them, for the draws of a row "
            "cannot be adapted. Leave out one of the two."
        )
    figures = {one.card.identifier: one.adaptation for one in recognizers}
    lacking = [name for name, own in figures.items() if own is None]
    if lacking:
        raise CalibrationError(
            f"{listing(lacking)}: no figures for adaptation, expected a model that has them, such "
            f"as builtin. Leave out --adapt, or train a model with emocli train."
        )
    known = {name: own for name, own in figures.items() if own is not None}
    return AdaptOptions(by, known, speakers_within_files, remark)


def with_traits(recognizers: Sequence[Recognizer]) -> list[Recognizer]:
    """Recognizers, and after them those of their traits."""
    return [*recognizers, *map(TraitsRecognizer, recognizers)]


def adapted_table(
    rows: Iterable[Row], options: AdaptOptions, folder: str, name: str
) -> PredictionTable:
    """Rows of models and of their traits as a table of the models, adapted.

    ``model`` becomes ``adapted(model)``, so that no calibration of the one is used for the other.

    Args:
        rows: of a run whose recognizers are those of `with_traits`.
        options: what to adapt to.
        folder: where relative paths start from.
        name: what to call the table in an error.

    Raises:
        CalibrationError: a grouping by speaker without any speakers.
    """
    own: list[Row] = []
    traits: dict[tuple[Any, ...], NDArray[np.float64]] = {}
    for row in rows:
        if row["model"].startswith(TRAITS_OF):
            values = [value for key, value in row.items() if key.startswith("trait_")]
            traits[_key(row, row["model"].removeprefix(TRAITS_OF))] = np.array(values)
        else:
            own.append(row)
    table = PredictionTable.from_rows(own, folder=folder, name=name)
    groups = _groups(own, options)
    for model, adaptation in options.figures.items():
        chosen = np.array([row["model"] == model and not row["error"] for row in own], dtype=bool)
        chosen &= ~np.isnan(table.probs).all(axis=1) if len(table.labels) else False
        if not chosen.any():
            continue
        places = np.flatnonzero(chosen)
        found = [traits[_key(own[place], model)] for place in places]
        figures = adaptation.run if options.by == "all" else adaptation.speaker
        table, sentence = _adapted_rows(
            table, places, np.stack(found), [groups[i] for i in places], figures
        )
        if options.remark is not None:
            options.remark(f"{model}: {sentence}")
    return table


def _adapted_rows(
    table: PredictionTable,
    places: NDArray[np.intp],
    traits: NDArray[np.float64],
    groups: Sequence[Hashable],
    figures: GroupFigures,
) -> tuple[PredictionTable, str]:
    """A table whose rows of one model are adapted, and a sentence on how much."""
    part = table.select(places)
    labels = [
        label for label in part.labels if not np.isnan(part[PROBABILITY_PREFIX + label]).all()
    ]
    log_probs = log_posteriors(part, labels)
    found = adapt(log_probs, traits, groups, figures)
    several = found.sizes > 1
    columns: dict[str, Column] = {}
    for index, label in enumerate(labels):
        values = table[PROBABILITY_PREFIX + label].copy()
        values[places] = np.exp(found.log_probs[:, index])
        columns[PROBABILITY_PREFIX + label] = values
    models, notes, chosen = (table.column(key).copy() for key in ("model", "note", "label"))
    identifier = models[places[0]]
    models[places] = f"adapted({identifier})"
    for place, size in zip(places[several], found.sizes[several], strict=True):
        notes[place] = join_remarks(
            notes[place], f"adapted to {size} rows, {found.share:.0%} of the correction"
        )
    chosen[places] = new_labels(part, np.exp(found.log_probs), labels)
    n_groups = len({group for group, many in zip(groups, several, strict=True) if many})
    adapted = table.with_columns({**columns, "model": models, "note": notes, "label": chosen})
    return adapted, _sentence(int(several.sum()), n_groups, found.share)


def _sentence(n_rows: int, n_groups: int, share: float) -> str:
    """How many rows were adapted, and how much."""
    if not n_rows:
        return "nothing to adapt to, for there are no two recordings of a group."
    groups = "1 group" if n_groups == 1 else f"{n_groups} groups"
    return (
        f"{n_rows} rows of {groups} adapted to one another; their spread lets {share:.0%} of the "
        f"correction pass."
    )


def _key(row: Row, model: str) -> tuple[Any, ...]:
    times = (row["start"], row["end"])
    return (model, row["file"], *("" if math.isnan(time) else time for time in times))


def _groups(rows: Sequence[Row], options: AdaptOptions) -> list[Hashable]:
    """What group each row is of; a row without a speaker is one of its own.

    Raises:
        CalibrationError: by speaker, and nothing names speakers.
    """
    if options.by == "all":
        return ["all"] * len(rows)
    if options.by == "file":
        return [row["file"] for row in rows]
    if any("speaker" in row for row in rows):
        named: list[Hashable] = []
        for index, row in enumerate(rows):
            speaker = row.get("speaker") or index
            within = row["file"] if options.speakers_within_files else ""
            named.append((within, speaker))
        return named
    folders = [str(PurePosixPath(row["file"]).parent) for row in rows]
    if len(set(folders)) < 2:
        raise CalibrationError(
            "--adapt speaker: nothing names speakers, expected a column speaker, --speakers, or a "
            "folder for each speaker. Use --adapt all."
        )
    return list(folders)
