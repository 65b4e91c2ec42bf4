"""Labelled utterances of one table for fine-tuning, and which of them train, develop and test."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from emocli.errors import RecipeError
from emocli.files import place_of
from emocli.labels import match_label, plain_label
from emocli.splits import PARTS, held_out_units, named, part_named, units
from emocli.table import PredictionTable, listing
from emocli.training.data import NO_EMOTION, label_order


class DataRecipe(Protocol):
    """What a recipe says of the data; see `emocli.training.tuning.TuningRecipe`."""

    @property
    def is_dimensional(self) -> bool:
        """Whether the truth is dimensions and not emotions."""
        ...

    @property
    def modality(self) -> str:
        """``text`` if every row has to have a text."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Emotions; empty for those of the training data."""
        ...

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Dimensions."""
        ...

    @property
    def dimension_range(self) -> tuple[float, ...]:
        """Lowest and highest value of a dimension in the data."""
        ...

    @property
    def allow_unknown_speakers(self) -> bool:
        """Whether to go on where the data do not say who speaks."""
        ...

    @property
    def dev_share(self) -> float:
        """Of the speakers for development."""
        ...

    @property
    def seed(self) -> int:
        """Of the choice of speakers."""
        ...


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled utterances.

    Attributes:
        files: as the table names them.
        paths: where they are.
        starts: seconds, NaN for the beginning, shape (n_utterances,).
        ends: seconds, NaN for the end, shape (n_utterances,).
        texts: what is said; empty strings where the table has no text.
        speakers: who says it; empty strings where nobody is named.
        targets: positions in ``names``, or values from 0 to 1 of shape (n_utterances, n_names).
        names: of labels or dimensions.
        parts: places of the utterances of each of `PARTS`.
        left_out: rows that are not used, by the reason.
    """

    files: tuple[str, ...]
    paths: tuple[Path, ...]
    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    texts: tuple[str, ...]
    speakers: tuple[str, ...]
    targets: NDArray[np.intp] | NDArray[np.float32]
    names: tuple[str, ...]
    parts: Mapping[str, NDArray[np.intp]]
    left_out: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.files)

    @property
    def identity(self) -> str:
        """A hash of who is trained on and judged by, with what truth."""
        content = sha256("\n".join([*self.names, *self.files, *self.texts]).encode())
        for values in (self.starts, self.ends, self.targets, *self.parts.values()):
            content.update(np.ascontiguousarray(values).tobytes() + b"|")
        return content.hexdigest()[:16]

    def n_speakers(self, part: str) -> int:
        """Different speakers of a part; 0 if nobody is named."""
        return len({self.speakers[i] for i in self.parts[part]} - {""})

    def voices(self, part: str) -> str:
        """How many speakers a part has, in words; utterances that name none are counted apart.

        ``"6 speakers"``, ``"6 speakers and 1 unnamed"`` or ``"unknown speakers"``.
        """
        n_speakers = self.n_speakers(part)
        n_unnamed = sum(not self.speakers[i] for i in self.parts[part])
        if not n_speakers:
            return "unknown speakers"
        told = f"{n_speakers} speaker{'' if n_speakers == 1 else 's'}"
        return f"{told} and {n_unnamed} unnamed" if n_unnamed else told

    def counts(self, part: str) -> NDArray[np.intp]:
        """Utterances of each label in a part, shape (n_labels,)."""
        return np.bincount(self.targets[self.parts[part]], minlength=len(self.names))


def read_examples(table: PredictionTable, name: str, recipe: DataRecipe) -> Examples:
    """The rows of a table that a recipe can use, and their split.

    Args:
        table: with ``file``, the truth, ``speaker``, and maybe ``text``, ``start``, ``end`` and
            ``split`` (train, dev or test).
        name: of the table, for messages.
        recipe: says what the truth is. Without ``split`` a share of the speakers is chosen for
            development by its seed.

    Raises:
        RecipeError: columns or values are missing, a speaker is in two parts, or a part is empty.
    """
    _check_columns(table, name, recipe)
    truth = (_dimensions if recipe.is_dimensional else _labels)(table, name, recipe)
    if recipe.modality == "text":
        truth = _spoken(table, truth)
    kept = np.flatnonzero(truth.is_used)
    if not len(kept):
        raise RecipeError(
            f"{name}: no row that the recipe can use, expected some. Check its columns and labels."
        )
    speakers = _speakers(table, name, recipe)
    parts = _parts(table, name, recipe, kept, speakers)
    if recipe.is_dimensional:
        names, targets = recipe.dimensions, truth.values[kept].astype(np.float32)
    else:
        names = _names(recipe, truth.values[kept[parts["train"]]])
        truth, kept, parts = _without_strangers(truth, names, kept, parts)
        targets = np.array([names.index(label) for label in truth.values[kept]], dtype=np.intp)
    _check_parts(parts, name, names, targets, recipe)
    examples = _examples(table, kept, speakers, targets, names, parts)
    left_out = {why: n for why, n in truth.left_out.items() if n}
    return replace(examples, left_out=left_out)


