"""From tables to the content of a report: truth, thresholds, recordings and model cards."""

import base64
import mimetypes
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from emocli.calibration.tables import labels_of
from emocli.errors import AudioError, ModelError, TableError
from emocli.files import find_file
from emocli.fusion.entropy_selection import EntropySelection
from emocli.fusion.storage import ARROW
from emocli.labels import is_sentiment
from emocli.models import registry
from emocli.pipeline.evaluate import EvalOptions, evaluate
from emocli.pipeline.pairing import (
    Paired,
    evaluated_labels,
    pair,
    probability_columns,
    sample_of,
    true_emotions,
)
from emocli.report.content import Card, System, Verdict
from emocli.report.truth_figures import Exchange
from emocli.table import DIMENSIONS, PredictionTable, listing

LARGEST_EMBEDDED = 20_000_000
"""Bytes of recordings that a page may carry: as base64 they take a third more."""
CERTAINTY = "certainty (low entropy)"
CONFIDENCE = "probability"


@dataclass(frozen=True)
class Sources:
    """What a report may draw on beside the tables.

    Attributes:
        truth: true emotions, dimensions or references; None if they are not known.
        truth_name: what to call it.
        options: how predictions meet the truth and what is evaluated.
        fuser: thresholds to draw.
        unsure: tells which rows of a table to doubt.
    """

    unsure: Callable[[PredictionTable], NDArray[np.bool_]]
    truth: PredictionTable | None = None
    truth_name: str = "truth"
    options: EvalOptions = field(default_factory=EvalOptions)
    fuser: EntropySelection | None = None


def systems_of(tables: Sequence[tuple[str, PredictionTable]], sources: Sources) -> list[System]:
    """One system for each model in each table.

    Args:
        tables: names and predictions.
        sources: what else is known.

    Raises:
        TableError: a table has no rows or nothing to show, or a table and the truth do not join.
    """
    for name, table in tables:
        if not len(table):
            raise TableError(
                f"{name}: no rows, expected at least one prediction. "
                f"Check that the command before it found recordings."
            )
        shown = (*DIMENSIONS, "label", "text", "error")
        if not any(column in table for column in shown) and not table.labels:
            raise TableError(
                f"{name}: nothing to show, expected a label, p_ columns, dimensions, a text or an "
                f"error, found {listing(table.columns)}. Give a table that emocli predict wrote."
            )
    return [system for name, table in tables for system in _of_table(name, table, sources)]


def _of_table(name: str, table: PredictionTable, sources: Sources) -> list[System]:
    models = table.column("model")
    return [
        _of_model(name, model, table.select(models == model), sources)
        for model in dict.fromkeys(models.tolist())
    ]


def _of_model(name: str, model: str, rows: PredictionTable, sources: Sources) -> System:
    labels = labels_of(rows)
    verdict = _verdict(name, rows, labels, sources)
    return System(
        table=name,
        model=model,
        rows=rows,
        labels=labels,
        unsure=sources.unsure(rows),
        verdict=verdict,
        thresholds=_thresholds(sources.fuser, labels),
        exchanges=exchanges_of(rows, verdict.truth if verdict is not None else None),
    )


def _verdict(
    name: str, rows: PredictionTable, labels: Sequence[str], sources: Sources
) -> Verdict | None:
    """What the truth says of the rows of one model; None where they do not speak of the same."""
    truth = sources.truth
    if truth is None or _only_sentiments(labels, truth, sources.options.pairing.truth_column):
        return None
    asked = _with_speakers(sources.options, rows, truth)
    names = (name, sources.truth_name)
    (evaluation,) = evaluate([(name, rows)], truth, asked, truth_name=sources.truth_name)
    (found,) = pair(rows, truth, asked.pairing, names=names)
    known = evaluated_labels([found], asked.pairing)
    sample = sample_of(found, known, probability_columns([found], known), asked.pairing)
    judged = (sample.truth >= 0) & ~np.isnan(sample.confidence)
    measures = {CONFIDENCE: sample.confidence[judged]}
    entropy = found.predicted("entropy")[judged]
    if judged.any() and not np.isnan(entropy).any():
        measures[CERTAINTY] = -entropy
    return Verdict(
        evaluation=evaluation,
        truth=_truth_by_row(found, rows),
        right=sample.predicted[judged] == sample.truth[judged],
        measures=measures,
        truth_name=sources.truth_name,
    )


def _only_sentiments(labels: Sequence[str], truth: PredictionTable, column: str) -> bool:
    """Whether sentiments would be held against emotions, which says nothing about either."""
    return is_sentiment(labels) and not is_sentiment(true_emotions(truth, column).tolist())


