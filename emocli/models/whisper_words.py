"""Times of words, from where the decoder looks while it writes.

Some attention heads of Whisper look at the sound of the token that is being written. The path
through their weights that goes forward in time and through all tokens gives each token its time.

Source: Radford et al. 2022, section 4.5, and openai-whisper 20250625, ``timing.py``, whose
corrections for overlong words at the ends of sentences are made here too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from emocli.models.whisper import (
    LEADING_MARKS,
    SECONDS_PER_TIME_TOKEN,
    TRAILING_MARKS,
    TokenSegment,
)
from emocli.transcript import Segment, Word

WITHOUT_SPACES = frozenset(("zh", "ja", "th", "lo", "my", "yue"))
"""Languages whose words are not separated by blanks: there each character is a word."""

_SENTENCE_ENDS = ".。!！?？"
_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_MEDIAN_FRAMES = 7
_LONGEST_MEDIAN_SECONDS = 0.7
_REPLACEMENT = "\ufffd"  # what an incomplete character decodes to


@dataclass
class TimedWord:
    """A word of a window while its times are being found; times in seconds of the window."""

    text: str
    n_tokens: int
    start: float
    end: float
    probability: float


def smooth_attention(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """How strongly each token listens to each frame, the heads' noise taken out.

    Args:
        weights: attention of the aligned heads to the frames that are sound, not padding, shape
            (n_heads, n_tokens, n_frames), at least 0; a frame is 20 ms.

    Returns:
        Standardised over tokens, median filtered over frames, averaged over heads; shape
        (n_tokens, n_frames).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        weights = weights / weights.sum(axis=-1, keepdims=True)
        standard = weights - weights.mean(axis=1, keepdims=True)
        standard = standard / weights.std(axis=1, keepdims=True)
    if weights.shape[-1] > _MEDIAN_FRAMES // 2:
        standard = median_filter(standard, size=(1, 1, _MEDIAN_FRAMES), mode="mirror")
    return np.asarray(standard.mean(axis=0), dtype=np.float64)


def align(cost: NDArray[np.float64]) -> NDArray[np.intp]:
    """The cheapest path through a matrix by dynamic time warping.

    Args:
        cost: shape (n_tokens, n_frames).

    Returns:
        The first frame of each token on the path, shape (n_tokens,).
    """
    n_tokens, n_frames = cost.shape
    total = np.full((n_tokens + 1, n_frames + 1), np.inf)
    total[0, 0] = 0.0
    step = np.zeros((n_tokens + 1, n_frames + 1), dtype=np.int8)
    step[0, :], step[:, 0] = _STAY, _GO
    for token in range(1, n_tokens + 1):
        above, row, best = total[token - 1], total[token], step[token]
        for frame in range(1, n_frames + 1):
            both, go, stay = above[frame - 1], above[frame], row[frame - 1]
            # The order of comparisons is the reference's, so that ties fall alike.
            if both < go and both < stay:
                row[frame], best[frame] = both, _BOTH
            elif go < both and go < stay:
                row[frame], best[frame] = go, _GO
            else:
                row[frame], best[frame] = stay, _STAY
            row[frame] += cost[token - 1, frame - 1]
    return _first_frames(step)


_BOTH, _GO, _STAY = 0, 1, 2


def _first_frames(step: NDArray[np.int8]) -> NDArray[np.intp]:
    """Walk back from the last token and frame; the first frame of each token."""
    token, frame = step.shape[0] - 1, step.shape[1] - 1
    first = np.zeros(token, dtype=np.intp)
    while token > 0 or frame > 0:
        if token > 0:
            first[token - 1] = frame - 1
        way = step[token, frame]
        token -= way != _STAY
        frame -= way != _GO
    return first


def split_words(
    tokens: Sequence[int], decode: Callable[[list[int]], str], language: str, end_of_text: int
) -> list[tuple[str, int]]:
    """Words of a text and how many tokens each has.

    Args:
        tokens: of the text, with the end of text last.
        decode: text of tokens, special ones included.
        language: code.
        end_of_text: from this token on tokens are special.
    """
    pieces = _split_characters(tokens, decode)
    if language in WITHOUT_SPACES:
        return [(text, len(part)) for text, part in pieces]
    words: list[tuple[str, int]] = []
    for text, part in pieces:
        apart = part[0] >= end_of_text or text.startswith(" ") or text.strip() in _PUNCTUATION
        if apart or not words:
            words.append((text, len(part)))
        else:
            words[-1] = (words[-1][0] + text, words[-1][1] + len(part))
    return words


def _split_characters(
    tokens: Sequence[int], decode: Callable[[list[int]], str]
) -> list[tuple[str, list[int]]]:
    """The shortest runs of tokens that are whole characters."""
    whole = decode(list(tokens))
    pieces: list[tuple[str, list[int]]] = []
    current: list[int] = []
    position = 0
    for token in tokens:
        current = [*current, token]
        text = decode(current)
        at = text.find(_REPLACEMENT)
        if at < 0 or whole[position + at] == _REPLACEMENT:
            pieces.append((text, current))
            current = []
            position += len(text)
    return pieces