@dataclass(frozen=True, eq=False)
class _Truth:
    """What a table says is true of its rows.

    Attributes:
        values: labels, or numbers of shape (n_rows, n_dimensions).
        is_used: whether the recipe can use a row.
        left_out: rows that it cannot, by the reason.
    """

    values: NDArray[Any]
    is_used: NDArray[np.bool_]
    left_out: Mapping[str, int]


def _spoken(table: PredictionTable, truth: _Truth) -> _Truth:
    """Without rows that have no text."""
    has_text = np.array([bool(str(text or "").strip()) for text in table.columns["text"]])
    n_silent = int((truth.is_used & ~has_text).sum())
    left_out = {**truth.left_out, "no text": n_silent}
    return replace(truth, is_used=truth.is_used & has_text, left_out=left_out)


def _without_strangers(
    truth: _Truth,
    names: Sequence[str],
    kept: NDArray[np.intp],
    parts: Mapping[str, NDArray[np.intp]],
) -> tuple[_Truth, NDArray[np.intp], dict[str, NDArray[np.intp]]]:
    """Without rows whose label nobody in training has."""
    known = np.array([label in names for label in truth.values[kept]], dtype=bool)
    place = np.cumsum(known) - 1
    moved = {part: place[own[known[own]]] for part, own in parts.items()}
    left_out = {**truth.left_out, "no such label in train": int((~known).sum())}
    return replace(truth, left_out=left_out), kept[known], moved


def _examples(
    table: PredictionTable,
    kept: NDArray[np.intp],
    speakers: Sequence[str],
    targets: NDArray[np.intp] | NDArray[np.float32],
    names: tuple[str, ...],
    parts: Mapping[str, NDArray[np.intp]],
) -> Examples:
    files = tuple(str(file) for file in table.columns["file"][kept])
    no_time = np.full(len(table), np.nan)
    times = [
        np.asarray(table.columns.get(column, no_time), dtype=np.float64)[kept]
        for column in ("start", "end")
    ]
    has_text = "text" in table.columns
    texts = table.columns["text"][kept] if has_text else [""] * len(kept)
    return Examples(
        files=files,
        paths=tuple(place_of(file, table.folder) for file in files),
        starts=times[0],
        ends=times[1],
        texts=tuple(str(text or "") for text in texts),
        speakers=tuple(speakers[i] for i in kept),
        targets=targets,
        names=names,
        parts=parts,
        left_out={},
    )


def _check_columns(table: PredictionTable, name: str, recipe: DataRecipe) -> None:
    wanted = list(recipe.dimensions) if recipe.is_dimensional else ["emotion"]
    wanted += ["text"] if recipe.modality == "text" else []
    missing = [column for column in wanted if column not in table.columns]
    if missing:
        raise RecipeError(
            f"{name}: no column {' and '.join(missing)}, expected file, {', '.join(wanted)}, "
            f"speaker. `emocli data` writes such tables for known corpora."
        )


def _labels(table: PredictionTable, name: str, recipe: DataRecipe) -> _Truth:
    """The table's words, or the recipe's labels where they mean the same."""
    wanted = [plain_label(label) for label in recipe.labels]
    words = [plain_label(given) for given in table.columns["emotion"]]
    labels = [match_label(word, wanted) if wanted else word for word in words]
    used = [label in wanted if wanted else label not in NO_EMOTION for label in labels]
    reasons = Counter(
        f"emotion {label}" if label else "no emotion"
        for label, is_used in zip(labels, used, strict=True)
        if not is_used
    )
    return _Truth(np.array(labels, dtype=object), np.array(used, dtype=bool), reasons)


def _names(recipe: DataRecipe, labels: NDArray[Any]) -> tuple[str, ...]:
    if recipe.labels:
        return tuple(plain_label(label) for label in recipe.labels)
    return label_order(labels.tolist())


