"""The README's commands, run in its order in one folder, and what it shows of their output."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```console\n(.*?)```", README, re.DOTALL)


def commands() -> list[tuple[str, str]]:
    """Each command of the README with what is printed below it; set-up commands left out."""
    found = []
    for block in BLOCKS:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            if ".venv/" not in command:
                found.append((command, shown.rstrip()))
    return found


def masked(text: str) -> list[str]:
    """Lines without their digits, bars and runs of blanks: figures differ from CPU to CPU."""
    bare = re.sub(r"[█▏▎▍▌▋▊▉─]", "", re.sub(r"\d+", "#", text))
    return [" ".join(line.split()) for line in bare.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The samples where a clone has them, and nothing else."""
    place = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "tests" / "samples", place / "tests" / "samples")
    return place


def run(command: str, folder: Path) -> subprocess.CompletedProcess:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(folder / "hub"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "COLUMNS": "88",
        "NO_COLOR": "1",
        "EMOCLI_FORMAT": "table",
    }
    if "|" in command or "-o " in command:
        environment.pop("EMOCLI_FORMAT")
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )


def test_the_readme_s_commands_do_what_it_shows(folder):
    assert len(commands()) > 5
    for command, shown in commands():
        done = run(command, folder)
        if "transcribe" in command:  # its checkpoint is not part of the package
            assert "Whisper base is not on this machine" in done.stdout
            continue
        expected = 3 if "notes.wav" in shown else 0
        assert done.returncode == expected, f"{command}\n{done.stdout}"
        if shown:
            assert masked(done.stdout) == masked(shown), command


def test_the_first_command_s_main_job(folder):
    (first,) = [block for block in BLOCKS if "pip install ." in block]
    job = shlex.split(first)[-3:]
    assert job[0] == ".venv/bin/emocli"
    done = run(f"cd {ROOT} && emocli {shlex.join(job[1:])}", folder)
    assert done.returncode == 0
    (shown,) = re.findall(r"comes with it:\n\n```\n(.*?)```", README, re.DOTALL)
    assert masked(done.stdout)[: len(masked(shown))] == masked(shown)


def test_the_check_script_runs_the_readme_s_test_command():
    (tests,) = [block for block in BLOCKS if ".[test]" in block]
    command = tests.removeprefix("$ ").strip().replace(".venv/bin/", "")
    assert command in (ROOT / ".ci" / "run").read_text()
