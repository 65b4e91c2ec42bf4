"""Recordings in stores: what URIs stand for, how they are fetched, and what goes wrong."""

import builtins
import errno
import io
import os
import threading
import time
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import soundfile
from fakes import tone
from moody_store import MoodyStore, moody_store

from emocli.audio import stores
from emocli.audio.decode import read_waveform
from emocli.audio.stores import StoredPath, ask_stamps, find_stored, is_uri, located, open_stored
from emocli.errors import AudioError, EmocliError, MissingDependency
from emocli.pipeline.ahead import run_ahead
from emocli.training.sequences import recording_key

NETWORK = "Check the network, the address, and the keys for its store."


@pytest.fixture
def store():
    found = moody_store()
    stores._copies.clear()
    yield found
    stores._copies.clear()
    MoodyStore.reset()


def wav(seconds=0.2):
    stream = io.BytesIO()
    soundfile.write(stream, tone(seconds), 16000, format="WAV")
    return stream.getvalue()


def sentence(call, *arguments, kind=AudioError):
    with pytest.raises(kind) as caught:
        call(*arguments)
    return str(caught.value)


def uris(uri):
    return [one.uri for one in find_stored(uri)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://bucket/a.flac", True),
        ("memory:///a.flac", True),
        ("git+ssh://a", True),
        ("a.flac", False),
        ("s3:/bucket/a.flac", False),
        ("c://a.flac", False),
        ("folder/s3://a.flac", False),
    ],
)
def test_what_is_a_uri(text, expected):
    assert is_uri(text) is expected
    assert isinstance(located(text), StoredPath) is expected


def test_folders_are_listed_in_natural_order_without_hidden_files(store):
    for name in ("a10.wav", "a2.WAV", "deep/b.flac", ".a.wav", ".b/c.wav", "notes.txt"):
        store.pipe(f"/rec/{name}", b"x")
    expected = ["a2.WAV", "a10.wav", "deep/b.flac"]
    assert uris("moody://rec/") == [f"moody://rec/{name}" for name in expected]
    assert uris("moody://rec") == [f"moody://rec/{name}" for name in expected]
    assert uris("moody:///rec") == [f"moody:///rec/{name}" for name in expected]
    assert uris("moody://rec/a*") == ["moody://rec/a2.WAV", "moody://rec/a10.wav"]
    assert uris("moody://re?/**") == [f"moody://rec/{name}" for name in expected]
    assert uris("moody://rec/notes.txt") == ["moody://rec/notes.txt"]


def test_what_ends_like_a_recording_is_not_looked_up(store):
    assert uris("moody://nowhere/a.wav") == ["moody://nowhere/a.wav"]
    assert MoodyStore.asked == {}


def test_a_name_with_wildcards_in_it_is_a_name(store):
    store.pipe("/rec/a[1].wav", wav())
    assert uris("moody://rec/a[1].wav") == ["moody://rec/a[1].wav"]
    assert read_waveform("moody://rec/a[1].wav").duration == 0.2


def test_files_of_this_machine_by_uri(samples_folder):
    found = uris(f"file://{samples_folder}")
    assert found == [f"file://{one}" for one in sorted(samples_folder.glob("*.flac"))]
    there, here = read_waveform(found[0]), read_waveform(found[0].removeprefix("file://"))
    assert np.array_equal(there.samples, here.samples)


@pytest.fixture
def samples_folder():
    return Path(__file__).parents[1] / "samples"


def test_folders_that_cannot_be_listed(store):
    assert sentence(find_stored, "moody://rec/*.wav").startswith(
        "moody://rec/*.wav: no recordings there, expected files that end in .wav, "
    )
    store.pipe("/rec/notes.txt", b"x")
    assert sentence(find_stored, "moody://rec/").startswith("moody://rec/: no recordings there, ")
    store.moods["find", "/rec"] = PermissionError("AccessDenied")
    assert sentence(find_stored, "moody://rec/") == (
        "moody://rec/: cannot be listed (no permission), expected recordings in a store. " + NETWORK
    )
    store.moods["find", "/rec"] = RuntimeError("The line is dead.\nTraceback")
    assert sentence(find_stored, "moody://rec/") == (
        "moody://rec/: cannot be listed (The line is dead), expected recordings in a store. "
        + NETWORK
    )
    for uri in ("moody://nowhere", "moody://nowhere/", "moody://nowhere/at/all/"):
        assert sentence(find_stored, uri) == (
            f"{uri}: cannot be listed (no such folder), expected recordings in a store. {NETWORK}"
        )
    assert uris("moody://nowhere/a") == ["moody://nowhere/a"]  # reading it says what is wrong


