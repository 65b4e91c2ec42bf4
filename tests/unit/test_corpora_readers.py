"""Readers of corpora, each on a folder of its official names."""

import csv
import math
import shutil
import sys
from pathlib import Path

import corpus_trees
import pytest

from emocli.corpora import readers
from emocli.corpora.protocol import Labelled, Reading
from emocli.corpora.registry import corpora, find_corpus, find_root
from emocli.errors import CorpusError


def read(name: str, folder: Path) -> Reading:
    corpus = find_corpus(name)
    return corpus.read(find_root(corpus, folder))


def facts(one: Labelled, folder: Path) -> dict[str, object]:
    """What is known of an utterance, with its path from the corpus's folder."""
    values = {key: value for key, value in vars(one).items() if value and value == value}
    return {**values, "path": one.path.relative_to(folder).as_posix()}


def rows(name: str, folder: Path) -> list[dict[str, object]]:
    return [facts(one, folder) for one in read(name, folder).utterances]


def fails(name: str, folder: Path) -> str:
    with pytest.raises(CorpusError) as caught:
        read(name, folder)
    return str(caught.value).replace(str(folder), "DIR")


def test_every_reader_is_found_however_its_name_is_written():
    assert list(corpora()) == [
        *("crema-d", "emo-db", "iemocap", "meld", "msp-improv", "msp-podcast"),
        *("nemo", "ravdess", "savee", "tess"),
    ]
    assert find_corpus("MSP_Podcast") is find_corpus("msp-podcast")
    with pytest.raises(CorpusError) as caught:
        find_corpus("friends")
    assert str(caught.value) == (
        "Corpus 'friends' is unknown, expected one of crema-d, emo-db, iemocap, meld, msp-improv, "
        "msp-podcast, nemo, ravdess, savee, tess. emocli data --list says what each looks like."
    )


def test_msp_podcast(tmp_path):
    found = rows("msp-podcast", corpus_trees.podcast(tmp_path))
    assert found[0] == {
        "path": "Audios/MSP-PODCAST_0001_0008.wav",
        "emotion": "neutral",
        "speaker": "msp-podcast-30",
        "gender": "m",
        "language": "en",
        "arousal": 2.2,
        "dominance": 2.6,
        "valence": 4.0,
        "split": "test1",
    }
    assert (found[1]["emotion"], found[1]["text"]) == ("angry", "That is not fair.")
    assert (found[2]["emotion"], found[2]["left_out"]) == ("unknown", "no agreement")
    assert [one.get("speaker") for one in found[2:]] == [None, None]
    assert (found[3]["emotion"], found[3]["split"]) == ("contempt", "dev")


def test_msp_podcast_names_what_is_wrong(tmp_path):
    table = corpus_trees.podcast(tmp_path) / "Labels/labels_consensus.csv"
    (tmp_path / "Audios/MSP-PODCAST_0001_0008.wav").unlink()
    assert read("msp-podcast", tmp_path).missing == ("MSP-PODCAST_0001_0008.wav",)
    (tmp_path / "Transcripts/MSP-PODCAST_0001_0009.txt").unlink()
    assert read("msp-podcast", tmp_path).remarks == (
        f"No Transcripts in {tmp_path}, so the texts are not known.",
    )
    table.write_text(corpus_trees.PODCAST.replace(",A,", ",Q,"))
    assert fails("msp-podcast", tmp_path) == (
        "DIR/Labels/labels_consensus.csv, line 3: EmoClass 'Q' is unknown, expected one of A, S, "
        "H, U, F, D, C, N, O, X. Correct it, or remove the recording."
    )
    table.write_text(corpus_trees.PODCAST.replace("5.777778", "high"))
    assert fails("msp-podcast", tmp_path) == (
        "DIR/Labels/labels_consensus.csv, line 3: EmoAct is 'high', expected a number. Correct it "
        "or leave it empty."
    )
    table.write_text(corpus_trees.PODCAST + corpus_trees.PODCAST.splitlines()[1] + "\n")
    assert fails("msp-podcast", tmp_path) == (
        "DIR/Labels/labels_consensus.csv: MSP-PODCAST_0001_0008.wav more than once, expected a "
        "line for each recording. Remove the lines that repeat one."
    )
    table.write_text("FileName,EmoClass\na.wav,N\n")
    assert fails("msp-podcast", tmp_path) == (
        "DIR/Labels/labels_consensus.csv: no column EmoAct, EmoVal, EmoDom, SpkrID, Gender, "
        "Split_Set, expected FileName, EmoClass, EmoAct, EmoVal, EmoDom, SpkrID, Gender, "
        "Split_Set. Give the corpus's own table."
    )
    table.write_text(corpus_trees.PODCAST.replace(",39,Female,Train", ""))
    assert fails("msp-podcast", tmp_path) == (
        "DIR/Labels/labels_consensus.csv, line 3: 5 fields, expected 8 as in the header. Unpack "
        "the table again."
    )


