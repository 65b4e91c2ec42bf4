"""Sentences for recordings that cannot be opened: what was found, and what helps."""

import errno
import os
import stat

from emocli.errors import AudioError

_MAGIC = {
    b"RIFF": "WAV",
    b"RF64": "WAV",
    b"riff": "Wave64",
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"FORM": "AIFF",
    b".snd": "AU",
    b"caff": "CAF",
    b"ID3\x02": "MP3",
    b"ID3\x03": "MP3",
    b"ID3\x04": "MP3",
}
_CONTROL_IN_TEXT = frozenset("\t\n\r\f")

HEAD_BYTES = 512
"""First bytes of a file that tell what is in it."""


def not_opened(name: str, path: str, error: OSError) -> AudioError:
    """The error for a path that the system does not open.

    Args:
        name: what the user calls the recording.
        path: where it is.
        error: what the system said.
    """
    if error.errno == errno.ENOENT and os.path.islink(path):
        return AudioError(
            f"{name}: a link to {os.readlink(path)}, which does not exist, expected a recording. "
            f"Restore the target or remove the link."
        )
    if error.errno == errno.ENOENT:
        return AudioError(f"{name}: no such file, expected a recording. Check the path.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return AudioError(
            f"{name}: no permission to read it, expected a readable recording. "
            f"Change its permissions or run as its owner."
        )
    if error.errno == errno.EISDIR:
        return AudioError(
            f"{name}: a folder, expected a recording. "
            f"Give the folder as an argument, or the recordings in it."
        )
    return AudioError(
        f"{name}: cannot be opened ({error.strerror}), expected a recording. Check the path."
    )


def not_a_file(name: str, mode: int) -> AudioError | None:
    """The error for a device or socket; None for what may hold a recording.

    Args:
        name: what the user calls the recording.
        mode: of `os.stat`.
    """
    if stat.S_ISREG(mode) or stat.S_ISFIFO(mode):
        return None
    return AudioError(f"{name}: neither a file nor a pipe, expected a recording. Check the path.")


def nobody_writes(name: str, seconds: int) -> AudioError:
    """The error for a pipe without another end."""
    return AudioError(
        f"{name}: a pipe that nobody has written to for {seconds} s, expected a recording. "
        f"Start what writes to it, or check the path."
    )


def not_fetched(name: str, error: Exception) -> AudioError:
    """The error for a recording that its store does not give out.

    Args:
        name: what the user calls the recording.
        error: what fsspec or its package for the store said.
    """
    if isinstance(error, FileNotFoundError):
        return AudioError(f"{name}: no such object in the store, expected one. Check the address.")
    if isinstance(error, PermissionError):
        return AudioError(
            f"{name}: no permission to read it, expected a readable object. "
            f"Check the keys for its store."
        )
    return AudioError(
        f"{name}: cannot be fetched ({_first_line(error)}), expected an object in a store. "
        f"Check the network, the address, and the keys for its store."
    )


def not_listed(uri: str, error: Exception) -> AudioError:
    """The error for a folder of a store that cannot be looked into; see `not_fetched`."""
    reason = _first_line(error)
    if isinstance(error, (PermissionError, FileNotFoundError)):
        reason = "no permission" if isinstance(error, PermissionError) else "no such folder"
    return AudioError(
        f"{uri}: cannot be listed ({reason}), expected recordings in a store. "
        f"Check the network, the address, and the keys for its store."
    )


def no_such_store(uri: str) -> AudioError:
    """The error for a kind of URI that fsspec does not know."""
    return AudioError(
        f"{uri}: no kind of store is called {uri.partition('://')[0]}, expected s3://, gs:// or "
        f"another that fsspec knows. Check the address."
    )


def no_room(name: str, folder: str, error: OSError) -> AudioError:
    """The error for a recording whose copy finds no place here."""
    return AudioError(
        f"{name}: cannot be copied to {folder} ({error.strerror}), expected room for a copy. "
        f"Free some space, or name another folder in TMPDIR."
    )


def _first_line(error: Exception) -> str:
    """What an error of whatever package says, cut to what a sentence holds."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200].rstrip(" .")


def empty(name: str) -> AudioError:
    """The error for a file of 0 bytes."""
    return AudioError(f"{name}: empty (0 bytes), expected a recording. Record it or copy it again.")


def no_samples(name: str) -> AudioError:
    """The error for a header that nothing follows."""
    return AudioError(
        f"{name}: a header without samples, expected a recording. Record it or copy it again."
    )


def no_index(name: str) -> AudioError:
    """The error for an MP4 whose recorder did not come to write its index."""
    return AudioError(
        f"{name}: no index (moov box), without which an MP4 cannot be read, expected a recording "
        f"that was finished or copied to its end. Copy it again, or repair it with untrunc."
    )


def no_track(name: str) -> AudioError:
    """The error for a file with pictures alone."""
    return AudioError(f"{name}: no sound track, expected one. Give the file that has the sound.")


def no_decoder(name: str) -> AudioError:
    """The error for a sound track of a codec that FFmpeg has no decoder for."""
    return AudioError(
        f"{name}: a sound track in an encoding that FFmpeg does not decode, expected another. "
        f"Convert it to WAV or FLAC."
    )


def no_such_track(name: str, track: int, n_tracks: int) -> AudioError:
    """The error for a sound track that is not there."""
    return AudioError(
        f"{name}: no sound track {track}, expected {_up_to(n_tracks)}. Choose another --track."
    )


def no_such_channel(name: str, channel: int, n_channels: int) -> AudioError:
    """The error for a channel that is not there."""
    return AudioError(
        f"{name}: no channel {channel}, expected {_up_to(n_channels)}. Choose another --channel."
    )


def _up_to(n: int) -> str:
    return "1" if n == 1 else f"1 to {n}"


def damaged(name: str, reason: str) -> AudioError:
    """The error for a recording that is given up halfway.

    Args:
        name: what the user calls the recording.
        reason: what the decoder or the system said.
    """
    return AudioError(
        f"{name}: damaged ({reason.strip(' .')}), expected a recording that can be read to its "
        f"end. Record it or copy it again."
    )


def not_audio(name: str, head: bytes, reason: str) -> AudioError:
    """The error for content that no decoder takes.

    Args:
        name: what the user calls the recording.
        head: the first bytes of the file, at least 4 where there are as many.
        reason: what libsndfile said, empty where it was not asked.
    """
    form = known_form(head)
    if form:
        because = f" ({reason})" if reason else ""
        return AudioError(
            f"{name}: the {form} header is cut short or damaged{because}, expected a whole "
            f"recording. Record it or copy it again."
        )
    if is_text(head):
        return AudioError(
            f"{name}: holds text, expected audio. Check how the file was made or downloaded."
        )
    return AudioError(
        f"{name}: no audio format that libsndfile or FFmpeg knows, expected a recording. "
        f"Convert it to WAV or FLAC."
    )


def known_form(head: bytes) -> str:
    """The name of the format of libsndfile that the first bytes belong to, else empty."""
    return _MAGIC.get(head[:4], "")


def is_text(head: bytes) -> bool:
    """Whether the first bytes of a file read as UTF-8 text."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(head) - error.start > 3:  # else a character that the end of the head cuts in two
            return False
        text = head[: error.start].decode("utf-8")
    return bool(text) and all(
        letter.isprintable() or letter in _CONTROL_IN_TEXT for letter in text.lstrip("\ufeff")
    )
