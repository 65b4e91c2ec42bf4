"""MSP-IMPROV: ``Evaluation.txt`` and ``session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav``.

The parts of a name are sentence and emotion to be played, speaker, scenario (read, improvised
target, other improvised speech, speech between the recordings) and who listened. The table calls
recordings ``UTD-IMPROV-...avi`` and follows each line with those of its judges. Dimensions run from
1 to 5 and are given as the table has them.

Source: Busso et al., IEEE Transactions on Affective Computing 8(1), 2017.
"""

import re
from pathlib import Path

from emocli.corpora.files import by_stem, check_once, matching_lines, meaning, read_text, recordings
from emocli.corpora.protocol import NO_AGREEMENT, About, Labelled, Reading
from emocli.errors import CorpusError

EMOTIONS = {
    "A": "angry",
    "H": "happy",
    "S": "sad",
    "N": "neutral",
    "O": "other",
    "X": "unknown",
}
SCENARIOS = {"R": "read", "T": "target", "S": "improvised", "P": "natural"}
LINE = re.compile(
    r"\s*UTD-IMPROV-(?P<name>[A-Z0-9-]+)\.avi\s*;\s*(?P<emotion>[^;\s]*)\s*;"
    r"\s*A:\s*(?P<arousal>\d+(?:\.\d+)?|NaN)\s*;\s*V:\s*(?P<valence>\d+(?:\.\d+)?|NaN)\s*;"
    r"\s*D:\s*(?P<dominance>\d+(?:\.\d+)?|NaN)\s*;.*"
)
RECORDING = re.compile(r"\s*UTD-IMPROV-")
LINE_TOLD = "a line such as UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:3.0; V:3.0; D:3.0 ; N:4.0;"
NAME = re.compile(r"S\d\d[A-Z]-([FM])(\d\d)-([A-Z])-[FM]{2}\d\d")
TABLES = ("Evaluation.txt", "Evalution.txt")  # both spellings are about
TEXTS = "*ranscription*/*.txt"


def label(match: re.Match[str], where: str, path: Path, text: str) -> Labelled:
    """What a line of the table says.

    Args:
        match: of `LINE`.
        where: table and line, for messages.
        path: where the recording is.
        text: what is said.

    Raises:
        CorpusError: a code is not in use, or the name is none of the corpus.
    """
    parts = NAME.fullmatch(match["name"])
    if parts is None:
        raise CorpusError(
            f"{where}: {match['name']} is no name of a recording, expected one such as "
            f"S01A-F01-P-FM01. Unpack the table again."
        )
    sex, number, scenario = parts.groups()
    emotion = meaning(match["emotion"], EMOTIONS, "emotion", where)
    return Labelled(
        path,
        emotion,
        speaker=f"msp-improv-{sex}{number}",
        gender=sex.lower(),
        language="en",
        text=text,
        arousal=float(match["arousal"]),
        dominance=float(match["dominance"]),
        valence=float(match["valence"]),
        session=str(int(number)),
        scenario=meaning(scenario, SCENARIOS, "scenario", where),
        left_out=NO_AGREEMENT if emotion == "unknown" else "",
    )


class MspImprov:
    """The reader."""

    about = About(
        "msp-improv",
        "MSP-IMPROV",
        "Evaluation.txt and session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav",
        scale=(1.0, 5.0),
    )

    def is_root(self, folder: Path) -> bool:
        """Whether a folder has the table, and sessions or a folder with them."""
        return _table(folder) is not None and any(
            next(folder.glob(pattern), None) for pattern in ("[sS]ession*", "*/[sS]ession*")
        )

    def read(self, folder: Path) -> Reading:
        """The recordings of the table.

        Raises:
            CorpusError: the table is damaged or has codes that are not in use.
        """
        table = _table(folder) or folder / TABLES[0]
        audio = by_stem(recordings(folder))
        texts = {path.stem.rpartition("IMPROV-")[2]: path for path in folder.glob(TEXTS)}
        lines = matching_lines(read_text(table), str(table), LINE, RECORDING, LINE_TOLD)
        check_once((match["name"] for _, match in lines), table)
        utterances, missing = [], []
        for where, match in lines:
            path = audio.get(f"MSP-IMPROV-{match['name']}")
            if path is None:
                missing.append(f"MSP-IMPROV-{match['name']}.wav")
                continue
            text = texts.get(match["name"])
            said = " ".join(read_text(text).split()) if text else ""
            utterances.append(label(match, where, path, said))
        remark = () if texts else ("The release has no texts; emocli transcribe makes some.",)
        return Reading(tuple(utterances), tuple(missing), remark)


def _table(folder: Path) -> Path | None:
    return next((folder / name for name in TABLES if (folder / name).is_file()), None)


CORPUS = MspImprov()
