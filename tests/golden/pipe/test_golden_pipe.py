"""One whole pipe: a table of a voice, texts on standard input, fuse, eval.

The voice's posteriors are a file, so that the network has no say; the texts go through the
embedded sentiment model. The fused table is compared byte for byte, at nine significant digits,
and the evaluation to 1e-9. UAR 7/8, accuracy 5/6 and macro-F1 5/6 were checked by hand.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
EMOCLI = f"{sys.executable} -m emocli"
FUSE = (
    f"{EMOCLI} predict -m builtin-sentiment - < texts.csv"
    f" | {EMOCLI} fuse voice.csv - --method product -q"
)


def shell(command: str) -> str:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_predict_and_fuse():
    assert shell(FUSE) == (HERE / "fused.csv").read_text()


def test_predict_fuse_and_eval():
    found = json.loads(shell(f"{FUSE} | {EMOCLI} eval - --truth truth.csv --draws 0 -q -f json"))
    expected = json.loads((HERE / "expected.json").read_text())
    assert (found["uar"], found["accuracy"]) == (7 / 8, 5 / 6)
    assert found["confusion"] == expected["confusion"]
    figures = {name: value for name, value in expected.items() if isinstance(value, float)}
    assert len(figures) > 15
    assert {name: found[name] for name in figures} == pytest.approx(figures, abs=1e-9)
