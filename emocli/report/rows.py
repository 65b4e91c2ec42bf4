"""The rows of a report as compact JSON that a page can hold: numbers rounded, repeated text once.

Ten thousand rows of eight labels are about a megabyte and a half.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocli.report import palette
from emocli.report.content import Report, System
from emocli.table import (
    DIMENSIONS,
    KEY_COLUMNS,
    MEASURES,
    PROBABILITY_PREFIX,
    PredictionTable,
    is_figure,
)

_OWN = {*KEY_COLUMNS, "label", *MEASURES}
"""Columns that have a place of their own in the page's data."""


def page_data(report: Report) -> dict[str, Any]:
    """What the page's list needs.

    Returns:
        ``labels`` with their colour slots; ``files`` and where they can be heard (1 for the name
        itself); for each row its system, file, label, truth (indices, -1 for none), start and end
        in milliseconds, and probabilities, entropy, varentropy, margin in thousandths; and
        ``columns``, everything else.
    """
    tables = [system.rows for system in report.systems]
    labels = _all_labels(report.systems)
    index = {label: place for place, label in enumerate(labels)}
    files = list(dict.fromkeys(file for table in tables for file in table["file"].tolist()))
    place = {file: row for row, file in enumerate(files)}
    truths = [_truth(system) for system in report.systems]
    return {
        "labels": labels,
        "slots": palette.slots(labels),
        "systems": [system.name for system in report.systems],
        "files": files,
        "audio": [_address(file, report.audio.get(file)) for file in files],
        "rows": {
            "system": [turn for turn, table in enumerate(tables) for _ in range(len(table))],
            "file": [place[file] for table in tables for file in table["file"].tolist()],
            "label": _indices(np.concatenate([table.column("label") for table in tables]), index),
            "truth": _indices(np.concatenate(truths), index),
            "start": _thousandths(_joined(tables, "start")),
            "end": _thousandths(_joined(tables, "end")),
            **{name: _thousandths(_joined(tables, name)) for name in MEASURES},
            "unsure": [int(doubt) for system in report.systems for doubt in system.unsure],
            "p": [_thousandths(_joined(tables, PROBABILITY_PREFIX + label)) for label in labels],
        },
        "columns": _other_columns(tables),
        "hasTruth": any(system.verdict is not None for system in report.systems),
    }


def as_script(data: Any) -> str:
    r"""Data as JSON for a script element: no character in it can end the element.

    Example:
        >>> as_script(["</script>"])
        '["\\u003c/script\\u003e"]'
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _all_labels(systems: Sequence[System]) -> list[str]:
    named = [label for system in systems for label in system.labels]
    others = {
        label
        for system in systems
        for label in [*system.rows.column("label").tolist(), *_truth(system).tolist()]
    }
    return list(dict.fromkeys([*named, *sorted(others - {""})]))


def _truth(system: System) -> NDArray[Any]:
    if system.verdict is not None:
        return system.verdict.truth
    return np.full(len(system.rows), "", dtype=object)


def _address(file: str, address: str | None) -> str | int:
    """Where a file is heard: 1 for its own name, 0 for nowhere."""
    if address is None:
        return 0
    return 1 if address == file else address


def _indices(names: NDArray[Any], index: Mapping[str, int]) -> list[int]:
    return [index.get(name, -1) for name in names.tolist()]


def _joined(tables: Sequence[PredictionTable], name: str) -> NDArray[np.float64]:
    return np.concatenate([table.column(name) for table in tables])


def _thousandths(values: NDArray[np.float64]) -> list[int | None]:
    """Whole thousandths, None for missing; nothing at all for a column of missing values."""
    known = np.isfinite(values)
    if not known.any():
        return []
    whole = np.rint(np.where(known, values, 0.0) * 1000).astype(np.int64).tolist()
    return [value if has else None for value, has in zip(whole, known.tolist(), strict=True)]


def _other_columns(tables: Sequence[PredictionTable]) -> list[dict[str, Any]]:
    names = dict.fromkeys(name for table in tables for name in table.columns)
    others = [
        name for name in names if name not in _OWN and not name.startswith(PROBABILITY_PREFIX)
    ]
    return [_column(name, [table.column(name) for table in tables]) for name in others]


def _column(name: str, parts: Sequence[NDArray[Any]]) -> dict[str, Any]:
    """A column: figures as they are, texts as indices into the different ones."""
    values = np.concatenate(parts)
    if is_figure(name):
        digits = 3 if name in DIMENSIONS else 4
        return {
            "name": name,
            "figures": [
                None if value != value else round(value, digits) for value in values.tolist()
            ],
        }
    texts = values.tolist()
    different = {text: turn for turn, text in enumerate(dict.fromkeys(texts))}
    if len(different) > len(texts) // 2:
        return {"name": name, "texts": texts}
    return {"name": name, "values": list(different), "index": [different[text] for text in texts]}
