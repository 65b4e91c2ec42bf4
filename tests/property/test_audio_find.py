"""The order of recordings is that of numbers and letters, however folders lie within folders."""

import os
import re
import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st

from emocli.audio.find import find_recordings
from emocli.natural_order import natural_key


def slow_key(path):
    """The order spelled out: parts of a path, each of numbers and of what is between them."""
    return [_slow_part(part) for part in (*path.casefold().split("/"), path)]


def _slow_part(part):
    return tuple(
        (0, int(piece), piece) if piece.isdecimal() else (1, 0, piece)
        for piece in re.split(r"(\d+)", part)
        if piece
    )


CHARACTERS = "aAbBß0123 -.\x01~é٣\U0001f600"
NAMES = st.one_of(
    st.sampled_from(["a", "A", "a.wav", "A.wav", "a1", "a01", "ß", "SS"]),
    st.text(CHARACTERS, min_size=1, max_size=6).filter(lambda name: not name.startswith(".")),
)
TREES = st.recursive(
    st.none(), lambda below: st.dictionaries(NAMES, below, max_size=5), max_leaves=20
).filter(lambda tree: tree)


@settings(max_examples=300)
@given(st.lists(st.text(CHARACTERS + "/", max_size=12), max_size=12))
def test_natural_order_is_that_of_numbers_and_letters(paths):
    assert sorted(paths, key=natural_key) == sorted(paths, key=slow_key)


@settings(max_examples=100, deadline=None)
@given(TREES)
def test_recordings_are_found_in_natural_order(tree):
    with tempfile.TemporaryDirectory() as folder:
        made = sorted(_make(folder, tree), key=slow_key)
        assert (list(find_recordings(folder)) if made else []) == made


def _make(folder, tree):
    """Make the files of a tree; names of folders may end as those of recordings do."""
    for name, below in tree.items():
        path = os.path.join(folder, name)
        if below is None:
            path = path if path.endswith(".wav") else f"{path}.wav"
        if os.path.lexists(path):
            continue
        if below is None:
            with open(path, "wb"):
                yield path
        else:
            os.mkdir(path)
            yield from _make(path, below)
