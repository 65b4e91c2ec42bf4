"""Words and characters of English texts as hashed features, and a linear classifier over them.

A text becomes two sparse vectors of length 1. One counts words, pairs of neighbouring words and
words that follow a negation; the other counts runs of 3 to 5 characters inside words, so that
misspelt and inflected words are not lost. A feature is known by the CRC-32 of its UTF-8 bytes,
which is the same on every machine. This module needs neither torch nor files.

Source: Weinberger et al. 2009 (feature hashing); Pang et al. 2002 (words after a negation).
"""

import re
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

SHORTEST_RUN, LONGEST_RUN = 3, 5
NEGATED_WORDS = 3
"""Words after a negation that count as negated, unless punctuation ends the clause before."""

_PLACEHOLDER = re.compile(r"\[(?:name|religion)\]")
_LINK = re.compile(r"https?://\S+|www\.\S+")
_USER = re.compile(r"(?<!\w)(?:/?[ur]/|@)\w+")
_ELONGATED = re.compile(r"([a-z])\1{2,}")
_NO_APOSTROPHE = re.compile(
    r"\b(do|does|did|is|are|was|were|have|has|had|would|could|should|ca|wo|ai)nt\b"
)
_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "`": "'"})
_TOKEN = re.compile(
    r"[a-z]+(?:'[a-z]+)*"  # words with their apostrophes
    r"|\d+|[!?]+|\.\.+|<name>"
    r"|[\U0001F000-\U0001FAFF\u2600-\u27BF]"  # emoji
    r"|[:;=8][-o']?[()\[\]dpo/\\|3*]+|<3|[.,]"  # emoticons, lower case by now
)
_NEGATION = re.compile(r"not|no|never|nothing|nobody|none|neither|nor|cannot|without|\w+n't")

Tokens = Sequence[str]


def normalize(text: str) -> str:
    """A text in lower case without accents, links and user names.

    Letters written three times or more are written twice. Data sets that hide names and religions
    write ``[NAME]`` and ``[RELIGION]``; these become ``<name>``.

    Example:
        >>> normalize("[NAME] dont, it\u2019s SOOOO caf\u00e9")
        " <name>  don't, it's soo cafe"
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text.translate(_QUOTES))
        text = "".join(c for c in text if not unicodedata.combining(c))
    text = _PLACEHOLDER.sub(" <name> ", text.lower().replace("`", "'"))
    text = _USER.sub(" ", _LINK.sub(" ", text))
    return _NO_APOSTROPHE.sub(r"\1n't", _ELONGATED.sub(r"\1\1", text))


def tokens_of(text: str) -> list[str]:
    """Words, numbers, punctuation, emoji and emoticons of a text, in order.

    Runs of exclamation and question marks are cut to two.

    Example:
        >>> tokens_of("Oh my God!!! Really?? :)")
        ['oh', 'my', 'god', '!!', 'really', '??', ':)']
    """
    found = _TOKEN.findall(normalize(text))
    return [token[:2] if token[0] in "!?." else token for token in found]


def spoken(tokens: Tokens) -> list[str]:
    """The words and numbers among tokens: what a transcript without punctuation keeps."""
    return [token for token in tokens if token[0].isalnum() and token.isascii()]


def _crc(features: Iterable[str]) -> list[int]:
    return [zlib.crc32(feature.encode()) for feature in features]


def single_features(tokens: Tokens) -> list[int]:
    """Hashes of the tokens, and of those within `NEGATED_WORDS` words after a negation."""
    features, left = [], 0
    for token in tokens:
        features.append(f"1{token}")
        if not token[0].isalpha():
            left = 0
        elif left:
            features.append(f"n{token}")
            left -= 1
        if _NEGATION.fullmatch(token):
            left = NEGATED_WORDS
    return _crc(features)


def pair_features(tokens: Tokens) -> list[int]:
    """Hashes of neighbouring tokens, with marks for the start and the end of the text."""
    return _crc(f"2{first} {second}" for first, second in pairwise(["^", *tokens, "$"]))


def character_features(tokens: Tokens) -> list[int]:
    """Hashes of the runs of characters in the words, with marks for a word's two ends."""
    return list(chain.from_iterable(_runs(token) for token in tokens))


@lru_cache(maxsize=1 << 16)
def _runs(token: str) -> tuple[int, ...]:
    if not token[0].isalpha():
        return ()
    word = f"<{token}>"
    return tuple(
        _crc(
            f"c{word[i : i + length]}"
            for length in range(SHORTEST_RUN, LONGEST_RUN + 1)
            for i in range(len(word) - length + 1)
        )
    )


def word_features(tokens: Tokens) -> list[int]:
    """Hashes of single tokens and of pairs."""
    return single_features(tokens) + pair_features(tokens)


