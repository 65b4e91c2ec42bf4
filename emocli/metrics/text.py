"""Word and character errors of transcripts.

Errors of all utterances are added up and divided by all reference words (or characters), never
averaged over files: otherwise a file of two words would count as much as one of two hundred.
"""

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_JOINERS = "\u200c\u200d"
"""Inside words of Persian and of Indic scripts: they tell how letters join."""


def normalize_text(text: str) -> str:
    """Text as it is compared: composed (NFC), lower case, without punctuation, single blanks.

    Apostrophes inside words stay; typographic ones become plain. Accents, vowel signs and other
    marks belong to the letter before them. Numbers and spellings are left as they are, for such
    rules belong to one language.

    Example:
        >>> normalize_text("He said: “Don’t, Anna-Maria!”")
        "he said don't anna maria"
    """
    plain = unicodedata.normalize("NFC", text.lower()).replace("\u2019", "'")
    words = (word.strip("'" + _JOINERS) for word in plain.translate(_COMPARED).split())
    return " ".join(word for word in words if any(map(str.isalnum, word)))


class _Compared(dict[int, str]):
    """What each character is compared as, looked up once."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = unicodedata.category(character)
        if character in _JOINERS:
            kept = character
        elif kind in ("Cf", "Me") or "\ufe00" <= character <= "\ufe0f":
            kept = ""  # marks of direction, forms of emoji and the like, which nobody says
        elif kind[0] in "LNM" or character == "'":
            kept = character
        else:
            kept = " "
        self[code] = kept
        return kept


_COMPARED = _Compared()


def word_errors(references: Sequence[str], hypotheses: Sequence[str]) -> NDArray[np.int64]:
    """Substituted, deleted and inserted words of each utterance, and its reference words.

    Args:
        references: what was said.
        hypotheses: what was recognised, as many.

    Returns:
        Shape (n_utterances, 2): errors and reference words.

    Source: the alignment is jiwer's.
    """
    import jiwer

    if not references:
        return np.zeros((0, 2), dtype=np.int64)
    found = jiwer.process_words(list(references), list(hypotheses))
    return _errors_of(found.alignments, found.references)


def character_errors(references: Sequence[str], hypotheses: Sequence[str]) -> NDArray[np.int64]:
    """Substituted, deleted and inserted characters of each utterance, and its reference characters.

    Blanks count as characters, as they do in jiwer.

    Args:
        references: what was said.
        hypotheses: what was recognised, as many.

    Returns:
        Shape (n_utterances, 2): errors and reference characters.
    """
    import jiwer

    if not references:
        return np.zeros((0, 2), dtype=np.int64)
    found = jiwer.process_characters(list(references), list(hypotheses))
    return _errors_of(found.alignments, found.references)


def _errors_of(alignments: Any, references: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    errors = [sum(_length(part) for part in alignment) for alignment in alignments]
    return np.stack([errors, [len(reference) for reference in references]], axis=1)


def _length(part: Any) -> int:
    """Errors in one stretch of an alignment: as many as its longer side has words."""
    if part.type == "equal":
        return 0
    return max(part.ref_end_idx - part.ref_start_idx, part.hyp_end_idx - part.hyp_start_idx)
