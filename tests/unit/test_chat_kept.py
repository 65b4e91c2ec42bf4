"""Answers on disk: whole or not at all, and nothing else is left there."""

import os

import pytest

from emocli.chat.kept import KeptAnswers
from emocli.chat.question import Answer, Ending
from emocli.errors import JudgeError

ANSWER = Answer(Ending.ANSWERED, "neutral, for he yawns", "")


def test_an_answer_is_found_again(tmp_path):
    kept = KeptAnswers(tmp_path / "kept")
    assert kept.find("abcd") is None
    kept.keep("abcd", ANSWER)
    assert kept.find("abcd") == ANSWER
    assert oct((tmp_path / "kept/ab/abcd.json").stat().st_mode)[-3:] == "600"


def test_answers_of_one_server_are_not_those_of_another(tmp_path):
    KeptAnswers(tmp_path, "http://one/v1").keep("abcd", ANSWER)
    assert KeptAnswers(tmp_path, "http://two/v1").find("abcd") is None
    assert KeptAnswers(tmp_path, "http://one/v1").find("abcd") == ANSWER


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"ending": "x", "text": "", "why": ""}'])
def test_a_damaged_answer_is_none(tmp_path, content):
    (tmp_path / "ab").mkdir()
    (tmp_path / "ab/abcd.json").write_text(content)
    assert KeptAnswers(tmp_path).find("abcd") is None


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "kept").write_text("a file")
    with pytest.raises(JudgeError) as raised:
        KeptAnswers(tmp_path / "kept").keep("abcd", ANSWER)
    assert str(raised.value) == (
        f"{tmp_path}/kept/ab: answers cannot be kept there (Not a directory), expected a folder "
        f"that may be written to. Choose another one with --cache."
    )


def test_a_write_that_fails_leaves_no_draft(tmp_path):
    (tmp_path / "ab/abcd.json").mkdir(parents=True)
    with pytest.raises(JudgeError, match=r"cannot be kept there \(Is a directory\)"):
        KeptAnswers(tmp_path).keep("abcd", ANSWER)
    assert os.listdir(tmp_path / "ab") == ["abcd.json"]