def _truth_by_row(found: Paired, rows: PredictionTable) -> NDArray[Any]:
    """The true label of each row, ``""`` where there is none."""
    truth = np.full(len(rows), "", dtype=object)
    met = found.row >= 0
    truth[np.flatnonzero(~rows.failed)[found.row[met]]] = found.emotions[met]
    return truth


def _with_speakers(
    options: EvalOptions, table: PredictionTable, truth: PredictionTable
) -> EvalOptions:
    """The options, with groups of speakers where a table names them and nothing else was asked."""
    if options.by or not ("speaker" in table or "speaker" in truth):
        return options
    return replace(options, by=("speaker",))


def _thresholds(
    fuser: EntropySelection | None, labels: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Thresholds by label, for a model with the fuser's labels."""
    if fuser is None or set(labels) != set(fuser.labels):
        return {}
    return {
        label: (rule.entropy, rule.varentropy)
        for label, rule in fuser.rules.items()
        if np.isfinite(rule.entropy)
    }


def exchanges_of(rows: PredictionTable, truth: NDArray[Any] | None = None) -> tuple[Exchange, ...]:
    """What fusion changed in a table, the most frequent exchange first.

    Args:
        rows: a fused table with ``changed``, or any other.
        truth: true label of each row, ``""`` where it is not known; None without a truth.
    """
    changes = rows.column("changed").tolist()
    made = Counter(change for change in changes if ARROW in change)
    found = []
    for change, n in sorted(made.items(), key=lambda item: (-item[1], item[0])):
        before, _, after = change.partition(ARROW)
        here = np.array([one == change for one in changes], dtype=bool)
        true = None if truth is None else truth[here]
        found.append(
            Exchange(
                before,
                after,
                n,
                None if true is None else int(np.sum(true == after)),
                None if true is None else int(np.sum(true == before)),
            )
        )
    return tuple(found)


def find_audio(
    tables: Sequence[PredictionTable], page_folder: str, root: str | None = None
) -> dict[str, str]:
    """Where the recording of each file is, relative to the folder of a page; only those there are.

    A relative path is looked for in its table's own folder and in the working folder, or with
    ``root`` there alone.

    Args:
        tables: whose files are looked for.
        page_folder: folder of the page.
        root: folder that relative paths start from.
    """
    found: dict[str, str] = {}
    for table in tables:
        folders = [root] if root is not None else [table.folder, ""]
        for file in dict.fromkeys(table["file"].tolist()):
            place = find_file(file, folders)
            if place is not None and os.path.isfile(place) and file not in found:
                found[file] = _relative(place, page_folder)
    return found


def _relative(place: str, page_folder: str) -> str:
    return os.path.relpath(os.path.abspath(place), os.path.abspath(page_folder or "."))


def linked(places: Mapping[str, str]) -> dict[str, str]:
    """Addresses of recordings beside the page; a file whose address is its own name keeps it."""
    return {
        file: file if place == file else quote(place.replace(os.sep, "/"), errors="surrogateescape")
        for file, place in places.items()
    }


def embedded(places: Mapping[str, str], page_folder: str) -> dict[str, str]:
    """The recordings themselves as ``data:`` addresses.

    Raises:
        AudioError: together they are larger than 20 MB.
    """
    paths = {file: Path(page_folder, place) for file, place in places.items()}
    size = sum(path.stat().st_size for path in paths.values())
    if size > LARGEST_EMBEDDED:
        raise AudioError(
            f"--embed-audio: {len(paths)} recordings have {size / 1e6:.1f} MB, expected at most "
            f"{LARGEST_EMBEDDED / 1e6:.0f} MB. Leave it out, and keep the page where the "
            f"recordings are."
        )
    return {file: _data_address(path) for file, path in paths.items()}


def _data_address(path: Path) -> str:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def cards_of(systems: Sequence[System]) -> list[Card]:
    """Cards of the models that the systems name, as far as they are known on this machine.

    Names inside others count too: ``temperature(builtin)`` speaks of ``builtin``.
    """
    names = dict.fromkeys(
        part.strip() for system in systems for part in re.split(r"[(),]", system.model)
    )
    cards = {card.name: card for name in names if name for card in _known(name)}
    return list(cards.values())


def _known(name: str) -> list[Card]:
    try:
        listing = registry.describe(name)
    except ModelError:
        return []
    if not (listing.alias or listing.on_this_machine):
        return []
    card = listing.card
    facts = [
        ("kind", card.modality),
        ("gives", ", ".join(card.outputs)),
        ("licence", card.licence or "not stated"),
        ("source", card.source),
        ("parameters", f"{card.n_parameters:,}" if card.n_parameters else ""),
        ("size", f"{card.size_bytes / 1e6:,.1f} MB" if card.size_bytes else ""),
        ("about", card.description),
    ]
    known = tuple((field, value) for field, value in facts if value)
    return [Card(card.identifier, known, listing.text)]
