import io
import os
import sys
from pathlib import Path

import pytest
from fakes import write_tone

from emocli.errors import AudioError, TableError
from emocli.pipeline.inputs import Recordings, Utterance, read_inputs
from emocli.pipeline.shards import Shard
from emocli.table import PredictionTable
from emocli.table_reader import has_file_column


@pytest.fixture(autouse=True)
def _recordings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("rec/a2.wav", "rec/a10.wav", "rec/deep/b.wav"):
        write_tone(tmp_path / name, 0.1)


@pytest.fixture
def stdin(monkeypatch):
    def set_stdin(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return set_stdin


def files(paths):
    return [utterance.file for utterance in read_inputs(paths).utterances]


def test_file_folder_and_pattern():
    assert files("rec/a2.wav") == ["rec/a2.wav"]
    assert files(["rec/deep", Path("rec/a10.wav")]) == ["rec/deep/b.wav", "rec/a10.wav"]
    assert files("rec") == ["rec/a2.wav", "rec/a10.wav", "rec/deep/b.wav"]
    assert files("./rec/") == ["./rec/a2.wav", "./rec/a10.wav", "./rec/deep/b.wav"]
    assert files("rec/a*.wav") == ["rec/a2.wav", "rec/a10.wav"]
    assert files("r*") == ["rec/a2.wav", "rec/a10.wav", "rec/deep/b.wav"]


def test_a_file_that_is_not_there_is_an_utterance_all_the_same():
    assert tuple(read_inputs("rec/gone.wav").utterances) == (
        Utterance("rec/gone.wav", Path("rec/gone.wav")),
    )


def test_the_same_file_twice_is_one_utterance_and_a_remark():
    found = read_inputs(["rec/a2.wav", "rec", "./rec/deep/b.wav"])
    assert [one.file for one in found.utterances] == ["rec/a2.wav", "rec/a10.wav", "rec/deep/b.wav"]
    assert found.remarks == ("Named more than once and taken once: rec/a2.wav, ./rec/deep/b.wav.",)


def test_rows_that_differ_in_other_columns_are_a_warning():
    Path("m.csv").write_text("file,text\nrec/a2.wav,yes\nrec/a2.wav,no\nrec/a10.wav,no\n")
    found = read_inputs(["m.csv", "rec/a10.wav"])
    assert [one.carried["text"] for one in found.utterances] == ["yes", "no"]
    assert found.warnings == (
        "Only the first of several rows for the same recording, start and end is taken, and other "
        "columns differ: rec/a2.wav.",
    )
    assert found.remarks == ("Named more than once and taken once: rec/a10.wav.",)


def test_what_was_predicted_before_gives_way():
    Path("p.csv").write_text(
        "file,abstained,movement,label_set,note,speaker\n"
        "rec/a2.wav,yes,9,happy sad,clipped 0.1 s; no label: entropy 1.2 above 1 nats,anna\n"
    )
    (found,) = read_inputs("p.csv").utterances
    assert (found.carried, found.note) == ({"speaker": "anna"}, "clipped 0.1 s")


def test_manifest_with_segments_and_other_columns():
    Path("rec/m.csv").write_text(
        "file,start,end,speaker\na2.wav,0.5,1.25,anna\ndeep/b.wav,,,ben\n", encoding="utf-8"
    )
    found = read_inputs("rec/m.csv")
    assert found.folder == "rec"
    assert found.utterances == (
        Utterance("a2.wav", Path("rec/a2.wav"), 0.5, 1.25, {"speaker": "anna"}),
        Utterance("deep/b.wav", Path("rec/deep/b.wav"), None, None, {"speaker": "ben"}),
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [("m.tsv", "file\tx\nrec/a2.wav\t1\n"), ("m.jsonl", '{"file": "rec/a2.wav", "x": "1"}\n')],
)
def test_other_manifests(name, content):
    Path(name).write_text(content, encoding="utf-8")
    (found,) = read_inputs(name).utterances
    assert (found.file, found.carried) == ("rec/a2.wav", {"x": "1"})


def test_files_of_a_table_elsewhere_may_be_relative_to_the_working_folder():
    os.mkdir("out")
    Path("out/t.csv").write_text("file\nrec/a2.wav\nnowhere.wav\n", encoding="utf-8")
    assert [one.path for one in read_inputs("out/t.csv").utterances] == [
        Path("rec/a2.wav"),
        Path("out/nowhere.wav"),
    ]


def test_a_table_of_predictions_gives_way_and_says_so():
    table = PredictionTable.from_rows(
        [
            {
                **{"file": "a.wav", "model": "old", "p_sad": 0.25, "p_happy": 0.75, "arousal": 0.5},
                **{"note": "near silence", "error": "", "text": "well", "speaker": "anna"},
            }
        ]
    )
    found = read_inputs(table)
    assert found.utterances[0].carried == {"text": "well", "speaker": "anna"}
    assert found.utterances[0].note == "near silence"
    assert found.remarks == (
        "the table: label, p_sad, p_happy, arousal of the input give way to the new prediction.",
    )


def test_segments_of_one_file_are_different_utterances():
    Path("m.csv").write_text(
        "file,start,end\nrec/a2.wav,0,1\nrec/a2.wav,1,2\nrec/a2.wav,0,1\n", encoding="utf-8"
    )
    found = read_inputs(["m.csv", "rec/a2.wav"])
    assert [(one.start, one.end) for one in found.utterances] == [(0, 1), (1, 2), (None, None)]
    assert (found.folder, len(found.remarks)) == ("", 1)


@pytest.mark.parametrize(
    "content",
    [
        b"rec/a2.wav\nrec/deep\n",
        b"rec/a2.wav\r\n\r\nrec/deep/b.wav",
        b"rec/a2.wav\0rec/deep/b.wav\0",
        b"file\nrec/a2.wav\nrec/deep/b.wav\n",
        b"\xef\xbb\xbfspeaker,file\nx,rec/a2.wav\ny,rec/deep/b.wav\n",
        b'{"file": "rec/a2.wav"}\n{"file": "rec/deep/b.wav"}\n',
        b'[{"file": "rec/a2.wav"}, {"file": "rec/deep/b.wav"}]',
    ],
)
def test_standard_input_is_a_table_or_a_list(stdin, content):
    stdin(content)
    assert files("-") == ["rec/a2.wav", "rec/deep/b.wav"]


def test_a_list_may_hold_any_name(stdin):
    name = b"caf\xe9\nfile,[x].wav"
    stdin(name + b"\0")
    (found,) = read_inputs("-").utterances
    assert os.fsencode(found.path) == name


def test_a_list_of_files_called_file_is_no_table():
    assert not has_file_column(b"rec/file\nfile.wav\n")
    assert has_file_column(b'"file","start"\n')


@pytest.mark.parametrize("content", [b" \n", b"\xef\xbb\xbf\n"])
def test_empty_standard_input(stdin, content):
    stdin(content)
    with pytest.raises(AudioError) as error:
        read_inputs("-")
    assert str(error.value) == (
        "standard input: empty, expected a table, a list of paths or a recording. "
        "Check that the command before it succeeded."
    )


def test_manifest_that_is_not_there():
    with pytest.raises(TableError) as error:
        read_inputs("gone.csv")
    assert str(error.value) == (
        "gone.csv: cannot be read (No such file or directory), expected a table. Check the path."
    )


def test_folder_without_recordings_and_pattern_without_match():
    os.mkdir("none")
    with pytest.raises(AudioError, match=r"^none: no recordings in this folder"):
        read_inputs(["rec", "none"])
    with pytest.raises(AudioError, match=r"^none/\*.wav: no file matches this pattern"):
        read_inputs("none/*.wav")


def test_recordings_are_a_sequence_of_whole_utterances():
    names = [f"rec/{number}.wav" for number in range(10)]
    found = Recordings(names)
    assert (len(found), [one.file for one in found]) == (10, names)
    assert found[3] == Utterance("rec/3.wav", Path("rec/3.wav"))
    assert found[-1].file == "rec/9.wav"
    part = found[2:8][1:]
    assert [one.file for one in part] == names[3:8]
    assert (len(part), part[-1].file) == (5, "rec/7.wav")
    with pytest.raises(IndexError):
        part[5]


def test_recordings_keep_names_of_any_letters():
    names = ["ü 漢字.wav", os.fsdecode(b"\xff.wav"), "\ud800.wav", "null\0.wav", "line\n.wav", ""]
    assert [one.file for one in Recordings(names)] == names


def test_shards_of_a_folder_are_its_recordings_in_order(tmp_path):
    for number in range(11):
        (tmp_path / f"{number}.wav").touch()
    whole = read_inputs(".").utterances
    parts = [Shard(number, 4).of(whole) for number in range(1, 5)]
    assert [len(part) for part in parts] == [3, 4, 3, 4]
    assert [one.file for part in parts for one in part] == files(".")


def test_folders_within_one_another_and_lists_take_each_recording_once(stdin):
    stdin(b"rec/deep\nrec\n")
    assert files("-") == ["rec/deep/b.wav", "rec/a2.wav", "rec/a10.wav"]
    assert files(["rec", "rec/deep"]) == ["rec/a2.wav", "rec/a10.wav", "rec/deep/b.wav"]
