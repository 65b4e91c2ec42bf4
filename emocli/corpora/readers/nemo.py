"""nEMO: ``data.tsv`` and ``samples/EB0_anger_1.wav``.

Without data.tsv names say emotion and speaker, and texts are not known.

Source: Christop, nEMO: Dataset of Emotional Speech in Polish, LREC-COLING 2024.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from emocli.corpora.files import NamedCorpus, check_once, meaning, table_rows
from emocli.corpora.protocol import About, Labelled, Reading

EMOTIONS = {
    "anger": "angry",
    "fear": "fearful",
    "happiness": "happy",
    "neutral": "neutral",
    "sadness": "sad",
    "surprised": "surprised",
}
GENDERS = {"female": "f", "male": "m"}
WOMEN = ("EB0", "IC0", "KD0", "MK0")
NAME = re.compile(r"([A-Z]{2}\d)_([a-z]+)_(\d+)")
TABLE = "data.tsv"
COLUMNS = ("file_id", "emotion", "raw_text", "speaker_id", "gender")


def label(match: re.Match[str], path: Path) -> Labelled:
    """What the name of a recording says.

    Raises:
        CorpusError: the emotion is none of the corpus.
    """
    speaker, emotion, _ = match.groups()
    return Labelled(
        path,
        meaning(emotion, EMOTIONS, "emotion", str(path)),
        speaker=f"nemo-{speaker}",
        gender="f" if speaker in WOMEN else "m",
        language="pl",
    )


@dataclass(frozen=True)
class Nemo(NamedCorpus):
    """The reader, which takes texts from the corpus's table if it is there."""

    def read(self, folder: Path) -> Reading:
        """The utterances of the table, or those below the folder where there is no table.

        Raises:
            CorpusError: an emotion is none of the corpus, or the table is damaged.
        """
        found = super().read(folder)
        places = [folder, folder.absolute().parent] if folder.name == "samples" else [folder]
        table = next((place / TABLE for place in places if (place / TABLE).is_file()), None)
        if table is None:
            remark = f"No {TABLE} in {folder}, so the texts are not known."
            return replace(found, remarks=(*found.remarks, remark))
        by_name = {one.path.stem: one for one in found.utterances}
        rows = [*table_rows(table, COLUMNS, tabs=True)]
        check_once((row["file_id"] for _, row in rows), table)
        utterances = tuple(
            replace(
                by_name[Path(row["file_id"]).stem],
                emotion=meaning(row["emotion"], EMOTIONS, "emotion", where),
                speaker=f"nemo-{row['speaker_id']}",
                gender=meaning(row["gender"], GENDERS, "gender", where),
                text=row["raw_text"],
            )
            for where, row in rows
            if Path(row["file_id"]).stem in by_name
        )
        missing = [row["file_id"] for _, row in rows if Path(row["file_id"]).stem not in by_name]
        return replace(found, utterances=utterances, missing=tuple(missing))


CORPUS = Nemo(
    About(
        "nemo",
        "nEMO",
        "recordings such as samples/EB0_anger_1.wav, and data.tsv for texts",
        anywhere=True,
    ),
    NAME,
    label,
)
