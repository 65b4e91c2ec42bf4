"""Places of outputs: nothing that is read or foreign is lost, and no draft stays for ever."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from emocli.errors import TableError
from emocli.files import check_output, check_replaced, journal_path, replacing, write_text

OWN = {
    "p.csv": "file,start,end,model,label,p_sad,note,error\na.wav,,,m,sad,1,,\n",
    "t.tsv": "file\tmodel\ttext\na.wav\twhisper\thello\n",
    "f.csv": "file,model,feature.rms\na.wav,logmel,0.5\n",
    "e.csv": "table,model,n,uar\np.csv,m,3,0.5\n",
    "e.json": '{\n  "table": "p.csv",\n  "model": "m",\n  "n": 3\n}\n',
    "p.jsonl": '{"file": "a.wav", "start": null, "model": "m", "label": "sad"}\n',
    "p.json": '[\n{"file": "a.wav", "model": "m"}\n]\n',
    "fuser.json": '{"format": "emocli-fuser", "version": 1}\n',
    "r.html": "<!doctype html>" + "x" * 100_000 + "<p>emocli 0.1.0</p>",
    "a.rttm": "SPEAKER my_call_(2) 1 0.000 2.802 <NA> <NA> neutral 0.4668 <NA>\n",
    "a.srt": "1\n00:00:00,000 --> 00:00:01,500\n[anna: sad 80%] hello\n\n",
    "a.txt": "0.000\t1.500\tanna: sad 80%\n",
    "empty.csv": "",
}
FOREIGN = {
    "notes.csv": "file,emotion\na.wav,sad\n",
    "labels.csv": "file,emotion,speaker,model\na.wav,sad,ann,phone\n",
    "notes.txt": "emotions of calls\n",
    "turns.rttm": "SPEAKER a 1 0.000 2.802 <NA> <NA> SPEAKER_00 <NA> <NA>\n",
    "talk.srt": "1\n00:00:00,000 --> 00:00:01,500\nhello\n\n",
    "words.txt": "0.000\t1.500\thello\n",
    "x.json": '{"file": "a.wav"}\n',
    "a.wav": "RIFF",
}


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refusal(*arguments, **options) -> str:
    with pytest.raises(TableError) as caught:
        check_output(*arguments, **options)
    return str(caught.value)


@pytest.mark.parametrize("name", OWN)
def test_what_emocli_has_made_is_made_again(name):
    write_text(OWN[name], name)
    check_output(name, ["other.csv"])


@pytest.mark.parametrize("name", FOREIGN)
def test_what_others_have_made_stays(name):
    write_text(FOREIGN[name], name)
    assert refusal(name) == (
        f"{name}: there already and not made by emocli, expected a new file or one of its own. "
        f"Choose another place with -o, or add --overwrite."
    )
    check_output(name, overwrite=True)
    journal_path(name).touch()  # of an earlier run of the same command
    check_output(name)


def test_an_input_is_no_output_by_any_path_or_link(tmp_path):
    write_text(OWN["p.csv"], "p.csv")
    os.mkdir("sub")
    os.link("p.csv", "hard.csv")
    os.symlink("p.csv", "soft.csv")
    os.symlink(".", "here")
    places = ("p.csv", "./p.csv", "sub/../p.csv", f"{tmp_path}/p.csv", "hard.csv", "soft.csv")
    for place in (*places, "here/p.csv"):
        for overwrite in (False, True):
            assert refusal(place, [None, "-", "sub", "p.csv"], overwrite=overwrite) == (
                f"{place} is both an input and the output, expected another output, for the input "
                f"would be lost. Choose another place with -o."
            )
    assert refusal("soft.csv", ["hard.csv"], option="--save").endswith("place with --save.")


def test_places_that_cannot_be_written():
    os.mkdir("sub")
    assert refusal("sub", option="--save") == (
        "sub is a folder, expected a file for the table. Give --save a file's name."
    )
    assert refusal("none/p.csv") == (
        "none/p.csv: cannot be written (No such file or directory), expected a folder that exists "
        "and may be written to. Make the folder or choose another place with -o."
    )
    check_output("-")
    check_output(None)


def test_many_places_are_named():
    for name in FOREIGN:
        write_text(FOREIGN[name], name)
    with pytest.raises(TableError, match=r"^notes.csv, turns.rttm: there already"):
        check_replaced(["new.csv", "notes.csv", "-", "turns.rttm"])


def _write_and_wait(ready):
    with replacing("t.csv") as stream:
        stream.write(b"half")
        stream.flush()
        ready.set()
        time.sleep(60)


def drafts():
    return sorted(name for name in os.listdir() if name.endswith(".draft"))


def test_drafts_of_killed_runs_are_cleared_and_those_at_work_are_not():
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    writer = context.Process(target=_write_and_wait, args=(ready,))
    writer.start()
    assert ready.wait(30)
    (draft,) = drafts()
    write_text("whole", "t.csv")
    assert drafts() == [draft]
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    assert drafts() == [draft]
    write_text("again", "t.csv")
    assert drafts() == []
    assert Path("t.csv").read_text() == "again"
