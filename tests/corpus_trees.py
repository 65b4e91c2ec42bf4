"""Folders as corpora come in, with official names and next to nothing in the recordings."""

from pathlib import Path

import numpy as np
import soundfile

PODCAST = """\
FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set
MSP-PODCAST_0001_0008.wav,N,2.2,4.0,2.6,30,Male,Test1
MSP-PODCAST_0001_0009.wav,A,5.777778,2.555556,5.5,39,Female,Train
MSP-PODCAST_0002_0011.wav,X,4.125,4.75,4.0,Unknown,Unknown,Development
MSP-PODCAST_0002_0012.wav,C,3.0,3.0,3.0,Unknown,Male,Development
"""
IMPROV = """\
UTD-IMPROV-S01A-F01-P-FM01.avi; A; A:4.200000; V:1.600000; D:3.833333 ; N:4.000000;
WORKER01; Angry; Angry,Disgust; A:4.000000; V:2.000000; D:4.000000; N:4.000000;

UTD-IMPROV-S12H-M06-T-FM06.avi; X; A:3.000000; V:4.000000; D:NaN ; N:NaN;
UTD-IMPROV-S20N-M01-R-MF01.avi; N; A:2.500000; V:3.000000; D:2.750000 ; N:3.500000;
"""
MELD_HEADER = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,"
    "StartTime,EndTime\n"
)
NEMO = """\
file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage
SM0_neutral_13.wav\tneutral\tInteresuje mnie "historia" Polski.\tx\t        SM0\tmale\t24
EB0_anger_1.wav\tanger\tLubię czytać przed snem.\tx\t        EB0\tfemale\t27
"""


def put(folder: Path, *names: str) -> Path:
    """Recordings of a tenth of a second."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".wav", ".flac"):
            soundfile.write(path, np.full(1600, 0.01), 16000)
        else:
            path.write_bytes(b"")
    return folder


def write(folder: Path, name: str, text: str) -> Path:
    """A text file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def podcast(folder: Path) -> Path:
    """MSP-Podcast with one transcript and what is of no use here."""
    numbers = ("0001_0008", "0001_0009", "0002_0011", "0002_0012")
    put(folder, *(f"Audios/MSP-PODCAST_{number}.wav" for number in numbers))
    write(folder, "Labels/labels_consensus.csv", PODCAST)
    write(folder, "Transcripts/MSP-PODCAST_0001_0009.txt", "That is  not\nfair.\n")
    write(folder, "ForceAligned/MSP-PODCAST_0001_0009.TextGrid", "")
    return folder


def improv(folder: Path) -> Path:
    """MSP-IMPROV."""
    write(folder, "Evaluation.txt", IMPROV)
    return put(
        folder,
        "session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav",
        "session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.avi",
        "session6/S12H/T/MSP-IMPROV-S12H-M06-T-FM06.wav",
        "session1/S20N/R/MSP-IMPROV-S20N-M01-R-MF01.wav",
    )


def iemocap(folder: Path, sessions: int = 5) -> Path:
    """IEMOCAP, four turns and one without agreement in each session."""
    for n in range(1, sessions + 1):
        dialog = f"Ses0{n}F_impro01"
        turns = (
            ("F000", "neu", "[2.5000, 2.5000, 2.5000]"),
            ("M000", "exc", "[4.5000, 4.0000, 3.0000]"),
            ("F001", "xxx", "[2.5000, 3.0000, 2.5000]"),
            ("M001", "fru", "[1.5000, 3.0000, 3.5000]"),
            ("F002", "sad", "[2.0000, 1.5000, 2.0000]"),
        )
        lines = [
            f"[6.2901 - 8.2357]\t{dialog}_{turn}\t{emotion}\t{values}\nC-E2:\tNeutral;\t()\n"
            for turn, emotion, values in turns
        ]
        header = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
        write(
            folder,
            f"Session{n}/dialog/EmoEvaluation/{dialog}.txt",
            header + "\n".join(lines),
        )
        write(folder, f"Session{n}/dialog/EmoEvaluation/Categorical/{dialog}_e2_cat.txt", "x")
        write(folder, f"Session{n}/dialog/EmoEvaluation/._{dialog}.txt", "Mac OS X")
        write(
            folder,
            f"Session{n}/dialog/transcriptions/{dialog}.txt",
            f"{dialog}_F000 [006.2901-008.2357]: Excuse me.\nM: [10-11]: Mm.\n"
            f"{dialog}_MXX0 [010.0100-011.3925]: Yeah.\n",
        )
        put(
            folder,
            *(f"Session{n}/sentences/wav/{dialog}/{dialog}_{turn}.wav" for turn, *_ in turns),
        )
    return folder


def meld(folder: Path) -> Path:
    """MELD with sound instead of films in development, and Joey everywhere."""
    rows = {
        "train": '1,"also I was the, point\x92 person",Chandler,neutral,neutral,0,0,8,21,"0","1"\n'
        '2,You must\x92ve had fun,Joey,joy,positive,0,1,8,21,"0","1"\n',
        "dev": '1,"Oh my God",Phoebe,surprise,negative,0,0,4,7,"0","1"\n',
        "test": '1,Why,Joey,anger,negative,3,2,4,7,"0","1"\n',
    }
    write(folder, "train/train_sent_emo.csv", MELD_HEADER + rows["train"])
    for part in ("dev", "test"):
        write(folder, f"{part}_sent_emo.csv", MELD_HEADER + rows[part])
    return put(
        folder,
        "train/train_splits/dia0_utt0.mp4",
        "train/train_splits/dia0_utt1.mp4",
        "dev_splits_complete/dia0_utt0.mp4",
        "dev_splits_complete/dia0_utt0.wav",
        "output_repeated_splits_test/dia3_utt2.mp4",
        "output_repeated_splits_test/final_videos_testdia0_utt0.mp4",
    )


def nemo(folder: Path) -> Path:
    """The corpus as its repository has it."""
    write(folder, "data.tsv", NEMO)
    return put(folder, "samples/SM0_neutral_13.wav", "samples/EB0_anger_1.wav")
