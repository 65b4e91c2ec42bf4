"""Tables as spreadsheets, databases and other programs write them."""

import contextlib
import datetime
import decimal
import io
import json
import os
import sys
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emocli.errors import MissingDependency, TableError
from emocli.files import find_file, place_of
from emocli.table import PredictionTable, figure_of
from emocli.table_io import read_table, write_table
from emocli.table_reader import ColumnNames, columns_of_frame, has_file_column, parse_columns


def read(data, kind="csv", **names):
    data = data if isinstance(data, bytes) else data.encode()
    return parse_columns(data, "t", kind=kind, columns=ColumnNames(**names))


def cells(data, kind="csv", **names):
    return {name: list(values) for name, values in read(data, kind, **names).items()}


def sentence(data, kind="csv", error=TableError) -> str:
    with pytest.raises(error) as caught:
        PredictionTable.from_columns(read(data, kind), name="t")
    return str(caught.value)


EXPECTED = {"file": ["a.wav", "b.wav"], "emotion": ["sad", "a, b"], "valence": ["0.5", "0.25"]}


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("kind", ["csv", "tsv", None])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_separator_whatever_the_suffix_says(separator, kind, end):
    text = end.join(
        separator.join(f'"{cell}"' if "," in cell else cell for cell in row)
        for row in zip(*([name, *values] for name, values in EXPECTED.items()), strict=True)
    )
    assert cells(text + end, kind) == EXPECTED
    assert cells(f"sep={separator}{end}{text}", kind) == EXPECTED
    assert cells(f'"sep={separator}"{separator * 2}{end}{text}', kind) == EXPECTED
    assert has_file_column(text.encode())


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
def test_every_encoding(encoding):
    text = "file\temotion\nM\u00fcller \u201ex\u201c.wav\ttraurig\n"
    found = read(text.encode(encoding), "tsv")
    assert list(found["file"]) == ["M\u00fcller \u201ex\u201c.wav"]
    told = ("t: not UTF-8, read as Windows-1252.",) if encoding == "cp1252" else ()
    assert found.remarks == told
    assert has_file_column(text.encode(encoding))


def test_names_of_different_ages_keep_their_bytes():
    assert cells("file\n\u017c.wav\n".encode() + b"caf\xe9.wav\n") == {
        "file": ["\u017c.wav", "caf\udce9.wav"]
    }
    assert cells(b"file\n\x81.wav\n") == {"file": ["\udc81.wav"]}  # no Windows-1252 either


def test_half_a_file_in_utf16():
    assert sentence("file\n\U0001f600".encode("utf-16")[:-2]) == (
        "t: cannot be read as UTF-16 (unexpected end of data), as its first bytes say, expected a "
        "table as text. Save it as UTF-8."
    )


@pytest.mark.parametrize(
    "name", ["file", "File", "FILE", "filename", "File Name", "path", "Wav", "name", "audio_path"]
)
def test_what_others_call_the_column_of_files(name):
    assert cells(f"speaker,{name}\nann,a.wav\n") == {"speaker": ["ann"], "file": ["a.wav"]}


def test_of_several_that_may_be_meant_one_is_taken():
    found = cells("name,path,File,wav\nann,p,f,w\n")
    assert found == {"name": ["ann"], "path": ["p"], "file": ["f"], "wav": ["w"]}


def test_names_of_columns_in_any_case():
    found = cells(" File , Emotion,P_Angry,Votes_Sad,Room,Error\na,sad,1,2,x,y\n")
    assert list(found) == ["file", "emotion", "p_angry", "votes_Sad", "Room", "Error"]
    assert list(cells("file,Label,label\na,sad,happy\n")) == ["file", "Label", "label"]


def test_columns_that_are_named():
    text = "file,Pfad,words,who\nx,a.wav,hello,ann\n"
    found = read(text, file="pfad", text="words", speaker="nobody")
    assert dict(found) == {"Pfad": ["x"], "file": ["a.wav"], "text": ["hello"], "who": ["ann"]}
    assert found.named == {"file", "text"}


def test_blanks_after_separators():
    assert cells("file, emotion\na.wav, sad\n") == {"file": ["a.wav"], "emotion": ["sad"]}
    assert cells("file,emotion\na.wav, sad\n")["emotion"] == [" sad"]


