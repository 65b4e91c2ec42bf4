"""Labelled utterances, and who of the speakers is held out."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emocli.errors import RecipeError
from emocli.files import place_of
from emocli.labels import match_label, plain_label
from emocli.splits import folds_by_corpus, named, units
from emocli.table import PredictionTable, listing
from emocli.training.recipe import DataSource, MemberRecipe, Recipe

NO_EMOTION = ("", "other", "unknown")
"""Labels of rows on which nobody agreed; left out unless the recipe names them."""
FIRST_LABELS = (
    "angry", "sad", "happy", "surprised", "fearful", "disgust", "contempt", "neutral",
)  # fmt: skip
"""The order of the challenge's outputs; labels of the data that are none of these come after."""


@dataclass(frozen=True)
class Utterance:
    """A labelled recording.

    Attributes:
        file: as the table names it, with the table's folder within the data in front.
        path: where it is.
        corpus: name of its data source.
        label: of the recipe.
        speaker: as the table names them; the same name is the same person in all tables. ``""``
            where nobody is named.
    """

    file: str
    path: Path
    corpus: str
    label: str
    speaker: str

    @property
    def unit(self) -> str:
        """What is on one side of a split alone: the speaker, or where none is named the file."""
        return self.speaker or f"\0{self.file}"


@dataclass(frozen=True)
class Split:
    """A part to train on and a part to test on.

    Attributes:
        name: for messages and file names.
        train: indices of utterances.
        held_out: indices of utterances; may be empty.
    """

    name: str
    train: tuple[int, ...]
    held_out: tuple[int, ...]


def read_utterances(table: PredictionTable, source: DataSource, recipe: Recipe) -> list[Utterance]:
    """The rows of a table whose label the recipe trains on.

    Args:
        table: with the columns that the source names.
        source: names columns and corpus.
        recipe: names the labels; rows with another label are left out.

    Raises:
        RecipeError: the column of labels is missing, or no row has one of the labels.
    """
    if source.label_column not in table.columns:
        raise RecipeError(
            f"{source.table}: no column {source.label_column} among {listing(table.columns)}, "
            f"expected labels. Name their column with label_column in the recipe's data."
        )
    place = Path(source.table).parent
    names = ("file", source.label_column, source.speaker_column)
    columns = (table.column(name) for name in names)
    found = []
    for file, label, speaker in zip(*columns, strict=True):
        meant = match_label(plain_label(label), recipe.trained_labels)
        if meant not in recipe.trained_labels:
            continue
        found.append(
            Utterance(
                file=(place / file).as_posix(),
                path=place_of(file, table.folder),
                corpus=source.name,
                label=meant,
                speaker=named(speaker),
            )
        )
    if not found:
        raise RecipeError(
            f"{source.table}: no row with a label of the recipe ({', '.join(recipe.labels)}), "
            f"expected some. Check label_column and labels."
        )
    return found


