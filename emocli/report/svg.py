"""SVG by hand: marks, scales and axes.

A drawing is text with classes instead of colours, so that one drawing serves a light page, a dark
one, and a file of its own. Coordinates are CSS pixels with one decimal.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from unicodedata import category
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import ArrayLike, NDArray

LONGEST_NAME = 22
"""Letters of a name beside a bar or a row."""
WIDTH = 440
"""Width of a drawing: on a phone of 390 pixels its 13-pixel letters are still 10 pixels high."""
TITLE_HEIGHT = 40
LETTER = 6.6
"""Mean width of a letter of 12 pixels, to tell how much room a name needs."""
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that turn the direction of text, by which a name can pretend to be another."""


@dataclass(frozen=True)
class Drawing:
    """A picture.

    Attributes:
        width: pixels.
        height: pixels.
        body: SVG elements.
        summary: what it shows, in a sentence, for those who cannot see it.
        attributes: of the outermost element.
    """

    width: float
    height: float
    body: str
    summary: str
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Scale:
    """A straight line from values to pixels.

    Attributes:
        low: value at ``start``.
        high: value at ``stop``.
        start: pixels.
        stop: pixels; below ``start`` for an axis that points up.
    """

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, values: ArrayLike) -> NDArray[np.float64]:
        """Pixels of values, of the same shape."""
        span = self.high - self.low or 1.0
        share = (np.asarray(values, dtype=np.float64) - self.low) / span
        return np.asarray(self.start + share * (self.stop - self.start))

    def at(self, value: float) -> float:
        """Pixel of one value."""
        return float(self(value))


@dataclass(frozen=True)
class Panel:
    """A plotting area with two scales; the y scale starts at the bottom."""

    x: Scale
    y: Scale

    @classmethod
    def of(
        cls,
        left: float,
        top: float,
        right: float,
        bottom: float,
        x: tuple[float, float],
        y: tuple[float, float],
    ) -> "Panel":
        """The panel between four pixels, over two ranges of values."""
        return cls(Scale(*x, left, right), Scale(*y, bottom, top))


def element(name: str, *children: str, **attributes: object) -> str:
    """An element; of ``class_`` and ``stroke_width`` the attributes class and stroke-width.

    Args:
        name: such as ``rect``.
        children: markup, taken as it is.
        attributes: escaped; None leaves one out.
    """
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}={quoteattr(spelled(value))}"
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(children)
    return f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written}/>"


def spelled(value: object) -> str:
    """An attribute's value: pixels with one decimal, and text without control characters.

    Example:
        >>> spelled(3.14159), spelled(2.0), spelled("a b")
        ('3.1', '2', 'a b')
    """
    if isinstance(value, float):
        text = f"{value:.1f}".removesuffix(".0")
        return "0" if text == "-0" else text
    return clean(str(value))


def clean(text: str) -> str:
    r"""Text that XML can hold and that keeps its order: what is unsafe is shown as escapes.

    That is control characters, lone surrogates, code points without a meaning, and marks that
    turn the direction of what follows.

    Example:
        >>> clean("a\x1b[31m.wav")
        'a\\x1b[31m.wav'
    """
    if text.isprintable():
        return text
    return "".join(c.encode("unicode_escape").decode() if _is_unsafe(c) else c for c in text)


def _is_unsafe(character: str) -> bool:
    return category(character) in ("Cc", "Cs", "Cn") or character in _TURNS


def label(x: float, y: float, text: str, anchor: str = "start", class_: str | None = None) -> str:
    """Text at a place; ``anchor`` is start, middle or end."""
    placed = None if anchor == "start" else anchor
    return element("text", escape(clean(text)), x=x, y=y, text_anchor=placed, class_=class_)


def title(text: str) -> str:
    """What is shown when the pointer rests on the parent."""
    return element("title", escape(clean(text)))


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    """A straight line."""
    return element("path", d=path([(x1, y1), (x2, y2)]), class_=class_)


def path(points: Iterable[tuple[float, float]]) -> str:
    """The data of a path through points."""
    return "M" + "L".join(f"{spelled(float(x))} {spelled(float(y))}" for x, y in points)


