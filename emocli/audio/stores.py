"""Recordings in object stores such as ``s3://bucket/a.flac``, through fsspec.

A recording is fetched whole, to a file without a name that ends with the process, and then decoded
as any other: decoders look here and there in a file, each look would be a request, and one that
fails within libsndfile would pass for the end of the recording. The last few are kept for a
while, because segments of one recording are read one after another.

Nothing here asks the network unless it is given a URI. Keys for stores are those that fsspec and
its packages find, in files such as ``~/.aws/credentials`` or variables such as
``AWS_ACCESS_KEY_ID`` and ``FSSPEC_S3_ENDPOINT_URL``.
"""

import glob
import io
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import ContextVar
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar, cast

from emocli.audio import faults
from emocli.audio.find import AUDIO_SUFFIXES
from emocli.errors import AudioError, EmocliError, MissingDependency
from emocli.natural_order import natural_key

FETCHED_AT_A_TIME = 16
"""Requests wait for the network and not for a core."""

COPIES_KEPT = 4 if sys.platform == "linux" else 0
"""Recordings that were fetched and may be needed again; only Linux opens a nameless file twice."""

STALLED_SECONDS = 60.0
"""How long nothing may come from a store. Its package would try again for minutes."""

wanted: ContextVar[Callable[[], bool]] = ContextVar("wanted", default=lambda: True)
"""Tells a thread that waits for a store whether anybody still waits for it."""

_COPY_BYTES = 1 << 23
_LOOK_SECONDS = 0.2
_URI = re.compile(r"[a-z][a-z0-9+.-]+://")
_CHANGE_MARKS = ("ETag", "etag", "LastModified", "updated", "last_modified", "mtime", "created")

Found = TypeVar("Found")
Stamp = tuple[int | None, str]
"""Size in bytes, and what a store changes with the content: an ETag, or else a time."""


def is_uri(text: str) -> bool:
    """Whether a path names something in a store rather than on this machine.

    Example:
        >>> is_uri("s3://bucket/a.flac"), is_uri("recordings/a.flac")
        (True, False)
    """
    return _URI.match(text) is not None


class StoredPath:
    """The place of a recording in a store, with those methods of `pathlib.Path` that it needs.

    Args:
        uri: such as ``"s3://bucket/a.flac"``.
        info: what a listing of the store has told about it.

    Attributes:
        uri: as it was given.
    """

    __slots__ = ("_stamp", "uri")

    def __init__(self, uri: str, info: dict[str, Any] | None = None) -> None:
        self.uri = uri
        self._stamp: Stamp | None = None if info is None else _stamp_of(info)

    def __fspath__(self) -> str:
        return self.uri

    def __str__(self) -> str:
        return self.uri

    def __repr__(self) -> str:
        return f"StoredPath({self.uri!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoredPath) and other.uri == self.uri

    def __hash__(self) -> int:
        return hash(self.uri)

    @property
    def name(self) -> str:
        """What comes after the last slash."""
        return self.uri.rpartition("/")[2]

    def with_suffix(self, suffix: str) -> "StoredPath":
        """The place beside it whose name ends otherwise."""
        folder = self.uri[: len(self.uri) - len(self.name)]
        return StoredPath(folder + PurePosixPath(self.name).stem + suffix)

    def is_file(self) -> bool:
        """Whether something is there; False also where the store does not say."""
        return self.stamp() is not None

    def open(self, mode: str = "rb") -> BinaryIO:
        """Its content; ``mode`` is that of `pathlib.Path` and always ``"rb"``.

        Raises:
            AudioError: it cannot be fetched.
            MissingDependency: the package for its store is not installed.
        """
        return open_stored(self.uri, self.uri)

    def read_text(self, encoding: str) -> str:
        """Its content as text.

        Raises:
            OSError: it cannot be fetched.
            UnicodeDecodeError: it is not in the encoding.
        """
        return read_stored(self.uri).decode(encoding)

    def stamp(self) -> Stamp | None:
        """What tells that its content has changed, None where the store does not say."""
        if self._stamp is None:
            try:
                self._stamp = _stamp_of(_waited(lambda _: _system(self.uri).info(self.uri)))
            except Exception:  # noqa: BLE001 - of whatever package; reading it says what is wrong
                return None
        return self._stamp


def located(text: str) -> Path | StoredPath:
    """The place that a path or a URI names."""
    return StoredPath(text) if is_uri(text) else Path(text)


