"""Word and character errors."""

import csv
import unicodedata

import jiwer
import pytest

from emocli.metrics import text


def edits(a, b):
    """Levenshtein's distance, by recursion on the last element."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row, above = [i], row
        for j, y in enumerate(b, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
    return row[-1]


@pytest.mark.parametrize(
    ("given", "compared"),
    [
        ("He said: “Don’t!”", "he said don't"),
        ("Anna-Maria's  rock 'n' roll", "anna maria's rock n roll"),
        ("snake_case, 3.5 %", "snake case 3 5"),
        ("Z\u0142oty cafe\u0301", "złoty café"),
        ("...", ""),
        ("हिन्दी में बात।", "हिन्दी में बात"),
        ("কেমন আছো?", "কেমন আছো"),
        ("தமிழ், நன்றி!", "தமிழ் நன்றி"),
        ("วันนี้อากาศดี", "วันนี้อากาศดี"),
        ("Tie\u0302\u0301ng Vie\u0323\u0302t", "tiếng việt"),
        ("السَّلامُ عَلَيْكُمْ!", "السَّلامُ عَلَيْكُمْ"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("İSTANBUL'da", "i\u0307stanbul'da"),
        ("STRASSE, Straße", "strasse straße"),
        ("ΟΔΟΣ", "οδος"),
        ("I ❤\ufe0flove 👨\u200d👩\u200d👧 it ♪", "i love it"),
        ("one\u00adtwo \u200eleft", "onetwo left"),
    ],
)
def test_texts_are_compared_without_case_and_punctuation(given, compared):
    assert text.normalize_text(given) == compared


def test_errors_of_each_utterance_are_edit_distances(rng):
    words = ["a", "bb", "c"]
    said = [" ".join(rng.choice(words, size=rng.integers(1, 9))) for _ in range(40)]
    heard = [" ".join(rng.choice(words, size=rng.integers(0, 9))) for _ in range(40)]
    expected = [
        [edits(r.split(), h.split()), len(r.split())] for r, h in zip(said, heard, strict=True)
    ]
    assert text.word_errors(said, heard).tolist() == expected
    characters = [[edits(r, h), len(r)] for r, h in zip(said, heard, strict=True)]
    assert text.character_errors(said, heard).tolist() == characters


def test_rate_is_over_all_words_together():
    errors = text.word_errors(["one two three four", "five"], ["one two three four", "six"])
    assert errors.sum(axis=0).tolist() == [1, 5]


def test_nothing_said_and_something_heard_counts_as_insertions():
    assert text.word_errors(["", "a"], ["um well", "a"]).tolist() == [[2, 0], [0, 1]]


def test_no_utterances_have_no_rate():
    assert text.word_errors([], []).shape == text.character_errors([], []).shape == (0, 2)


@pytest.mark.data
@pytest.mark.parametrize("prepare", [str, text.normalize_text])
def test_word_error_rate_of_the_librispeech_hypotheses(data_dir, prepare):
    (path,) = (data_dir / "librispeech").glob("*.csv")
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    errors = text.word_errors(
        [prepare(row["reference"]) for row in rows], [prepare(row["hypothesis"]) for row in rows]
    )
    assert errors.sum(axis=0).tolist() == [240, 1892]


WORDS = {
    "hi": "मैं आज बहुत खुश हूँ और कल दुखी था",
    "bn": "আমি আজ খুব খুশি কাল দুঃখিত ছিলাম",
    "ta": "நான் இன்று மிகவும் மகிழ்ச்சியாக இருக்கிறேன்",
    "th": "วันนี้ ฉัน ดีใจ มาก ที่ ได้ พบ คุณ",
    "vi": unicodedata.normalize("NFD", "hôm nay tôi rất vui được gặp bạn"),
    "ar": "أَنَا سَعِيدٌ جِدًّا اليَوْمَ وَكُنْتُ حَزِينًا",
    "tr": "İYİ AKŞAMLAR IŞIK İstanbul ılık",
    "de": "Straße GROẞ Füße STRASSE müde",
    "el": "ΟΔΟΣ σοφός ΣΟΦΟΣ ήλιος ΚΑΛΗΜΕΡΑ",
}


@pytest.mark.parametrize("language", WORDS)
def test_rates_are_jiwers_on_the_same_words(language, rng):
    """Nothing splits a word: blanks are where they were, and so are all errors."""
    words = WORDS[language].split()
    said = [" ".join(rng.choice(words, size=rng.integers(1, 9))) for _ in range(60)]
    heard = [" ".join(rng.choice(words, size=rng.integers(1, 9))) for _ in range(60)]
    sides = [[text.normalize_text(line) for line in side] for side in (said, heard)]
    lowered = [
        [unicodedata.normalize("NFC", line.lower()) for line in side] for side in (said, heard)
    ]
    wrong, of = text.word_errors(*sides).sum(axis=0)
    assert wrong / of == pytest.approx(jiwer.wer(*lowered))
    wrong, of = text.character_errors(*sides).sum(axis=0)
    assert wrong / of == pytest.approx(jiwer.cer(*lowered))