def _dimensions(table: PredictionTable, name: str, recipe: DataRecipe) -> _Truth:
    """Values scaled to run from 0 to 1."""
    low, high = recipe.dimension_range
    columns = []
    for dimension in recipe.dimensions:
        values = np.asarray(table.columns[dimension], dtype=np.float64)
        if np.isnan(values).all():
            least = most = np.nan
        else:
            least, most = float(np.nanmin(values)), float(np.nanmax(values))
        if least < low or most > high:
            raise RecipeError(
                f"{name}: {dimension} runs from {least:g} to {most:g}, expected {low:g} to "
                f"{high:g}. Give the range with --set 'dimension_range=[LOW, HIGH]'."
            )
        columns.append((values - low) / (high - low))
    stacked = np.stack(columns, axis=1)
    used = np.asarray(~np.isnan(stacked).any(axis=1))
    return _Truth(stacked, used, {"no value": int((~used).sum())})


def _speakers(table: PredictionTable, name: str, recipe: DataRecipe) -> list[str]:
    given = table.columns.get("speaker")
    speakers = [""] * len(table) if given is None else [named(who) for who in given]
    unknown = [str(f) for f, who in zip(table.columns["file"], speakers, strict=True) if not who]
    if unknown and not recipe.allow_unknown_speakers:
        raise RecipeError(
            f"{name}: no speaker for {listing(unknown)}, expected one for each row, for nobody may "
            f"be both in training and in testing. Fill the column speaker, or add "
            f"--set allow_unknown_speakers=true."
        )
    return speakers


def _parts(
    table: PredictionTable,
    name: str,
    recipe: DataRecipe,
    kept: NDArray[np.intp],
    speakers: Sequence[str],
) -> dict[str, NDArray[np.intp]]:
    """Places among the kept rows of each of `PARTS`."""
    who = [speakers[i] for i in kept]
    if "split" not in table.columns:
        return _chosen_parts(name, recipe, who)
    given = [str(table.columns["split"][i] or "").strip() for i in kept]
    part_of = [part_named(part).rstrip("0123456789") for part in given]
    strange = sorted({given[i] for i, part in enumerate(part_of) if not part})
    if strange:
        raise RecipeError(
            f"{name}: split is {listing(repr(part) for part in strange)}, expected train, dev or "
            f"test. Correct the column, or leave it out for a split by speakers."
        )
    array = np.array(part_of)
    parts = {part: np.flatnonzero(array == part) for part in PARTS}
    _check_speakers(name, parts, who, table.columns["file"][kept].tolist())
    return parts


def _check_speakers(
    name: str,
    parts: Mapping[str, NDArray[np.intp]],
    speakers: Sequence[str],
    files: Sequence[str],
) -> None:
    # A file of each speaker, for messages.
    firsts = {part: {speakers[i]: files[i] for i in own[::-1]} for part, own in parts.items()}
    for one, other in (("train", "dev"), ("train", "test"), ("dev", "test")):
        both = sorted((firsts[one].keys() & firsts[other].keys()) - {""})
        if both:
            named = (f"{who} ({firsts[one][who]}, {firsts[other][who]})" for who in both)
            raise RecipeError(
                f"{name}: {listing(named)} would be both in {one} and in {other}. Give different "
                f"people different names, or correct the column split."
            )


def _chosen_parts(
    name: str, recipe: DataRecipe, speakers: Sequence[str]
) -> dict[str, NDArray[np.intp]]:
    """Development speakers by seed."""
    rows = units(speakers)
    if len(set(rows)) < 2:
        raise RecipeError(
            f"{name}: only one speaker, expected two or more so that development has one of its "
            f"own. Add a column split, or more speakers."
        )
    chosen = held_out_units(rows, recipe.dev_share, recipe.seed)
    is_dev = np.array([row in chosen for row in rows], dtype=bool)
    nobody = np.empty(0, dtype=np.intp)
    return {"train": np.flatnonzero(~is_dev), "dev": np.flatnonzero(is_dev), "test": nobody}


def _check_parts(
    parts: Mapping[str, NDArray[np.intp]],
    name: str,
    names: Sequence[str],
    targets: NDArray[np.intp] | NDArray[np.float32],
    recipe: DataRecipe,
) -> None:
    for part in ("train", "dev"):
        if not len(parts[part]):
            raise RecipeError(
                f"{name}: no row to use in {part}, expected some. Correct the column split."
            )
    if recipe.is_dimensional:
        return
    counts = np.bincount(targets[parts["train"]], minlength=len(names))
    absent = [label for label, n in zip(names, counts, strict=True) if not n]
    if absent or len(names) < 2:
        raise RecipeError(
            f"{name}: train has no {listing(absent)}, expected every label of the recipe. Leave it "
            f"out with --set labels, or add recordings."
            if absent
            else f"{name}: train has only {names[0]}, expected two labels or more. Add recordings."
        )