def ask_stamps(places: Iterable[Path | StoredPath]) -> None:
    """Ask stores for the stamps of several places at a time; each then knows its own."""
    stored = [one for one in places if isinstance(one, StoredPath)]
    if not stored:
        return
    pool = ThreadPoolExecutor(FETCHED_AT_A_TIME, "emocli-stamp")
    stopped = threading.Event()

    def ask(place: StoredPath) -> None:
        wanted.set(lambda: not stopped.is_set())
        place.stamp()

    try:
        list(pool.map(ask, stored))
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)


def find_stored(uri: str) -> list[StoredPath]:
    """Recordings that the URI of a file, a folder or a pattern stands for, in natural order.

    Files and folders below it whose names begin with a dot are left out. What ends like a
    recording is not looked up, and neither is a pattern on the web, where ``?`` means another
    thing.

    Raises:
        AudioError: the store cannot be listed, or there is no recording.
        MissingDependency: the package for the store is not installed.
    """
    magic = glob.has_magic(uri) and not uri.startswith("http")
    if uri.lower().endswith(AUDIO_SUFFIXES) and not magic:
        return [StoredPath(uri)]
    try:
        system = _system(uri)
        try:
            info = _waited(lambda _: system.info(uri))
        except FileNotFoundError:
            if not magic and (uri.endswith("/") or "/" not in uri.partition("://")[2]):
                raise  # a folder or a bucket, which nothing could be read from
            if not magic:
                return [StoredPath(uri)]  # whoever reads it finds out
            return _below(system, _folder_of_pattern(uri), system.glob(uri, detail=True), uri)
        if info["type"] != "directory":
            return [StoredPath(uri, info)]
        folder = uri if uri.endswith("/") else f"{uri}/"
        found = _below(system, folder, system.find(uri, detail=True), uri)
        system.invalidate_cache()  # what was listed would stay in memory, and be told again later
    except EmocliError:
        raise
    except Exception as error:  # noqa: BLE001 - each package has errors of its own
        raise faults.not_listed(uri, error) from None
    return found


def _folder_of_pattern(uri: str) -> str:
    """What is before the first part of a pattern with a wildcard in it."""
    plain = re.split(r"[*?\[]", uri, maxsplit=1)[0]
    return plain[: plain.rindex("/") + 1]


def _below(system: Any, folder: str, infos: dict[str, Any], uri: str) -> list[StoredPath]:
    """Recordings among what was found below a folder, named as the folder is.

    Raises:
        AudioError: there is none.
    """
    root = len(str(system._strip_protocol(folder)).rstrip("/"))
    names = {path[root:].lstrip("/"): info for path, info in infos.items()}
    found = [
        StoredPath(folder + name, info)
        for name, info in sorted(names.items(), key=lambda item: natural_key(item[0]))
        if info["type"] == "file"
        and name.lower().endswith(AUDIO_SUFFIXES)
        and not any(part.startswith(".") for part in name.split("/"))
    ]
    if not found:
        raise AudioError(
            f"{uri}: no recordings there, expected files that end in "
            f"{', '.join(AUDIO_SUFFIXES)}. Check the address."
        )
    return found


def read_stored(uri: str) -> bytes:
    """The content of a small file in a store.

    Raises:
        OSError: it cannot be fetched; says why.
    """
    try:
        with open_stored(uri, uri) as stream:
            return stream.read()
    except EmocliError as error:
        raise OSError(str(error)) from None


def open_stored(uri: str, name: str) -> io.FileIO:
    """A recording in a store, fetched.

    Args:
        uri: where it is.
        name: what to call it in an error.

    Raises:
        AudioError: it cannot be fetched, or there is no room for it.
        MissingDependency: the package for its store is not installed.
    """
    with _copies_lock:
        copy = _copies.pop(uri, None) or _Copy(uri)
        _copies[uri] = copy  # the last one used is the last to go
        while len(_copies) > COPIES_KEPT:
            del _copies[next(iter(_copies))]
    return copy.open(name)


class _Copy:
    """A recording in a store and, once it was opened, its content here."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._lock = threading.Lock()
        self._file: Any = None
        self._stamp: Stamp | None = None

    def open(self, name: str) -> io.FileIO:
        """The content, from its start, with a position of its own."""
        with self._lock:  # others of the same recording wait until it is there
            if self._file is None or StoredPath(self._uri).stamp() != self._stamp:
                self.close()
                self._file, self._stamp = _fetched(self._uri, name)
            if COPIES_KEPT:
                return io.FileIO(f"/proc/self/fd/{self._file.fileno()}", "rb")
            file, self._file = self._file, None
            return cast(io.FileIO, file)

    def close(self) -> None:
        """Forget the content."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __del__(self) -> None:
        self.close()


