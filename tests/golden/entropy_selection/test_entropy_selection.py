"""Our score selection against the figures of the authors' program."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from emocli.fusion.fused import fit_selection, select, summarise
from emocli.fusion.sides import Side, align, align_truth
from emocli.table import PredictionTable
from emocli.table_io import read_table

EXPECTED = json.loads((Path(__file__).parent / "expected.json").read_text())


def read_split(data_dir: Path, fold: str, *splits: str) -> tuple[list[Side], list[str]]:
    """Aligned speech and text sides of some splits of a fold, and the truth."""
    folder = data_dir / "entropy-selection" / fold
    if not folder.is_dir():
        pytest.skip(f"no scores at {folder}")
    speech, text, truth = (
        PredictionTable.concat([read_table(str(folder / split / name)) for split in splits])
        for name in ("speech.csv", "text.csv", "truth.csv")
    )
    sides = align([Side("speech", speech), Side("text", text)])
    return sides, align_truth(speech, truth, "emotion")


def scores(truth: list[str], labels: list[str]) -> dict[str, float]:
    """UAR, accuracy and macro-F1, from their definitions and one label at a time."""
    pairs = list(zip(truth, labels, strict=True))
    recalls, f1s = [], []
    for name in sorted(set(truth)):
        hits = sum(true == name == label for true, label in pairs)
        n_true, n_said = truth.count(name), labels.count(name)
        recalls.append(hits / n_true)
        f1s.append(2 * hits / (n_true + n_said))
    return {
        "uar": float(np.mean(recalls)),
        "accuracy": sum(true == label for true, label in pairs) / len(pairs),
        "macro_f1": float(np.mean(f1s)),
    }


@pytest.mark.data
@pytest.mark.parametrize("fold", EXPECTED)
def test_figures_of_the_released_program(data_dir, fold):
    expected = EXPECTED[fold]
    sides, truth = read_split(data_dir, fold, "train", "val")
    started = time.process_time()
    fuser, report = fit_selection(sides, truth)
    assert time.process_time() - started < 1.0
    assert report.n_used == len(truth)

    # Their program works in single precision: three of the forty thresholds come out up to 2e-8
    # apart and are rounded to another sixth decimal.
    for label, rule in fuser.rules.items():
        thresholds = {"entropy": rule.entropy, "varentropy": rule.varentropy}
        assert thresholds == pytest.approx(expected["thresholds"][label], abs=6e-7)
    assert ["->".join(pair) for pair in fuser.excluded] == expected["excluded"]

    sides, truth = read_split(data_dir, fold, "test")
    fused, selection = select(sides, fuser)
    summary = summarise(selection, sides[1], fuser.labels, truth)
    assert summary.n == expected["n_test"]
    assert summary.consulted == expected["consulted"]
    assert summary.changed == expected["changed"]
    before = scores(truth, fused["speech_label"].tolist())
    after = scores(truth, fused["label"].tolist())
    assert before == pytest.approx(expected["speech_only"], abs=1e-6)
    assert after == pytest.approx(expected["entropy_selection"], abs=1e-6)
    gain = (summary.corrected - summary.broken) / summary.n
    assert after["accuracy"] - before["accuracy"] == pytest.approx(gain, abs=1e-12)
