"""Tables in files: every format, generous reading, exact sentences, joins by real path."""

import csv
import gc
import io
import json
import os
import sys

import numpy as np
import pyarrow.parquet
import pytest

from emocli.errors import MissingDependency, TableError
from emocli.files import replacing
from emocli.table import PredictionTable
from emocli.table_io import FORMATS, format_of, match_tables, read_table, table_stream, write_table


@pytest.fixture
def table():
    return PredictionTable.from_rows(
        [
            {"file": "dir/a, b.wav", "start": 0.0, "end": 1.2345, "model": "m@1", "p_angry": 0.25,
             "p_sad": 0.75, "note": "", "error": "", "text": 'He said "no"\nand left', "who": "ż"},
            {"file": "c.wav", "start": None, "end": None, "model": "m@1", "error": "broken"},
        ]
    )  # fmt: skip


def sentence(call, *arguments, kind=TableError, **options) -> str:
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    return str(caught.value)


@pytest.fixture
def written(tmp_path):
    def write(content, name="t.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_keeps_every_cell(kind, table, tmp_path):
    path = str(tmp_path / f"t.{kind}")
    write_table(table, path, kind)
    found = read_table(path)
    assert list(found.columns) == list(table.columns)
    for name in table.columns:
        if table[name].dtype == object:
            assert found[name].tolist() == table[name].tolist()
        else:
            np.testing.assert_allclose(found[name], table[name], atol=6e-4)
    assert found.folder == str(tmp_path)


def test_names_that_are_no_text_are_spelled_out_in_parquet(tmp_path):
    names = ["bad\udcff\udcfe.flac", "Zażółć.flac", "a.wav"]
    write_table(PredictionTable.from_columns({"file": names}), str(tmp_path / "t"), "parquet")
    found = read_table(str(tmp_path / "t"))["file"].tolist()
    assert found == ["bad\\xff\\xfe.flac", "Zażółć.flac", "a.wav"]


def test_the_reference_form_byte_for_byte(table, tmp_path):
    write_table(table, str(tmp_path / "t.csv"), "csv")
    assert (tmp_path / "t.csv").read_text() == (
        "file,start,end,model,label,p_angry,p_sad,entropy,varentropy,margin,normalized_entropy,text,note,error,who\n"
        '"dir/a, b.wav",0.000,1.234,m@1,sad,0.25,0.75,0.562335145,0.22630293,0.5,0.811278124,'
        '"He said ""no""\nand left",,,ż\n'
        "c.wav,,,m@1,,,,,,,,,,broken,\n"
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_standard_input_is_recognised_by_content(kind, table, tmp_path, monkeypatch):
    write_table(table, str(tmp_path / "t"), kind)
    data = (tmp_path / "t").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert read_table("-")["file"].tolist() == ["dir/a, b.wav", "c.wav"]


def test_one_line_of_json_lines_is_recognised(written):
    assert read_table(written('{"file": "a", "p_x": 1}\n', "t"))["label"].tolist() == ["x"]
    assert read_table(written('{"file": "a"}\n{"file": "b"}\n', "t"))["file"].tolist() == ["a", "b"]


def test_other_tools_tables(written):
    found = read_table(written("﻿file,p_ANG,p_hap\r\na,0.9,0.1\r\n\r\n"))
    assert found.labels == ("angry", "happy")
    found = read_table(written("file\tlabel\tscore\na\tSadness\t0.9\n", "t.tsv"))
    assert list(found.rows()) == [{"file": "a", "label": "sad", "score": "0.9"}]


def test_audformat_segmented_index(written):
    content = "file,start,end\na.wav,0 days,0 days 00:00:01.5\nb.wav,1 days 01:00:00,NaT\n"
    found = read_table(written(content.replace("0 days,", "0 days 00:00:00,")))
    np.testing.assert_array_equal(found["start"], [0.0, 90000.0])
    np.testing.assert_array_equal(found["end"], [1.5, np.nan])


def test_nested_json_becomes_text(written):
    content = json.dumps([{"file": "a", "votes": {"sad": 2}, "n": 3, "on": True}])
    assert list(read_table(written(content, "t.json")).rows()) == [
        {"file": "a", "votes": '{"sad": 2}', "n": "3", "on": "True"}
    ]


def test_file_names_that_are_not_utf8_survive(tmp_path):
    names = [os.fsdecode(b"caf\xe9.wav"), "Zażółć.wav"]  # of different ages
    for kind in ("csv", "json"):
        table = PredictionTable.from_columns({"file": names})
        write_table(table, str(tmp_path / "t"), kind)
        assert read_table(str(tmp_path / "t"))["file"].tolist() == names


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("t.csv", "\ufeff\n", "{p}: empty, expected a table with a header line. "
         "Check that the command before it succeeded."),
        ("t.csv", "", "{p}: empty, expected a table with a header line. "
         "Check that the command before it succeeded."),
        ("t.csv", "file,x\na,1\nb\n", "{p}: line 3 has 1 fields, expected 2 as in the header. "
         "Complete or quote it."),
        ("t.csv", "file,x,x\n", "{p}: the header repeats x, expected each column once. "
         "Rename or remove the repeated columns."),
        ("t.csv", 'file,x\n"a"b,1\n', "{p}: line 2 cannot be parsed (',' expected after '\"'), "
         "expected comma-separated values. Quote its fields."),
        ("t.csv", "file\n\0\n", "{p}: holds binary data, expected a table as text. "
         "Give a CSV, TSV, JSON, JSON Lines or Parquet file, or an Excel workbook."),
        ("t.json", '{"file": 1', "{p}: not JSON (Expecting ',' delimiter: line 1 column 11 "
         "(char 10)), expected an array of objects. Check that the file was written completely."),
        ("t.jsonl", '{"file": "a"}\n{', "{p}, line 2: not JSON (Expecting property name enclosed "
         "in double quotes: line 1 column 2 (char 1)), expected an object. "
         "Check that the file was written completely."),
        ("t.json", '["a"]', "{p}: not a list of objects, expected one object with column names "
         "for each row. Write it as an array of objects or as JSON Lines."),
        ("t.csv", "file,p_anger,p_angry\n", "{p}: columns p_angry and p_angry mean the same label, "
         "expected one column for each. Remove one of them."),
        ("t.csv", "file,start\na,1:x:2\n", "{p}: start of a is '1:x:2', expected a number. "
         "Correct it or leave it empty."),
    ],
)  # fmt: skip
def test_what_cannot_be_read(name, content, expected, written):
    path = written(content, name)
    assert sentence(read_table, path) == expected.replace("{p}", path)


