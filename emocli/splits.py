"""Parts and folds in which no speaker meets another part: the one splitter of the program.

Rows are dealt out in units: all rows of a speaker are one, and a row whose speaker nobody names is
one by itself. So a row without a name costs nobody else their separation.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from emocli.errors import CorpusError, TableError
from emocli.labels import is_missing
from emocli.table import listing

PARTS = ("train", "dev", "test")
_NAMES_OF_DEV = {"dev", "devel", "development", "val", "valid", "validate", "validation"}
N_FOLDS = 5
MAX_FOLDS = 10
_T = TypeVar("_T")


def named(value: object) -> str:
    """The speaker that a table's cell names, ``""`` where it names none.

    Example:
        >>> named("anna "), named("Unknown"), named("nan")
        ('anna', '', '')
    """
    name = "" if is_missing(value) else str(value).strip()
    return "" if name.casefold() == "unknown" else name


def units(speakers: Sequence[str]) -> list[str]:
    """What stays together of each row: its speaker, or where none is named the row itself."""
    return [name or f"\0{row}" for row, name in enumerate(speakers)]


def told_apart(speakers: Sequence[str]) -> str:
    """What folds of these rows keep apart, in the words of a card.

    Example:
        >>> told_apart(["a", "b"]), told_apart(["", ""])
        ('speakers', 'recordings, whose speakers nobody names')
        >>> told_apart(["a", "", "b"])
        'speakers (1 of 3 recordings names none and is one by itself)'
    """
    n_unnamed = list(speakers).count("")
    if not n_unnamed:
        return "speakers"
    if n_unnamed == len(speakers):
        return "recordings, whose speakers nobody names"
    each = "names none and is one by itself" if n_unnamed == 1 else "name none and are one each"
    return f"speakers ({n_unnamed} of {len(speakers)} recordings {each})"


def part_named(text: str) -> str:
    """The part of a split by one of the names that data sets give it, ``""`` for another name.

    A number after ``test`` is kept.

    Example:
        >>> part_named("Validation"), part_named(" Dev"), part_named("Test 2"), part_named("x")
        ('dev', 'dev', 'test2', '')
    """
    name = "".join(letter for letter in text.casefold() if letter.isalnum())
    if name.startswith("test"):
        return "test" + name[len(name.rstrip("0123456789")) :]
    if name.startswith("train"):
        return "train"
    return "dev" if name.removesuffix("set") in _NAMES_OF_DEV else ""


def shares_of(text: str) -> tuple[float, ...]:
    """Shares of train, dev and maybe test.

    Raises:
        CorpusError: not two or three numbers above 0 that sum to 1.

    Example:
        >>> shares_of("0.8,0.1,0.1")
        (0.8, 0.1, 0.1)
    """
    try:
        shares = tuple(float(part) for part in text.split(","))
    except ValueError:
        shares = ()
    are_shares = all(share > 0 for share in shares) and abs(sum(shares) - 1) < 1e-6
    if len(shares) not in (2, 3) or not are_shares:
        raise CorpusError(
            f"--split is {text!r}, expected two or three shares above 0 that sum to 1, for train, "
            f"dev and test. Write for example --split 0.8,0.1,0.1."
        )
    return shares


def split_speakers(speakers: Sequence[str], shares: Sequence[float], seed: int) -> list[str]:
    """A part for each row.

    The units are shuffled, each part gets one, and each further one goes where most rows are
    lacking.

    Args:
        speakers: of each row, ``""`` where nobody is named.
        shares: of rows, for the first of `PARTS`.
        seed: of the shuffle.

    Raises:
        CorpusError: there are fewer units than parts.
    """
    room = [share * len(speakers) for share in shares]
    return [PARTS[place] for place in _filled(speakers, room, "parts", seed)]


def fold_speakers(speakers: Sequence[str], n_folds: int, seed: int) -> list[int]:
    """A fold, counted from 1, for each row; filled as `split_speakers` does.

    Raises:
        CorpusError: there are fewer units than folds.
    """
    room = [len(speakers) / n_folds] * n_folds
    return [place + 1 for place in _filled(speakers, room, "folds", seed)]


def _filled(speakers: Sequence[str], room: list[float], what: str, seed: int) -> list[int]:
    """Which room each row goes to."""
    unit_of = units(speakers)
    counts = Counter(unit_of)
    if len(counts) < len(room):
        known = sorted(set(speakers) - {""})
        told = f"{len(known)} speakers ({listing(known)})" if known else "0 speakers"
        alone = len(counts) - len(known)
        told += f" and {alone} recordings whose speakers nobody names" if alone else ""
        raise CorpusError(
            f"{told} are too few for {len(room)} {what} that share none. Ask for fewer {what}."
        )
    place_of: dict[str, int] = {}
    for rank, name in enumerate(_shuffled(sorted(counts), np.random.default_rng(seed))):
        place = rank if rank < len(room) else int(np.argmax(room))
        room[place] -= counts[name]
        place_of[name] = place
    return [place_of[name] for name in unit_of]


def fold_groups(groups: Sequence[str], speakers: Sequence[str], what: str) -> list[int]:
    """A fold, counted from 1, for each session or speaker, in the order of their names.

    Args:
        groups: session or speaker of each row.
        speakers: of each row, ``""`` where nobody is named.
        what: the groups are, in the singular.

    Raises:
        CorpusError: a row has no group, there is only one, or a speaker is in two.
    """
    others = "a number" if what == "speaker" else "a number or speaker"
    if "" in groups:
        raise CorpusError(
            f"No {what} is known for {list(groups).count('')} of {len(groups)} utterances, "
            f"expected one for each to fold by. Give --folds {others}."
        )
    order = sorted(set(groups))
    if len(order) < 2:
        raise CorpusError(
            f"There is only one {what} ({order[0]}), expected two or more to fold by. "
            f"Give --split instead."
        )
    pairs = sorted({pair for pair in zip(speakers, groups, strict=True) if pair[0]})
    shared = [name for name, n in Counter(who for who, _ in pairs).items() if n > 1]
    if shared:
        raise CorpusError(
            f"{listing(shared)} would be in several folds, for they speak in more than one {what}. "
            f"Give --folds {others}."
        )
    return [order.index(group) + 1 for group in groups]


def parts_of_fold(folds: Sequence[int], fold: int) -> list[str]:
    """Train, dev and test where a fold is tested and the one after it is for development.

    Raises:
        CorpusError: there is no such fold, or there are fewer than three.

    Example:
        >>> parts_of_fold([1, 2, 3, 4], 4)
        ['dev', 'train', 'train', 'test']
    """
    n_folds = max(folds)
    if not 1 <= fold <= n_folds or n_folds < 3:
        raise CorpusError(
            f"--fold is {fold} of {n_folds} folds, expected one of at least three, of which the "
            f"next is for development. Give another number, or more --folds."
        )
    dev = fold % n_folds + 1
    return ["test" if one == fold else "dev" if one == dev else "train" for one in folds]


def check_parts(
    parts: Sequence[str], speakers: Sequence[str], files: Sequence[str], name: str
) -> None:
    """Make sure that nobody is in two parts; several test parts count as one.

    Args:
        parts: of each row.
        speakers: of each row; an empty one is nobody.
        files: of each row, for the message.
        name: of what is split, for the message.

    Raises:
        CorpusError: somebody is, with a file of each part.
    """
    shared = [*_shared(parts, speakers, files)]
    if shared:
        raise CorpusError(
            f"{name}: {len(shared)} speakers are in more than one part of the split: "
            f"{'; '.join(shared[:3])}{f'; and {len(shared) - 3} more' if len(shared) > 3 else ''}. "
            f"Add --split 0.8,0.1,0.1 for one that parts speakers, or --shared-speakers to keep "
            f"this one."
        )


def _shared(parts: Sequence[str], speakers: Sequence[str], files: Sequence[str]) -> Iterator[str]:
    first: dict[str, dict[str, str]] = {}
    for part, speaker, file in zip(parts, speakers, files, strict=True):
        family = part.rstrip("0123456789")
        if speaker and family:
            first.setdefault(speaker, {}).setdefault(family, file)
    for speaker, places in first.items():
        if len(places) > 1:
            yield f"{speaker} ({', '.join(f'{file} in {part}' for part, file in places.items())})"


def held_out_units(rows: Sequence[str], share: float, seed: int) -> set[str]:
    """A share of the units for development, at least one and not all.

    Args:
        rows: the unit of each row, from `units`; two different ones at least.
        share: of the units, above 0 and below 1.
        seed: of the choice.
    """
    names = sorted(set(rows))
    n_held = min(max(1, round(share * len(names))), len(names) - 1)
    rng = np.random.default_rng([seed, len(names)])
    return {names[i] for i in rng.permutation(len(names))[:n_held]}


def folds_by_corpus(rows: Sequence[tuple[str, str]], n_folds: int, seed: int) -> NDArray[np.intp]:
    """A fold for each row, where the units of every corpus are dealt evenly over the folds.

    Args:
        rows: corpus and unit of each row.
        n_folds: at most as many as there are units.
        seed: of the shuffle.

    Returns:
        Shape (n_rows,), from 0.
    """
    order = _shuffled(sorted(set(rows)), np.random.default_rng(seed))
    order.sort(key=lambda pair: pair[0])  # corpus by corpus, shuffled within
    # The same unit in two corpora has the fold of the first.
    fold_of = {unit: rank % n_folds for rank, (_, unit) in reversed([*enumerate(order)])}
    return np.array([fold_of[unit] for _, unit in rows], dtype=np.intp)


def even_folds(groups: Sequence[str]) -> NDArray[np.intp]:
    """A fold for each row, such that no group is in two of them and they are of like size.

    Up to `MAX_FOLDS`; the largest group goes first, each to the fold that has the fewest rows.

    Args:
        groups: the unit of each row.

    Returns:
        Shape (n_rows,), from 0 to the number of folds - 1.
    """
    names, index, counts = np.unique(
        np.array(groups, dtype=str), return_inverse=True, return_counts=True
    )
    size = np.zeros(min(len(names), MAX_FOLDS), dtype=np.intp)
    fold = np.zeros(len(names), dtype=np.intp)
    for name in np.argsort(-counts, kind="stable"):
        fold[name] = size.argmin()
        size[fold[name]] += counts[name]
    return fold[index]


def random_folds(n_rows: int, seed: int = 0) -> NDArray[np.intp]:
    """A random fold for each row, of up to `MAX_FOLDS` of equal size; shape (n_rows,)."""
    n_folds = max(min(n_rows, MAX_FOLDS), 1)
    return np.random.default_rng(seed).permutation(n_rows) % n_folds


def stratified_folds(
    truth: NDArray[np.intp],
    speakers: Sequence[str] | None = None,
    *,
    n_folds: int = N_FOLDS,
    seed: int = 42,
) -> NDArray[np.intp]:
    """The fold of each row; every fold has about the class mix of the whole.

    Speakers are dealt out one by one, the most lopsided first, each into the fold whose class
    counts they even out best. Then the rows of each class whose speakers nobody names are shuffled
    and fill up the folds that lack that class most. There are fewer folds where there are fewer
    units, or fewer rows of the rarest class.

    Args:
        truth: label index of each row, shape (n_rows,).
        speakers: of each row, ``""`` where nobody is named; None where nobody is in any.
        n_folds: how many folds at most.
        seed: decides the shuffle.

    Returns:
        Fold numbers from 0, shape (n_rows,).

    Raises:
        TableError: there is one unit only, or a label with one row only.
    """
    counts = np.bincount(truth)
    people = np.array(speakers if speakers is not None else [""] * len(truth), dtype=object)
    alone = np.asarray(people == "", dtype=bool)
    names = sorted(set(people[~alone].tolist()))
    rarest = int(counts[counts > 0].min())
    possible = min(n_folds, rarest, len(names) + int(alone.sum()))
    if possible < 2:
        told = f", {len(names)} speakers" if names else ""
        raise TableError(
            f"Nothing can be held out: {len(truth)} rows, {rarest} of the rarest label{told}, "
            f"expected two of each at least. Fit on more recordings."
        )
    random = np.random.default_rng(seed)
    if not names:
        return _deal_rows(truth, possible, random)
    folds = np.full(len(truth), -1, dtype=np.intp)
    held = _deal_groups(folds, truth, people, names, possible, random)
    for label in range(len(counts)):
        loose = random.permutation(np.flatnonzero(alone & (truth == label)))
        folds[loose] = _filling_up(held[:, label], len(loose))
    return folds


def _deal_rows(
    truth: NDArray[np.intp], n_folds: int, random: np.random.Generator
) -> NDArray[np.intp]:
    folds = np.empty(len(truth), dtype=np.intp)
    order = np.concatenate(
        [random.permutation(np.flatnonzero(truth == label)) for label in np.unique(truth)]
    )
    folds[order] = np.arange(len(truth)) % n_folds
    return folds


def _deal_groups(
    folds: NDArray[np.intp],
    truth: NDArray[np.intp],
    people: NDArray[np.object_],
    names: Sequence[str],
    n_folds: int,
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """Fill in the folds of named rows; rows of each label in each fold, (n_folds, n_labels)."""
    n_labels = int(truth.max()) + 1
    place = {name: index for index, name in enumerate(names)}
    known = np.flatnonzero(people != "")
    owner = np.array([place[name] for name in people[known].tolist()], dtype=np.intp)
    counts = np.zeros((len(names), n_labels), dtype=np.intp)
    np.add.at(counts, (owner, truth[known]), 1)
    share = 1.0 / np.maximum(np.bincount(truth, minlength=n_labels), 1)
    held = np.zeros((n_folds, n_labels))
    home = np.empty(len(names), dtype=np.intp)
    shuffled = random.permutation(len(names)).tolist()
    for one in sorted(shuffled, key=lambda one: -float(np.std(counts[one]))):

        def unevenness(fold: int, one: int = one) -> tuple[float, float]:
            after = held.copy()
            after[fold] += counts[one]
            return float((after * share).std(axis=0).mean()), float(after[fold].sum())

        home[one] = min(range(n_folds), key=unevenness)
        held[home[one]] += counts[one]
    folds[known] = home[owner]
    return held


def _filling_up(held: NDArray[np.float64], n_rows: int) -> list[int]:
    """A fold for each of some rows, always the one that has the fewest so far."""
    size = held.astype(np.intp).tolist()
    found = []
    for _ in range(n_rows):
        fold = size.index(min(size))
        size[fold] += 1
        found.append(fold)
    return found


def _shuffled(names: Sequence[_T], rng: np.random.Generator) -> list[_T]:
    return [names[index] for index in rng.permutation(len(names))]