def test_a_kind_of_store_that_nobody_knows():
    assert sentence(open_stored, "nowhere://a.wav", "nowhere://a.wav") == (
        "nowhere://a.wav: no kind of store is called nowhere, expected s3://, gs:// or another "
        "that fsspec knows. Check the address."
    )


def hide(monkeypatch, *packages):
    found = builtins.__import__

    def refuse(name, *rest, **options):
        if name.split(".")[0] in packages:
            raise ImportError(name)
        return found(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_without_the_package_for_a_store(monkeypatch):
    def refuse(protocol):
        raise ImportError({"s3": "Install s3fs", "az": "Install adlfs to access Azure"}[protocol])

    monkeypatch.setattr("fsspec.get_filesystem_class", refuse)
    assert sentence(open_stored, "s3://b/a.wav", "s3://b/a.wav", kind=MissingDependency) == (
        "s3://b/a.wav: s3:// needs a package that is not installed. Install it with pip install "
        '"emocli[cloud]", or copy the recordings to this machine.'
    )
    assert sentence(find_stored, "az://b/", kind=MissingDependency) == (
        "az://b/: az:// needs a package that is not installed. Install adlfs to access Azure, or "
        "copy the recordings to this machine."
    )


def test_without_fsspec(monkeypatch):
    hide(monkeypatch, "fsspec")
    assert sentence(open_stored, "s3://b/a.wav", "s3://b/a.wav", kind=MissingDependency) == (
        "s3://b/a.wav: URIs need fsspec, which is not installed. Install it with pip install "
        '"emocli[cloud]" or copy the recordings to this machine.'
    )


@pytest.mark.parametrize(
    ("operation", "mood", "expected"),
    [
        (
            "open",
            FileNotFoundError("b/a.wav"),
            "no such object in the store, expected one. Check the address.",
        ),
        (
            "open",
            PermissionError("Forbidden"),
            "no permission to read it, expected a readable object. Check the keys for its store.",
        ),
        (
            "info",
            RuntimeError("Bad request.\n"),
            f"cannot be fetched (Bad request), expected an object in a store. {NETWORK}",
        ),
        (
            "read",
            TimeoutError(),
            f"cannot be fetched (TimeoutError), expected an object in a store. {NETWORK}",
        ),
        (
            "read",
            wav()[:100],
            f"cannot be fetched (100 of 6444 bytes came), expected an object in a store. {NETWORK}",
        ),
    ],
)
def test_recordings_that_cannot_be_fetched(store, operation, mood, expected):
    store.pipe("/a.wav", wav())
    store.moods[operation, "/a.wav"] = mood
    assert sentence(read_waveform, "moody://a.wav") == f"moody://a.wav: {expected}"
    del store.moods[operation, "/a.wav"]
    assert read_waveform("moody://a.wav").duration == 0.2  # nothing of it was kept


def test_no_room_for_a_copy(store, monkeypatch):
    store.pipe("/a.wav", wav())

    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stores.tempfile, "tempdir", "/full")
    monkeypatch.setattr(stores.tempfile, "TemporaryFile", lambda **_: Full())
    expected = (
        "moody://a.wav: cannot be copied to /full (No space left on device), expected room for a "
        "copy. Free some space, or name another folder in TMPDIR."
    )
    assert sentence(read_waveform, "moody://a.wav") == expected

    def refuse(**_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stores.tempfile, "TemporaryFile", refuse)
    assert sentence(read_waveform, "moody://a.wav") == expected


def test_what_a_copy_holds_is_judged_like_a_file(store):
    store.pipe({"/empty.wav": b"", "/text.wav": b"not a recording", "/cut.wav": wav()[:20]})
    assert sentence(read_waveform, "moody://empty.wav") == (
        "moody://empty.wav: empty (0 bytes), expected a recording. Record it or copy it again."
    )
    assert "holds text" in sentence(read_waveform, "moody://text.wav")
    assert "the WAV header is cut short" in sentence(read_waveform, "moody://cut.wav")


def test_a_store_that_does_not_answer_any_more(store, monkeypatch):
    monkeypatch.setattr(stores, "STALLED_SECONDS", 0.3)
    store.pipe("/a.wav", wav())
    MoodyStore.seconds = 1.0
    assert sentence(read_waveform, "moody://a.wav") == (
        "moody://a.wav: cannot be fetched (nothing has come for 0.3 s), expected an object in a "
        f"store. {NETWORK}"
    )


