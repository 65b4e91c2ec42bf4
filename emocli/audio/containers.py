"""What the structure of a file tells about its sound, without decoding it.

Decoders believe a header, or mend it in silence, and guess lengths that are not there. Whether a
file is whole, and where its samples end when the recorder could not say, is read from the
structure itself.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

OGG = b"OggS"
_OGG_FIRST_PAGE, _OGG_LAST_PAGE = 2, 4
_SEARCH_BYTES = 1 << 16

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_MP4_BOXES = frozenset((b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof"))
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_BROADCAST = 1


def read_at(stream: BinaryIO, offset: int, n_bytes: int) -> bytes:
    """Bytes from a place in a file, fewer where it ends."""
    stream.seek(offset)
    return stream.read(n_bytes)


def number_at(stream: BinaryIO, offset: int, form: str) -> int:
    """A whole number in a file, 0 where the file ends before it; ``form`` is `struct`'s."""
    data = read_at(stream, offset, struct.calcsize(form))
    return int(struct.unpack(form, data)[0]) if len(data) == struct.calcsize(form) else 0


@dataclass(frozen=True)
class Chunk:
    """A named stretch of a file.

    Attributes:
        name: four bytes, or sixteen in Wave64.
        start: byte at which its content starts.
        size: bytes of content that it claims.
        stop: byte at which the next one starts.
    """

    name: bytes
    start: int
    size: int
    stop: int


@dataclass(frozen=True)
class ChunkForm:
    """How a format writes its chunks.

    Attributes:
        first: byte at which the first one starts.
        size: form of the size for `struct`.
        name_bytes: length of a name.
        align: chunks start at multiples of so many bytes.
        counts_itself: whether a size counts the name and itself.
    """

    first: int
    size: str
    name_bytes: int = 4
    align: int = 2
    counts_itself: bool = False


def chunks(stream: BinaryIO, form: ChunkForm, n_bytes: int) -> Iterator[Chunk]:
    """The chunks of a file, as far as their sizes lead; the last one may claim too much.

    Args:
        stream: the file.
        form: how its format writes chunks.
        n_bytes: length of the file.
    """
    head = form.name_bytes + struct.calcsize(form.size)
    place = form.first
    while place + head <= n_bytes:
        data = read_at(stream, place, head)
        size = int(struct.unpack(form.size, data[form.name_bytes :])[0])
        size -= head if form.counts_itself else 0
        start = place + head
        place = start + max(0, size)
        place += -place % form.align
        yield Chunk(data[: form.name_bytes], start, size, place)


def is_cut(stream: BinaryIO, n_bytes: int) -> bool:
    """Whether a file ends before its structure does: MP4, Matroska, ASF, CAF and RIFF.

    False for other formats, and where the structure leaves the length open.

    Args:
        stream: the file.
        n_bytes: length of the file.
    """
    head = read_at(stream, 0, 16)
    if head[4:8] in _MP4_BOXES:
        return any(stop > n_bytes for _, stop in _boxes(stream, n_bytes))
    if head[:4] == _EBML:
        return any(stop > n_bytes for stop in _elements(stream, n_bytes))
    if head == _ASF_HEADER:
        return _asf_bytes(stream, n_bytes) > n_bytes
    if head[:4] == b"RIFF":
        return 0x7FFF0000 > number_at(stream, 4, "<I") > n_bytes - 8
    if head[:4] == b"caff":
        return any(one.stop > n_bytes for one in chunks(stream, ChunkForm(8, ">q", 4, 1), n_bytes))
    return False


def lacks_index(stream: BinaryIO, n_bytes: int) -> bool:
    """Whether a file is an MP4 whose recorder has not come to write the index, the moov box."""
    if read_at(stream, 4, 4) not in _MP4_BOXES:
        return False
    return not any(name == b"moov" and stop <= n_bytes for name, stop in _boxes(stream, n_bytes))