@pytest.mark.parametrize(
    ("content", "start"),
    [
        (b"", ": no column FileName, EmoClass"),
        (b"\x00\xff\xfe\x81", ": no column FileName, EmoClass"),
        (b"FileName," + b"x" * 200_000, ", line 1: cannot be parsed (field larger than field"),
        (
            corpus_trees.PODCAST.replace("2.2", "inf").encode(),
            ", line 2: EmoAct is 'inf', expected",
        ),
    ],
)
def test_damaged_tables(tmp_path, content, start):
    place = corpus_trees.podcast(tmp_path) / "Labels/labels_consensus.csv"
    place.write_bytes(content)
    limit = csv.field_size_limit(131_072)
    try:
        found = fails("msp-podcast", tmp_path)
    finally:
        csv.field_size_limit(limit)
    assert found.startswith(f"DIR/Labels/labels_consensus.csv{start}")


def test_a_table_that_cannot_be_read(tmp_path):
    place = corpus_trees.podcast(tmp_path)
    table = place / "Labels/labels_consensus.csv"
    table.unlink()
    with pytest.raises(CorpusError) as caught:
        find_corpus("msp-podcast").read(place)
    assert str(caught.value) == (
        f"{place}/labels_consensus.csv: cannot be read (No such file or directory), expected a "
        f"text. Check its permissions."
    )


def test_a_row_of_msp_podcast_without_labels_is_left_out(tmp_path):
    table = corpus_trees.podcast(tmp_path) / "Labels/labels_consensus.csv"
    table.write_text(
        corpus_trees.PODCAST.replace(",C,3.0,3.0,3.0,Unknown,Male,Development", ",,,,,,,Test3")
    )
    last = read("msp-podcast", tmp_path).utterances[-1]
    assert (last.emotion, last.left_out, last.split) == ("", "no label", "test3")


def test_msp_improv(tmp_path):
    found = rows("msp-improv", corpus_trees.improv(tmp_path))
    assert found[0] == {
        "path": "session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav",
        "emotion": "angry",
        "speaker": "msp-improv-F01",
        "gender": "f",
        "language": "en",
        "arousal": 4.2,
        "dominance": 3.833333,
        "valence": 1.6,
        "session": "1",
        "scenario": "natural",
    }
    assert found[1]["left_out"] == "no agreement"
    assert "dominance" not in found[1]
    assert (found[2]["speaker"], found[2]["scenario"]) == ("msp-improv-M01", "read")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "UTD-IMPROV-S01A-F01-P-FM01.avi; A",
            "'UTD-IMPROV-S01A-F01-P-FM01.avi; A' cannot be read, expected a line such as "
            "UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:3.0; V:3.0; D:3.0 ; N:4.0;. Correct it.",
        ),
        (
            "UTD-IMPROV-S01A-F01-P-FM01.avi; A; A:1.2.3; V:1.0; D:1.0 ; N:1.0;",
            "'UTD-IMPROV-S01A-F01-P-FM01.avi; A; A:1.2.3; V:1.0; D:1.0 ; N:1.0;' cannot be read, "
            "expected a line such as UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:3.0; V:3.0; D:3.0 ; "
            "N:4.0;. Correct it.",
        ),
        (
            "UTD-IMPROV-S01A-F01-P-FM01.avi; B; A:1.0; V:1.0; D:1.0 ; N:1.0;",
            "emotion 'B' is unknown, expected one of A, H, S, N, O, X. Correct it, or remove the "
            "recording.",
        ),
    ],
)
def test_msp_improv_names_what_is_wrong(tmp_path, line, sentence):
    corpus_trees.improv(tmp_path)
    corpus_trees.write(tmp_path, "Evaluation.txt", line)
    assert fails("msp-improv", tmp_path) == f"DIR/Evaluation.txt, line 1: {sentence}"


