"""Drawings as PNG, by an optional package that renders SVG without a browser or system library."""

import zlib

from emocli.errors import MissingDependency

ZOOM = 2.0
"""Pixels of the image for each pixel of the drawing, so that letters stay sharp in print."""


def as_png(drawing: str) -> bytes:
    """The image of a drawing that `emocli.report.svg.as_file` wrote.

    Raises:
        MissingDependency: resvg-py is not installed.
    """
    try:
        import resvg_py
    except ImportError:
        raise MissingDependency(
            "PNG needs the package resvg-py, which is not installed. "
            'Install it with pip install "emocli[plot]", or name a file that ends in .svg.'
        ) from None
    return _signed(bytes(resvg_py.svg_to_bytes(svg_string=drawing, zoom=ZOOM)))


def _signed(image: bytes) -> bytes:
    """An image that names the software, by which it is known when it is to be replaced."""
    chunk = b"tEXtSoftware\0emocli"
    length, check = len(chunk) - 4, zlib.crc32(chunk)
    return image[:-12] + length.to_bytes(4) + chunk + check.to_bytes(4) + image[-12:]
