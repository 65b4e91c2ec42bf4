"""Names of emotions and sentiments, and explicit maps between sets of them.

Models and corpora call the same emotion by many names. Everything inside emocli uses one
canonical name, found by the text of a label and never by its index: two checkpoints that both
have four classes need not have them in the same order.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from emocli.errors import LabelMismatch

if TYPE_CHECKING:  # names alone should not cost the import of numpy
    import numpy as np
    from numpy.typing import NDArray

EMOTIONS = (
    "angry",
    "happy",
    "neutral",
    "sad",
    "calm",
    "fearful",
    "disgust",
    "surprised",
    "contempt",
    "other",
    "unknown",
)
SENTIMENTS = ("negative", "neutral", "positive")
SENTIMENT_OF: Mapping[str, str] = {
    "angry": "negative",
    "sad": "negative",
    "fearful": "negative",
    "disgust": "negative",
    "contempt": "negative",
    "frustrated": "negative",
    "neutral": "neutral",
    "calm": "neutral",
    "happy": "positive",
    "excited": "positive",
}
"""What an emotion sounds like in words; one that is not here, such as surprise, may be any."""

_FORMS: Mapping[str, tuple[str, ...]] = {
    "angry": ("ang", "anger", "angriness"),
    "happy": ("hap", "happiness"),
    "neutral": ("neu", "neutrality"),
    "sad": ("sadness",),
    "calm": ("calmness",),
    "fearful": ("fea", "fear"),
    "disgust": ("dis", "disgusted"),
    "surprised": ("sur", "surprise", "pleasant surprise", "ps"),
    "contempt": ("contemptuous",),
    "excited": ("exc", "excitement"),
    "frustrated": ("fru", "frustration"),
    "bored": ("boredom",),
    "other": ("oth", "others"),
    "unknown": ("unk", "<unk>", "xxx"),
    "negative": ("neg",),
    "positive": ("pos",),
}
"""Forms and abbreviations of a label's own word."""
_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "angry": ("mad",),
    "happy": ("joy", "joyful"),
    "neutral": ("no emotion",),
    "sad": ("sorrow",),
    "calm": ("relaxed",),
    "fearful": ("afraid", "scared"),
}
"""Other words, which mean the same only where label sets have to meet."""
_OWN_WORD = {name: label for label, names in _FORMS.items() for name in (label, *names)}
_CANONICAL = _OWN_WORD | {name: label for label, names in _SYNONYMS.items() for name in names}
_PARTS = re.compile(r"\s*[/|]\s*")
_MISSING = frozenset(
    {"", "nan", "-nan", "none", "null", "n/a", "na", "<na>", "#n/a", "#na", "nat", "<nat>"}
)
"""How pandas, R, spreadsheets and ``str()`` write a missing value, in lower case."""


def is_missing(value: object) -> bool:
    """Whether a table's cell names nothing: it is empty, or has one of the words for that.

    Example:
        >>> [is_missing(value) for value in (None, float("nan"), " NaN ", "<NA>", "sad")]
        [True, True, True, True, False]
    """
    return value is None or str(value).strip().casefold() in _MISSING


def stated_label(value: object) -> str:
    """The canonical label that a table's cell states, ``""`` where it states none.

    For truth, which people and programs write. A model's own output may well be called ``none``.

    Example:
        >>> stated_label("Anger"), stated_label("N/A")
        ('angry', '')
    """
    return "" if is_missing(value) else canonical_label(str(value))


def spelled_label(name: str) -> str:
    """A label of somebody's table in one form: its own word, but not another for the same emotion.

    Example:
        >>> spelled_label("ang"), spelled_label("Sadness"), spelled_label("Relaxed")
        ('angry', 'sad', 'relaxed')
    """
    folded = fold_label(name)
    return _OWN_WORD.get(folded.replace("_", " "), folded)


def plain_label(value: object) -> str:
    """The label that a table's cell states in its own words, ``""`` where it states none.

    Example:
        >>> plain_label("Relaxed"), plain_label("nan")
        ('relaxed', '')
    """
    return "" if is_missing(value) else fold_label(str(value))


def match_label(word: str, labels: Collection[str]) -> str:
    """The label of a set that a word means: the word itself, or the one for the same emotion.

    Args:
        word: from `plain_label`.
        labels: of the set, in their order.

    Returns:
        The canonical name where no label of the set is meant.

    Example:
        >>> match_label("joy", ("happy", "sad")), match_label("joy", ("joy", "happy"))
        ('happy', 'joy')
        >>> match_label("anger", ("happy", "sad"))
        'angry'
    """
    if word in labels or not word:
        return word
    canonical = canonical_label(word)
    if canonical in labels:
        return canonical
    return next((label for label in labels if canonical_label(label) == canonical), canonical)


