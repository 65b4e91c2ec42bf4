"""Inputs that somebody damaged or made up, and the doors by which files come into emocli.

A door takes the bytes of a file. It may refuse them with an `EmocliError`; any other exception, a
hang or a crash of the process is a fault.
"""

import contextlib
import copy
import datetime
import decimal
import io
import json
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from audio_files import film
from checkpoints import (
    DIMENSIONS,
    EMOTIONS,
    challenge_checkpoint,
    dense_checkpoint,
    save_network,
    save_tokenizer,
    speech_network,
    text_network,
)

from emocli.audio.decode import read_waveform
from emocli.calibration.conformal import LabelSets, SetRule
from emocli.calibration.fitting import MAPS
from emocli.calibration.storage import dump_calibration, load_calibration
from emocli.calibration.tables import Calibration
from emocli.errors import EmocliError
from emocli.fusion.storage import load_fuser
from emocli.label_tracks import FORMATS as TRACKS
from emocli.label_tracks import SUFFIXES, Mark, label_track
from emocli.models import registry
from emocli.models.checkpoint import Checkpoint
from emocli.models.registry import describe
from emocli.pipeline.inputs import read_inputs
from emocli.pipeline.speakers import read_turns
from emocli.posteriors import log_softmax
from emocli.table_io import FORMATS, parse_table, read_table, write_table
from emocli.training.recipe import read_recipe

BYTES = (0, 1, 0x0A, 0x22, 0x2C, 0x7F, 0x80, 0xFF)
PIECES = (
    b"\x00" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\n", b"\r\n", b'"', b",,,,", b"nan", b"-inf",
    b"1e999", b"-1", b"99999999999999999999", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"[" * 50, b"{}",
    b"null", b"true", b"fmt ", b"data", b"LIST", b"fLaC", b"OggS", b"ID3\x04", b"=1+1", b"\x1b[31m",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 0.5, -1e308, 1e308, float("nan"),
    float("inf"), "", "a", "\x00", "\ud800", "9" * 400, "0\u2028", "1\x00", 10**400, "angry",
    [], [[]], [None], {}, {"": None}, [0] * 40, {"a": {"a": {"a": []}}},
)  # fmt: skip


@dataclass(frozen=True)
class Door:
    """A way for a file into the program.

    Attributes:
        name: in reports.
        seeds: whole files to damage.
        enter: takes damaged bytes and the number of the seed that they were.
        n_tries: how often the tests try it.
    """

    name: str
    seeds: tuple[bytes, ...]
    enter: Callable[[bytes, int], object]
    n_tries: int = 150

    def refuses_or_takes(self, data: bytes, seed: int) -> bool:
        """Whether the bytes were taken; anything but a refusal is passed on."""
        try:
            self.enter(data, seed)
        except EmocliError:
            return False
        return True


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """A file with one to six alterations; JSON is altered in its structure half the time."""
    if data[:1] in (b"{", b"[") and rng.random() < 0.5:
        return _restructured(data, rng)
    altered = bytearray(_repaged(data, rng) if data[:4] == PAGE and rng.random() < 0.3 else data)
    for _ in range(rng.integers(1, 7)):
        _alter(altered, rng)
    return bytes(altered)


PAGE = b"OggS"


def _repaged(data: bytes, rng: np.random.Generator) -> bytes:
    """An Ogg file whose pages are left out, repeated or exchanged."""
    pages = [PAGE + page for page in data.split(PAGE)[1:]]
    for _ in range(rng.integers(1, 4)):
        one, other = (int(place) for place in rng.integers(len(pages), size=2))
        kind = rng.integers(3)
        if kind == 0 and len(pages) > 1:
            del pages[one]
        elif kind == 1:
            pages.insert(other, pages[one])
        else:
            pages[one], pages[other] = pages[other], pages[one]
    return b"".join(pages)


