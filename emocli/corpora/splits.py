"""Parts and folds in which no speaker meets another part.

Everything here works on names, one for each row of a table.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from emocli.errors import CorpusError
from emocli.table import listing

PARTS = ("train", "dev", "test")


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
    """A part for each row; all rows of a speaker are in the same one.

    The speakers are shuffled, each part gets one, and each further one goes where most rows are
    lacking.

    Args:
        speakers: of each row.
        shares: of rows, for the first of `PARTS`.
        seed: of the shuffle.

    Raises:
        CorpusError: a row has no speaker, or there are fewer speakers than parts.
    """
    counts = _counts(speakers, len(shares), "parts")
    room = [share * len(speakers) for share in shares]
    part_of: dict[str, str] = {}
    for rank, name in enumerate(_shuffled(counts, seed)):
        place = rank if rank < len(room) else int(np.argmax(room))
        room[place] -= counts[name]
        part_of[name] = PARTS[place]
    return [part_of[name] for name in speakers]


def fold_speakers(speakers: Sequence[str], n_folds: int, seed: int) -> list[int]:
    """A fold, counted from 1, for each row; all rows of a speaker are in the same one.

    Raises:
        CorpusError: a row has no speaker, or there are fewer speakers than folds.
    """
    counts = _counts(speakers, n_folds, "folds")
    room = [len(speakers) / n_folds] * n_folds
    fold_of: dict[str, int] = {}
    for rank, name in enumerate(_shuffled(counts, seed)):
        place = rank if rank < n_folds else int(np.argmax(room))
        room[place] -= counts[name]
        fold_of[name] = place + 1
    return [fold_of[name] for name in speakers]


def fold_groups(groups: Sequence[str], speakers: Sequence[str], what: str) -> list[int]:
    """A fold, counted from 1, for each session or speaker, in the order of their names.

    Args:
        groups: session or speaker of each row.
        speakers: of each row.
        what: the groups are, in the singular.

    Raises:
        CorpusError: a row has no speaker or group, there is only one, or a speaker is in two.
    """
    _counts(speakers, 2, "folds")
    if "" in groups:
        raise CorpusError(
            f"No {what} is known for {list(groups).count('')} of {len(groups)} utterances, "
            f"expected one for each to fold by. Give --folds a number or speaker."
        )
    order = sorted(set(groups))
    if len(order) < 2:
        raise CorpusError(
            f"There is only one {what} ({order[0]}), expected two or more to fold by. "
            f"Give --split instead."
        )
    pairs = sorted(set(zip(speakers, groups, strict=True)))
    shared = [name for name, n in Counter(who for who, _ in pairs).items() if n > 1]
    if shared:
        raise CorpusError(
            f"{listing(shared)} would be in several folds, for they speak in more than one {what}. "
            f"Give --folds a number or speaker."
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


def _counts(speakers: Sequence[str], n_groups: int, what: str) -> Counter[str]:
    counts = Counter(speakers)
    if counts[""]:
        raise CorpusError(
            f"No speaker is known for {counts['']} of {len(speakers)} utterances, expected one for "
            f"each to part them by. Keep the corpus's own split, or leave those utterances out."
        )
    del counts[""]
    if len(counts) < n_groups:
        raise CorpusError(
            f"{len(counts)} speakers ({listing(sorted(counts))}) are too few for {n_groups} {what} "
            f"that share none. Ask for fewer {what}."
        )
    return counts


def _shuffled(counts: Counter[str], seed: int) -> list[str]:
    names = sorted(counts)
    return [names[index] for index in np.random.default_rng(seed).permutation(len(names))]
