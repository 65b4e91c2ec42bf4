"""EMO-DB, the Berlin database: ``wav/03a01Fa.wav``.

The parts of a name are speaker, sentence, the first letter of the emotion in German (Wut,
Langeweile, Ekel, Angst, Freude, Trauer, neutral) and the version.

Source: Burkhardt et al., Interspeech 2005.
"""

import re
from pathlib import Path

from emocli.corpora.files import NamedCorpus, meaning
from emocli.corpora.protocol import About, Labelled

EMOTIONS = {
    "W": "angry",
    "L": "bored",
    "E": "disgust",
    "A": "fearful",
    "F": "happy",
    "T": "sad",
    "N": "neutral",
}
GENDERS = {
    "03": "m",
    "08": "f",
    "09": "f",
    "10": "m",
    "11": "m",
    "12": "m",
    "13": "f",
    "14": "f",
    "15": "m",
    "16": "f",
}
SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
NAME = re.compile(r"(\d\d)([ab]\d\d)([A-Z])([a-z]?)")


def label(match: re.Match[str], path: Path) -> Labelled:
    """What the name of a recording says.

    Raises:
        CorpusError: a speaker, sentence or emotion has a code that is not in use.
    """
    speaker, sentence, emotion, _ = match.groups()
    return Labelled(
        path,
        meaning(emotion, EMOTIONS, "emotion", str(path)),
        speaker=f"emo-db-{speaker}",
        gender=meaning(speaker, GENDERS, "speaker", str(path)),
        language="de",
        text=meaning(sentence, SENTENCES, "sentence", str(path)),
    )


CORPUS = NamedCorpus(
    About("emo-db", "EMO-DB", "recordings such as wav/03a01Fa.wav", anywhere=True), NAME, label
)
