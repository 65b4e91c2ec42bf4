"""Recordings in object stores, from the command line: what works on files works on URIs."""

import csv
import io

import pytest
import soundfile
from fakes import FakeRecognizer, FakeTextRecognizer, tone
from moody_store import MoodyStore, moody_store
from typer.testing import CliRunner

from emocli.audio import stores
from emocli.cli.app import app


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Two tones in ``moody://bucket/rec/`` and in ``rec/``, and fake models of speech and text."""
    known = {"builtin": FakeRecognizer(), "words": FakeTextRecognizer()}
    monkeypatch.setattr(
        "emocli.cli.predict.load_recognizers", lambda names, _options: [known[one] for one in names]
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rec").mkdir()
    found = moody_store()
    for name, seconds in {"a2.wav": 3.0, "a10.wav": 1.0}.items():
        soundfile.write(tmp_path / "rec" / name, tone(seconds), 16000)
        found.pipe(f"/bucket/rec/{name}", (tmp_path / "rec" / name).read_bytes())
    stores._copies.clear()
    yield found
    stores._copies.clear()
    MoodyStore.reset()


def run(*arguments, status=0, **options):
    done = CliRunner().invoke(app, list(arguments), **options)
    assert done.exit_code == status, done.output
    return done


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("options", [(), ("--windows", "--window", "1"), ("--segments",)])
def test_a_folder_of_a_store_gives_the_rows_of_a_folder_here(store, options):
    there = run("predict", "moody://bucket/rec/", *options).stdout
    here = run("predict", "rec", *options).stdout
    assert there.replace("moody://bucket/", "") == here
    assert [one["file"] for one in rows(there)][:1] == ["moody://bucket/rec/a2.wav"]


def test_tables_and_lists_with_uris(store, tmp_path):
    table = "file,speaker,start,end\nmoody://bucket/rec/a2.wav,ann,1,2\nrec/a10.wav,bob,,\n"
    (tmp_path / "list.csv").write_text(table)
    found = rows(run("predict", "list.csv").stdout)
    assert [(one["file"], one["start"], one["speaker"]) for one in found] == [
        ("moody://bucket/rec/a2.wav", "1.000", "ann"),
        ("rec/a10.wav", "0.000", "bob"),
    ]
    store.pipe("/bucket/list.csv", table.encode())
    found = rows(run("predict", "moody://bucket/list.csv").stdout)
    assert [one["file"] for one in found] == [
        "moody://bucket/rec/a2.wav",
        "moody://bucket/rec/a10.wav",
    ]
    listed = run("predict", "-", input="rec/a2.wav\nmoody://bucket/rec/a*.wav\n").stdout
    assert [one["file"] for one in rows(listed)] == [
        "rec/a2.wav",
        "moody://bucket/rec/a2.wav",
        "moody://bucket/rec/a10.wav",
    ]


def test_a_recording_that_does_not_come_has_a_row_that_says_so(store):
    store.moods["read", "/bucket/rec/a2.wav"] = ConnectionError("Connection reset by peer")
    done = run("predict", "moody://bucket/rec/", status=3)
    sentence = (
        "moody://bucket/rec/a2.wav: cannot be fetched (Connection reset by peer), expected an "
        "object in a store. Check the network, the address, and the keys for its store."
    )
    assert [one["error"] for one in rows(done.stdout)] == [sentence, ""]
    assert done.stderr == f"emocli: {sentence}\n"


def test_a_folder_or_table_that_does_not_come_ends_the_command(store):
    store.moods["find", "/bucket/rec"] = PermissionError("AccessDenied")
    assert run("predict", "moody://bucket/rec/", status=1).stderr == (
        "emocli: moody://bucket/rec/: cannot be listed (no permission), expected recordings in a "
        "store. Check the network, the address, and the keys for its store.\n"
    )
    assert run("predict", "moody://bucket/list.csv", status=1).stderr == (
        "emocli: moody://bucket/list.csv: no such object in the store, expected one. Check the "
        "address.\n"
    )


def test_a_run_goes_on_with_what_has_changed_or_was_missing_in_the_store(store, tmp_path):
    command = ("predict", "moody://bucket/rec/", "-o", "out.csv")
    store.moods["open", "/bucket/rec/a10.wav"] = ConnectionError("gone")
    run(*command, status=3)
    del store.moods["open", "/bucket/rec/a10.wav"]
    MoodyStore.asked.clear()
    assert "1 results are from before" in run(*command).stderr
    assert MoodyStore.asked["open", "/bucket/rec/a2.wav"] == 0
    store.pipe("/bucket/rec/a2.wav", (tmp_path / "rec" / "a10.wav").read_bytes())
    assert "1 results are from before" in run(*command).stderr
    assert {one["end"] for one in rows((tmp_path / "out.csv").read_text())} == {"1.000"}


def test_transcripts_beside_recordings_in_a_store(store):
    store.pipe("/bucket/rec/a2.txt", b"so it was")
    done = run("predict", "moody://bucket/rec/", "-m", "words", status=3)
    assert [(one["text"], one["error"]) for one in rows(done.stdout)] == [
        ("so it was", ""),
        (
            "",
            "moody://bucket/rec/a10.wav: no transcript, expected a column text in a table or "
            "a10.txt beside the recording. Make one with emocli transcribe.",
        ),
    ]


def test_label_tracks_of_recordings_in_a_store(store, tmp_path):
    run("predict", "moody://bucket/rec/", "-f", "textgrid", "--windows", "-o", "tracks")
    assert sorted(path.name for path in (tmp_path / "tracks").iterdir()) == [
        "a10.TextGrid",
        "a2.TextGrid",
    ]


def test_nothing_is_asked_of_a_store_that_was_not_named(store, monkeypatch):
    def refuse(*_):
        raise AssertionError("a store was asked")

    monkeypatch.setattr(stores, "_system", refuse)
    run("predict", "rec", "rec/a2.wav")


def test_many_recordings_are_fetched_at_a_time(store):
    content = store.cat_file("/bucket/rec/a10.wav")
    for n in range(24):
        store.pipe(f"/bucket/more/{n}.wav", content)
    MoodyStore.seconds = 0.05
    run("predict", "moody://bucket/more/")
    assert MoodyStore.most_at_once > 8
