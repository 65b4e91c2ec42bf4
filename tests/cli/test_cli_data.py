"""`emocli data` as a user meets it."""

import csv
import io
import re
import subprocess
import sys

import corpus_trees
import pytest
from typer.testing import CliRunner

from emocli.cli.app import app
from emocli.pipeline.inputs import read_inputs
from emocli.table_io import read_table
from emocli.training.examples import read_examples
from emocli.training.tuning import parse_tuning_recipe


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str):
    return CliRunner().invoke(app, ["data", *arguments], env={"COLUMNS": "100", "NO_COLOR": "1"})


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_list_says_what_is_expected(folder):
    done = run("--list")
    assert done.exit_code == 0
    assert done.stdout == run("list").stdout
    assert "emo-db       EMO-DB: recordings such as wav/03a01Fa.wav" in done.stdout


def test_a_table_of_msp_podcast(folder):
    corpus_trees.podcast(folder / "podcast")
    done = run("msp-podcast", "podcast", "-o", "labels.csv")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == (
        "Listeners agreed on no emotion for 1 utterances, which are kept without one for their "
        "dimensions.\n"
        "4 utterances of 2 speakers: angry 1, contempt 1, neutral 1, none 1.\n"
        "split: dev 2, test1 1, train 1.\n"
        "Nobody knows the speakers of 2 utterances.\n"
        "arousal, dominance and valence: on a scale from 1 to 7; emocli train takes --set "
        "'dimension_range=[1, 7]'.\n"
    )
    found = rows_of((folder / "labels.csv").read_text())
    assert found[1] == {
        "file": "podcast/Audios/MSP-PODCAST_0001_0009.wav",
        "arousal": "5.777778",
        "dominance": "5.5",
        "valence": "2.555556",
        "text": "That is not fair.",
        "language": "en",
        "emotion": "angry",
        "speaker": "msp-podcast-39",
        "gender": "f",
        "split": "train",
    }
    done = run("msp-podcast", "podcast", "--keep-all", "-q")
    assert [row["emotion"] for row in rows_of(done.stdout)] == [
        *("neutral", "angry", "unknown", "contempt"),
    ]
    assert done.stderr == ""


def test_files_elsewhere_are_absolute(folder):
    corpus_trees.put(folder / "savee", "DC_a01.wav")
    (folder / "tables").mkdir()
    assert run("savee", "savee", "-o", "tables/t.jsonl", "-q").exit_code == 0
    table = read_table("tables/t.jsonl")
    assert table["file"].tolist() == [f"{folder}/savee/DC_a01.wav"]


def test_missing_recordings_are_named_and_the_status_is_3(folder):
    corpus_trees.podcast(folder / "podcast")
    (folder / "podcast/Audios/MSP-PODCAST_0001_0008.wav").unlink()
    done = run("msp-podcast", "podcast", "-q", "-o", "labels.csv")
    assert (done.exit_code, done.stderr) == (
        3,
        "warning: Labels name what is not there and has no row: MSP-PODCAST_0001_0008.wav.\n",
    )
    assert len(rows_of((folder / "labels.csv").read_text())) == 3


def test_parts_of_msp_podcast_for_unknown_speakers_and_older_releases(folder):
    corpus_trees.podcast(folder / "podcast")
    labels = folder / "podcast/Labels/labels_consensus.csv"
    labels.write_text(labels.read_text().replace("Development", "Validation"))
    assert "split: dev 2, test1 1, train 1." in run("msp-podcast", "podcast").stderr
    done = run("msp-podcast", "podcast", "--split", "0.4,0.3,0.3", "-o", "labels.csv")
    assert "Nobody knows the speakers of 2 utterances. Each was dealt out by itself." in done.stderr
    assert {row["split"] for row in rows_of((folder / "labels.csv").read_text())} == {
        "train", "dev", "test",
    }  # fmt: skip


def test_no_recording_at_all_is_an_error(folder):
    for path in corpus_trees.podcast(folder / "podcast").glob("Audios/*.wav"):
        path.unlink()
    done = run("msp-podcast", "podcast")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "emocli: podcast: 4 recordings of MSP-Podcast are missing and 0 are left out, which leaves "
        "none. Check that the recordings are unpacked beside the labels.\n"
    )