def fit_to_tables(
    content: Mapping[str, Any], tables: Mapping[str, PredictionTable], given: Collection[str]
) -> tuple[dict[str, Any], list[str]]:
    """A recipe of the package for somebody's own tables.

    Its labels are the words of the tables. What it says of the data that it was written for gives
    way: auxiliary labels, licence, notes, and folds if there are fewer speakers.

    Args:
        content: of the recipe, with what was set.
        tables: by their paths.
        given: keys that were set, which stay.

    Returns:
        The content, and sentences for the user.

    Raises:
        RecipeError: the tables have no two emotions with two recordings each.
    """
    name = listing(tables)
    wanted = {plain_label(label) for label in content["labels"]} if "labels" in given else None
    rows, n_left_out = _own_rows(tables, wanted)
    counts = Counter(label for label, _ in rows)
    if len(counts) < 2:
        found = f"all {len(rows)} rows are {next(iter(counts))}" if counts else "no row names one"
        raise RecipeError(f"{name}: {found}, expected two emotions or more. Add recordings.")
    if rare := [label for label, n in counts.items() if n < 2]:
        raise RecipeError(
            f"{name}: one recording of {listing(rare)}, expected two or more of each emotion. "
            f"Add recordings, or name the labels to train on with --set 'labels=[...]'."
        )
    n_units = len({unit for _, unit in rows})
    n_folds = min(int(content.get("split", {}).get("folds", 0)), n_units)
    stems = [Path(path).stem or "table" for path in tables]
    title = f"{content['name']}-{stems[0]}"
    own = {
        "name": title,
        "output": title,
        "data": [
            {"name": stem if stems.count(stem) == 1 else path, "table": path}
            for stem, path in zip(stems, tables, strict=True)
        ],
        "labels": list(label_order(counts)),
        "members": [_for_few(member, len(rows)) for member in content["members"]],
        "auxiliary_labels": [],
        "temperature": "held-out" if n_folds >= 2 else 1.0,
        "split": {"folds": n_folds if n_folds >= 2 else 0},
        "licence": "",
        "notes": "",
        "description": f"{', '.join(label_order(counts))} from the voice, by the recipe of "
        f"{content['name']}.",
    }
    changed = {**content, **{key: value for key, value in own.items() if key not in given}}
    return changed, _remarks(rows, n_left_out, n_units)


def _for_few(member: Mapping[str, Any], n_rows: int) -> dict[str, Any]:
    """A member's recipe that shows few recordings less often in an epoch, which saves time."""
    draws = int(member.get("utterances_per_epoch", MemberRecipe.utterances_per_epoch))
    batch = int(member.get("batch_size", MemberRecipe.batch_size))
    return {**member, "utterances_per_epoch": min(draws, max(8 * batch, 8 * n_rows))}


def _own_rows(
    tables: Mapping[str, PredictionTable], wanted: Collection[str] | None
) -> tuple[list[tuple[str, str]], int]:
    """Label and unit of each row that names an emotion, and how many do not."""
    rows, n_left_out = [], 0
    for path, table in tables.items():
        if "emotion" not in table.columns:
            raise RecipeError(
                f"{path}: no column emotion among {listing(table.columns)}, expected file, "
                f"emotion and maybe speaker. Rename the column."
            )
        speakers = [named(who) for who in table.column("speaker").tolist()]
        for label, unit in zip(table.columns["emotion"], units(speakers), strict=True):
            word = plain_label(label)
            if word in NO_EMOTION if wanted is None else word not in wanted:
                n_left_out += 1
            else:
                rows.append((word, f"{path}{unit}" if unit.startswith("\0") else unit))
    return rows, n_left_out


def _remarks(rows: Sequence[tuple[str, str]], n_left_out: int, n_units: int) -> list[str]:
    said = []
    if n_left_out:
        said.append(f"{n_left_out} rows without an emotion to train on are left out.")
    n_unnamed = sum("\0" in unit for _, unit in rows)
    if n_units < 2:
        said.append(
            "All recordings are of one speaker, so nobody can be held out: the model is not "
            "measured and its probabilities are not calibrated."
        )
    elif n_unnamed:
        said.append(
            f"No speaker is named for {n_unnamed} of {len(rows)} recordings: each of these is held "
            f"out by itself, so figures flatter where somebody speaks in several."
        )
    return said