@dataclass(frozen=True)
class Entries:
    """The entries of a sparse matrix that are not 0, ordered by row and column.

    Attributes:
        row: shape (n_entries,), index of the text.
        column: shape (n_entries,), index of the feature.
        value: shape (n_entries,); the squares of a row sum to 1, or the row is empty.
    """

    row: NDArray[np.intp]
    column: NDArray[np.intp]
    value: NDArray[np.float64]


@dataclass(frozen=True)
class Vocabulary:
    """The features that a model knows.

    Attributes:
        hashes: shape (n_features,), ascending.
        rarity: shape (n_features,), weight of a feature that occurs once in a text.
    """

    hashes: NDArray[np.uint32]
    rarity: NDArray[np.float32]

    def entries(self, texts: Sequence[Sequence[int]]) -> Entries:
        """Vectors of texts; features that are not known do not count.

        Args:
            texts: the hashes of each text's features, a feature as often as it occurs.
        """
        lengths = [len(text) for text in texts]
        asked = np.fromiter(chain.from_iterable(texts), np.uint32, sum(lengths))
        row = np.repeat(np.arange(len(texts)), lengths)
        column = np.searchsorted(self.hashes, asked)
        known = column < len(self.hashes)
        known[known] = self.hashes[column[known]] == asked[known]
        n_features = max(len(self.hashes), 1)
        cells, counts = np.unique(row[known] * n_features + column[known], return_counts=True)
        row, column = np.divmod(cells, n_features)
        value = (1 + np.log(counts)) * self.rarity[column]
        length = np.sqrt(np.bincount(row, value * value, len(texts)))
        return Entries(row, column, value / length[row])


@dataclass(frozen=True)
class Block:
    """A vocabulary and its weights in 8 bits, each feature with a scale of its own.

    Attributes:
        vocabulary: the features.
        weights: shape (n_features, n_labels); times the scale they are the weights.
        scale: shape (n_features,).
    """

    vocabulary: Vocabulary
    weights: NDArray[np.int8]
    scale: NDArray[np.float16]

    def scores(self, entries: Entries, n_texts: int) -> NDArray[np.float64]:
        """Weighted sums of the features of texts, shape (n_texts, n_labels).

        The sum of a text runs over its own features in one order, so that it is the same to the
        last bit whatever else is in the batch.
        """
        value = entries.value * self.scale[entries.column].astype(np.float64)
        weighted = value[:, None] * self.weights[entries.column]  # (n_entries, n_labels)
        columns = [np.bincount(entries.row, label, n_texts) for label in weighted.T]
        return np.stack(columns, axis=1)


BLOCKS: Mapping[str, Callable[[Tokens], list[int]]] = {
    "word": word_features,
    "character": character_features,
}


@dataclass(frozen=True)
class HashedLinear:
    """A linear classifier of texts.

    Attributes:
        blocks: weights of the features, by the name of the block.
        bias: shape (n_labels,), what every text with a known feature starts from.
        prior: shape (n_labels,), the logits of a text without a known feature.
    """

    blocks: Mapping[str, Block]
    bias: NDArray[np.float32]
    prior: NDArray[np.float32]

    def logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Logits of texts, shape (n_texts, n_labels)."""
        tokens = [tokens_of(text) for text in texts]
        logits = np.tile(self.bias.astype(np.float64), (len(texts), 1))
        known = np.zeros(len(texts), bool)
        for name, features in BLOCKS.items():
            block = self.blocks[name]
            entries = block.vocabulary.entries([features(text) for text in tokens])
            logits += block.scores(entries, len(texts))
            known[entries.row] = True
        return np.where(known[:, None], logits, self.prior.astype(np.float64))

    def tensors(self) -> dict[str, NDArray[np.generic]]:
        """The arrays that make the classifier, by name, as `from_tensors` takes them."""
        named: dict[str, NDArray[np.generic]] = {"bias": self.bias, "prior": self.prior}
        for name, block in self.blocks.items():
            named[f"{name}.hashes"] = block.vocabulary.hashes
            named[f"{name}.rarity"] = block.vocabulary.rarity.astype(np.float16)
            named[f"{name}.weights"] = block.weights
            named[f"{name}.scale"] = block.scale
        return named

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[np.generic]]) -> "HashedLinear":
        """The classifier of named arrays.

        Raises:
            KeyError: one is missing.
        """
        blocks = {
            name: Block(
                Vocabulary(
                    tensors[f"{name}.hashes"].astype(np.uint32),
                    tensors[f"{name}.rarity"].astype(np.float32),
                ),
                tensors[f"{name}.weights"].astype(np.int8),
                tensors[f"{name}.scale"].astype(np.float16),
            )
            for name in BLOCKS
        }
        bias, prior = (tensors[name].astype(np.float32) for name in ("bias", "prior"))
        return cls(blocks, bias, prior)