def test_a_recording_that_msp_improv_lacks(tmp_path):
    for path in corpus_trees.improv(tmp_path).rglob("*S01A-F01-P-FM01.*"):
        path.unlink()
    reading = read("msp-improv", tmp_path)
    assert reading.missing == ("MSP-IMPROV-S01A-F01-P-FM01.wav",)
    assert [one.speaker for one in reading.utterances] == ["msp-improv-M06", "msp-improv-M01"]


def test_a_name_that_msp_improv_does_not_have(tmp_path):
    corpus_trees.put(corpus_trees.improv(tmp_path), "session1/MSP-IMPROV-S1.wav")
    corpus_trees.write(tmp_path, "Evaluation.txt", "UTD-IMPROV-S1.avi; A; A:1.0; V:1.0; D:1.0 ;")
    assert fails("msp-improv", tmp_path) == (
        "DIR/Evaluation.txt, line 1: S1 is no name of a recording, expected one such as "
        "S01A-F01-P-FM01. Unpack the table again."
    )


def test_iemocap(tmp_path):
    reading = read("iemocap", corpus_trees.iemocap(tmp_path, sessions=2))
    assert reading.remarks == ("Not there: Session3, Session4, Session5.",)
    found = [facts(one, tmp_path) for one in reading.utterances]
    assert found[0] == {
        "path": "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav",
        "emotion": "neutral",
        "speaker": "iemocap-Ses01F",
        "gender": "f",
        "language": "en",
        "text": "Excuse me.",
        "arousal": 2.5,
        "dominance": 2.5,
        "valence": 2.5,
        "session": "1",
        "scenario": "improvised",
    }
    assert found[1]["emotion"] == "excited"
    assert [found[1][name] for name in ("valence", "arousal", "dominance")] == [4.5, 4.0, 3.0]
    assert found[1]["speaker"] == "iemocap-Ses01M"
    assert [one.get("left_out") for one in found[:5]] == [None, None, "no agreement", None, None]
    assert len(found) == 10


def test_a_turn_that_iemocap_lacks(tmp_path):
    name = "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav"
    (corpus_trees.iemocap(tmp_path, sessions=1) / name).unlink()
    reading = read("iemocap", tmp_path)
    assert reading.missing == ("Ses01F_impro01_M000.wav",)
    assert [one.emotion for one in reading.utterances] == [
        *("neutral", "unknown", "frustrated", "sad"),
    ]


def test_iemocap_names_what_is_wrong(tmp_path):
    path = "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    place = corpus_trees.iemocap(tmp_path, sessions=1) / path
    text = place.read_text()
    place.write_text(text.replace("\tneu\t", "\tbor\t"))
    assert fails("iemocap", tmp_path) == (
        f"DIR/{path}, line 3: emotion 'bor' is unknown, expected one of ang, hap, exc, sad, neu, "
        f"fru, fea, sur, dis, oth, xxx. Correct it, or remove the recording."
    )
    place.write_text("[6.2901 - 8.2357]\tSes01F_impro01_F000 neu")
    assert fails("iemocap", tmp_path) == (
        f"DIR/{path}, line 1: '[6.2901 - 8.2357]\\tSes01F_impro01_F000 neu' cannot be read, "
        f"expected [start - end], turn, emotion and [V, A, D] with tabs between. Correct it."
    )
    place.write_text(text.replace("Ses01F_impro01_F000", "Ses01F_x"))
    corpus_trees.put(tmp_path, "Session1/sentences/wav/Ses01F_x.wav")
    assert fails("iemocap", tmp_path) == (
        f"DIR/{path}, line 3: Ses01F_x is no name of a turn, expected one such as "
        f"Ses01F_impro01_F000. Unpack the evaluations again."
    )


