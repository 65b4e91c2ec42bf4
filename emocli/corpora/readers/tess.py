"""TESS: ``OAF_angry/OAF_back_angry.wav``.

The parts of a name are speaker (an older and a younger actress), the word after "Say the word",
and the emotion, where ps is a pleasant surprise. One name of the release lacks its F
(OA_bite_neutral.wav).

Source: Pichora-Fuller and Dupuis, Toronto emotional speech set, 2010.
"""

import re
from pathlib import Path

from emocli.corpora.files import NamedCorpus, meaning
from emocli.corpora.protocol import About, Labelled

EMOTIONS = {
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fearful",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "surprised",
    "sad": "sad",
}
SPEAKERS = {"OAF": "OAF", "OA": "OAF", "YAF": "YAF"}
NAME = re.compile(r"(OAF?|YAF)_([A-Za-z'-]+)_([A-Za-z]+)")


def label(match: re.Match[str], path: Path) -> Labelled:
    """What the name of a recording says.

    Raises:
        CorpusError: the emotion is none of the corpus.
    """
    speaker, word, emotion = match.groups()
    return Labelled(
        path,
        meaning(emotion.casefold(), EMOTIONS, "emotion", str(path)),
        speaker=f"tess-{SPEAKERS[speaker]}",
        gender="f",
        language="en",
        text=f"Say the word {word}",
    )


CORPUS = NamedCorpus(
    About("tess", "TESS", "recordings such as OAF_angry/OAF_back_angry.wav", anywhere=True),
    NAME,
    label,
)