def _alter(data: bytearray, rng: np.random.Generator) -> None:
    place = int(rng.integers(len(data) + 1))
    # Headers come first, and most of what can go wrong is in them.
    if rng.random() < 0.5:
        place = min(place, int(rng.integers(1, 129)))
    end = place + int(rng.integers(1, 33))
    kind = rng.integers(8)
    if kind == 0 and place < len(data):
        data[place] ^= 1 << int(rng.integers(8))
    elif kind == 1 and place < len(data):
        data[place] = BYTES[rng.integers(len(BYTES))]
    elif kind == 2:
        data[place:place] = PIECES[rng.integers(len(PIECES))]
    elif kind == 3:
        piece = PIECES[rng.integers(len(PIECES))]
        data[place : place + len(piece)] = piece
    elif kind == 4:
        del data[place:end]
    elif kind == 5:
        data[place:place] = data[place:end]
    elif kind == 6:
        n_bytes = int(rng.choice((2, 4, 8)))  # a size or a count, as large as it can be, or none
        value = int(rng.choice((0, 1, 127, 128, 255)))
        order: Any = rng.choice(("big", "little"))
        number = (value << 8 * (n_bytes - 1) | (1 << 8 * (n_bytes - 1)) - 1) if value else 0
        data[place : place + n_bytes] = number.to_bytes(n_bytes, order)
    elif rng.random() < 0.3:
        del data[place:]


def _restructured(data: bytes, rng: np.random.Generator) -> bytes:
    first, *others = data.split(b"\n") if data[-1:] != b"\n" else [data]  # JSON Lines or JSON
    content = json.loads(first)
    for _ in range(rng.integers(1, 4)):
        holders = list(_holders(content))
        holder, key = holders[rng.integers(len(holders))] if holders else (None, None)
        if holder is None:
            break
        kind = rng.integers(4)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[str(key) + "x"] = copy.deepcopy(holder[key])
        elif kind == 2 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        else:
            holder[key] = copy.deepcopy(VALUES[rng.integers(len(VALUES))])
    altered = json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return b"\n".join([altered, *others])