def test_empty_rows_and_columns_of_spreadsheets():
    text = "file,emotion,,\na.wav,sad,,\n\n,,,\nb.wav,happy,,,,\n,,,\n"
    assert cells(text) == {"file": ["a.wav", "b.wav"], "emotion": ["sad", "happy"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file;start\na;0,5\nb;1,25\n", ["0.5", "1.25"]),
        ("file;start\na;1.234,5\nb;\n", ["1234.5", ""]),
        ('file,start\na,"1,234.5"\n', ["1234.5"]),
        ("file;start\na;1,234\nb;0,000\n", ["1.234", "0.000"]),
        ("file\tstart\na\t-,5\nb\t1,5e3\n", ["-.5", "1.5e3"]),
    ],
)
def test_decimal_commas(text, expected):
    assert cells(text)["start"] == expected


def test_a_comma_that_may_be_either():
    assert sentence("file;start\na;1.5\nb;1,234\n") == (
        "t: start in row 2 is 1,234, which may be 1.234 or 1234, expected a number without a "
        "comma. Save the table with decimal points and without thousands separators."
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("file,,\na,1,2\n", "t: 2 columns have no name, expected a name for each. Name them in "
         "the header line, or remove them."),
        ('sep="\nfile\n', "t: the first line names '\"' as the separator, expected a comma, "
         "semicolon, tab or bar. Correct the line sep=."),
        (b"\x80\x04\x95", "t: a pickle, which can run programs when it is read, expected a table "
         "as CSV, TSV, JSON, JSON Lines, Parquet or an Excel workbook (.xlsx). Save it in one of "
         "these forms."),
        (b"\x1f\x8b\x08", "t: compressed by gzip, expected a table as CSV, TSV, JSON, JSON Lines, "
         "Parquet or an Excel workbook (.xlsx). Save it in one of these forms."),
        ("file;start\na;x\n", "t: start of a is 'x', expected a number. Correct it or leave it "
         "empty."),
        ("file,p_x\na,1e999\n", "t: p_x of a is '1e999', expected a number. Correct it or leave "
         "it empty."),
        ("file,p_x\na,1_0\n", "t: p_x of a is '1_0', expected a number. Correct it or leave it "
         "empty."),
    ],
)  # fmt: skip
def test_what_cannot_be_told(data, expected):
    assert sentence(data) == expected


@pytest.mark.parametrize("form", ["segments", "whole days"])
def test_audformat(form):
    start = "0 days" if form == "whole days" else "0 days 00:00:00.250000"
    text = f"file,start,end\na.wav,{start},0 days 00:00:01.5\nb.wav,1 days 01:00:00,\nc,0,NaT\n"
    table = PredictionTable.from_columns(read(text))
    first = 0.0 if form == "whole days" else 0.25
    np.testing.assert_array_equal(table["start"], [first, 90000.0, 0.0])
    np.testing.assert_array_equal(table["end"], [1.5, np.nan, np.nan])


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_audformat_in_parquet(unit, tmp_path):
    index = pd.MultiIndex.from_arrays(
        [
            ["a.wav", "b.wav"],
            pd.to_timedelta([0, 1500], unit="ms"),
            pd.to_timedelta([2500, None], unit="ms"),
        ],
        names=["file", "start", "end"],
    )
    frame = pd.DataFrame({"emotion": pd.Categorical(["sad", None])}, index=index).reset_index()
    schema = pa.schema([("file", pa.large_string()), ("start", pa.duration(unit)),
                        ("end", pa.duration(unit)),
                        ("emotion", pa.dictionary(pa.int8(), pa.string()))])  # fmt: skip
    pa.parquet.write_table(
        pa.Table.from_pandas(frame, schema=schema, preserve_index=False, safe=False),
        tmp_path / "t.parquet",
    )
    table = read_table(tmp_path / "t.parquet")
    whole = unit == "s"
    np.testing.assert_allclose(table["start"], [0.0, 1.0 if whole else 1.5])
    np.testing.assert_allclose(table["end"], [2.0 if whole else 2.5, np.nan])
    assert table["emotion"].tolist() == ["sad", ""]


def parquet(**columns) -> bytes:
    stream = io.BytesIO()
    pa.parquet.write_table(pa.table({"file": ["a.wav"], **columns}), stream)
    return stream.getvalue()