def time_words(
    splits: Sequence[tuple[str, int]], attention: NDArray[np.float64], probs: Sequence[float]
) -> list[TimedWord]:
    """Words with their times and probabilities; none where there is no text.

    Args:
        splits: words and numbers of tokens, the end of text last.
        attention: of the token before the text and of the text's tokens, shape
            (1 + n_tokens, n_frames).
        probs: probability of each text token, shape (n_tokens,).
    """
    if len(splits) <= 1:
        return []
    bounds = np.cumsum([0, *(n for _, n in splits[:-1])])
    starts = (align(-attention) * SECONDS_PER_TIME_TOKEN).tolist()
    words = [
        TimedWord(text, n, starts[first], starts[last], float(np.mean(probs[first:last])))
        for (text, n), (first, last) in zip(splits[:-1], pairwise(bounds), strict=True)
    ]
    return words


def typical_seconds(words: Sequence[TimedWord]) -> float:
    """Median length of words that have one, at most 0.7 s; 0 where none has."""
    lengths = [word.end - word.start for word in words if word.end != word.start]
    return min(_LONGEST_MEDIAN_SECONDS, float(np.median(lengths))) if lengths else 0.0


def _shorten_at_sentence_ends(words: Sequence[TimedWord], typical: float) -> None:
    """A pause after a sentence belongs to no word: none there lasts over twice the median."""
    longest = 2 * typical
    for before, word in pairwise(words):
        if word.end - word.start <= longest or not longest:
            continue
        if word.text in _SENTENCE_ENDS:
            word.end = word.start + longest
        elif before.text in _SENTENCE_ENDS:
            word.start = word.end - longest


def _attach_punctuation(words: Sequence[TimedWord]) -> None:
    """Join marks to the word after or before them; what is joined away has no text left.

    The tokens move along. Times and probability stay those of the word.
    """
    last = len(words) - 1
    for index in range(len(words) - 2, -1, -1):
        mark, word = words[index], words[last]
        if mark.text.startswith(" ") and mark.text.strip() in LEADING_MARKS:
            word.text, word.n_tokens = mark.text + word.text, mark.n_tokens + word.n_tokens
            mark.text, mark.n_tokens = "", 0
        else:
            last = index
    first = 0
    for index in range(1, len(words)):
        word, mark = words[first], words[index]
        if not word.text.endswith(" ") and mark.text in TRAILING_MARKS:
            word.text, word.n_tokens = word.text + mark.text, word.n_tokens + mark.n_tokens
            mark.text, mark.n_tokens = "", 0
        else:
            first = index


def share_words(
    pieces: Sequence[TokenSegment],
    words: Sequence[TimedWord],
    last_speech_seconds: float,
) -> list[Segment]:
    """The segments of a window with their words, and with times that agree with them.

    Args:
        pieces: the segments, in order of time.
        words: of all segments together, in the same order; changed in place.
        last_speech_seconds: where the last word before the window ended.
    """
    typical = typical_seconds(words)
    _shorten_at_sentence_ends(words, typical)
    _attach_punctuation(words)
    segments = []
    position = 0
    for piece in pieces:
        taken = 0
        own: list[TimedWord] = []
        while position < len(words) and taken < piece.segment.n_tokens:
            word = words[position]
            own += [_moved(word, piece.offset_seconds)] if word.text else []
            taken += word.n_tokens
            position += 1
        segment = _fitted(piece.segment, own, typical, last_speech_seconds)
        last_speech_seconds = segment.end if own else last_speech_seconds
        segments.append(segment)
    return segments


def _moved(word: TimedWord, offset_seconds: float) -> TimedWord:
    start, end = round(offset_seconds + word.start, 2), round(offset_seconds + word.end, 2)
    return replace(word, start=start, end=end)


def _fitted(
    segment: Segment, words: Sequence[TimedWord], typical: float, last_speech: float
) -> Segment:
    """A segment that starts and ends with its words, unless they are implausibly long."""
    if not words:
        return segment
    start, end = segment.start, segment.end
    first, last = words[0], words[-1]
    _shorten_after_pause(words, typical, last_speech)
    if start < first.end and start - 0.5 > first.start:
        first.start = max(0.0, min(first.end - typical, start))
    else:
        start = first.start
    if end > last.start and end + 0.5 < last.end:
        last.end = max(last.start + typical, end)
    else:
        end = last.end
    finished = tuple(Word(word.start, word.end, word.text, word.probability) for word in words)
    return replace(segment, start=start, end=end, words=finished)


def _shorten_after_pause(words: Sequence[TimedWord], typical: float, last_speech: float) -> None:
    """The first words after a pause do not start in it."""
    longest, first = 2 * typical, words[0]
    second = words[1] if len(words) > 1 else None
    too_long = first.end - first.start > longest or (
        second is not None and second.end - first.start > 2 * longest
    )
    if first.end - last_speech <= 4 * typical or not too_long:
        return
    if second is not None and second.end - second.start > longest:
        first.end = second.start = max(second.end / 2, second.end - longest)
    first.start = max(0.0, first.end - longest)
