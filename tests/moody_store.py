"""A store of fsspec that fails where it is told to, under ``moody://``."""

import threading
import time
import zlib
from collections import Counter

import fsspec
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractBufferedFile


class MoodyStore(MemoryFileSystem):
    """Objects in memory. ``moods`` has what happens instead of an operation on a path.

    A mood is an exception to raise; for ``"read"`` also the bytes that come before it.
    """

    protocol = "moody"
    store = {}  # noqa: RUF012 - of the class, as in its parent
    pseudo_dirs = [""]  # noqa: RUF012
    cachable = False
    moods = {}  # noqa: RUF012
    asked = Counter()  # noqa: RUF012
    seconds = 0.0
    at_once = 0
    most_at_once = 0
    lock = threading.Lock()

    @classmethod
    def reset(cls):
        """Forget objects and moods."""
        cls.store.clear()
        cls.moods.clear()
        cls.asked.clear()
        cls.seconds, cls.most_at_once = 0.0, 0

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("moody://"))

    def _asked(self, what, path):
        path = self._strip_protocol(path)
        self.asked[what, path] += 1
        if error := self.moods.get((what, path)):
            raise error

    def info(self, path, **options):
        self._asked("info", path)
        return self._tagged(super().info(path))

    def find(self, path, detail=False, **options):
        self._asked("find", path)
        found = super().find(path, detail=True, **options)
        return {name: self._tagged(info) for name, info in found.items()} if detail else list(found)

    def _tagged(self, info):
        if info["type"] == "file":
            info["ETag"] = zlib.crc32(self.store[info["name"]].getvalue())
        return info

    def _open(self, path, mode="rb", **options):
        if mode != "rb":
            return super()._open(path, mode, **options)
        self._asked("open", path)
        if path not in self.store:
            raise FileNotFoundError(path)
        return _MoodyFile(self, path, cache_type="none")


class _MoodyFile(AbstractBufferedFile):
    def _fetch_range(self, start, end):
        cls = type(self.fs)
        with cls.lock:
            cls.at_once += 1
            cls.most_at_once = max(cls.at_once, cls.most_at_once)
        time.sleep(cls.seconds)
        with cls.lock:
            cls.at_once -= 1
        mood = cls.moods.get(("read", self.path))
        if isinstance(mood, bytes):  # less than there should be
            return mood[start:end]
        if mood:
            raise mood
        return cls.store[self.path].getvalue()[start:end]


def moody_store():
    """The store, empty and without moods, registered with fsspec."""
    fsspec.register_implementation("moody", MoodyStore, clobber=True)
    MoodyStore.reset()
    return MoodyStore()