def canonical_label(name: str) -> str:
    """The canonical name of one label.

    Case, surrounding blanks and underscores do not count. Of a bilingual name such as
    ``"生气/angry"`` the part that is known decides. A name that is not known is kept in lower
    case, for it may be right and merely rare.

    Example:
        >>> canonical_label("Anger"), canonical_label("生气/angry"), canonical_label("awe")
        ('angry', 'angry', 'awe')
    """
    folded = _folded(name)
    for candidate in (folded, *_PARTS.split(folded)):
        if candidate in _CANONICAL:
            return _CANONICAL[candidate]
    return folded.replace(" ", "_")


def fold_label(name: str) -> str:
    """A label in one spelling: lower case, with an underscore between words.

    Another word for the same emotion is another label. Of a bilingual name the part that is known
    decides, as in `canonical_label`.

    Example:
        >>> fold_label("Relaxed"), fold_label("Pleasant Surprise"), fold_label("生气/angry")
        ('relaxed', 'pleasant_surprise', 'angry')
    """
    folded = _folded(name)
    if folded not in _CANONICAL and len(_PARTS.split(folded)) > 1:
        return canonical_label(name)
    return folded.replace(" ", "_")


def _folded(name: str) -> str:
    return " ".join(name.strip().casefold().replace("_", " ").replace("-", " ").split())


def canonical_labels(names: Sequence[str]) -> tuple[str, ...]:
    """The canonical names of an ordered label set.

    Raises:
        LabelMismatch: two names of the set mean the same label.
    """
    canonical = tuple(canonical_label(name) for name in names)
    if len(set(canonical)) < len(canonical):
        twice = sorted({label for label in canonical if canonical.count(label) > 1})
        clash = ", ".join(name for name in names if canonical_label(name) in twice)
        raise LabelMismatch(
            f"Labels {clash} mean the same ({', '.join(twice)}), expected one name for each "
            f"emotion. Rename one of them in the model's configuration."
        )
    return canonical


def is_sentiment(labels: Iterable[str]) -> bool:
    """Whether a label set speaks of sentiment: it has negative or positive in it."""
    return bool({"negative", "positive"} & set(labels))


def select_labels(
    probs: "NDArray[np.float64]", labels: Sequence[str], wanted: Sequence[str]
) -> "NDArray[np.float64]":
    """Posteriors restricted to some labels, in the wanted order, scaled to sum to 1.

    Args:
        probs: shape (n_utterances, n_labels).
        labels: the order of the columns.
        wanted: a subset of ``labels``.

    Returns:
        Shape (n_utterances, n_wanted). A row without any mass on the wanted labels is uniform.

    Raises:
        LabelMismatch: a wanted label is not among ``labels``.
    """
    import numpy as np

    missing = [label for label in wanted if label not in labels]
    if missing:
        raise LabelMismatch(
            f"Labels {', '.join(missing)} are not among {', '.join(labels)}. "
            f"Choose labels that the model has."
        )
    kept = probs[:, [list(labels).index(label) for label in wanted]]
    total = kept.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, kept / total, 1.0 / len(wanted))


def sentiment_to_emotions(
    sentiment: "NDArray[np.float64]", speech: "NDArray[np.float64]", labels: Sequence[str]
) -> "NDArray[np.float64]":
    """Three-way sentiment posteriors spread over emotions.

    Each sentiment's mass is shared by the emotions that it can stand for, in the ratio of the
    speech posterior: of the usual four, negative by angry and sad, and positive is happy. Where
    speech gives none of them any mass, those that `SENTIMENT_OF` names get equal parts.

    Args:
        sentiment: shape (n_utterances, 3), columns negative, neutral, positive, rows sum to 1.
        speech: shape (n_utterances, n_labels), rows sum to 1.
        labels: the order of the columns of ``speech``; has angry, happy, neutral and sad.

    Returns:
        Shape (n_utterances, n_labels), rows sum to 1.

    Raises:
        LabelMismatch: one of the four emotions is missing from ``labels``.
    """
    import numpy as np

    missing = [label for label in ("angry", "happy", "neutral", "sad") if label not in labels]
    if missing:
        raise LabelMismatch(
            f"The sentiment map needs the emotions angry, happy, neutral and sad, and "
            f"{', '.join(missing)} is missing from {', '.join(labels)}. Use a speech model that "
            f"has all four."
        )
    spread = np.zeros_like(speech)
    for index, name in enumerate(SENTIMENTS):
        named = np.array([SENTIMENT_OF.get(label) == name for label in labels])
        possible = np.array([SENTIMENT_OF.get(label, name) == name for label in labels])
        mass = np.where(possible, speech, 0.0)
        total = mass.sum(axis=1, keepdims=True)
        equal = np.broadcast_to(named / named.sum(), mass.shape).copy()
        share = np.divide(mass, total, out=equal, where=total > 0)
        spread += sentiment[:, index : index + 1] * share
    return spread
