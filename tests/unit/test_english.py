import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emocli.english import WHOLE, expand_contractions, is_english, lemmatizer, prepare
from emocli.errors import MissingDependency


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I'm sure you're right", "I am sure you are right"),
        ("WON'T can't cannot shan't ain't", "will not can not can not shall not is not"),
        ("We wouldn't've gone", "We would not have gone"),
        ("I'd've, they'll and she'd", "I would have, they will and she would"),
        ("It\u2019s that\u02bcs", "It is that is"),
        ("Let's see 'em, y'all", "let us see them, you all"),
        ("I'm gonna, wanna, gotta 'cause", "I am going to, want to, got to because"),
        ("Ann's dog's here", "Ann's dog's here"),
        ("he said 'hello' rock 'n' roll", "he said 'hello' rock 'n' roll"),
        ("ma'am, O'Brien, mustn't", "ma'am, O'Brien, must not"),
        ("cannoth d'accord n't", "cannoth d'accord n't"),
    ],
)
def test_contractions(text, expected):
    assert expand_contractions(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I can't believe he's 3 years older than the children's mother!",
         "i can not believe he be year old than the child's mother!"),
        ("They WERE crying, weren\u2019t they?", "they be cry, be not they?"),
        ("It cost $2,500.50 at 10:30", "it cost $ at"),
        ("  mice\tran  home ", "mouse run home"),
        ("@Bob2 hated http://A.b/1 feelings", "@Bob2 hate http://A.b/1 feeling"),
        ("42 7", ""),
        ("", ""),
        ("!?", "!?"),
    ],
)  # fmt: skip
def test_prepared_texts(text, expected):
    assert prepare(text, lemmatizer()) == expected


@given(st.text(alphabet="aZ’' 1.,-@né", max_size=30))
def test_a_prepared_text_has_no_digits_and_no_capitals(text):
    found = prepare(text, lambda word: word)
    plain = [word for word in found.split(" ") if not word.startswith("@")]
    assert not any(letter.isdigit() or letter.isupper() for word in plain for letter in word)
    assert found == " ".join(found.split())


def test_what_contractions_stand_for_has_none():
    assert [expand_contractions(full) for full in WHOLE.values() if full != "can not"] == [
        full for full in WHOLE.values() if full != "can not"
    ]


@pytest.mark.parametrize(
    ("language", "expected"),
    [("", True), ("en", True), ("EN_us", True), (" English ", True), ("de", False), ("enm", False)],
)
def test_languages(language, expected):
    assert is_english(language) is expected


def test_without_the_package_of_lemmas(monkeypatch):
    monkeypatch.setitem(sys.modules, "simplemma", None)
    with pytest.raises(MissingDependency) as caught:
        lemmatizer()
    assert str(caught.value) == (
        "Preparing texts needs simplemma, which is not installed. Install it with pip install "
        '"emocli[lemmas]" or leave out --prepare-text.'
    )
