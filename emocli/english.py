"""English texts as the sentiment model of entropy-aware score selection is given them.

Contractions are expanded, words replaced by their lemmas, numbers dropped, and the rest is in
lower case. Source: arXiv 2508.20796, which lemmatises with spaCy. The lemmas here are those of
simplemma, a dictionary without context: spaCy tells the noun from the verb (``I saw`` from
``a saw``), simplemma takes the commoner one, and now and then another word (``worse`` becomes
``wrong``).
"""

import re
from collections.abc import Callable
from functools import partial

from emocli.errors import MissingDependency

WHOLE = {
    "ain't": "is not",
    "c'mon": "come on",
    "can't": "can not",
    "cannot": "can not",
    "gonna": "going to",
    "gotta": "got to",
    "let's": "let us",
    "shan't": "shall not",
    "wanna": "want to",
    "won't": "will not",
    "y'all": "you all",
    "'cause": "because",
    "'em": "them",
    "'til": "until",
}
"""Contractions that are more than a word and its ending."""
ENDINGS = {"re": "are", "ve": "have", "ll": "will", "m": "am", "d": "would"}
"""What the letters after an apostrophe stand for; ``'d`` may also be *had*."""
BEFORE_IS = (
    "everybody|everyone|everything|he|here|how|it|nobody|nothing|she|somebody|someone|something|"
    "that|there|this|what|when|where|who|why"
)
"""Words whose ``'s`` is *is* (or *has*); after others it may be a genitive, and stays."""

_WHOLE = re.compile(rf"(?<![\w'])(?:{'|'.join(WHOLE)})(?!\w)", re.IGNORECASE)
_NOT = re.compile(r"(?<=[a-z])n't(?!\w)", re.IGNORECASE)
_ENDING = re.compile(rf"(?<=[a-z])'({'|'.join(ENDINGS)})(?!\w)", re.IGNORECASE)
_IS = re.compile(rf"\b({BEFORE_IS})'s(?!\w)", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_APOSTROPHES = str.maketrans("’ʼ", "''")
_KEPT = ("@", "http")
"""Beginnings of names and addresses, which models of tweets have a way of their own with."""


def is_english(language: str) -> bool:
    """Whether a language is English, or not known.

    Args:
        language: code or name, with or without a region; empty where it is not known.

    Example:
        >>> is_english(""), is_english("en-GB"), is_english("English"), is_english("de")
        (True, True, True, False)
    """
    return re.split(r"[-_]", language.strip().casefold())[0] in ("", "en", "english")


def expand_contractions(text: str) -> str:
    """The words that contractions stand for.

    Example:
        >>> expand_contractions("She's sure we can't've met at Ann's.")
        "She is sure we can not have met at Ann's."
    """
    plain = text.translate(_APOSTROPHES)
    plain = _WHOLE.sub(lambda found: WHOLE[found[0].lower()], plain)
    plain = _NOT.sub(" not", plain)
    plain = _ENDING.sub(lambda found: f" {ENDINGS[found[1].lower()]}", plain)
    return _IS.sub(r"\1 is", plain)


def lemmatizer() -> Callable[[str], str]:
    """What gives the lemma of an English word.

    Raises:
        MissingDependency: simplemma is not installed.
    """
    try:
        from simplemma import lemmatize
    except ImportError:
        raise MissingDependency(
            "Preparing texts needs simplemma, which is not installed. "
            'Install it with pip install "emocli[lemmas]" or leave out --prepare-text.'
        ) from None
    return partial(lemmatize, lang="en")


def prepare(text: str, lemma_of: Callable[[str], str]) -> str:
    """A text without contractions, inflections, numbers and capitals.

    Punctuation stays where it is, and words that begin with ``@`` or ``http`` stay as they are.

    Args:
        text: in English.
        lemma_of: from `lemmatizer`.

    Example:
        >>> lemmas = {"were": "be", "minutes": "minute"}
        >>> prepare("We weren't 3 minutes late!", lambda word: lemmas.get(word, word))
        'we be not minute late!'
    """

    def lemma(found: re.Match[str]) -> str:
        word, apostrophe, ending = found[0].partition("'")
        return lemma_of(word) + apostrophe + ending

    words = [
        word if word.startswith(_KEPT) else _NUMBER.sub("", _WORD.sub(lemma, word)).lower()
        for word in expand_contractions(text).split()
    ]
    return " ".join(filter(None, words))
