import os

import pytest

from emocli.audio.find import expand_pattern, find_recordings, is_pattern
from emocli.errors import AudioError
from emocli.natural_order import natural_key


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a10.wav", "a2.wav", "b/x.FLAC", "b/notes.txt", ".git/c.wav", "._a2.wav", "ü.mp3"):
        path = tmp_path / "rec" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "rec"


def test_natural_key_orders_numbers_by_size_and_case_last():
    names = ["a10.wav", "B1.wav", "a2.wav", "a02.wav", "b1.wav"]
    assert sorted(names, key=natural_key) == ["a02.wav", "a2.wav", "a10.wav", "B1.wav", "b1.wav"]


def test_folder_is_searched_deeply_in_natural_order_without_hidden_files(folder):
    assert list(find_recordings("rec")) == [
        "rec/a2.wav",
        "rec/a10.wav",
        "rec/b/x.FLAC",
        "rec/ü.mp3",
    ]


def test_folders_whose_names_differ_by_case_are_in_one_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["B/2.wav", "B/10.wav", "b/3.wav", "b/1.wav", "B.wav/x.wav", "b.WAV", "a.wav", "c.wav"]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    if len(os.listdir(tmp_path)) < 6:
        pytest.skip("this file system takes B and b for the same")
    found = list(find_recordings("."))
    assert [path[2:] for path in found] == [
        *("a.wav", "b/1.wav", "B/2.wav", "b/3.wav", "B/10.wav"),
        *("b.WAV", "B.wav/x.wav", "c.wav"),
    ]


def test_links_are_followed_but_not_in_circles(folder):
    os.symlink(folder / "b", folder / "z")
    os.symlink(folder, folder / "b" / "up")
    os.symlink("self.wav", folder / "self.wav")
    found = list(find_recordings("rec"))
    assert found == [
        *("rec/a2.wav", "rec/a10.wav", "rec/b/x.FLAC", "rec/self.wav"),
        *("rec/z/x.FLAC", "rec/ü.mp3"),
    ]


def test_dangling_link_is_found(folder):
    os.symlink("gone.wav", folder / "link.wav")
    assert "rec/link.wav" in find_recordings("rec")


def test_folder_that_cannot_be_listed_is_itself_among_the_paths(folder, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert list(find_recordings("rec")) == ["rec/a2.wav", "rec/a10.wav", "rec/b", "rec/ü.mp3"]


def test_folder_without_recordings_names_what_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(AudioError) as error:
        list(find_recordings("empty"))
    assert str(error.value) == (
        "empty: no recordings in this folder, expected files that end in .wav, .flac, .ogg, .oga, "
        ".opus, .mp3, .aiff, .aif, .au, .caf, .w64, .m4a, .mp4, .aac, .webm, .mkv, .mov, .wma, "
        ".amr, .3gp. Name the files themselves if they end otherwise."
    )


def test_pattern_is_expanded_in_natural_order(folder):
    assert expand_pattern("rec/a*.wav") == ["rec/a2.wav", "rec/a10.wav"]
    assert expand_pattern("rec/**/*.FLAC") == ["rec/b/x.FLAC"]


def test_a_file_with_brackets_in_its_name_is_no_pattern(folder):
    (folder / "take[1].wav").touch()
    assert not is_pattern("rec/take[1].wav")
    assert is_pattern("rec/take[2].wav")


def test_pattern_without_a_match(folder):
    with pytest.raises(AudioError) as error:
        expand_pattern("rec/*.m4a")
    assert str(error.value) == (
        "rec/*.m4a: no file matches this pattern, expected at least one. "
        "Check the folder and the ending."
    )