def test_meld(tmp_path):
    reading = read("meld", corpus_trees.meld(tmp_path))
    found = [facts(one, tmp_path) for one in reading.utterances]
    assert found[0] == {
        "path": "train/train_splits/dia0_utt0.mp4",
        "emotion": "neutral",
        "speaker": "meld-Chandler",
        "language": "en",
        "text": "also I was the, point' person",
        "sentiment": "neutral",
        "split": "train",
    }
    assert [one["emotion"] for one in found] == ["neutral", "happy", "surprised", "angry"]
    assert [one["split"] for one in found] == ["train", "train", "dev", "test"]
    assert found[2]["path"] == "dev_splits_complete/dia0_utt0.wav"
    (tmp_path / "dev_sent_emo.csv").unlink()
    (tmp_path / "train/train_splits/dia0_utt1.mp4").unlink()
    reading = read("meld", tmp_path)
    assert reading.remarks == ("Not there: dev_sent_emo.csv.",)
    assert reading.missing == ("train/dia0_utt1.mp4",)


def test_nemo(tmp_path):
    found = rows("nemo", corpus_trees.nemo(tmp_path))
    assert found == [
        {
            "path": "samples/SM0_neutral_13.wav",
            "emotion": "neutral",
            "speaker": "nemo-SM0",
            "gender": "m",
            "language": "pl",
            "text": 'Interesuje mnie "historia" Polski.',
        },
        {
            "path": "samples/EB0_anger_1.wav",
            "emotion": "angry",
            "speaker": "nemo-EB0",
            "gender": "f",
            "language": "pl",
            "text": "Lubię czytać przed snem.",
        },
    ]
    assert len(read("nemo", tmp_path / "samples").utterances) == 2
    (tmp_path / "samples/EB0_anger_1.wav").unlink()
    assert read("nemo", tmp_path).missing == ("EB0_anger_1.wav",)
    (tmp_path / "data.tsv").unlink()
    assert read("nemo", tmp_path).remarks == (
        f"No data.tsv in {tmp_path}, so the texts are not known.",
    )


def test_ravdess(tmp_path):
    corpus_trees.put(
        tmp_path,
        "Actor_12/03-01-06-02-02-01-12.wav",
        "Actor_01/03-01-01-01-01-02-01.wav",
        "Actor_01/03-02-02-01-01-01-01.wav",
        "Actor_01/01-01-02-01-01-01-01.mp4",
        "audio_speech_actors_01-24/Actor_12/03-01-06-02-02-01-12.wav",
        "talk.wav",
    )
    reading = read("ravdess", tmp_path)
    found = {one.path.stem: facts(one, tmp_path) for one in reading.utterances}
    assert found["03-01-06-02-02-01-12"] == {
        "path": "Actor_12/03-01-06-02-02-01-12.wav",
        "emotion": "fearful",
        "speaker": "ravdess-12",
        "gender": "f",
        "language": "en",
        "text": "Dogs are sitting by the door",
        "strength": "strong",
    }
    assert found["03-01-01-01-01-02-01"]["gender"] == "m"
    assert found["03-02-02-01-01-01-01"]["left_out"] == "song"
    assert found["01-01-02-01-01-01-01"]["left_out"] == "film"
    assert reading.remarks == (
        "There more than once and taken once: 03-01-06-02-02-01-12.wav.",
        "Not named as in RAVDESS and left out: talk.wav.",
    )
    corpus_trees.put(tmp_path, "Actor_01/03-01-09-01-01-02-01.wav")
    assert fails("ravdess", tmp_path) == (
        "DIR/Actor_01/03-01-09-01-01-02-01.wav: emotion '09' is unknown, expected one of 01, 02, "
        "03, 04, 05, 06, 07, 08. Correct it, or remove the recording."
    )


