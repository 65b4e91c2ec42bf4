"""CREMA-D: ``AudioWAV/1001_DFA_ANG_XX.wav`` and ``VideoDemographics.csv``.

The parts of a name are actor, sentence, emotion and level. One name of the release has a single X
(1040_ITH_SAD_X.wav).

Source: Cao et al., IEEE Transactions on Affective Computing 5(4), 2014.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from emocli.corpora.files import NamedCorpus, meaning, table_rows
from emocli.corpora.protocol import About, Labelled, Reading

EMOTIONS = {
    "ANG": "angry",
    "DIS": "disgust",
    "FEA": "fearful",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
STRENGTHS = {"LO": "low", "MD": "medium", "HI": "high", "XX": "", "X": ""}
SENTENCES = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
NAME = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_([A-Z]{1,2})")
DEMOGRAPHICS = "VideoDemographics.csv"


def label(match: re.Match[str], path: Path) -> Labelled:
    """What the name of a recording says.

    Raises:
        CorpusError: a sentence, emotion or level has a code that is not in use.
    """
    actor, sentence, emotion, strength = match.groups()
    return Labelled(
        path,
        meaning(emotion, EMOTIONS, "emotion", str(path)),
        speaker=f"crema-d-{actor}",
        language="en",
        text=meaning(sentence, SENTENCES, "sentence", str(path)),
        strength=meaning(strength, STRENGTHS, "level", str(path)),
    )


def genders(table: Path) -> dict[str, str]:
    """Gender of each actor, by their number.

    Raises:
        CorpusError: the table lacks ActorID or Sex, or has another sex than Male and Female.
    """
    known = {"Male": "m", "Female": "f"}
    return {
        row["ActorID"]: meaning(row["Sex"], known, "Sex", where)
        for where, row in table_rows(table, ("ActorID", "Sex"))
    }


@dataclass(frozen=True)
class CremaD(NamedCorpus):
    """The reader, which looks up who is a woman."""

    def read(self, folder: Path) -> Reading:
        """The utterances below a folder.

        Raises:
            CorpusError: a name has a code that is not in use, or the table of actors is damaged.
        """
        found = super().read(folder)
        places = [folder, *list(folder.absolute().parents)[:2]]
        table = next((p / DEMOGRAPHICS for p in places if (p / DEMOGRAPHICS).is_file()), None)
        if table is None:
            remark = f"No {DEMOGRAPHICS} in {folder}, so nobody's gender is known."
            return replace(found, remarks=(*found.remarks, remark))
        return replace(found, utterances=tuple(_gendered(found.utterances, genders(table))))


def _gendered(utterances: tuple[Labelled, ...], known: Mapping[str, str]) -> list[Labelled]:
    return [
        replace(one, gender=known.get(one.speaker.removeprefix("crema-d-"), ""))
        for one in utterances
    ]


CORPUS = CremaD(
    About(
        "crema-d",
        "CREMA-D",
        "recordings such as AudioWAV/1001_DFA_ANG_XX.wav, and VideoDemographics.csv for genders",
        anywhere=True,
    ),
    NAME,
    label,
)
