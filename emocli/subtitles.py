"""Transcripts as subtitles and plain text."""

from collections.abc import Sequence

from emocli.transcript import Segment

FORMATS = ("srt", "vtt", "txt")


def subtitles(segments: Sequence[Segment], form: str) -> str:
    """Segments as the content of a file.

    Args:
        segments: in order of time.
        form: ``"srt"`` (SubRip), ``"vtt"`` (WebVTT) or ``"txt"`` (one segment a line).

    Example:
        >>> print(subtitles([Segment(0, 2.5, " Hello.", -0.1, 0.0, 1.0, 3)], "srt"), end="")
        1
        00:00:00,000 --> 00:00:02,500
        Hello.
        <BLANKLINE>
    """
    return _WRITERS[form](segments)


def _srt(segments: Sequence[Segment]) -> str:
    return "".join(
        f"{number}\n{clock(one.start, ',')} --> {clock(one.end, ',')}\n{_line(one)}\n\n"
        for number, one in enumerate(segments, start=1)
    )


def _vtt(segments: Sequence[Segment]) -> str:
    cues = (
        f"{clock(one.start, '.')} --> {clock(one.end, '.')}\n{_escaped(_line(one))}\n\n"
        for one in segments
    )
    return "WEBVTT\n\n" + "".join(cues)


def _txt(segments: Sequence[Segment]) -> str:
    return "".join(f"{_line(one)}\n" for one in segments)


_WRITERS = {"srt": _srt, "vtt": _vtt, "txt": _txt}


def _line(segment: Segment) -> str:
    """The text in one line; an arrow of its own would end a cue's line of times."""
    return " ".join(segment.text.split()).replace("-->", "->")


def _escaped(text: str) -> str:
    """Text without what WebVTT takes for markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def clock(seconds: float, point: str) -> str:
    """Seconds as ``hh:mm:ss,mmm``.

    Args:
        seconds: at least 0.
        point: what stands before the milliseconds.

    Example:
        >>> clock(3725.5, ",")
        '01:02:05,500'
    """
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, milliseconds = divmod(milliseconds, 1000)
    return f"{hours:02}:{minutes:02}:{whole:02}{point}{milliseconds:03}"
