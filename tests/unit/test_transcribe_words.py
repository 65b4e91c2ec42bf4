"""Times of words: what splits them, what shortens them, what belongs to them."""

import numpy as np
import pytest

from emocli.models.whisper import TokenSegment
from emocli.models.whisper_words import (
    TimedWord,
    align,
    share_words,
    split_words,
    time_words,
    typical_seconds,
)
from emocli.transcript import Segment, Word

END = 1000  # tokens below 256 are bytes


def words(*timed):
    """Words of one token each from texts, starts and ends."""
    return [TimedWord(text, 1, start, end, 0.5) for text, start, end in timed]


def segment(n_tokens, start=0.0, end=30.0, offset=0.0):
    found = Segment(start, end, "", -0.5, 0.1, 1.0, n_tokens)
    return TokenSegment(found, (1,) * n_tokens, offset)


def shared(timed, *segments, last_speech_seconds=0.0):
    """Texts and times of the words of each segment."""
    found = share_words(segments or (segment(len(timed)),), timed, last_speech_seconds)
    return [[(word.text, word.start, word.end) for word in one.words] for one in found]


REGULAR = ((" a", 1.0, 1.2), (" b", 1.2, 1.4), (" c", 1.4, 1.6), (" d", 1.6, 1.8))


def spell(tokens):
    """Text of bytes, the end of text last or not there."""
    text = bytes(token for token in tokens if token != END).decode("utf-8", "replace")
    return text + "<end>" * tokens.count(END)


def test_words_between_blanks_and_characters_where_there_are_none():
    tokens = [*"är, ü".encode(), END]
    split = {language: split_words(tokens, spell, language, END) for language in ("de", "zh")}
    assert split["de"] == [("är", 3), (",", 1), (" ü", 3), ("<end>", 1)]
    assert split["zh"] == [("ä", 2), ("r", 1), (",", 1), (" ", 1), ("ü", 2), ("<end>", 1)]


def test_no_words_in_no_text():
    assert time_words([("<end>", 1)], np.zeros((1, 4)), []) == []
    assert share_words([segment(0)], [], 0.0) == [segment(0).segment]


def test_typical_words():
    assert typical_seconds([]) == typical_seconds(words(("a", 1.0, 1.0))) == 0.0
    assert typical_seconds(words(("a", 1.0, 1.0), ("b", 1.0, 1.5))) == 0.5
    assert typical_seconds(words(("a", 1.0, 2.0))) == 0.7


def test_a_path_that_stays_and_one_that_jumps():
    cost = np.array([[0.0, 0.0, 9.0, 9.0], [9.0, 9.0, 0.0, 9.0], [9.0, 9.0, 0.0, 0.0]])
    assert align(cost).tolist() == [0, 2, 2]


def test_marks_belong_to_words():
    said = [(' "', 1.0, 1.2), (" Hi", 1.2, 1.4), (",", 1.4, 1.6), (" (", 1.6, 1.8)]
    said += [(" you", 1.8, 2.0), (")", 2.0, 2.2), (".", 2.2, 2.4)]
    found = shared(words(*said), last_speech_seconds=1.0)
    assert found == [[(' " Hi,', 1.2, 1.4), (" ( you).", 1.8, 2.0)]]


def test_tokens_of_marks_move_along():
    """The mark after a word counts for the segment of the word."""
    said = words((" a", 1.0, 1.2), (".", 1.2, 1.4), (" b", 1.4, 1.6), ("!", 1.6, 1.8))
    assert shared(said, segment(2), segment(2)) == [[(" a.", 1.0, 1.2)], [(" b!", 1.4, 1.6)]]


def test_a_pause_after_a_sentence_belongs_to_no_word():
    said = words(*REGULAR, (".", 1.8, 6.0), (" e", 6.0, 6.2))
    assert shared(said) == [[*REGULAR[:3], (" d.", 1.6, 1.8), (" e", 6.0, 6.2)]]
    assert said[4].end == pytest.approx(1.8 + 0.4)
    said = words(*REGULAR, ("?", 1.8, 2.0), (" e", 2.0, 6.0))
    assert shared(said)[0][-1] == (" e", 5.6, 6.0)


def test_a_first_word_does_not_start_in_the_pause_before_it():
    first, *others = REGULAR
    long = (first[0], 0.0, 1.2)
    assert shared(words(long, *others), segment(4, 0.2))[0][0] == (" a", pytest.approx(0.8), 1.2)
    # Somebody spoke until just before: there was no pause.
    spoken = shared(words(long, *others), segment(4, 0.2), last_speech_seconds=0.5)
    assert spoken[0][0] == (" a", 0.0, 1.2)


def test_the_second_word_does_not_start_in_the_pause_either():
    said = words((" a", 1.0, 2.0), (" b", 2.0, 6.0), *((" c", 6.0, 6.2),) * 3)
    found = shared(said, segment(5, 1.0))[0]
    assert found[0] == (" a", pytest.approx(5.2), pytest.approx(5.6))
    assert found[1] == (" b", pytest.approx(5.6), 6.0)


def test_segments_keep_their_times_where_words_are_too_long():
    said = words((" a", 1.0, 2.0), *REGULAR[1:3], (" d", 3.0, 9.0))
    (found,) = share_words([segment(4, 1.6, 4.0)], said, last_speech_seconds=1.9)
    assert (found.start, found.end) == (1.6, 4.0)
    # typical is the median of 1.0, 0.2, 0.2 and 6.0
    assert [(word.start, word.end) for word in found.words[::3]] == [(1.4, 2.0), (3.0, 4.0)]


def test_segments_follow_their_words_otherwise():
    (found,) = share_words([segment(4, 1.3, 1.5, offset=10.0)], words(*REGULAR), 0.0)
    assert (found.start, found.end) == (11.0, 11.8)
    assert found.words[0] == Word(11.0, 11.2, " a", 0.5)
