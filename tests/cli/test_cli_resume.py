"""Runs that are killed, interrupted, refused or shared, as real processes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from emocli.cli.app import app
from emocli.pipeline.journal import journal_path

SAMPLES = Path(__file__).parents[1] / "samples"
N_COPIES = 40


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Two hundred recordings, five different ones."""
    folder = tmp_path_factory.mktemp("many") / "rec"
    for number in range(N_COPIES):
        for path in SAMPLES.glob("*.flac"):
            (folder / f"{number:02}").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / f"{number:02}" / path.name)
    return folder.parent


def emocli(*arguments: str, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "emocli", *arguments]
    return subprocess.Popen(command, text=True, stderr=subprocess.PIPE, **options)


def wait_for_rows(output: Path, process: subprocess.Popen) -> None:
    """Until the journal of an output holds a block, or the process has ended."""
    journal = journal_path(str(output))
    while process.poll() is None:
        if journal.exists() and journal.stat().st_size > 4096:
            return
        time.sleep(0.005)


def predict(folder: Path, output: Path, *more: str) -> subprocess.Popen:
    return emocli("predict", "rec", "-q", "-o", str(output), *more, cwd=folder)


def status_of(process: subprocess.Popen) -> int:
    process.communicate()
    return process.returncode


@pytest.fixture(scope="module")
def whole(many):
    """The table of an uninterrupted run."""
    assert status_of(predict(many, many / "whole.csv")) == 0
    return (many / "whole.csv").read_bytes()


def test_killed_again_and_again_a_run_ends_in_the_same_bytes(many, whole):
    output = many / "killed.csv"
    sizes = []
    for _ in range(3):
        process = predict(many, output)
        wait_for_rows(output, process)
        process.kill()
        process.communicate()
        sizes.append(journal_path(str(output)).stat().st_size)
        if output.exists():
            break
    assert status_of(predict(many, output)) == 0
    assert output.read_bytes() == whole
    assert sizes == sorted(sizes)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_runs_say_how_to_go_on(many, whole, number, status):
    output = many / f"{status}.csv"
    process = predict(many, output)
    wait_for_rows(output, process)
    process.send_signal(number)
    said = process.communicate()[1]
    assert process.returncode == status
    assert not output.exists()
    assert said.splitlines()[0] == (
        f"emocli: {output}: interrupted; what is done is kept, and the same command goes on from "
        f"there."
    )
    assert status_of(predict(many, output)) == 0
    assert output.read_bytes() == whole


def test_a_second_emocli_on_the_same_table_is_refused(many):
    output = many / "twice.csv"
    first = predict(many, output)
    wait_for_rows(output, first)
    os.kill(first.pid, signal.SIGSTOP)
    second = predict(many, output)
    said = second.communicate()[1]
    os.kill(first.pid, signal.SIGCONT)
    assert status_of(first) == 0
    assert (second.returncode, said) == (
        1,
        f"emocli: {output}: another emocli is writing it, expected to be the only one. Wait for "
        f"it to end, or choose another place with -o.\n",
    )


def test_head_closes_the_pipe_and_nobody_complains(many):
    with emocli("predict", "rec", "-f", "csv", cwd=many, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith("file,start,end,model")
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode in (0, 141)  # 0 if all rows were in the pipe before it was closed


def test_streamed_rows_are_those_of_the_table(many, whole):
    done = emocli("predict", "rec", "-f", "csv", cwd=many, stdout=subprocess.PIPE)
    assert done.communicate()[0].encode() == whole


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(SAMPLES, tmp_path / "rec")
    return tmp_path


def run(*arguments: str, **options):
    return CliRunner().invoke(app, ["predict", "rec", *arguments], **options)


@pytest.mark.usefixtures("here")
def test_a_second_run_says_what_it_did_not_do_again():
    assert run("-o", "out.csv").stderr == ""
    first = Path("out.csv").read_bytes()
    assert run("-o", "out.csv").stderr == (
        "out.csv: 5 results are from before; --overwrite makes them anew.\n"
    )
    assert Path("out.csv").read_bytes() == first
    assert run("-o", "out.csv", "--overwrite").stderr == ""
    assert run("-o", "out.csv", "--window", "2").stderr == ""  # complete, so it gives way


@pytest.mark.usefixtures("here")
def test_parts_one_below_another_are_the_whole():
    assert run("-o", "whole.csv").exit_code == 0
    lines = Path("whole.csv").read_text().splitlines()
    parts = []
    for number in range(1, 8):  # more parts than recordings
        assert run("-o", f"{number}.csv", "--shard", f"{number}/7").exit_code == 0
        header, *rows = Path(f"{number}.csv").read_text().splitlines()
        assert header == lines[0]
        parts += [row.split(",")[:5] for row in rows]
    assert parts == [row.split(",")[:5] for row in lines[1:]]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("shard", "said"),
    [
        ("2", "'2' is not a part of a whole, such as 2/8"),
        ("1/0", "'1/0' is not a part of a whole, such as 2/8"),
        (
            "0/8",
            "0/8: parts count from 1 to 8; where jobs count from 0, add 1, as in "
            "$((SLURM_ARRAY_TASK_ID + 1))/8",
        ),
        (
            "9/8",
            "9/8: parts count from 1 to 8; where jobs count from 0, add 1, as in "
            "$((SLURM_ARRAY_TASK_ID + 1))/8",
        ),
    ],
)
def test_parts_that_are_none(shard, said):
    done = run("--shard", shard, env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert f"Invalid value for --shard: {said}" in done.stderr


@pytest.mark.usefixtures("here")
def test_a_device_or_pipe_is_written_to_and_stays_what_it_is():
    os.mkfifo("pipe")
    code = "import sys; sys.stdout.write(open('pipe').read())"
    reader = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert run("-o", "pipe", "-f", "csv").exit_code == 0
    assert reader.communicate()[0].startswith("file,start,end,model")
    assert Path("pipe").is_fifo()
    assert sorted(os.listdir()) == ["pipe", "rec"]


@pytest.mark.usefixtures("here")
def test_a_link_is_followed():
    Path("data").mkdir()
    Path("link.csv").symlink_to("data/real.csv")
    assert run("-o", "link.csv").exit_code == 0
    assert Path("link.csv").is_symlink()
    assert Path("data/real.csv").read_text().startswith("file,")
