"""``emocli train crossmodal-*`` as a user types it."""

import re

import pytest
from crossmodal_data import corpus, settings
from typer.testing import CliRunner

from emocli.cli.app import app

RECIPE = "crossmodal-whisper-roberta-ii"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    corpus(folder)
    return folder


def run(*words):
    return CliRunner().invoke(app, [*map(str, words)])


def chosen(*more):
    return [word for one in settings("logmel", "words", *more) for word in ("--set", one)]


def test_the_list_names_the_twelve_networks_and_the_stack():
    result = run("train", "--list")
    names = re.findall(r"^crossmodal-\S+", result.stdout, re.MULTILINE)
    assert len(names) == 13
    assert "crossmodal-whisper-roberta-prosody-ii" in names


def test_a_dry_run_prints_data_networks_and_memory_and_needs_no_encoder(place):
    result = run("train", RECIPE, "--data", place / "labels.csv", "--dry-run", "--offline",
                 "--cache", place / "features")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    said = " ".join(result.stdout.split())
    for fact in (
        "recipe crossmodal-whisper-roberta-ii", "gives angry, sad, neutral",
        "train 60 utterances, 5 speakers: 20 angry, 20 sad, 20 neutral",
        "class weights angry 1, sad 1, neutral 1",
        "whisper-roberta-ii whisper-large-v3 (1280), roberta-large (1024); design ii, "
        "neutral-expressive; 17,989,638 parameters; 20 steps",
        "learning rate 1e-05; cosine-by-epoch", "step 1 x 64 utterances",
        "computes on cpu in fp32", "memory, weights 68.6 MiB", "memory, together (estimate)",
    ):  # fmt: skip
        assert fact in said
    assert not (place / "features").exists()
    stack = run("train", "crossmodal-stack", "--data", place / "labels.csv", "--dry-run")
    assert "for which each network is trained 5 more times" in " ".join(stack.stdout.split())


def test_a_network_is_trained_and_predicts(place, tmp_path):
    result = run("train", RECIPE, "--data", place / "labels.csv", *chosen(), "--cache",
                 place / "features", "-o", tmp_path / "m")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    best, wrote = result.stderr.splitlines()
    assert re.fullmatch(
        r"whisper-roberta-ii: macro F1 [01]\.\d{3}, UAR [01]\.\d{3}, accuracy [01]\.\d{3} on dev "
        r"after epoch \d of 2",
        best,
    )
    assert wrote == f"Wrote the model to {tmp_path / 'm'}; predict with -m {tmp_path / 'm'}"
    assert (tmp_path / "m" / "curves.svg").read_text().startswith("<svg")
    shown = run("predict", "-m", tmp_path / "m", place / "a0.wav")
    assert shown.exit_code == 0, shown.stderr
    assert f",{RECIPE}@" in shown.stdout
    card = run("models", "show", tmp_path / "m").stdout
    assert "multimodal" in card
    assert "Measured on the development set" in card
    (place / "lonely.wav").write_bytes((place / "a0.wav").read_bytes())
    lonely = run("predict", "-m", tmp_path / "m", place / "lonely.wav")
    assert lonely.exit_code == 3
    assert "no transcript, expected a column text" in lonely.stderr


def test_what_is_left_out_and_gone_on_from_is_said(place, tmp_path):
    table = (place / "labels.csv").read_text().replace("a0.wav,angry", "a0.wav,other")
    (place / "other.csv").write_text(table)
    (tmp_path / "m" / "training").mkdir(parents=True)
    result = run("train", RECIPE, "--data", place / "other.csv", *chosen("epochs=1"), "--cache",
                 place / "features", "-o", tmp_path / "m")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert result.stderr.splitlines()[:2] == [
        f"Going on from {tmp_path / 'm' / 'training'}",
        "Left out 1 row with emotion other",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cross-validate"], "cross-modal networks have a development split"),
        ([], "a recipe of cross-modal networks needs a table"),
    ],
)
def test_misuse(words, said):
    result = run("train", RECIPE, *words)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())
