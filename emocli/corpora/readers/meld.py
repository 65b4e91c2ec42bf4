"""MELD: ``train_sent_emo.csv``, ``dev_sent_emo.csv``, ``test_sent_emo.csv`` and clips of each part.

Clips are ``dia0_utt0.mp4`` in train_splits, dev_splits_complete and output_repeated_splits_test, or
sound that was taken from them. Speakers are the characters of the show, most of whom are in all
three parts.

Source: Poria et al., ACL 2019; github.com/declare-lab/MELD.
"""

from collections.abc import Mapping
from pathlib import Path

from emocli.corpora.files import by_stem, check_once, meaning, recordings, table_rows
from emocli.corpora.protocol import About, Labelled, Reading

EMOTIONS = {
    "anger": "angry",
    "disgust": "disgust",
    "fear": "fearful",
    "joy": "happy",
    "neutral": "neutral",
    "sadness": "sad",
    "surprise": "surprised",
}
SENTIMENTS = {name: name for name in ("negative", "neutral", "positive")}
FOLDERS = {"train": "train*", "dev": "dev*", "test": "*test*"}
COLUMNS = ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")
PUNCTUATION = str.maketrans(
    {"\x85": "…", "\x91": "'", "\x92": "'", "\x93": '"', "\x94": '"', "\x96": "–", "\x97": "—"}
)
"""Signs of Windows that the tables have in the guise of control characters."""


def label(row: Mapping[str, str], where: str, path: Path, part: str) -> Labelled:
    """What a row of a table says.

    Args:
        row: by column.
        where: table and line, for messages.
        path: where the clip is.
        part: of the split.

    Raises:
        CorpusError: an emotion or sentiment is none of the corpus.
    """
    return Labelled(
        path,
        meaning(row["Emotion"], EMOTIONS, "Emotion", where),
        speaker=f"meld-{row['Speaker'].translate(PUNCTUATION)}",
        language="en",
        text=" ".join(row["Utterance"].translate(PUNCTUATION).split()),
        sentiment=meaning(row["Sentiment"], SENTIMENTS, "Sentiment", where),
        split=part,
    )


class Meld:
    """The reader."""

    about = About(
        "meld",
        "MELD",
        "train_sent_emo.csv, dev_sent_emo.csv, test_sent_emo.csv, and clips such as "
        "train_splits/dia0_utt0.mp4, dev_splits_complete/dia0_utt0.mp4 and "
        "output_repeated_splits_test/dia0_utt0.mp4",
        split=True,
    )

    def is_root(self, folder: Path) -> bool:
        """Whether a table and the clips of a part are in the folder, or in folders in it."""
        return any(_table(folder, part) and _clips(folder, part) for part in FOLDERS)

    def read(self, folder: Path) -> Reading:
        """The utterances of the parts that are there.

        Raises:
            CorpusError: a table is damaged or has labels that are none of the corpus.
        """
        utterances: list[Labelled] = []
        missing: list[str] = []
        absent = []
        for part in FOLDERS:
            table = _table(folder, part)
            if table is None:
                absent.append(f"{part}_sent_emo.csv")
                continue
            clips = by_stem(path for place in _clips(folder, part) for path in recordings(place))
            rows = [(where, row, _name(row)) for where, row in table_rows(table, COLUMNS)]
            check_once((name for _, _, name in rows), table)
            utterances += [
                label(row, where, clips[name], part) for where, row, name in rows if name in clips
            ]
            missing += [f"{part}/{name}.mp4" for _, _, name in rows if name not in clips]
        remarks = (f"Not there: {', '.join(absent)}.",) if absent else ()
        return Reading(tuple(utterances), tuple(missing), remarks)


def _name(row: Mapping[str, str]) -> str:
    return f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}"


def _table(folder: Path, part: str) -> Path | None:
    name = f"{part}_sent_emo.csv"
    return next((path for path in (folder / name, *sorted(folder.glob(f"*/{name}")))
                 if path.is_file()), None)  # fmt: skip


def _clips(folder: Path, part: str) -> list[Path]:
    return sorted(path for path in folder.glob(FOLDERS[part]) if path.is_dir())


CORPUS = Meld()