def test_a_broken_parquet_file(written):
    path = written(b"PAR1 and nothing more", "t.parquet")
    found = sentence(read_table, path)  # what pyarrow says in between differs by release
    assert found.startswith(f"{path}: not a Parquet file (")
    assert found.endswith("), expected a table. Check that the file was written completely.")


def test_a_table_that_is_not_there(tmp_path):
    path = str(tmp_path / "none.csv")
    assert sentence(read_table, path) == (
        f"{path}: cannot be read (No such file or directory), expected a table. Check the path."
    )


def test_parquet_without_pyarrow(monkeypatch, table, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    found = sentence(
        write_table, table, str(tmp_path / "t.parquet"), "parquet", kind=MissingDependency
    )
    assert found == (
        "Parquet cannot be written without pyarrow, which is not installed. "
        'Install it with pip install "emocli[parquet]" or use another format.'
    )
    assert list(tmp_path.iterdir()) == []


def test_no_folder_to_write_to(table, tmp_path):
    path = str(tmp_path / "none" / "t.csv")
    assert sentence(write_table, table, path, "csv") == (
        f"{path}: cannot be written (No such file or directory), expected a folder that exists "
        f"and may be written to. Make the folder or choose another place with -o."
    )


def test_a_full_disk_leaves_the_old_table(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("old")

    def fill() -> None:
        with replacing(str(path)) as stream:
            stream.write(b"new")
            raise OSError(28, "No space left on device")

    assert sentence(fill) == (
        f"{path}: cannot be written (No space left on device), expected room for the table. "
        f"Free some space or choose another place with -o."
    )
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_formats_by_suffix():
    assert [format_of(name) for name in ("a.CSV", "b.ndjson", "c.txt")] == ["csv", "jsonl", None]


def paths(folder="", *files):
    return PredictionTable.from_columns({"file": list(files)}, folder=folder)


def test_tables_match_as_written_without_any_file():
    found = match_tables(paths("x", "b", "a"), paths("y", "a", "b"))
    assert found.right.tolist() == [1, 0]


def test_tables_match_by_real_path(tmp_path, monkeypatch):
    (tmp_path / "corpus" / "s1").mkdir(parents=True)
    for name in ("a.wav", "b.wav"):
        (tmp_path / "corpus" / "s1" / name).touch()
    monkeypatch.chdir(tmp_path)
    left = paths("", "corpus/s1/b.wav", "corpus/s1/a.wav")
    right = paths("corpus", "s1/a.wav", "s1/b.wav")
    assert match_tables(left, right).right.tolist() == [1, 0]
    # A table of predictions that lies elsewhere names paths from the working folder.
    assert match_tables(paths("results", *left["file"]), right).right.tolist() == [1, 0]
    inside = paths("elsewhere", "s1/b.wav", "s1/a.wav")
    assert match_tables(inside, left, root="corpus").left_only.tolist() == [0, 1]
    apart = match_tables(inside, paths("", "corpus/s1/a.wav"), root=str(tmp_path))
    assert apart.right.tolist() == [-1, -1]


def test_two_paths_to_one_file_stay_apart(tmp_path):
    (tmp_path / "a.wav").touch()
    (tmp_path / "b.wav").symlink_to(tmp_path / "a.wav")
    left = paths(str(tmp_path), "a.wav", "b.wav", "c.wav")
    assert match_tables(left, paths(str(tmp_path), "a.wav", "b.wav")).right.tolist() == [0, 1, -1]


def test_tables_match_by_stem():
    found = match_tables(paths("", "x/a.wav", "y/b.flac"), paths("", "b", "a.txt"), match="stem")
    assert found.right.tolist() == [1, 0]


def test_a_shared_stem_is_refused():
    found = sentence(
        match_tables, paths("", "x/a.wav", "y/a.wav"), paths("", "a"), match="stem",
        names=("p.csv", "t.csv"),
    )  # fmt: skip
    assert found == (
        "p.csv: x/a.wav and y/a.wav share the name a, expected one file of each name for "
        "--match stem. Join by path instead."
    )


@pytest.mark.parametrize(("kind", "separator"), [("csv", ","), ("tsv", "\t")])
def test_formulas_become_texts_and_numbers_stay_numbers(kind, separator, tmp_path):
    table = PredictionTable.from_columns(
        {
            "file": ["=1+1.wav", "-a.wav", "b.wav"],
            "text": ["=HYPERLINK(1)", "@SUM(A1)", "\tx"],
            "shift": ["-1.5", "+2", "plain"],
            "=x": ["", "\r", "a=b"],
            "avg_logprob": [-0.5, -0.25, -1.0],
        }
    )
    write_table(table, str(tmp_path / "t"), kind, csv_safe=True)
    with (tmp_path / "t").open(newline="") as stream:
        assert list(csv.reader(stream, delimiter=separator)) == [
            ["file", "text", "avg_logprob", "shift", "'=x"],
            ["'=1+1.wav", "'=HYPERLINK(1)", "-0.5", "-1.5", ""],
            ["'-a.wav", "'@SUM(A1)", "-0.25", "+2", "'\r"],
            ["b.wav", "'\tx", "-1", "plain", "a=b"],
        ]


@pytest.mark.parametrize("kind", ["json", "jsonl", "parquet"])
def test_forms_that_no_spreadsheet_computes_stay_as_they_are(kind, tmp_path):
    path = str(tmp_path / f"t.{kind}")
    write_table(PredictionTable.from_rows([{"file": "=a"}]), path, kind, csv_safe=True)
    assert read_table(path)["file"].tolist() == ["=a"]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("n_rows", [0, 1, 2])
def test_pieces_make_the_same_table(kind, n_rows, table, tmp_path):
    rows = table.select(np.arange(n_rows))
    whole, pieces = str(tmp_path / "whole"), str(tmp_path / "pieces")
    write_table(rows, whole, kind)
    with table_stream(pieces, kind, list(table.columns)) as stream:
        for index in range(n_rows):
            some = rows.select(np.array([index]))
            # A piece need not have the columns that are empty in it.
            stream.write(some if index == 0 else some.without_columns(["p_angry", "text"]))
    if kind == "parquet":  # which tells how many row groups there are
        found, expected = (pyarrow.parquet.read_table(path) for path in (pieces, whole))
        assert found.equals(expected)
    else:
        assert (tmp_path / "pieces").read_bytes() == (tmp_path / "whole").read_bytes()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_table_that_was_not_finished_is_not_there(kind, table, tmp_path):
    def stop() -> None:
        with table_stream(str(tmp_path / "t"), kind, list(table.columns)) as stream:
            stream.write(table)
            raise TableError("stop")

    assert sentence(stop) == "stop"
    gc.collect()  # what a writer still does when it is thrown away must do no harm
    assert list(tmp_path.iterdir()) == []


def test_the_tables_of_a_folder_are_read_as_one(tmp_path):
    rows = [{"file": f"{n}.wav", "model": "m", "p_sad": 0.5, "p_happy": 0.5} for n in range(3)]
    rows[2] = {"file": "2.wav", "model": "m", "error": "broken", "who": "b"}
    for name, row in zip(("part-10.parquet", "part-2.csv", "part-1.jsonl"), rows, strict=True):
        write_table(PredictionTable.from_rows([row]), str(tmp_path / name), format_of(name))
    for name in (".part-3.csv", "_part-4.csv", "part-5.csv.tmp", "notes.txt"):
        (tmp_path / name).write_text("file\n9.wav\n")
    (tmp_path / "folder.csv").mkdir()
    found = read_table(str(tmp_path))
    assert found["file"].tolist() == ["2.wav", "1.wav", "0.wav"]
    assert found["who"].tolist() == ["b", "", ""]
    np.testing.assert_array_equal(found["p_sad"], [np.nan, 0.5, 0.5])
    assert found.folder == str(tmp_path)


def test_a_row_may_be_in_one_table_of_a_folder_only(tmp_path):
    for name, model in (("1.csv", "m"), ("2.csv", "other"), ("3.csv", "m")):
        (tmp_path / name).write_text(f"file,model\na.wav,{model}\n")
    assert sentence(read_table, str(tmp_path), name="out") == (
        "out: 1.csv and 3.csv both have a row for a.wav, expected parts of one table, each row in "
        "one of them. Remove one of the two files."
    )


def test_a_folder_without_tables(tmp_path):
    (tmp_path / "a.wav").touch()
    assert sentence(read_table, str(tmp_path), name="out") == (
        "out: a folder without a table, expected files that end in .csv, .tsv, .json, .jsonl, "
        ".ndjson, .parquet, .xlsx, .xlsm. Name the table itself, or check that its run has "
        "finished."
    )


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    assert sentence(read_table, str(tmp_path), name="out") == (
        "out: cannot be listed (Permission denied), expected a folder of tables. "
        "Check its permissions."
    )
