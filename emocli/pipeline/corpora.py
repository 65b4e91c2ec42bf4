"""The labels of a known corpus as a table: the use case behind ``emocli data``."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from emocli.corpora.protocol import NO_AGREEMENT, About, Labelled, Selection
from emocli.corpora.registry import find_corpus, find_root
from emocli.errors import CorpusError
from emocli.labels import canonical_label
from emocli.splits import (
    check_parts,
    fold_groups,
    fold_speakers,
    parts_of_fold,
    split_speakers,
)
from emocli.table import PredictionTable, listing

GROUPS = ("session", "speaker")
"""What folds may be made of, beside a number of groups of speakers."""


@dataclass(frozen=True)
class Wanted:
    """What of a corpus is wanted, and in which parts.

    Attributes:
        keep_all: also what readers leave out, and the emotion ``unknown`` for utterances without
            agreement. Else these are kept, without an emotion, where they have dimensions.
        merged: emotions that count as another one.
        protocol: name of a choice of utterances that papers share.
        shares: of train, dev and maybe test, by speaker; empty for the corpus's own split.
        folds: a number, ``session``, ``speaker``, or empty for none.
        fold: that is tested, counted from 1; 0 for a column ``fold`` and no parts.
        seed: of parts and folds.
        shared_speakers: keep the corpus's own split also where speakers are in several parts.
    """

    keep_all: bool = False
    merged: Mapping[str, str] = field(default_factory=dict)
    protocol: str = ""
    shares: Sequence[float] = ()
    folds: str = ""
    fold: int = 0
    seed: int = 0
    shared_speakers: bool = False


@dataclass(frozen=True)
class Labels:
    """A corpus's labels.

    Attributes:
        table: one row for each utterance, with a column for whatever is known of any of them.
        about: the corpus in words.
        missing: recordings that the corpus's tables name and that are not there.
        remarks: sentences for the user.
    """

    table: PredictionTable
    about: About
    missing: tuple[str, ...]
    remarks: tuple[str, ...]


def read_corpus(name: str, folder: Path, wanted: Wanted, place: str = "") -> Labels:
    """The labels of a corpus.

    Args:
        name: of the corpus.
        folder: where it is; one around it or in it will do where that is unambiguous.
        wanted: what of it, and in which parts.
        place: folder of the table; recordings below it are named relative to it, others by their
            absolute path.

    Raises:
        CorpusError: there is no such corpus, it is damaged, nothing of it is wanted, or a speaker
            would be in two parts.
    """
    corpus = find_corpus(name)
    about = corpus.about
    selection = _selection(about, wanted.protocol)
    root = find_root(corpus, folder)
    found = corpus.read(root)
    remarks = [] if root == folder else [f"{about.title} is read from {root}."]
    remarks += found.remarks
    utterances, left_out = _kept(found.utterances, wanted, selection)
    if not utterances:
        raise CorpusError(
            f"{root}: {len(found.missing)} recordings of {about.title} are missing and "
            f"{sum(left_out.values())} are left out, which leaves none. Check that the recordings "
            f"are unpacked beside the labels."
        )
    n_undecided = sum(one.left_out == NO_AGREEMENT and not one.emotion for one in utterances)
    if n_undecided:
        remarks.append(
            f"Listeners agreed on no emotion for {n_undecided} utterances, which are kept without "
            f"one for their dimensions."
        )
    if left_out:
        reasons = ", ".join(f"{reason} {n}" for reason, n in left_out.items())
        remarks.append(f"Left out: {reasons}.")
    if selection and len(utterances) != selection.n_utterances:
        remarks.append(
            f"The protocol has {selection.n_utterances} utterances and {len(utterances)} are here."
        )
    columns = _columns(utterances, place)
    _divide(columns, about, wanted, selection)
    return Labels(
        PredictionTable.from_columns(columns, folder=place, name=about.title),
        about,
        found.missing,
        tuple(remarks),
    )


def _selection(about: About, protocol: str) -> Selection | None:
    if protocol and protocol not in about.protocols:
        known = listing(about.protocols)
        raise CorpusError(
            f"{about.title} has no protocol {protocol!r}, expected {known or 'none'}. "
            f"{'Choose one of them' if known else 'Leave out --protocol'}."
        )
    return about.protocols.get(protocol)


def _kept(
    utterances: Sequence[Labelled], wanted: Wanted, selection: Selection | None
) -> tuple[list[Labelled], Counter[str]]:
    """The utterances that are wanted, and how many are left out for which reason."""
    merged = {canonical_label(one): canonical_label(to) for one, to in wanted.merged.items()}
    strange = sorted(set(merged) - {one.emotion for one in utterances})
    if strange:
        raise CorpusError(
            f"--merge names {listing(strange)}, which nobody is, expected one of "
            f"{listing(sorted({one.emotion for one in utterances} - {''}))}. Correct the name."
        )
    if selection:
        merged = {**selection.merged, **merged}
    kept, left_out = [], Counter[str]()
    for one in utterances:
        emotion = merged.get(one.emotion, one.emotion)
        if (
            one.left_out == NO_AGREEMENT
            and one.has_dimensions
            and not (wanted.keep_all or selection)
        ):
            kept.append(replace(one, emotion=""))
        elif one.left_out and not wanted.keep_all:
            left_out[one.left_out] += 1
        elif selection and emotion not in selection.emotions:
            left_out[emotion] += 1
        else:
            kept.append(replace(one, emotion=emotion))
    return kept, left_out


def _columns(utterances: Sequence[Labelled], place: str) -> dict[str, list[object]]:
    """Columns of whatever is known of any utterance."""
    columns: dict[str, list[object]] = {"file": [_named(one.path, place) for one in utterances]}
    for name in (each.name for each in fields(Labelled)):
        values = [getattr(one, name) for one in utterances]
        if name not in ("path", "left_out") and any(_is_known(value) for value in values):
            columns[name] = values
    return columns


def _is_known(value: object) -> bool:
    return bool(value) and value == value  # NaN differs from itself


def _named(path: Path, place: str) -> str:
    """A path from the table's folder if it is below, else from the root."""
    absolute, start = os.path.abspath(path), os.path.abspath(place or ".")
    below = os.path.relpath(absolute, start)
    return (absolute if below.startswith("..") else below).replace(os.sep, "/")


def _divide(
    columns: dict[str, list[object]], about: About, wanted: Wanted, selection: Selection | None
) -> None:
    """Add folds and parts, or check those that are there."""
    n_rows = len(columns["file"])
    speakers = [str(who) for who in columns.get("speaker", [""] * n_rows)]
    folds = wanted.folds or (selection.folds if selection and not wanted.shares else "")
    if wanted.shares:
        columns["split"] = [*split_speakers(speakers, wanted.shares, wanted.seed)]
    elif folds:
        if folds in GROUPS:
            groups = [str(one) for one in columns.get(folds, [""] * n_rows)]
            numbers = fold_groups(groups, speakers, folds)
        else:
            numbers = fold_speakers(speakers, int(folds), wanted.seed)
        columns.pop("split", None)
        columns["fold"] = [str(number) for number in numbers]
        if wanted.fold:
            columns["split"] = [*parts_of_fold(numbers, wanted.fold)]
    elif "split" in columns and not wanted.shared_speakers:
        parts = [str(part) for part in columns["split"]]
        check_parts(parts, speakers, [str(file) for file in columns["file"]], about.title)