def test_the_5531_protocol_of_iemocap(folder):
    corpus_trees.iemocap(folder / "IEMOCAP_full_release")
    done = run("iemocap", ".", "--protocol", "5531", "--fold", "5", "-o", "labels.csv")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == (
        "IEMOCAP is read from IEMOCAP_full_release.\n"
        "Left out: no agreement 5, frustrated 5.\n"
        "The protocol has 5531 utterances and 15 are here.\n"
        "15 utterances of 10 speakers: happy 5, neutral 5, sad 5.\n"
        "split: dev 3, test 3, train 9.\n"
        "fold: 1 3, 2 3, 3 3, 4 3, 5 3.\n"
        "arousal, dominance and valence: on a scale from 1 to 5; emocli train takes --set "
        "'dimension_range=[1, 5]'.\n"
    )
    found = rows_of((folder / "labels.csv").read_text())
    assert {row["session"]: row["split"] for row in found} == {
        "1": "dev", "2": "train", "3": "train", "4": "train", "5": "test",
    }  # fmt: skip
    done = run("iemocap", "IEMOCAP_full_release", "--protocol", "5531", "--folds", "speaker")
    folds = {row["speaker"]: row["fold"] for row in rows_of(done.stdout)}
    assert list(folds.values()) == [str(n) for n in range(1, 11)]


def test_excited_is_merged_on_request(folder):
    corpus_trees.iemocap(folder)
    emotions = [row["emotion"] for row in rows_of(run("iemocap", ".", "-q").stdout)]
    assert emotions[:5] == ["neutral", "excited", "", "frustrated", "sad"]
    merged = rows_of(run("iemocap", ".", "-q", "--merge", "exc=happy").stdout)
    assert [row["emotion"] for row in merged][1] == "happy"
    done = run("iemocap", ".", "--merge", "calm=neutral")
    assert done.stderr == (
        "emocli: --merge names calm, which nobody is, expected one of excited, frustrated, "
        "neutral, sad, unknown. Correct the name.\n"
    )


def test_values_beyond_the_scale_are_said(folder):
    corpus_trees.iemocap(folder, sessions=1)
    place = folder / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    place.write_text(place.read_text().replace("[4.5000,", "[5.5000,"))
    assert run("iemocap", ".").stderr.splitlines()[-1] == (
        "arousal, dominance and valence: on a scale from 1 to 5 (these from 1.5 to 5.5); emocli "
        "train takes --set 'dimension_range=[1, 5.5]'."
    )


def test_a_table_of_msp_improv_has_no_value_where_nobody_judged(folder):
    corpus_trees.improv(folder)
    done = run("msp-improv", ".", "--keep-all", "--folds", "session")
    assert done.exit_code == 0
    assert [(row["dominance"], row["fold"]) for row in rows_of(done.stdout)] == [
        ("3.833333", "1"), ("", "2"), ("2.75", "1"),
    ]  # fmt: skip
    assert done.stderr.splitlines()[0] == (
        "The release has no texts; emocli transcribe makes some."
    )


def test_a_scale_on_which_nobody_judged_is_not_told(folder):
    corpus_trees.improv(folder)
    place = folder / "Evaluation.txt"
    place.write_text(re.sub(r"([AVD]):[0-9.]+", r"\1:NaN", place.read_text()))
    done = run("msp-improv", ".", "--keep-all")
    assert done.exit_code == 0
    assert "on a scale" not in done.stderr
    assert {row.get("arousal", "") for row in rows_of(done.stdout)} == {""}


def test_a_table_for_people_has_every_column(folder):
    corpus_trees.improv(folder)
    arguments = ["data", "msp-improv", ".", "--keep-all", "-q", "-f", "table"]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert done.exit_code == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[1] == (
        "file arousal dominance valence language emotion speaker gender session scenario"
    )
    assert lines[3:5] == [
        "session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav 4.2 3.833333 1.6 en angry msp-improv-F01 "
        "f 1 natural",
        "session6/S12H/T/MSP-IMPROV-S12H-M06-T-FM06.wav 3.0 4.0 en unknown msp-improv-M06 m 6 "
        "target",
    ]