def joined(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    """The data of a path through places whose coordinates come apart, shape (n_points,) each."""
    return path(zip(x.tolist(), y.tolist(), strict=True))


def shortened(text: str, limit: int = LONGEST_NAME) -> str:
    """Text with its middle left out where it is longer than a number of letters.

    Example:
        >>> shortened("interviews/second recording.wav", 15)
        'intervi…ing.wav'
    """
    if len(text) <= limit:
        return text
    rest = limit - 1
    return f"{text[: (rest + 1) // 2]}…{text[-(rest // 2) :]}"


def name_width(names: Sequence[str]) -> float:
    """Pixels that a column of names takes, within reason."""
    longest = min(max((len(name) for name in names), default=0), LONGEST_NAME)
    return max(20 + (LETTER + 0.6) * longest, 60)


def dots(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    """The data of a path that draws a round dot at each place, equal places once.

    One path holds any number of dots, which a browser draws much faster than elements. A stroke
    with round ends makes them round.
    """
    places = np.unique(np.rint(np.stack([x, y], axis=1) * 2) / 2, axis=0)
    return "".join(f"M{spelled(px)} {spelled(py)}h0" for px, py in places.tolist())


def ticks(low: float, high: float, n: int = 5) -> list[float]:
    """About ``n`` round numbers from ``low`` to ``high``.

    Example:
        >>> ticks(0.0, 1.386)
        [0.0, 0.5, 1.0]
    """
    if not high > low:
        return [low]
    rough = (high - low) / max(n - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * nice for nice in (1, 2, 2.5, 5, 10) if power * nice >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def axes(
    panel: Panel,
    names: tuple[str, str],
    *,
    x_ticks: Sequence[float] | None = None,
    y_ticks: Sequence[float] | None = None,
    spell_x: Callable[[float], str] = "{:g}".format,
    spell_y: Callable[[float], str] = "{:g}".format,
) -> str:
    """Grid lines with their values, and the names of both axes.

    Args:
        panel: where.
        names: of the x and the y axis; the second is written above the panel,
            unless it is empty.
        x_ticks: values; round ones by default.
        y_ticks: values; round ones by default.
        spell_x: writes a value of the x axis.
        spell_y: writes a value of the y axis.
    """
    x, y = panel.x, panel.y
    parts = []
    for value in ticks(y.low, y.high) if y_ticks is None else y_ticks:
        parts.append(line(x.start, y.at(value), x.stop, y.at(value), "grid"))
        parts.append(label(x.start - 8, y.at(value) + 4, spell_y(value), "end", "tick"))
    for value in ticks(x.low, x.high) if x_ticks is None else x_ticks:
        parts.append(label(x.at(value), y.start + 18, spell_x(value), "middle", "tick"))
    parts.append(line(x.start, y.start, x.stop, y.start, "axis"))
    parts.append(label(x.stop, y.start + 36, names[0], "end", "name"))
    if names[1]:
        parts.append(label(x.start, y.stop - 12, names[1], class_="name"))
    return "".join(parts)


def counted(n: int, what: str) -> str:
    """A number with its noun.

    Example:
        >>> counted(1, "row"), counted(1200, "row")
        ('1 row', '1,200 rows')
    """
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def legend(
    entries: Sequence[tuple[str, str]], left: float, top: float, right: float
) -> tuple[str, float]:
    """Swatches with names, in as many lines as they need, and the pixel below them.

    Args:
        entries: class of the swatch and name.
        left: pixel where lines begin.
        top: pixel where the first line begins.
        right: pixel that no line crosses, unless one name alone does.
    """
    parts, x, y = [], left, top
    for class_, name in entries:
        shown = shortened(name, 2 * LONGEST_NAME)
        width = 30 + LETTER * len(shown)
        if x > left and x + width > right:
            x, y = left, y + 20
        parts.append(
            element("rect", x=x, y=y + 3, width=11, height=11, rx=3, class_=f"fill {class_}")
        )
        parts.append(label(x + 17, y + 13, shown, class_="key"))
        x += width
    return "".join(parts), y + 20


def inline(drawing: Drawing) -> str:
    """The drawing as an element of a page."""
    box = (drawing.width, drawing.height)
    return _outer(drawing, box, drawing.body, aria_label=drawing.summary)


def as_file(drawing: Drawing, heading: str) -> str:
    """The drawing as a file of its own, with its heading, colours and a white ground."""
    height = drawing.height + TITLE_HEIGHT
    style = files("emocli.report").joinpath("figure.css").read_text("utf-8")
    body = (
        "<!-- emocli -->"  # by which the file is known when it is to be replaced
        + title(drawing.summary)
        + element("style", escape(style))
        + element("rect", width=drawing.width, height=height, fill="#fff")
        + label(16, 28, shortened(heading, 44), class_="heading")
        + element("g", drawing.body, transform=f"translate(0 {TITLE_HEIGHT})")
    )
    box = (drawing.width, height)
    return _outer(drawing, box, body, width=box[0], height=box[1]) + "\n"


def _outer(drawing: Drawing, box: tuple[float, float], body: str, **more: object) -> str:
    return element(
        "svg",
        body,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {spelled(box[0])} {spelled(box[1])}",
        class_="figure",
        role="img",
        **dict(drawing.attributes),
        **more,
    )