def _boxes(stream: BinaryIO, n_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Names of the boxes of an MP4 and where each ends, as far as their sizes lead."""
    place = 0
    while place + 8 <= n_bytes:
        size, name = number_at(stream, place, ">I"), read_at(stream, place + 4, 4)
        if size == 1:
            size = number_at(stream, place + 8, ">Q")
        elif size == 0:  # to the end of the file
            size = n_bytes - place
        if size < 8:
            return
        place += size
        yield name, place


def _elements(stream: BinaryIO, n_bytes: int) -> Iterator[int]:
    """Where the segment of a Matroska file ends, or its parts if it leaves that open."""
    place = 0
    while place + 2 <= n_bytes:
        name, size, start = _element(stream, place)
        if start == place:
            return
        if size is None:
            if name != _SEGMENT:
                return  # a cluster that goes on
            place = start
            continue
        place = start + size
        yield place


def _element(stream: BinaryIO, place: int) -> tuple[bytes, int | None, int]:
    """Name of an EBML element, its size (None where it is open), and where its content starts.

    The content starts at the element itself where there is none.
    """
    data = read_at(stream, place, 12)
    n_name = 9 - data[0].bit_length() if data else 9
    rest = data[n_name:]
    n_size = 9 - rest[0].bit_length() if rest else 9
    if n_name > 4 or n_size > 8 or len(rest) < n_size:
        return b"", 0, place
    size = int.from_bytes(rest[:n_size]) & ((1 << 7 * n_size) - 1)
    is_open = size == (1 << 7 * n_size) - 1
    return data[:n_name], None if is_open else size, place + n_name + n_size


def _asf_bytes(stream: BinaryIO, n_bytes: int) -> int:
    """Length of an ASF file by its header, 0 where the header does not say."""
    form = ChunkForm(30, "<q", name_bytes=16, align=1, counts_itself=True)
    stop = number_at(stream, 16, "<Q")
    for one in chunks(stream, form, min(stop, n_bytes)):
        if one.name == _ASF_FILE_PROPERTIES:
            is_broadcast = number_at(stream, one.start + 64, "<I") & _ASF_BROADCAST
            return 0 if is_broadcast else number_at(stream, one.start + 16, "<Q")
    return 0


_MP3_KILOBITS = (
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
)
"""A second of MPEG 2 and 2.5, and of MPEG 1, by the number in a frame's header."""

_MPEG_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def mp3_seconds(stream: BinaryIO) -> float:
    """Length of an MP3 by the header that LAME, Xing or Fraunhofer put into the first frame.

    Returns:
        Seconds, padding of the encoder included; 0 where there is no such header.
    """
    place = 0
    while (tag := read_at(stream, place, 10))[:3] == b"ID3" and len(tag) == 10:
        place += 10 + sum((byte & 0x7F) << 7 * (3 - index) for index, byte in enumerate(tag[6:]))
    frame = read_at(stream, place, 192)
    if len(frame) < 192 or frame[0] != 0xFF or frame[1] & 0xE0 != 0xE0:
        return 0.0
    version, rate_index = frame[1] >> 3 & 3, frame[2] >> 2 & 3
    if version not in _MPEG_RATES or rate_index == 3:
        return 0.0
    is_mono = frame[3] >> 6 == 3
    side = (17 if is_mono else 32) if version == 3 else (9 if is_mono else 17)
    n_frames = 0
    if frame[4 + side : 8 + side] in (b"Xing", b"Info") and frame[11 + side] & 1:
        n_frames = int.from_bytes(frame[12 + side : 16 + side])
    elif frame[36:40] == b"VBRI":
        n_frames = int.from_bytes(frame[50:54])
    return n_frames * (1152 if version == 3 else 576) / _MPEG_RATES[version][rate_index]


def is_mp3_frame_cut(frame: bytes) -> bool:
    """Whether a frame of an MP3 is shorter than its own header says.

    Args:
        frame: from its header on; False for what is none of layer III.
    """
    if len(frame) < 4 or frame[0] != 0xFF or frame[1] & 0xE6 != 0xE2:
        return False
    version, rate_index = frame[1] >> 3 & 3, frame[2] >> 2 & 3
    kilobits = _MP3_KILOBITS[version == 3][frame[2] >> 4]
    if version not in _MPEG_RATES or rate_index == 3 or not kilobits:
        return False
    n_samples = 1152 if version == 3 else 576
    rate = _MPEG_RATES[version][rate_index]
    return len(frame) < n_samples // 8 * 1000 * kilobits // rate + (frame[2] >> 1 & 1)


@dataclass(frozen=True)
class Link:
    """One of the recordings that an Ogg file holds one after another.

    Attributes:
        start: byte at which it starts.
        stop: byte at which it ends.
        is_ended: whether it has the mark of its end.
    """

    start: int
    stop: int
    is_ended: bool


def ogg_links(stream: BinaryIO, n_bytes: int) -> list[Link]:
    """The links of an Ogg file; each has headers, a rate and time stamps of its own.

    Args:
        stream: the file.
        n_bytes: length of the file.
    """
    found: list[Link] = []
    start, is_ended, is_heading = 0, False, True
    place = _next_page(stream, 0)
    while place >= 0:
        page = read_at(stream, place, 27 + 255)
        if len(page) < 27 or page[:4] != OGG:
            place = _next_page(stream, place + 1)
            continue
        is_first = bool(page[5] & _OGG_FIRST_PAGE)
        if is_first and not is_heading:
            found.append(Link(start, place, is_ended))
            start, is_ended = place, False
        is_heading = is_first
        stop = place + 27 + page[26] + sum(page[27 : 27 + page[26]])
        is_ended = is_ended or (bool(page[5] & _OGG_LAST_PAGE) and stop <= n_bytes)
        place = stop if stop < n_bytes else -1
    return [*found, Link(start, n_bytes, is_ended)]


def _next_page(stream: BinaryIO, place: int) -> int:
    """Where the next page of an Ogg file starts, -1 where there is none."""
    while data := read_at(stream, place, _SEARCH_BYTES):
        index = data.find(OGG)
        if index >= 0:
            return place + index
        if len(data) <= len(OGG):
            break
        place += len(data) - len(OGG) + 1
    return -1
