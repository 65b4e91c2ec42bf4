"""IEMOCAP: ``Session1`` to ``Session5`` with evaluations, transcripts and recordings.

``dialog/EmoEvaluation/Ses01F_impro01.txt`` has a line ``[start - end]  turn  emotion  [V, A, D]``
for each turn, ``dialog/transcriptions`` what is said in it and ``sentences/wav`` the recording. The
letter before a turn's number is its speaker; that in the dialog's name is who wears the markers.

Source: Busso et al., Language Resources and Evaluation 42(4), 2008.
"""

import re
from pathlib import Path

from emocli.corpora.files import by_stem, check_once, matching_lines, meaning, read_text, recordings
from emocli.corpora.protocol import NO_AGREEMENT, About, Labelled, Reading, Selection
from emocli.errors import CorpusError

EMOTIONS = {
    "ang": "angry",
    "hap": "happy",
    "exc": "excited",
    "sad": "sad",
    "neu": "neutral",
    "fru": "frustrated",
    "fea": "fearful",
    "sur": "surprised",
    "dis": "disgust",
    "oth": "other",
    "xxx": "unknown",
}
LINE = re.compile(
    r"\[[\d.]+ - [\d.]+\]\t(?P<turn>\S+)\t(?P<emotion>\S+)\t"
    r"\[(?P<valence>\d+(?:\.\d+)?), (?P<arousal>\d+(?:\.\d+)?), (?P<dominance>\d+(?:\.\d+)?)\]\s*"
)
SUMS_UP = re.compile(r"\[\d")
LINE_TOLD = "[start - end], turn, emotion and [V, A, D] with tabs between"
TURN = re.compile(r"Ses0(\d)[FM]_(impro|script)\w*_([FM])\w*")
SAID = re.compile(r"(\S+) \[[\d.]+\s*-\s*[\d.]+\]:\s*(.*)")
SCENARIOS = {"impro": "improvised", "script": "scripted"}
FOUR = Selection({"excited": "happy"}, ("angry", "happy", "neutral", "sad"), 5531, "session")


def label(match: re.Match[str], where: str, path: Path, text: str) -> Labelled:
    """What a line of an evaluation says.

    Args:
        match: of `LINE`.
        where: file and line, for messages.
        path: where the recording is.
        text: what is said.

    Raises:
        CorpusError: the emotion is none of the corpus, or the turn's name is not.
    """
    parts = TURN.fullmatch(match["turn"])
    if parts is None:
        raise CorpusError(
            f"{where}: {match['turn']} is no name of a turn, expected one such as "
            f"Ses01F_impro01_F000. Unpack the evaluations again."
        )
    session, scenario, sex = parts.groups()
    emotion = meaning(match["emotion"], EMOTIONS, "emotion", where)
    return Labelled(
        path,
        emotion,
        speaker=f"iemocap-Ses0{session}{sex}",
        gender=sex.lower(),
        language="en",
        text=text,
        arousal=float(match["arousal"]),
        dominance=float(match["dominance"]),
        valence=float(match["valence"]),
        session=session,
        scenario=SCENARIOS[scenario],
        left_out=NO_AGREEMENT if emotion == "unknown" else "",
    )


def texts_of(transcription: str) -> dict[str, str]:
    """What is said in each turn of a dialog.

    Example:
        >>> texts_of("Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.")
        {'Ses01F_impro01_F000': 'Excuse me.'}
    """
    matches = (SAID.fullmatch(line.strip()) for line in transcription.splitlines())
    return {match[1]: match[2] for match in matches if match}


class Iemocap:
    """The reader."""

    about = About(
        "iemocap",
        "IEMOCAP",
        "Session1 to Session5 with dialog/EmoEvaluation/Ses01F_impro01.txt, "
        "dialog/transcriptions/Ses01F_impro01.txt and "
        "sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav",
        scale=(1.0, 5.0),
        protocols={"5531": FOUR},
    )

    def is_root(self, folder: Path) -> bool:
        """Whether a folder has a session with evaluations."""
        return next(folder.glob("Session[1-5]/dialog/EmoEvaluation"), None) is not None

    def read(self, folder: Path) -> Reading:
        """The turns of the sessions that are there.

        Raises:
            CorpusError: an evaluation is damaged or has emotions that are none of the corpus.
        """
        utterances: list[Labelled] = []
        missing: list[str] = []
        for session in sorted(folder.glob("Session[1-5]")):
            audio = by_stem(recordings(session / "sentences" / "wav"))
            texts: dict[str, str] = {}
            for path in _texts(session / "dialog" / "transcriptions"):
                texts |= texts_of(read_text(path))
            for path in _texts(session / "dialog" / "EmoEvaluation"):
                lines = matching_lines(read_text(path), str(path), LINE, SUMS_UP, LINE_TOLD)
                check_once((match["turn"] for _, match in lines), path)
                for where, match in lines:
                    turn = match["turn"]
                    if turn not in audio:
                        missing.append(f"{turn}.wav")
                        continue
                    utterances.append(label(match, where, audio[turn], texts.get(turn, "")))
        absent = [f"Session{n}" for n in range(1, 6) if not (folder / f"Session{n}").is_dir()]
        remarks = (f"Not there: {', '.join(absent)}.",) if absent else ()
        return Reading(tuple(utterances), tuple(missing), remarks)


def _texts(folder: Path) -> list[Path]:
    """The files of a folder, without the ones that macOS leaves on foreign disks."""
    return sorted(path for path in folder.glob("*.txt") if not path.name.startswith("."))


CORPUS = Iemocap()