def test_crema_d(tmp_path):
    corpus_trees.put(
        tmp_path,
        "AudioWAV/1001_DFA_ANG_XX.wav",
        "AudioMP3/1001_DFA_ANG_XX.mp3",
        "AudioWAV/1002_IEO_SAD_HI.wav",
        "AudioWAV/1040_ITH_SAD_X.wav",
    )
    first = read("crema-d", tmp_path)
    assert first.remarks == (
        f"No VideoDemographics.csv in {tmp_path}, so nobody's gender is known.",
    )
    corpus_trees.write(
        tmp_path,
        "VideoDemographics.csv",
        "ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Caucasian,Not Hispanic\n"
        "1002,21,Female,Caucasian,Not Hispanic\n",
    )
    found = rows("crema-d", tmp_path)
    assert found[0] == {
        "path": "AudioWAV/1001_DFA_ANG_XX.wav",
        "emotion": "angry",
        "speaker": "crema-d-1001",
        "gender": "m",
        "language": "en",
        "text": "Don't forget a jacket.",
    }
    assert (found[1]["gender"], found[1]["strength"]) == ("f", "high")
    assert (found[2]["emotion"], found[2].get("gender")) == ("sad", None)
    assert len(read("crema-d", tmp_path / "AudioWAV").utterances) == 3


def test_emo_db(tmp_path):
    corpus_trees.put(tmp_path, "wav/03a01Fa.wav", "wav/16b10Lb.wav", "wav/08a05N.wav")
    found = rows("emo-db", tmp_path)
    assert found[0] == {
        "path": "wav/03a01Fa.wav",
        "emotion": "happy",
        "speaker": "emo-db-03",
        "gender": "m",
        "language": "de",
        "text": "Der Lappen liegt auf dem Eisschrank.",
    }
    assert [one["emotion"] for one in found] == ["happy", "neutral", "bored"]
    assert [one["gender"] for one in found] == ["m", "f", "f"]


def test_tess(tmp_path):
    corpus_trees.put(
        tmp_path,
        "OAF_angry/OAF_back_angry.wav",
        "OAF_neutral/OA_bite_neutral.wav",
        "YAF_pleasant_surprised/YAF_food_ps.wav",
        "TESS data/OAF_angry/OAF_back_angry.wav",
    )
    found = rows("tess", tmp_path)
    assert found[0] == {
        "path": "OAF_angry/OAF_back_angry.wav",
        "emotion": "angry",
        "speaker": "tess-OAF",
        "gender": "f",
        "language": "en",
        "text": "Say the word back",
    }
    assert [one["emotion"] for one in found] == ["angry", "neutral", "surprised"]
    assert [one["speaker"] for one in found] == ["tess-OAF", "tess-OAF", "tess-YAF"]


def test_savee_in_folders_and_in_one(tmp_path):
    corpus_trees.put(tmp_path / "deep", "AudioData/DC/a01.wav", "AudioData/KL/su15.wav")
    corpus_trees.put(tmp_path / "flat", "DC_a01.wav", "KL_su15.wav")
    for place, first in (("deep", "AudioData/DC/a01.wav"), ("flat", "DC_a01.wav")):
        found = rows("savee", tmp_path / place)
        assert found[0] == {
            "path": first,
            "emotion": "angry",
            "speaker": "savee-DC",
            "gender": "m",
            "language": "en",
        }
        assert (found[1]["emotion"], found[1]["speaker"]) == ("surprised", "savee-KL")


