"""RAVDESS: ``Actor_12/03-01-06-01-02-01-12.wav``.

The numbers are modality, vocal channel, emotion, intensity, statement, repetition and actor;
actors of odd number are men.

Source: Livingstone and Russo, PLoS ONE 13(5), 2018.
"""

import re
from pathlib import Path

from emocli.corpora.files import NamedCorpus, meaning
from emocli.corpora.protocol import About, Labelled

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
STRENGTHS = {"01": "normal", "02": "strong"}
STATEMENTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
LEFT_OUT = {"01-01": "film", "02-01": "film without sound", "03-01": ""}
NAME = re.compile(r"(\d\d-\d\d)-(\d\d)-(\d\d)-(\d\d)-\d\d-(\d\d)")


def label(match: re.Match[str], path: Path) -> Labelled:
    """What the name of a recording says.

    Raises:
        CorpusError: an emotion, intensity or statement has a number that is not in use.
    """
    kind, emotion, strength, statement, actor = match.groups()
    return Labelled(
        path,
        meaning(emotion, EMOTIONS, "emotion", str(path)),
        speaker=f"ravdess-{actor}",
        gender="m" if int(actor) % 2 else "f",
        language="en",
        text=meaning(statement, STATEMENTS, "statement", str(path)),
        strength=meaning(strength, STRENGTHS, "intensity", str(path)),
        left_out=LEFT_OUT.get(kind, "song"),
    )


CORPUS = NamedCorpus(
    About(
        "ravdess",
        "RAVDESS",
        "recordings such as Actor_12/03-01-06-01-02-01-12.wav",
        anywhere=True,
    ),
    NAME,
    label,
)