DAY = datetime.datetime(2020, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        (pa.array([DAY], pa.timestamp("ns")), "2020-01-02 03:04:05.000000000"),
        (pa.array([DAY.date()], pa.date32()), "2020-01-02"),
        (pa.array([decimal.Decimal("1.50")]), 1.5),
        (pa.array([[1, 2]]), "[1, 2]"),
        (pa.array([{"a": b"x"}]), '{"a": "b\'x\'"}'),
        (pa.array([b"caf\xe9"]), "caf\udce9"),
        (pa.array([True]), True),
        (pa.array([2**64 - 1], pa.uint64()), 2**64 - 1),
        (pa.nulls(1), None),
        (pa.array(["x"]).dictionary_encode(), "x"),
        (pa.array([1.5], pa.float16()), 1.5),
    ],
)
def test_every_type_of_parquet(column, cell):
    assert cells(parquet(x=column), "parquet")["x"] == [cell]
    PredictionTable.from_columns(read(parquet(x=column), "parquet"))


def test_text_of_parquet_that_is_no_utf8():
    buffers = pa.array([b"caf\xe9.wav"]).buffers()
    column = pa.StringArray.from_buffers(1, *buffers[1:])
    stream = io.BytesIO()
    pa.parquet.write_table(pa.table({"file": column}), stream)
    assert cells(stream.getvalue(), "parquet") == {"file": ["caf\udce9.wav"]}


def test_parquet_columns_of_one_name():
    stream = io.BytesIO()
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["file", "file"])
    pa.parquet.write_table(table, stream)
    assert sentence(stream.getvalue(), "parquet") == (
        "t: the header repeats file, expected each column once. Rename or remove the repeated "
        "columns."
    )


def test_a_figure_that_no_float_holds():
    for kind, data in (
        ("json", json.dumps([{"file": "a", "p_x": 10**400}])),
        ("jsonl", json.dumps({"file": "a", "start": 10**400})),
    ):
        name = "p_x" if kind == "json" else "start"
        assert sentence(data, kind).startswith(f"t: {name} of a is 1000000000")
        assert sentence(data, kind).endswith("expected a number. Correct it or leave it empty.")
    assert sentence('[{"file": "a", "p_x": true}]', "json") == (
        "t: p_x of a is True, expected a number. Correct it or leave it empty."
    )
    assert sentence('[{"file": "a", "end": {"a": 1}}]', "json").startswith("t: end of a is '{\"a")


@given(st.one_of(st.integers(), st.floats(), st.text(), st.booleans(), st.none()))
def test_a_figure_is_finite_or_missing_or_refused(value):
    try:
        found = figure_of(value)
    except ValueError:
        return
    assert not np.isinf(found)


@pytest.mark.parametrize("kind", ["csv", "tsv", "json", "jsonl", "parquet"])
def test_half_characters_are_spelled_out_and_written(kind, tmp_path):
    data = b'[{"file": "a\\ud800.wav", "x\\udfff": "\\ud83d", "emoji": "\\ud83d\\ude00"}]'
    table = PredictionTable.from_columns(read(data, "json"))
    write_table(table, str(tmp_path / "t"), kind)
    (row,) = read_table(tmp_path / "t").rows()
    assert row == {"file": "a\\ud800.wav", "x\\udfff": "\\ud83d", "emoji": "\U0001f600"}


def workbook(*sheets) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets, start=1):
        sheet = book.create_sheet(f"S{number}")
        for row in rows:
            sheet.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


ROWS = [
    ["File", "Emotion", "start", "n", "day", None],
    ["a.wav", "sad", datetime.time(0, 0, 1, 500000), 3.0, datetime.date(2020, 1, 2), None],
    [None, None, None, None, None, None],
    [1001, "happy", "0,5", 2.5, None, None],
]


@pytest.mark.parametrize("kind", ["xlsx", None])
def test_a_workbook(kind):
    found = read(workbook([], ROWS, [["notes"]]), kind)
    assert dict(found) == {
        "file": ["a.wav", 1001],
        "emotion": ["sad", "happy"],
        "start": [1.5, "0.5"],
        "n": [3, 2.5],
        "day": ["2020-01-02T00:00:00", None],
    }
    assert found.remarks == ("t: read its sheet S2, not S3.",)
    assert has_file_column(workbook(ROWS))


def test_a_workbook_by_its_suffix(tmp_path):
    (tmp_path / "t.XLSX").write_bytes(workbook(ROWS))
    assert read_table(tmp_path / "t.XLSX")["file"].tolist() == ["a.wav", "1001"]


def test_workbooks_that_are_none(monkeypatch):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", "x")
    assert sentence(packed.getvalue(), None).startswith("t: not an Excel workbook (")
    assert sentence(b"PK\x03\x04 and no more", "xlsx") == (
        "t: not an Excel workbook (File is not a zip file), expected a table. Check that the file "
        "was written completely, or save it as CSV."
    )
    assert sentence(workbook([]), "xlsx") == (
        "t: a workbook without cells, expected a table with a header line. Check which file it is."
    )
    monkeypatch.setattr("emocli.table_reader._LARGEST_WORKBOOK", 1 << 10)
    assert sentence(workbook(ROWS), "xlsx") == (
        "t: a workbook of more than 0 MB when unpacked, expected a smaller table. Save it as CSV."
    )


