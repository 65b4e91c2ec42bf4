"""SAVEE: ``AudioData/DC/a01.wav``, or ``DC_a01.wav`` where all are in one folder.

Four men; letters for the emotion and a number for the sentence, which differs with the emotion.

Source: Haq and Jackson, Machine Audition, 2010.
"""

import re
from pathlib import Path

from emocli.corpora.files import NamedCorpus, meaning
from emocli.corpora.protocol import About, Labelled

EMOTIONS = {
    "a": "angry",
    "d": "disgust",
    "f": "fearful",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprised",
}
NAME = re.compile(r"(DC|JE|JK|KL)_([a-z]{1,2})(\d\d)")


def stem_of(path: Path) -> str:
    """The name with the speaker's folder in front where it has no speaker of its own."""
    return path.stem if "_" in path.stem else f"{path.parent.name}_{path.stem}"


def label(match: re.Match[str], path: Path) -> Labelled:
    """What the name of a recording says.

    Raises:
        CorpusError: the emotion is none of the corpus.
    """
    speaker, emotion, _ = match.groups()
    return Labelled(
        path,
        meaning(emotion, EMOTIONS, "emotion", str(path)),
        speaker=f"savee-{speaker}",
        gender="m",
        language="en",
    )


CORPUS = NamedCorpus(
    About("savee", "SAVEE", "recordings such as DC/a01.wav or DC_a01.wav", anywhere=True),
    NAME,
    label,
    stem_of,
)