def test_nobody_waits_for_a_store_after_an_interrupt(store):
    store.pipe("/a.wav", wav())
    MoodyStore.seconds = 3.0
    begun = time.monotonic()

    def read(place):
        yield len(read_waveform(place).samples) if place else 0

    ahead = run_ahead([None, "moody://a.wav"], read, cost=lambda _: 0.0, budget=1.0)
    assert next(ahead) == 0
    while not MoodyStore.asked:
        time.sleep(0.01)
    ahead.close()
    assert time.monotonic() - begun < 2.0


def test_segments_of_one_recording_are_fetched_once_also_at_a_time(store):
    store.pipe("/a.wav", wav(2.0))
    MoodyStore.seconds = 0.05
    found = {}

    def read(start):
        found[start] = read_waveform("moody://a.wav", start=start, stop=start + 0.25)

    threads = [threading.Thread(target=read, args=(n / 4,)) for n in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert MoodyStore.asked["open", "/a.wav"] == 1
    whole = read_waveform("moody://a.wav").samples
    parts = [found[start].samples for start in sorted(found)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_a_recording_that_has_changed_is_fetched_anew(store):
    store.pipe("/a.wav", wav(0.5))
    assert read_waveform("moody://a.wav").duration == 0.5
    store.pipe("/a.wav", wav(0.75))
    assert read_waveform("moody://a.wav").duration == 0.75


def test_only_the_last_copies_are_kept_and_no_file_stays_open(store):
    for n in range(9):
        store.pipe(f"/{n}.wav", wav())
    before = len(os.listdir("/proc/self/fd"))
    for n in range(9):
        read_waveform(f"moody://{n}.wav")
    assert list(stores._copies) == [f"moody://{n}.wav" for n in range(5, 9)]
    assert len(os.listdir("/proc/self/fd")) == before + stores.COPIES_KEPT
    stores._forget_copies()
    assert len(os.listdir("/proc/self/fd")) == before


def test_where_a_nameless_file_cannot_be_opened_twice(store, monkeypatch):
    monkeypatch.setattr(stores, "COPIES_KEPT", 0)
    store.pipe("/a.wav", wav(0.5))
    for _ in range(2):
        assert read_waveform("moody://a.wav").duration == 0.5
    assert MoodyStore.asked["open", "/a.wav"] == 2
    assert stores._copies == {}


def test_what_tells_that_an_object_has_changed(store):
    store.pipe({"/a.wav": b"one", "/b.wav": b"two"})
    places = [StoredPath("moody://a.wav"), StoredPath("moody://missing.wav"), Path("c.wav")]
    ask_stamps(places)
    first, missing, _ = places
    assert (first.stamp(), missing.stamp()) == ((3, str(crc32(b"one"))), None)
    assert MoodyStore.asked["info", "/a.wav"] == 1
    store.pipe("/a.wav", b"two")
    assert first.stamp() == (3, str(crc32(b"one")))  # as it was when the run began
    assert StoredPath("moody://a.wav").stamp() == StoredPath("moody://b.wav").stamp()
    listed = find_stored("moody://")
    MoodyStore.asked.clear()
    assert [one.stamp() for one in listed] == [(3, str(crc32(b"two")))] * 2
    assert MoodyStore.asked == {}


def test_features_of_a_recording_are_found_wherever_it_is(store, tmp_path):
    store.pipe("/a.wav", wav())
    (tmp_path / "a.wav").write_bytes(wav())
    there = recording_key(StoredPath("moody://a.wav"), 0.0, 0.1)
    assert there == recording_key(tmp_path / "a.wav", 0.0, 0.1)


def test_a_place_has_the_methods_of_a_path(store):
    store.pipe("/rec/a.b.txt", "so".encode("utf-8-sig"))
    place = StoredPath("moody://rec/a.b.wav")
    text = place.with_suffix(".txt")
    assert (str(text), text.name, os.fspath(text)) == ("moody://rec/a.b.txt", "a.b.txt", str(text))
    assert (place.is_file(), text.is_file()) == (False, True)
    assert text.read_text("utf-8-sig") == "so"
    with text.open("rb") as stream:
        assert stream.read() == "so".encode("utf-8-sig")
    with pytest.raises(OSError, match="no such object in the store"):
        place.read_text("utf-8")
    with pytest.raises(EmocliError):
        place.open("rb")
    assert {place, StoredPath("moody://rec/a.b.wav")} == {place}
    assert repr(place) == "StoredPath('moody://rec/a.b.wav')"