def test_a_protocol_that_a_corpus_does_not_have(folder):
    corpus_trees.iemocap(folder)
    assert run("iemocap", ".", "--protocol", "4-way").stderr == (
        "emocli: IEMOCAP has no protocol '4-way', expected 5531. Choose one of them.\n"
    )
    assert run("savee", ".", "--protocol", "5531").stderr == (
        "emocli: SAVEE has no protocol '5531', expected none. Leave out --protocol.\n"
    )


def test_folds_by_number_part_speakers(folder):
    who = [f"{speaker}_{code}01.wav" for speaker in ("DC", "JE", "JK", "KL") for code in "ahnf"]
    corpus_trees.put(folder, *who)
    done = run("savee", ".", "--folds", "4", "--fold", "2")
    assert done.exit_code == 0
    assert "fold: 1 4, 2 4, 3 4, 4 4.\n" in done.stderr
    rows = rows_of(done.stdout)
    folds = {(row["speaker"], row["fold"]) for row in rows}
    assert len(folds) == 4
    assert {row["split"] for row in rows if row["fold"] == "2"} == {"test"}


def test_the_split_of_meld_shares_speakers(folder):
    corpus_trees.meld(folder / "MELD.Raw")
    done = run("meld", "MELD.Raw", "-o", "labels.csv")
    assert (done.exit_code, done.stderr) == (
        1,
        "emocli: MELD: 1 speakers are in more than one part of the split: meld-Joey "
        "(MELD.Raw/train/train_splits/dia0_utt1.mp4 in train, "
        "MELD.Raw/output_repeated_splits_test/dia3_utt2.mp4 in test). Add --split 0.8,0.1,0.1 for "
        "one that parts speakers, or --shared-speakers to keep this one.\n",
    )
    kept = rows_of(run("meld", "MELD.Raw", "--shared-speakers", "-q").stdout)
    assert [row["split"] for row in kept] == ["train", "train", "dev", "test"]
    parted = rows_of(run("meld", "MELD.Raw", "--split", "0.5,0.25,0.25", "-q").stdout)
    assert len({(row["speaker"], row["split"]) for row in parted}) == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "missing argument NAME or DIR; --list names the corpora"),
        (("savee",), "missing argument NAME or DIR; --list names the corpora"),
        (("savee", ".", "--split", "1,1", "--folds", "2"), "--split and --folds exclude one"),
        (("savee", ".", "--fold", "2"), "there are no folds to choose from; add --folds"),
        (("savee", ".", "--folds", "1"), "'1' is none of session, speaker and a number above 1"),
        (("savee", ".", "--merge", "excited"), "'excited' is not of the form excited=happy"),
    ],
)
def test_usage_errors(folder, arguments, sentence):
    done = run(*arguments)
    assert done.exit_code == 2
    assert sentence in done.stderr


def test_other_commands_take_the_table(folder):
    names = [f"{who}/{code}0{n}.wav" for who in ("DC", "JE", "JK") for code in "ah" for n in (1, 2)]
    corpus_trees.put(folder / "AudioData", *names)
    assert run("savee", ".", "--split", "0.4,0.3,0.3", "-o", "labels.csv", "-q").exit_code == 0
    inputs = read_inputs("labels.csv")
    assert len(inputs.utterances) == 12
    assert all(one.path.is_file() for one in inputs.utterances)
    content = {"recipe": "fine-tuning", "name": "r", "modality": "speech", "encoder": "e"}
    recipe = parse_tuning_recipe({**content, "loss": "focal"}, "r.toml")
    examples = read_examples(read_table("labels.csv"), "labels.csv", recipe)
    assert {part: examples.n_speakers(part) for part in ("train", "dev", "test")} == {
        "train": 1, "dev": 1, "test": 1,
    }  # fmt: skip
    assert all(path.is_file() for path in examples.paths)


def test_the_command_runs_without_torch(folder):
    corpus_trees.put(folder, "DC_a01.wav")
    code = (
        "import sys\nfrom emocli.cli import main\ntry: main(['data', 'savee', '.', '-q'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'torch', 'transformers', 'scipy', 'soundfile'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].startswith("DC_a01.wav,")