def label_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels in the order of the outputs: those of the challenge, then by the alphabet."""

    def rank(label: str) -> tuple[int, str]:
        meant = match_label(label, FIRST_LABELS)
        known = meant in FIRST_LABELS
        return (FIRST_LABELS.index(meant) if known else len(FIRST_LABELS), label)

    return tuple(sorted(set(labels), key=rank))


def final_split(utterances: Sequence[Utterance], recipe: Recipe) -> Split:
    """Everybody for training but the recipe's development speakers.

    Raises:
        RecipeError: a development speaker is unknown, or nobody is left.
    """
    speakers = {utterance.speaker for utterance in utterances}
    unknown = [name for name in recipe.split.dev_speakers if name not in speakers]
    if unknown:
        raise RecipeError(
            f"split.dev_speakers names {listing(unknown)}, who is in no table. Correct the name."
        )
    if speakers == set(recipe.split.dev_speakers):
        raise RecipeError(
            "split.dev_speakers names everybody, expected someone left to train on. "
            "Name fewer speakers."
        )
    return by_speaker("final", utterances, set(recipe.split.dev_speakers))


def cross_validation(utterances: Sequence[Utterance], recipe: Recipe) -> list[Split]:
    """Folds of speakers, each held out once; every corpus is dealt evenly over the folds.

    Raises:
        RecipeError: the recipe asks for no folds, or for more than there are speakers.
    """
    n_folds = recipe.split.folds
    rows = [(utterance.corpus, utterance.unit) for utterance in utterances]
    n_units = len(set(rows))
    if not 2 <= n_folds <= n_units:
        raise RecipeError(
            f"split.folds is {n_folds}, expected between 2 and the {n_units} speakers. "
            f"Change the recipe."
        )
    folds = folds_by_corpus(rows, n_folds, recipe.seed)
    return [
        Split(
            f"fold-{fold + 1}",
            tuple(np.flatnonzero(folds != fold).tolist()),
            tuple(np.flatnonzero(folds == fold).tolist()),
        )
        for fold in range(n_folds)
    ]


def leave_corpus_out(utterances: Sequence[Utterance]) -> list[Split]:
    """Each corpus held out once.

    Raises:
        RecipeError: there is but one corpus, or two have a speaker in common.
    """
    corpora = sorted({utterance.corpus for utterance in utterances})
    if len(corpora) < 2:
        raise RecipeError(
            f"The data are one corpus ({', '.join(corpora)}), expected two or more to leave one "
            f"out. Add a table under data, or use --cross-validate."
        )
    splits = []
    for corpus in corpora:
        held = {i for i, utterance in enumerate(utterances) if utterance.corpus == corpus}
        train = tuple(i for i in range(len(utterances)) if i not in held)
        splits.append(Split(f"without-{corpus}", train, tuple(sorted(held))))
        check_speakers(splits[-1], utterances)
    return splits


def by_speaker(name: str, utterances: Sequence[Utterance], held_out: set[str]) -> Split:
    """A split that holds out some speakers."""
    held = [utterance.speaker in held_out for utterance in utterances]
    return Split(
        name,
        tuple(i for i, is_held in enumerate(held) if not is_held),
        tuple(i for i, is_held in enumerate(held) if is_held),
    )


def check_speakers(split: Split, utterances: Sequence[Utterance]) -> None:
    """See that nobody is on both sides of a split.

    Raises:
        RecipeError: a speaker is.
    """
    train, held_out = (
        {utterances[index].unit: utterances[index].file for index in reversed(part)}
        for part in (split.train, split.held_out)
    )
    both = sorted(train.keys() & held_out.keys())
    if both:
        named = (f"{who} ({train[who]}, {held_out[who]})" for who in both)
        raise RecipeError(
            f"{split.name}: {listing(named)} would be both in training and in testing. "
            f"Give different people different names, or drop one of the tables."
        )


def draw_weights(
    utterances: Sequence[Utterance], labels: Sequence[str], auxiliary_share: float
) -> np.ndarray:
    """Chances of being drawn that make corpora, and labels within a corpus, equally frequent.

    Args:
        utterances: to draw from.
        labels: that are predicted; the others are auxiliary.
        auxiliary_share: weight of an auxiliary label, 0 to leave them out.

    Returns:
        Shape (n_utterances,), float64, sums to 1.
    """
    keys = [(utterance.corpus, utterance.label) for utterance in utterances]
    counts = Counter(keys)
    share = {key: 1.0 if key[1] in labels else auxiliary_share for key in counts}
    n_shares = {corpus: sum(share[k] for k in counts if k[0] == corpus) for corpus, _ in counts}
    weights = np.array([share[k] / counts[k] / max(n_shares[k[0]], 1e-12) for k in keys])
    return np.asarray(weights / weights.sum())