_copies: dict[str, _Copy] = {}
_copies_lock = threading.Lock()


def _forget_copies() -> None:
    """Begin anew in a process that was forked, where locks may be held by nobody."""
    global _copies_lock
    _copies.clear()
    _copies_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_copies)


def _fetched(uri: str, name: str) -> tuple[Any, Stamp | None]:
    """A nameless file with the content of a recording, and the stamp that it had.

    Raises:
        AudioError: it cannot be fetched, or there is no room for it.
        MissingDependency: the package for its store is not installed.
    """
    try:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by whoever reads it
    except OSError as error:
        raise faults.no_room(name, tempfile.gettempdir(), error) from None
    try:
        stamp = _stamp_of(info) if (info := _copy_to(file, uri, name)) else None
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file, stamp


def _copy_to(file: BinaryIO, uri: str, name: str) -> dict[str, Any]:
    """Write the content of a recording to a file; what the store tells about it."""
    n_bytes = 0

    def copy(came: Callable[[], None]) -> dict[str, Any]:
        nonlocal n_bytes
        system = _system(uri)
        with system.open(uri, "rb", cache_type="none") as source:
            # Of what was opened, where the store tells it, and else of what is there by now.
            info: dict[str, Any] = getattr(source, "details", None) or system.info(uri)
            while block := source.read(_COPY_BYTES):
                came()
                n_bytes += len(block)
                try:
                    file.write(block)
                except OSError as error:
                    raise faults.no_room(name, tempfile.gettempdir(), error) from None
        return info

    try:
        info = _waited(copy)
    except EmocliError:
        raise
    except Exception as error:  # noqa: BLE001 - each package has errors of its own
        raise faults.not_fetched(name, error) from None
    if info.get("size") not in (None, n_bytes):
        raise faults.not_fetched(name, OSError(f"{n_bytes} of {info['size']} bytes came"))
    return info


def _waited(work: Callable[[Callable[[], None]], Found]) -> Found:
    """The result of what asks a store, in a thread of its own that can be left to itself.

    Args:
        work: is given a function to call whenever something has come.

    Raises:
        TimeoutError: nothing has come for `STALLED_SECONDS`, or nobody waits any more.
        Exception: whatever the work raises.
    """
    result: Future[Found] = Future()
    last = time.monotonic()

    def came() -> None:
        nonlocal last
        last = time.monotonic()

    def run() -> None:
        try:
            result.set_result(work(came))
        except BaseException as error:  # noqa: BLE001 - told where it is waited for
            result.set_exception(error)

    threading.Thread(target=run, name="emocli-fetch", daemon=True).start()
    while not wait([result], _LOOK_SECONDS).done:
        if not wanted.get()():
            raise TimeoutError("interrupted")
        if time.monotonic() - last > STALLED_SECONDS:
            raise TimeoutError(f"nothing has come for {STALLED_SECONDS:g} s")
    return result.result()


def _stamp_of(info: dict[str, Any]) -> Stamp:
    marks = (str(info[mark]) for mark in _CHANGE_MARKS if info.get(mark) is not None)
    return info.get("size"), next(marks, "")


def _system(uri: str) -> Any:
    """The file system of fsspec that a URI is for.

    Raises:
        AudioError: there is no such kind of store.
        MissingDependency: the package for it is not installed.
    """
    try:
        import fsspec
    except ImportError:
        raise MissingDependency(
            f"{uri}: URIs need fsspec, which is not installed. "
            f'Install it with pip install "emocli[cloud]" or copy the recordings to this machine.'
        ) from None
    protocol = uri.partition("://")[0]
    try:
        kind = fsspec.get_filesystem_class(protocol)
    except ValueError:
        raise faults.no_such_store(uri) from None
    except ImportError as error:
        raise _missing(uri, str(error).rstrip(".")) from None
    # Not url_to_fs(), which takes a part of a name for another URI where it has "::" in it.
    return kind(**kind._get_kwargs_from_urls(uri))


def _missing(uri: str, reason: str) -> MissingDependency:
    """The error for a store whose package is not there; packages say which one it is."""
    known = uri.startswith(("s3://", "s3a://", "gs://", "gcs://", "http://", "https://"))
    remedy = 'Install it with pip install "emocli[cloud]"' if known else reason
    return MissingDependency(
        f"{uri}: {uri.partition('://')[0]}:// needs a package that is not installed. {remedy}, or "
        f"copy the recordings to this machine."
    )