def test_a_workbook_without_openpyxl(monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    assert sentence(workbook(ROWS), "xlsx", MissingDependency) == (
        "Excel workbooks cannot be read without openpyxl, which is not installed. "
        'Install it with pip install "emocli[excel]", or save the sheet as CSV.'
    )


def test_a_data_frame():
    frame = pd.DataFrame(
        {
            "path": ["a.wav", "b.wav"],
            "start": pd.to_timedelta(["1s", None]),
            "day": pd.to_datetime(["2020-01-02", None]),
            "n": pd.array([1, None], dtype="Int64"),
            "score": np.float32([0.5, np.nan]),
        }
    )
    found = columns_of_frame(frame, "t")
    assert found["file"] == ["a.wav", "b.wav"]
    assert (found["start"], found["n"]) == ([1.0, None], [1, None])
    assert found["day"] == ["2020-01-02T00:00:00", None]
    table = PredictionTable.from_columns(found)
    assert table["score"].tolist() == ["0.5", ""]


def frame_fault(frame) -> str:
    with pytest.raises(TableError) as caught:
        columns_of_frame(frame, "t")
    return str(caught.value)


def test_data_frames_that_are_no_tables():
    assert frame_fault(pd.DataFrame([["a", 1]])) == (
        "t: its columns have the names 0, 1, expected texts such as 'file'. Name the columns of "
        "the data frame."
    )
    twice = pd.DataFrame({"file": ["a"]}, index=pd.Index(["a"], name="file"))
    assert frame_fault(twice) == (
        "t: file is in its index and among its columns, expected it once. Drop one of them."
    )
    assert frame_fault(pd.DataFrame([["a", "b"]], columns=["file", "file"])) == (
        "t: the header repeats file, expected each column once. Rename or remove the repeated "
        "columns."
    )


@pytest.mark.parametrize(
    ("data", "is_table"),
    [
        ("a.wav\nb.wav\n", False),
        ("audio\nb.wav\n", False),
        ("file\n", True),
        ("sep=;\nFile;x\n", True),
        ("wav,speaker\n", True),
        ('{"file": "a"}', True),
    ],
)
def test_tables_and_lists_of_paths(data, is_table):
    assert has_file_column(data.encode()) is is_table


def test_a_list_may_have_a_column_of_any_name():
    assert has_file_column(b"pfad;x\na;b\n", ColumnNames(file="Pfad"))
    assert not has_file_column(b"pfad;x\na;b\n")


@given(st.binary(max_size=200), st.sampled_from(["csv", "tsv", "json", "jsonl", "xlsx", None]))
def test_no_bytes_end_in_another_error(data, kind):
    with contextlib.suppress(TableError):
        PredictionTable.from_columns(read(data, kind))


def test_names_on_disk_are_found_in_any_spelling(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    decomposed = unicodedata.normalize("NFD", "M\u00fcller")
    os.makedirs(f"{decomposed}/sub")
    for name in ("a b.wav", decomposed + ".wav"):
        open(f"{decomposed}/sub/{name}", "w").close()
    open(b"caf\xe9.wav", "w").close()
    expected = f"{decomposed}/sub/{decomposed}.wav"
    for folder in ("M\u00fcller", decomposed):
        for separator in "/\\":
            for stem in ("M\u00fcller", decomposed):
                assert find_file(f"{folder}{separator}sub{separator}{stem}.wav") == expected
    assert find_file("sub\\a b.wav", ("", "M\u00fcller")) == f"{decomposed}/sub/a b.wav"
    assert find_file(f"{tmp_path}\\M\u00fcller") == f"{tmp_path}/{decomposed}"
    assert find_file("caf\u00e9.wav") == os.fsdecode(b"caf\xe9.wav")
    assert find_file("none\\\u00e9.wav") is None
    assert find_file("M\u00fcll\0er") is None
    assert place_of("sub\\none.wav", "M\u00fcller") == Path("M\u00fcller/sub\\none.wav")
    assert place_of("sub\\a b.wav", "M\u00fcller") == Path(f"{decomposed}/sub/a b.wav")
    open("back\\slash.wav", "w").close()
    assert find_file("back\\slash.wav") == "back\\slash.wav"