def test_a_corpus_is_found_in_and_around_the_folder_that_is_named(tmp_path):
    root = corpus_trees.iemocap(tmp_path / "data/IEMOCAP_full_release", sessions=1)
    corpus = find_corpus("iemocap")
    assert find_root(corpus, tmp_path) == root
    assert find_root(corpus, root / "Session1/dialog") == root
    other = corpus_trees.iemocap(tmp_path / "data/copy", sessions=1)
    with pytest.raises(CorpusError) as caught:
        find_root(corpus, tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: IEMOCAP is in 2 folders ({root}, {other}), expected one. Name the one that "
        f"is meant."
    )


def test_a_folder_without_the_corpus(tmp_path):
    assert fails("savee", tmp_path) == (
        "DIR: no SAVEE in this folder, expected recordings such as DC/a01.wav or DC_a01.wav. "
        "Check that it is unpacked and that the name of the corpus is right."
    )
    assert fails("meld", tmp_path / "x") == (
        "DIR: not a folder, expected one with MELD. Check the path."
    )
    assert math.isnan(Labelled(tmp_path, "").arousal)


def test_a_folder_that_may_not_be_listed_holds_no_corpus(tmp_path, monkeypatch):
    for name in ("open", "private"):
        corpus_trees.iemocap(tmp_path / name / "IEMOCAP", sessions=1)
    listed = Path.iterdir

    def refuse(folder):
        if folder.name == "private":
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert find_root(find_corpus("iemocap"), tmp_path) == tmp_path / "open/IEMOCAP"


def test_links_are_followed_once(tmp_path):
    corpus_trees.put(tmp_path / "elsewhere", "DC_a01.wav", ".hidden/DC_a02.wav")
    (tmp_path / "savee").mkdir()
    (tmp_path / "savee/audio").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/again").symlink_to(tmp_path / "savee")
    found = read("savee", tmp_path / "savee")
    assert [one.path.name for one in found.utterances] == ["DC_a01.wav"]
    assert found.remarks == ()


def test_a_folder_of_recordings_that_is_not_there(tmp_path):
    shutil.rmtree(corpus_trees.iemocap(tmp_path, sessions=1) / "Session1/sentences")
    assert fails("iemocap", tmp_path) == (
        "DIR/Session1/sentences/wav: cannot be listed (No such file or directory), expected a "
        "folder of recordings. Unpack it, or check its permissions."
    )


def test_a_further_reader_is_a_further_module(tmp_path, monkeypatch):
    corpus_trees.write(
        tmp_path,
        "mine.py",
        "import re\nfrom emocli.corpora.files import NamedCorpus\n"
        "from emocli.corpora.protocol import About, Labelled\n"
        "CORPUS = NamedCorpus(About('mine', 'Mine', 'a_1.wav', anywhere=True),\n"
        "    re.compile('([a-z]+)_[0-9]'), lambda m, path: Labelled(path, m[1]))\n",
    )
    monkeypatch.setattr(readers, "__path__", [*readers.__path__, str(tmp_path)])
    corpora.cache_clear()
    try:
        corpus_trees.put(tmp_path / "data", "happy_1.wav")
        assert [one.emotion for one in read("Mine", tmp_path / "data").utterances] == ["happy"]
    finally:
        corpora.cache_clear()
        sys.modules.pop(f"{readers.__name__}.mine", None)


@pytest.mark.parametrize("name", ["ravdess", "nemo"])
def test_real_corpora_say_what_their_names_say(name, data_dir):
    folder = data_dir / "corpora" / name
    found = {one.path.relative_to(folder).as_posix(): one for one in read(name, folder).utterances}
    with open(folder / "labels.csv") as stream:
        truth = list(csv.DictReader(stream))
    assert len(found) == len(truth)
    for row in truth:
        one = found[row["file"]]
        assert (one.emotion, one.gender, one.language) == (
            row["emotion"],
            row["gender"],
            row["language"],
        )
        assert one.text in (row["text"], "")
