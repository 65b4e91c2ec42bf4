"""Word and character errors of transcripts.

Errors of all utterances are added up and divided by all reference words (or characters), never
averaged over files: otherwise a file of two words would count as much as one of two hundred.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocli.metrics.ratios import ratio

_PUNCTUATION = re.compile(r"[^\w\s']|_")


def normalize_text(text: str) -> str:
    """Text as it is compared: composed (NFC), lower case, without punctuation, single blanks.

    Apostrophes inside words stay; typographic ones become plain. Numbers and spellings are left
    as they are, for such rules belong to one language.

    Example:
        >>> normalize_text("He said: “Don’t, Anna-Maria!”")
        "he said don't anna maria"
    """
    plain = unicodedata.normalize("NFC", text.lower()).replace("\u2019", "'")
    words = (word.strip("'") for word in _PUNCTUATION.sub(" ", plain).split())
    return " ".join(filter(None, words))


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


def error_rate(errors: NDArray[np.int64]) -> float:
    """Errors over reference words or characters of all utterances together.

    Args:
        errors: shape (n_utterances, 2), from `word_errors` or `character_errors`.

    Returns:
        At least 0, and above 1 where more was inserted than said; NaN without any reference.
    """
    total = errors.sum(axis=0)
    return float(ratio(total[0], total[1]))
