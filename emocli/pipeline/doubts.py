"""What to doubt in an evaluation, in sentences."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from emocli.metrics.intervals import FEW_UNITS, Units
from emocli.metrics.scores import Sample
from emocli.pipeline.pairing import Paired, Pairing
from emocli.table import PredictionTable, listing

FEW_UTTERANCES = 20
"""Support below which a label's recall moves by more than 0.05 with one utterance."""
NEAR_CONSTANT = 0.95
"""Share of one predicted label from which predictions look constant."""
LEAKS = {"file": "recordings", "speaker": "speakers", "text": "sentences", "sentence": "sentences"}
"""Columns whose values should not occur in both training and evaluation."""


def label_warnings(
    found: Paired, sample: Sample, labels: Sequence[str], how: Pairing, truth_name: str
) -> Iterator[str]:
    """What to doubt in figures of emotions."""
    if not found.has_emotions:
        return
    yield from _unknown_labels(found, how, truth_name)
    yield from _absent_labels(found, how, truth_name)
    unlabelled = int(np.sum(found.emotions == ""))
    if unlabelled:
        yield (
            f"{truth_name}: {unlabelled} of {len(found.emotions)} utterances have no "
            f"{how.truth_column} and are not evaluated."
        )
    sizes = np.bincount(sample.truth[sample.truth >= 0], minlength=len(labels))
    few = [
        f"{labels[int(row)]} ({sizes[row]})"
        for row in np.flatnonzero(sizes)
        if sizes[row] < FEW_UTTERANCES
    ]
    if few:
        yield (
            f"Under {FEW_UTTERANCES} utterances of {', '.join(few)}: one of them moves the recall "
            f"by more than 0.05."
        )
    yield from _constant_predictions(found, sample, labels)
    without = int(np.sum((sample.truth >= 0) & ~found.missing & np.isnan(sample.confidence)))
    if without and not np.isnan(sample.confidence).all():
        yield (
            f"{found.name}: {without} predictions without probabilities are left out of the "
            f"figures that need them."
        )


def _unknown_labels(found: Paired, how: Pairing, truth_name: str) -> Iterator[str]:
    """True emotions that the model cannot predict."""
    models = found.model_labels
    outside = np.array([bool(name) and name not in models for name in found.emotions.tolist()])
    if not models or how.labels or not outside.any():
        return
    names = sorted(set(found.emotions[outside].tolist()))
    common = [label for label in models if label in set(found.emotions.tolist())]
    yield (
        f"{truth_name}: {int(outside.sum())} of {len(outside)} utterances are {', '.join(names)}, "
        f"which {found.model or found.name} cannot predict; they count as wrong."
        + (f" Leave them out with --labels {','.join(common)}." if common else "")
    )


def _absent_labels(found: Paired, how: Pairing, truth_name: str) -> Iterator[str]:
    """Labels that were asked for and occur nowhere, as a wrong name does."""
    known = {*found.emotions.tolist(), *found.predicted("label").tolist(), *found.model_labels}
    if absent := [label for label in how.labels if label not in known]:
        yield (
            f"{', '.join(absent)} of --labels occurs neither in {truth_name} nor in {found.name}: "
            f"check how it is written."
        )


def _constant_predictions(found: Paired, sample: Sample, labels: Sequence[str]) -> Iterator[str]:
    given = sample.predicted[(sample.truth >= 0) & (sample.predicted >= 0)]
    if len(given) < FEW_UTTERANCES or len(np.unique(sample.truth[sample.truth >= 0])) < 2:
        return
    sizes = np.bincount(given, minlength=len(labels))
    if sizes.max() >= NEAR_CONSTANT * len(given):
        yield (
            f"{found.name}: {sizes.max() / len(given):.0%} of the predictions are "
            f"{labels[int(sizes.argmax())]}; they are nearly constant."
        )


