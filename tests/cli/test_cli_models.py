import csv
import io
import json

import checkpoints
import pytest
from typer.testing import CliRunner

from emocli.cli.app import app
from emocli.models import verify
from emocli.models.aliases import aliases


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "200")
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(variable, raising=False)

    def call(*arguments):
        return CliRunner().invoke(app, ["models", *map(str, arguments)])

    return call


@pytest.fixture
def folder(tmp_path):
    return checkpoints.save_network(tmp_path / "mine", checkpoints.speech_network("wav2vec2"))


def test_list_in_a_pipe_is_csv(run):
    done = run("list")
    assert (done.exit_code, done.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["name"] for row in rows] == list(aliases())
    dimensional = next(row for row in rows if row["name"] == "audeering-dim")
    assert dimensional == {
        "name": "audeering-dim",
        "kind": "speech",
        "gives": "arousal dominance valence",
        "here": "no",
        "licence": "CC-BY-NC-SA-4.0",
        "source": "hf:audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim",
    }


def test_list_for_people_and_for_programs(run):
    assert "28 labels" in run("list", "-f", "table").stdout
    facts = json.loads(run("list", "-f", "json").stdout)
    assert [entry["alias"] for entry in facts] == list(aliases())


def test_show_what_is_not_here(run):
    done = run("show", "superb-wav2vec2")
    assert done.exit_code == 0
    assert "neutral, happy, angry, sad" in done.stdout
    assert "no; `emocli models pull superb-wav2vec2` fetches it" in done.stdout


def test_show_a_folder(run, folder):
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# About [it]\n")
    done = run("show", folder)
    assert "16000 Hz" in done.stdout
    assert "# About [it]" in done.stdout
    facts = json.loads(run("show", folder, "-f", "json").stdout)
    assert facts["labels"] == ["neutral", "happy", "angry", "sad"]
    assert facts["on_this_machine"] is True
    assert run("show", folder, "-f", "csv").exit_code == 2


def test_show_a_folder_that_holds_no_model(run, tmp_path):
    done = run("show", tmp_path)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"emocli: {tmp_path}: folder {tmp_path} has no config.json")


def test_show_a_name_that_nobody_has(run):
    done = run("show", "bultin")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr == (
        "emocli: No model is called bultin, and no file or folder is: did you mean builtin? "
        "`emocli models list` shows short names; hf:owner/name and folders work too.\n"
    )


def test_pull_without_a_network(run, tmp_path):
    done = run("pull", "superb-hubert")
    assert (done.exit_code, done.stdout) == (4, "")
    assert done.stderr == (
        "emocli: superb/hubert-large-superb-er is not on this machine and HF_HUB_OFFLINE forbids "
        "the network. Its configuration and weights belong in "
        f"{tmp_path}/hf/hub/models--superb--hubert-large-superb-er; fetch them with `emocli "
        "models pull hf:superb/hubert-large-superb-er` where there is a network.\n"
    )


def test_pull_what_is_here(run, folder):
    done = run("pull", folder)
    assert (done.exit_code, done.stderr) == (0, f"{folder} is on this machine: {folder}\n")
    assert run("pull", folder, "-q").stderr == ""


def test_pull_from_the_hub(run, folder, monkeypatch):
    monkeypatch.setattr("emocli.models.hub.fetch", lambda *_, **__: folder)
    done = run("pull", "someone/model", "--revision", "v1")
    assert (done.exit_code, done.stderr) == (0, f"someone/model is on this machine: {folder}\n")


def test_verify(run, folder):
    verify.record_known_answer(folder)
    done = run("verify", folder, "--device", "cpu")
    assert done.exit_code == 0
    assert "known answer" in done.stdout

    (folder / "known_answer.json").write_text(
        '{"sha256": {"model.safetensors": "' + "0" * 64 + '"}}'
    )
    done = run("verify", folder)
    assert done.exit_code == 1
    assert done.stderr == (
        f"emocli: {folder}: model.safetensors is not what was published. Fetch the model again "
        f"with `emocli models pull --force {folder}`, or install emocli again if it is part of "
        f"it.\n"
    )


def test_verify_what_is_not_here(run):
    done = run("verify", "superb-hubert")
    assert done.exit_code == 4
    assert "--offline forbids the network" in done.stderr
