"""MSP-Podcast: ``Labels/labels_consensus.csv``, ``Audios/*.wav`` and ``Transcripts/*.txt``.

Emotions are letters, dimensions run from 1 to 7. Speakers without a number are unknown. The split
of the corpus has several test parts; Test3 has no labels in public releases.

Source: Lotfian and Busso, IEEE Transactions on Affective Computing 10(4), 2019; readme.txt of
releases 1.11 and 1.12.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from emocli.corpora.files import by_stem, check_once, figure, meaning, read_text, recordings
from emocli.corpora.files import table_rows as rows_of
from emocli.corpora.protocol import NO_AGREEMENT, About, Labelled, Reading
from emocli.splits import named, part_named

EMOTIONS = {
    "A": "angry",
    "S": "sad",
    "H": "happy",
    "U": "surprised",
    "F": "fearful",
    "D": "disgust",
    "C": "contempt",
    "N": "neutral",
    "O": "other",
    "X": "unknown",
    "": "",
}
GENDERS = {"Female": "f", "Male": "m", "Unknown": "", "": ""}
SPLITS = ("Train", "Development", "Test1", "Test2", "Test3")
"""Parts as the present releases name them; to 1.8 at least, Development is Validation."""
LOWEST, HIGHEST = 1.0, 7.0
TABLES = ("labels_consensus.csv", "labels_concensus.csv")  # early releases have a slip of the pen
COLUMNS = ("FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set")
AUDIO = ("Audios", "Audio")


def label(row: Mapping[str, str], where: str, path: Path, text: str) -> Labelled:
    """What a row of the table says.

    Args:
        row: by column.
        where: table and line, for messages.
        path: where the recording is.
        text: what is said.

    Raises:
        CorpusError: a code is not in use, or a number is none.
    """
    emotion = meaning(row["EmoClass"], EMOTIONS, "EmoClass", where)
    speaker = named(row["SpkrID"])
    arousal, dominance, valence = (
        figure(row[name], name, where) for name in ("EmoAct", "EmoDom", "EmoVal")
    )
    labelled = Labelled(
        path,
        emotion,
        speaker=speaker and f"msp-podcast-{speaker}",
        gender=meaning(row["Gender"], GENDERS, "Gender", where),
        language="en",
        text=text,
        arousal=arousal,
        dominance=dominance,
        valence=valence,
        split=_part(row["Split_Set"], where),
        left_out=NO_AGREEMENT if emotion == "unknown" else "",
    )
    has_none = not emotion and not labelled.has_dimensions
    return replace(labelled, left_out="no label") if has_none else labelled


class MspPodcast:
    """The reader."""

    about = About(
        "msp-podcast",
        "MSP-Podcast",
        "Labels/labels_consensus.csv, Audios/MSP-PODCAST_0001_0008.wav and, for texts, "
        "Transcripts/MSP-PODCAST_0001_0008.txt",
        scale=(LOWEST, HIGHEST),
        split=True,
    )

    def is_root(self, folder: Path) -> bool:
        """Whether a folder has the table of labels, or a folder Labels with it."""
        return _table(folder) is not None and any((folder / name).is_dir() for name in AUDIO)

    def read(self, folder: Path) -> Reading:
        """The rows of the table.

        Raises:
            CorpusError: the table is damaged or has codes that are not in use.
        """
        table = _table(folder) or folder / TABLES[0]
        places = [folder / name for name in AUDIO if (folder / name).is_dir()]
        audio = by_stem(path for place in places for path in recordings(place))
        texts = {path.stem: path for path in (folder / "Transcripts").rglob("*.txt")}
        rows = [(where, row, Path(row["FileName"]).stem) for where, row in rows_of(table, COLUMNS)]
        check_once((row["FileName"] for _, row, _ in rows), table)
        utterances = tuple(
            label(row, where, audio[stem], _text(texts.get(stem)))
            for where, row, stem in rows
            if stem in audio
        )
        missing = tuple(row["FileName"] for _, row, stem in rows if stem not in audio)
        remark = () if texts else (f"No Transcripts in {folder}, so the texts are not known.",)
        return Reading(utterances, missing, remark)


def _part(code: str, where: str) -> str:
    return part_named(code) or meaning(code, dict.fromkeys(SPLITS, ""), "Split_Set", where)


def _table(folder: Path) -> Path | None:
    places = (folder / "Labels", folder)
    found = (place / name for place in places for name in TABLES)
    return next((path for path in found if path.is_file()), None)


def _text(path: Path | None) -> str:
    return "" if path is None else " ".join(read_text(path).split())


CORPUS = MspPodcast()