def interval_warnings(
    found: Paired, units: Units, cluster: str, n_draws: int, *, by_default: bool
) -> Iterator[str]:
    """What to doubt in intervals, or why there are none.

    Args:
        found: predictions beside the truth.
        units: what varies.
        cluster: column of the units.
        n_draws: 0 for no intervals.
        by_default: whether nobody said what varies.
    """
    if not n_draws:
        return
    if units.n < 2:
        yield (
            f"No intervals: only one {cluster}. `emocli eval --cluster none` takes single "
            f"recordings as independent."
        )
    elif units.clustered:
        if units.n < FEW_UNITS:
            yield (
                f"Intervals rest on {units.n} {cluster}s only: they are wide, and weak because "
                f"they take the {cluster}s' differences as normal."
            )
        names = found.attribute(cluster)
        lonely = 0 if names is None else int(np.sum(names == ""))
        if lonely:
            yield (
                f"{lonely} of {len(found.row)} utterances have no {cluster} and count as one of "
                f"their own in intervals."
            )
    elif by_default and (named := speakers_in_names(found.truth["file"].tolist())):
        yield (
            f"Intervals take {len(found.row)} utterances as independent, for no table has a "
            f"column {cluster}, but {named.place} tell {named.n} speakers, such as "
            f"{named.example}. Utterances of one speaker are alike, so the intervals are too "
            f"narrow. Add the column, or say --cluster none."
        )


@dataclass(frozen=True)
class NamedSpeakers:
    """Speakers that names of recordings tell.

    Attributes:
        n: how many.
        place: what tells them.
        example: one of them.
    """

    n: int
    place: str
    example: str


def speakers_in_names(files: Sequence[str]) -> NamedSpeakers | None:
    """The speakers that names or folders of recordings tell; None where they tell none.

    Names are those of the corpora that emocli reads; folders are called ``Actor_01``, ``spk12``,
    ``0011`` or the like. Nearly all recordings must follow the scheme, and there must be several
    speakers with several recordings.
    """
    paths = [PurePosixPath(file.replace("\\", "/")) for file in files]
    for title, speaker_of in _schemes():
        if told := _told([speaker_of(path) for path in paths], f"their names ({title})"):
            return told
    deepest = max((len(path.parts) for path in paths), default=0)
    for depth in range(2, deepest + 1):
        folders = [path.parts[-depth] if len(path.parts) >= depth else "" for path in paths]
        speakers = [name if _SPEAKER_FOLDER.fullmatch(name) else "" for name in folders]
        if told := _told(speakers, "their folders"):
            return told
    return None


_SPEAKER_FOLDER = re.compile(
    r"(?:(?:actor|speaker|spkr?|subject|subj|participant|person|id|[spfm])[_ -]?)?\d{1,5}|"
    r"(?:actor|speaker|spkr?)[_ -]\w+",
    re.IGNORECASE,
)
_IEMOCAP_TURN = re.compile(r"(Ses0\d)[FM]_(?:impro|script)\w*_([FM])\d+")
_NAMED = 0.9
"""Share of recordings that must follow a scheme."""


def _schemes() -> Iterator[tuple[str, Callable[[PurePosixPath], str]]]:
    """Titles of corpora, and what finds the speaker in the path of a recording of each."""
    from emocli.corpora.files import NamedCorpus
    from emocli.corpora.registry import corpora
    from emocli.errors import CorpusError

    def of_corpus(corpus: NamedCorpus) -> Callable[[PurePosixPath], str]:
        def speaker_of(path: PurePosixPath) -> str:
            match = corpus.pattern.fullmatch(corpus.stem_of(Path(path)))
            try:
                return corpus.label(match, Path(path)).speaker if match else ""
            except CorpusError:
                return ""

        return speaker_of

    for corpus in corpora().values():
        if isinstance(corpus, NamedCorpus):
            yield corpus.about.title, of_corpus(corpus)

    def in_iemocap(path: PurePosixPath) -> str:
        match = _IEMOCAP_TURN.fullmatch(path.stem)
        return "".join(match.groups()) if match else ""

    yield "IEMOCAP", in_iemocap


def _told(speakers: Sequence[str], place: str) -> NamedSpeakers | None:
    known = [speaker for speaker in speakers if speaker]
    several = dict.fromkeys(known)
    if len(known) < _NAMED * len(speakers) or not 2 <= len(several) <= len(known) / 2:
        return None
    return NamedSpeakers(len(several), place, next(iter(several)))


def leakage_warnings(found: Paired, train: PredictionTable) -> Iterator[str]:
    """What the models may have seen before."""
    for column, what in LEAKS.items():
        ours = found.attribute(column)
        if ours is None or column not in train:
            continue
        shared = sorted((set(ours.tolist()) & set(train[column].tolist())) - {""})
        if shared:
            yield (
                f"{len(shared)} of {len(set(ours.tolist()))} {what} also occur in training: "
                f"{listing(shared)}."
            )