def _holders(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON value, as the object or list that it is in and its key there."""
    keys = content if isinstance(content, dict) else range(len(content))
    for key in list(keys):
        yield content, key
        if isinstance(content[key], dict | list):
            yield from _holders(content[key])


def open_door(name: str, folder: Path) -> Door:
    """A door by its name; its files are written into a folder, best one in memory."""
    return DOORS[name](name, folder)


CSV = (
    b"file,start,end,model,label,p_angry,p_sad,entropy,note,error,speaker\n"
    b"a.wav,0.000,1.500,m,angry,0.75,0.25,0.562,,,ann\n"
    b'"b, c.wav",,,m,sad,0.5,0.5,0.693,clipped,,bob\n'
    b"d.wav,,,m,,,,,,unreadable,\n"
)
ROWS = [
    {"file": "a.wav", "start": 0, "end": 1.5, "model": "m", "label": "sad", "p_sad": 1, "x": None},
    {"file": "b.wav", "label": "sad", "p_sad": 0.75, "p_angry": 0.25, "text": "ja, \u00fc"},
]
TABLES: tuple[tuple[bytes, str | None], ...] = (
    (CSV, "csv"),
    (CSV, None),
    (CSV.replace(b",", b"\t"), "tsv"),
    (json.dumps(ROWS).encode(), "json"),
    (b"\n".join(json.dumps(row).encode() for row in ROWS), "jsonl"),
    (b"file,label,score\na.wav,angry,0.5\n", "csv"),
)


AUDIO = (
    ("WAV", "PCM_16", 1), ("WAV", "FLOAT", 2), ("WAV", "PCM_24", 3), ("WAV", "ULAW", 1),
    ("WAVEX", "PCM_32", 6), ("RF64", "PCM_16", 1), ("FLAC", "PCM_16", 2), ("OGG", "VORBIS", 1),
    ("OGG", "OPUS", 1), ("MP3", "MPEG_LAYER_III", 1), ("AIFF", "PCM_16", 1), ("AU", "PCM_16", 1),
    ("CAF", "ALAC_16", 1), ("WAV", "MS_ADPCM", 1), ("WAV", "GSM610", 1), ("W64", "PCM_16", 2),
)  # fmt: skip
FILMS = (
    ("ipod", "aac"), ("matroska", "aac"), ("mp4", "alac"), ("asf", "wmav2"), ("mpegts", "aac"),
    ("matroska", "flac"), ("mov", "aac"),
)  # fmt: skip


def _tables(name: str, _: Path) -> Door:
    def enter(data: bytes, seed: int) -> None:
        parse_table(data, "table", kind=TABLES[seed][1])

    return Door(name, tuple(data for data, _ in TABLES), enter)


def _written_tables(name: str, folder: Path) -> Door:
    """Tables that are read, and then written in every form and read once more."""

    def enter(data: bytes, seed: int) -> None:
        table = parse_table(data, "table", kind=TABLES[seed][1])
        for kind in FORMATS:
            write_table(table, str(folder / kind), kind)
            read_table(str(folder / kind))

    return Door(name, tuple(data for data, _ in TABLES), enter, n_tries=40)


COLUMN_NAMES = ("start", "end", "p_angry", "label", "emotion", "text", "valence", "votes_sad", "x")


def _parquet(name: str, _: Path) -> Door:
    """Columns of any type under any name; and whole files with bytes damaged."""
    import pyarrow as pa
    import pyarrow.parquet

    day = datetime.datetime(2020, 1, 2, 3, 4, 5)
    bad_text = pa.StringArray.from_buffers(2, *pa.array([b"caf\xe9", b"a"]).buffers()[1:])
    cells: tuple[Any, ...] = (
        pa.array([0.25, None]), pa.array([1, 2**62]), pa.array([2**64 - 1, 0], pa.uint64()),
        pa.array([True, None]), pa.nulls(2), bad_text, pa.array([b"caf\xe9", None]),
        pa.array(["a", "b"]), pa.array(["a", None]).dictionary_encode(),
        pa.array([day, None]), pa.array([day, None], pa.timestamp("ns", "UTC")),
        pa.array([day.date(), None]), pa.array([day.time(), None]),
        pa.array([10**9, None], pa.duration("ns")), pa.array([2**62, -5], pa.duration("s")),
        pa.array([decimal.Decimal("1.50"), None]), pa.array([[1], None]),
        pa.array([{"a": {"b": day}}, None]), pa.array([[("k", 1)], None], pa.map_("str", "i8")),
        pa.array([float("inf"), float("nan")]), pa.array([1.5, None], pa.float16()),
        pa.array(["a", "b"], pa.large_string()), pa.array(["a", None], pa.string_view()),
        pa.array([1, 1]).dictionary_encode(),
        pa.array([(1, 2, 3), None], pa.month_day_nano_interval()),
    )  # fmt: skip

    def made(rng: np.random.Generator) -> bytes:
        names = ["file", *rng.choice(COLUMN_NAMES, int(rng.integers(1, 5)))]
        columns = [cells[rng.integers(len(cells))] for _ in names]
        if rng.random() < 0.7:
            columns[0] = pa.array(["a.wav", "b.wav"])
        stream = io.BytesIO()
        try:
            pa.parquet.write_table(pa.Table.from_arrays(columns, names=names), stream)
        except (pa.ArrowException, NotImplementedError):  # Parquet has no such type
            return seed
        return stream.getvalue()

    stream = io.BytesIO()
    pa.parquet.write_table(pa.table({"file": ["a.wav"], "start": [0.5]}), stream)
    seed = stream.getvalue()

    def enter(data: bytes, _: int) -> None:
        rng = np.random.default_rng(list(data[-64:]))
        if data == seed or rng.random() < 0.5:
            parse_table(data, "table", kind="parquet")
        else:
            parse_table(made(rng), "table", kind="parquet")

    return Door(name, (seed,), enter)


def _workbooks(name: str, _: Path) -> Door:
    """Excel workbooks whose sheets are damaged inside the zip file, or the zip file itself."""
    import openpyxl

    book = openpyxl.Workbook()
    for row in (["file", "start", "emotion"], ["a.wav", 0.5, "sad"], ["b.wav", None, "happy"]):
        book.active.append(row)
    stream = io.BytesIO()
    book.save(stream)
    with zipfile.ZipFile(stream) as packed:
        parts = {one: packed.read(one) for one in packed.namelist()}
    inner = ("xl/worksheets/sheet1.xml", "xl/workbook.xml", "xl/styles.xml", "xl/sharedStrings.xml")
    names = [one for one in inner if one in parts]

    def enter(data: bytes, number: int) -> None:
        whole = data
        if number:
            stream = io.BytesIO()
            with zipfile.ZipFile(stream, "w") as packed:
                for one, content in {**parts, names[number - 1]: data}.items():
                    packed.writestr(one, content)
            whole = stream.getvalue()
        parse_table(whole, "table", kind="xlsx")

    return Door(name, (stream.getvalue(), *(parts[one] for one in names)), enter)


def _audio(name: str, folder: Path) -> Door:
    rng = np.random.default_rng(5)
    seeds, paths = [], []
    for form, subtype, n_channels in AUDIO:
        samples = rng.normal(0, 0.1, (1600, n_channels)).astype(np.float32)
        stream = io.BytesIO()
        soundfile.write(stream, samples, 16000, format=form, subtype=subtype)
        seeds.append(stream.getvalue())
        suffix = {"WAVEX": "wav", "RF64": "wav"}.get(form, form.lower())
        paths.append(folder / f"hostile.{suffix}")

    for form, codec in FILMS:
        samples = rng.normal(0, 0.1, (4800, 2)).astype(np.float32)
        seeds.append(film(form, codec, [samples, samples], bit_rate=64000))
        paths.append(folder / f"hostile.{form}")
    seeds.append(seeds[7] + seeds[7])  # two links of an Ogg
    paths.append(folder / "hostile.ogg")

    def enter(data: bytes, seed: int) -> None:
        paths[seed].write_bytes(data)
        # As a whole, or entered somewhere.
        start = (None, 0.02, 0.05)[zlib.crc32(data) % 3]
        waveform = read_waveform(paths[seed], 16000, start=start)
        assert np.isfinite(waveform.samples).all()

    return Door(name, tuple(seeds), enter)


def _manifests(name: str, folder: Path) -> Door:
    (folder / "a.wav").touch()
    seeds = (
        b"file,text\na.wav,hello\n",
        b'{"file": "a.wav", "start": 0, "end": 2}\n',
        CSV.replace(b",", b"\t"),
    )
    paths = [folder / name for name in ("m.csv", "m.jsonl", "m.tsv")]

    def enter(data: bytes, seed: int) -> None:
        paths[seed].write_bytes(data)
        read_inputs([str(paths[seed])])

    return Door(name, seeds, enter)


def _fusers(name: str, folder: Path) -> Door:
    return Door(name, tuple(_fitted_fusers(folder)), lambda data, _: load_fuser(data, "fuser"))


FUSED = ("entropy-selection", "bayes", "blend", "logistic", "stacking", "ridge")


def _fitted_fusers(folder: Path) -> Iterator[bytes]:
    """Fusers of every kind, fitted by the command to made-up tables."""
    rng = np.random.default_rng(2)
    emotions, sentiments = ("angry", "happy", "neutral", "sad"), ("negative", "neutral", "positive")
    truth = rng.integers(0, 4, 80)
    _write_posteriors(folder / "speech.csv", "speech", emotions, rng, truth)
    _write_posteriors(folder / "text.csv", "text", sentiments, rng, np.array([0, 2, 1, 0])[truth])
    columns = ["file,model,valence", "file,model,valence", "file,emotion,valence"]
    names = ("one.csv", "two.csv", "truth.csv")
    for name, header in zip(names, columns, strict=True):
        rows = (
            f"{i}.wav,{emotions[label] if name == 'truth.csv' else name},{rng.random():.3f}"
            for i, label in enumerate(truth)
        )
        (folder / name).write_text("\n".join([header, *rows]) + "\n")
    for method in FUSED:
        tables = ("one.csv", "two.csv") if method == "ridge" else ("speech.csv", "text.csv")
        command = [sys.executable, "-m", "emocli", "fuse", *tables, "--method", method]
        command += ["--fit", "truth.csv", "--save", "fuser", "-o", "out.csv", "-q"]
        subprocess.run(command, cwd=folder, check=True)
        (folder / "out.csv").unlink()
        yield (folder / "fuser").read_bytes()
        (folder / "fuser").unlink()


def _write_posteriors(
    path: Path, model: str, labels: tuple[str, ...], rng: np.random.Generator, truth: Any
) -> None:
    logits = rng.normal(0, 1, (len(truth), len(labels)))
    logits[np.arange(len(truth)), truth] += 1
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    rows = [",".join(["file", "model", *(f"p_{label}" for label in labels)])]
    rows += [f"{i}.wav,{model}," + ",".join(f"{p:.9f}" for p in row) for i, row in enumerate(probs)]
    path.write_text("\n".join(rows) + "\n")


def _calibrations(name: str, _: Path) -> Door:
    def enter(data: bytes, _: int) -> None:
        load_calibration(data.decode("utf-8", "replace"), "calibration")

    return Door(name, tuple(_fitted_calibrations()), enter)


def _fitted_calibrations() -> Iterator[bytes]:
    rng = np.random.default_rng(3)
    labels = ("angry", "happy", "sad")
    log_probs = log_softmax(rng.normal(size=(60, 3)))
    sets = LabelSets(SetRule(0.9, True, 0.01, True), (0.75, 0.5, 0.25))
    for method, kind in MAPS.items():
        fitted = kind.fit(log_probs, rng.integers(0, 3, 60))
        given = Calibration(labels, "m@1", fitted, sets if method == "vector" else None, 60)
        yield dump_calibration(given).encode()


def _configurations(name: str, folder: Path) -> Door:
    places = [
        save_network(folder / "speech", speech_network("wav2vec2")),
        save_network(folder / "text", text_network("roberta")),
    ]
    seeds = tuple((place / "config.json").read_bytes() for place in places)

    def enter(data: bytes, seed: int) -> None:
        (places[seed] / "config.json").write_bytes(data)
        describe(str(places[seed]))

    return Door(name, seeds, enter)


def _models(name: str, folder: Path) -> Door:
    """Configurations of models of every kind, which are loaded and asked."""
    kinds = {
        "speech": save_network(folder / "m-speech", speech_network("wav2vec2")),
        "text": save_tokenizer(save_network(folder / "m-text", text_network("roberta", 4))),
        "dense": dense_checkpoint(folder / "m-dense", "out_proj", DIMENSIONS),
        "challenge": challenge_checkpoint(folder / "m-challenge", EMOTIONS),
    }
    embedded = Path(registry.__file__).parent / "builtin"
    for kind in ("speech", "text-sentiment"):
        kinds[f"embedded {kind}"] = Path(shutil.copytree(embedded / kind, folder / f"m-{kind}-own"))
    files = [place / "config.json" for place in kinds.values()]
    files.append(kinds["speech"] / "preprocessor_config.json")
    seeds = tuple(file.read_bytes() for file in files)
    sound = np.linspace(-0.1, 0.1, 1600, dtype=np.float32)

    def enter(data: bytes, seed: int) -> None:
        files[seed].write_bytes(data)
        try:
            describe(str(files[seed].parent))
            model = registry.resolve(str(files[seed].parent), device="cpu")
            model.logits([sound if model.card.modality == "speech" else "i am happy"])
        finally:
            files[seed].write_bytes(seeds[seed])

    return Door(name, seeds, enter, n_tries=40)


def _safetensors(name: str, folder: Path) -> Door:
    place = save_network(folder / "weights", speech_network("wav2vec2"))
    weights = (place / "model.safetensors").read_bytes()
    n_header = 8 + int.from_bytes(weights[:8], "little")

    def enter(data: bytes, _: int) -> None:
        # The header is damaged; the tensors behind it stay.
        (place / "model.safetensors").write_bytes(data + weights[n_header:])
        checkpoint = Checkpoint(place, "hostile")
        assert checkpoint.n_parameters >= 0
        checkpoint.load()

    return Door(name, (weights[:n_header],), enter)


def _recipes(name: str, folder: Path) -> Door:
    path = folder / "recipe.toml"
    shipped = Path(read_recipe.__code__.co_filename).parent / "recipes" / "builtin.toml"

    def enter(data: bytes, _: int) -> None:
        path.write_bytes(data)
        read_recipe(path)

    return Door(name, (shipped.read_bytes(),), enter)


RTTM = b"SPEAKER a 1 0.0 1.5 <NA> <NA> ann <NA> <NA>\nSPEAKER a 1 1.0 2.5 <NA> <NA> bob <NA> <NA>\n"


def _turns(name: str, folder: Path) -> Door:
    marks = [Mark(0, 1.5, "sad", 0.8, "ann", "hello"), Mark(1, 2.5, "happy", 0.5, "bob")]
    tracks = {form: label_track(marks, form, "a.wav").encode() for form in TRACKS}
    seeds = {"rttm": RTTM, "csv": b"speaker,start,end\nann,0,1.5\nbob,1,2\n", **tracks}
    suffixes = {"rttm": ".rttm", "csv": ".csv", **SUFFIXES}
    paths = [folder / f"turns{suffixes[form]}" for form in seeds]

    def enter(data: bytes, seed: int) -> None:
        paths[seed].write_bytes(data)
        read_turns(str(paths[seed]))

    return Door(name, tuple(seeds.values()), enter)


WORDS = (
    "-o", "-f", "--truth", "t.csv", "t.json", "truth.csv", "-", "", "--overwrite", "--root", "x",
    "--match", "stem", "--file-column", "emotion", "--speaker-column", "label", "--text-column",
    "--draws", "0", "9" * 400, "-1", "1e999", "nan", "\ud800", "\udcff", "a\u2028b", "--labels",
    "sad,angry", "--truth-column", "p_sad", "csv", "json", "parquet", "table", "out.csv",
    "--by", "speaker", "--save", "--fit", "--method", "mean", "product", "--weights", "1,nan",
    "--abstain-above", "--abstain-below", "--apply", "--conformal", "0.9", "--plot", "p.svg",
)  # fmt: skip
TRUTH = (
    b"""file,emotion,speaker\na.wav,angry,ann\nb.wav,sad,bob\n"b, c.wav",sad,ann\nd.wav,sad,bob\n"""
)
_ANY = ("--truth", "truth.csv", "--ignore-extra")
COMMANDS = (
    ("eval", "TABLE", *_ANY, "--allow-missing", "--draws", "0"),
    ("eval", "other.csv", "--truth", "TABLE", "--ignore-extra", "--allow-missing", "-f", "json"),
    ("fuse", "TABLE", "other.csv", "--allow-missing"),
    ("calibrate", "TABLE", *_ANY, "--method", "temperature"),
    ("calibrate", "TABLE", "--abstain-above", "0.5", "-f", "table"),
    ("report", "TABLE", "--truth", "truth.csv"),
)


def _command_line(name: str, folder: Path) -> Door:
    """Damaged tables and odd words for the commands that work on tables."""
    from typer.testing import CliRunner

    from emocli.cli.app import app

    tables = {"t.csv": CSV, "t.json": json.dumps(ROWS).encode(), "l.csv": TRUTH}
    runner, paths = CliRunner(), [folder / one for one in tables]

    def enter(data: bytes, seed: int) -> None:
        for one in folder.iterdir():
            if one.is_file():
                one.unlink()
        (folder / "truth.csv").write_bytes(
            b"file,emotion,speaker\na.wav,angry,ann\nb.wav,sad,bob\n"
        )
        (folder / "other.csv").write_bytes(CSV.replace(b",m,", b",n,"))
        paths[seed].write_bytes(data)
        rng = np.random.default_rng(list(data))
        is_whole = data in tables.values()
        command = COMMANDS[paths[seed].name == "l.csv" if is_whole else rng.integers(len(COMMANDS))]
        words = [paths[seed].name if one == "TABLE" else one for one in command]
        for _ in range(0 if is_whole else rng.integers(0, 3)):
            words.insert(int(rng.integers(1, len(words) + 1)), str(rng.choice(WORDS)))
        with contextlib.chdir(folder):
            found = runner.invoke(app, words, env={"COLUMNS": "100"})
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception
        assert found.exit_code in (0, 1, 2, 3, 4)
        if found.exit_code in (1, 2):
            raise EmocliError(found.stderr)

    return Door(name, tuple(tables.values()), enter, n_tries=40)


DOORS: dict[str, Callable[[str, Path], Door]] = {
    "audio": _audio,
    "tables": _tables,
    "tables written": _written_tables,
    "parquet": _parquet,
    "workbooks": _workbooks,
    "manifests": _manifests,
    "fusers": _fusers,
    "calibrations": _calibrations,
    "config.json": _configurations,
    "models": _models,
    "safetensors headers": _safetensors,
    "recipes": _recipes,
    "turns": _turns,
    "command line": _command_line,
}
