"""Headers of plain samples whose sizes are wrong, as recorders that crash or write to pipes leave.

libsndfile takes a size of 0 for an empty recording. The header that it is given has the size of
what is there instead.
"""

import io
import struct
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, cast

from emocli.audio.containers import ChunkForm, chunks, number_at, read_at

PLAIN = frozenset(
    (
        *(b"RIFF", b"RIFX", b"RF64", b"riff", b"fLaC", b"FORM"),
        *(b".snd", b"dns.", b"caff", b"NIST"),
    )
)
"""First bytes of what libsndfile decodes exactly, to its end and from any place: plain samples in
WAV, RF64, Wave64, AIFF, AU, CAF and NIST SPHERE, and FLAC."""

NO_LENGTH = "no length in its header"
"""A remark: whoever wrote the file did not finish it, and it is read to its end."""

_STREAMED = {4: 0x7F000000, 8: 1 << 62}
"""Sizes from here on, by bytes of the field, are no sizes: what writes to a pipe cannot know the
length and leaves the largest number there is, or nearly."""

_WAVE64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0O\x8e\xdb\x8a"
_FORMS = {
    b"RIFF": (ChunkForm(12, "<I"), b"data", 0),
    b"RIFX": (ChunkForm(12, ">I"), b"data", 0),
    b"RF64": (ChunkForm(12, "<I"), b"data", 0),
    b"FORM": (ChunkForm(12, ">I"), b"SSND", 8),
    b"caff": (ChunkForm(8, ">q", align=1), b"data", 4),
    b"riff": (ChunkForm(40, "<q", name_bytes=16, align=8, counts_itself=True), _WAVE64_DATA, 0),
}
"""How chunks are written, the one with the samples, and bytes in it before the samples."""


@dataclass(frozen=True)
class Samples:
    """The samples of a file, as its header has them.

    Attributes:
        promised: bytes by the header; not above 0, or 4 GiB too few, where it was not finished.
        there: bytes up to the end of the file, above 0.
        offset: of the size in the file.
        form: of the size for `struct`.
        more: what the size counts besides samples.
    """

    promised: int
    there: int
    offset: int
    form: str
    more: int = 0

    @property
    def is_streamed(self) -> bool:
        """Whether the size is what those write who cannot know it."""
        return self.promised >= _STREAMED[struct.calcsize(self.form)] or self.promised == -1

    @property
    def is_wrong(self) -> bool:
        """Whether the size is not that of what is there or less."""
        return self.is_unknown or self.promised > self.there

    @property
    def is_unknown(self) -> bool:
        """Whether the size is none."""
        return self.promised <= 0 or self.there - self.promised >= 1 << 32

    @property
    def is_out_of_bounds(self) -> bool:
        """Whether no size that the header can hold is that of what is there."""
        return self.there + self.more >= 1 << 8 * struct.calcsize(self.form)

    def missing_of(self, seconds: float) -> str:
        """A remark on a file that was cut, else nothing; ``seconds`` is what there is."""
        if self.is_streamed or self.promised <= self.there:
            return ""
        return f"truncated: {seconds:.1f} of {seconds * self.promised / self.there:.1f} s"

    def mended(self, stream: BinaryIO) -> BinaryIO:
        """The file with the size of what is there in its header."""
        most = (1 << 8 * struct.calcsize(self.form)) - 1
        size = struct.pack(self.form, min(self.there + self.more, most))
        return cast(BinaryIO, MendedStream(stream, self.offset, size))


def find_samples(stream: BinaryIO, n_bytes: int) -> Samples | None:
    """The samples of a file; None in formats without such a size, and where there are none.

    Args:
        stream: the file.
        n_bytes: length of the file.
    """
    head = read_at(stream, 0, 4)
    if head in (b".snd", b"dns."):
        form = ">I" if head == b".snd" else "<I"
        promised, there = number_at(stream, 8, form), n_bytes - number_at(stream, 4, form)
        return Samples(promised, there, 8, form) if there > 0 else None
    if head not in _FORMS:
        return None
    form_of, name, own = _FORMS[head]
    long_size = 0
    for one in chunks(stream, form_of, n_bytes):
        if one.name == b"ds64":
            long_size = one.start + 8
        elif one.name == name:
            break
    else:
        return None
    there = n_bytes - one.start - own
    if there <= 0 or (one.size == own and _leads_to_the_end(stream, form_of, one.stop, n_bytes)):
        return None
    if long_size and one.size == 0xFFFFFFFF:
        return Samples(number_at(stream, long_size, "<q"), there, long_size, "<q")
    width = struct.calcsize(form_of.size)
    itself = width + form_of.name_bytes if form_of.counts_itself else 0
    promised = -1 if one.size + itself == -1 else one.size - own
    more = own + itself
    return Samples(promised, there, one.start - width, form_of.size, more)


def _leads_to_the_end(stream: BinaryIO, form: ChunkForm, place: int, n_bytes: int) -> bool:
    """Whether chunks follow that end where the file does."""
    stops = [one.stop for one in chunks(stream, replace(form, first=place), n_bytes)]
    return bool(stops) and abs(stops[-1] - n_bytes) < form.align


class MendedStream(io.RawIOBase):
    """A file in which some bytes are others.

    Args:
        stream: the file.
        offset: where the other bytes are.
        patch: the other bytes.
    """

    def __init__(self, stream: BinaryIO, offset: int, patch: bytes) -> None:
        self._stream, self._offset, self._patch = stream, offset, patch

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """The new position."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """The position."""
        return self._stream.tell()

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes; how many there were."""
        place = self._stream.tell()
        data = bytearray(self._stream.read(len(buffer)))
        for index, byte in enumerate(self._patch, self._offset - place):
            if 0 <= index < len(data):
                data[index] = byte
        buffer[: len(data)] = bytes(data)
        return len(data)
