"""Does varentropy add anything to entropy? Which measure ranks right predictions before wrong ones.

The area under the risk-coverage curve (AURC, lower is better) of predictions ranked by entropy,
varentropy, margin and top probability, and by logistic regressions on them that predict an error
on one unseen speaker and are measured on another. Speech alone, and speech with entropy selection
by the text. Posteriors are those that the authors of arXiv 2508.20796 released for IEMOCAP.

    python tests/benchmarks/varentropy.py [FOLDER with fold_0, fold_2, ...]
"""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from emocli import posteriors
from emocli.fusion.fused import fit_selection, select
from emocli.fusion.sides import Side, align, align_truth
from emocli.metrics.risk_coverage import aurc
from emocli.table import PredictionTable
from emocli.table_io import read_table

DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "data"
MEASURES = ("entropy", "varentropy", "margin", "top")
COMBINATIONS = {
    "entropy, curved": (("entropy",), 2),
    "entropy + varentropy": (("entropy", "varentropy"), 1),
    "entropy + varentropy, curved": (("entropy", "varentropy"), 2),
    "margin + top": (("margin", "top"), 1),
    "all without varentropy": (("entropy", "margin", "top"), 1),
    "all": (MEASURES, 1),
    "all without varentropy, curved": (("entropy", "margin", "top"), 2),
    "all, curved": (MEASURES, 2),
}
"""Which measures a regression sees, and the degree of its polynomial."""
COMPARED = (
    ("varentropy", "entropy"),
    ("margin", "entropy"),
    ("top", "entropy"),
    ("entropy + varentropy", "entropy"),
    ("entropy + varentropy, curved", "entropy, curved"),
    ("all", "all without varentropy"),
    ("all, curved", "all without varentropy, curved"),
)

Row = dict[str, float]


@dataclass(frozen=True)
class Split:
    """Predictions of one split, shape (n_utterances,) each."""

    measures: dict[str, NDArray[np.float64]]
    right: NDArray[np.bool_]


def read_split(folder: Path) -> tuple[list[Side], list[str]]:
    """Speech and text of a split, and the true labels."""
    names = ("speech", "text")
    sides = align([Side(name, read_table(str(folder / f"{name}.csv"))) for name in names])
    truth = read_table(str(folder / "truth.csv"))
    return list(sides), align_truth(sides[0].table, truth, "emotion")


def below(first: list[Side], second: list[Side]) -> list[Side]:
    """The rows of two splits one below another."""
    return [
        Side(a.name, PredictionTable.concat([a.table, b.table]))
        for a, b in zip(first, second, strict=True)
    ]


def split_of(table: PredictionTable, truth: list[str]) -> Split:
    probs = table.probs
    measures = {
        "entropy": posteriors.entropy(probs),
        "varentropy": posteriors.varentropy(probs),
        "margin": posteriors.margin(probs),
        "top": probs.max(axis=1),
    }
    return Split(measures, np.asarray(table["label"] == np.array(truth, dtype=object)))


def doubt(fitted: Split, names: tuple[str, ...], degree: int) -> Callable[[Split], NDArray]:
    """How likely a prediction is wrong, by a regression fitted on other predictions."""

    def features(split: Split) -> NDArray[np.float64]:
        return np.stack([split.measures[name] for name in names], axis=1)

    regression = make_pipeline(
        StandardScaler(),
        PolynomialFeatures(degree, include_bias=False),
        LogisticRegression(max_iter=10_000),
    )
    regression.fit(features(fitted), ~fitted.right)
    return lambda split: regression.predict_proba(features(split))[:, 1]


def areas(fitted: Split, measured: Split) -> Row:
    """AURC by every measure; which end of a measure means doubt is learned like all else."""
    found = {}
    for name in MEASURES:
        values = fitted.measures[name]
        rises = aurc(values, fitted.right) < aurc(-values, fitted.right)
        found[name] = aurc(measured.measures[name] * (1 if rises else -1), measured.right)
    for name, (names, degree) in COMBINATIONS.items():
        found[name] = aurc(-doubt(fitted, names, degree)(measured), measured.right)
    return found


def rows(root: Path) -> Iterator[tuple[str, Row]]:
    """For each fold what the regressions from val give on test, and the other way round."""
    for folder in sorted(root.glob("fold_*")):
        splits = {name: read_split(folder / name) for name in ("train", "val", "test")}
        speech = {
            name: split_of(splits[name][0][0].table, splits[name][1]) for name in ("val", "test")
        }
        (train, heard), (val, seen), (test, _) = splits.values()
        # What the regressions learn from must not have been seen by the fuser.
        honest, _ = fit_selection(train, heard)
        full, _ = fit_selection(below(train, val), heard + seen)
        fused = {
            name: split_of(select(splits[name][0], honest)[0], splits[name][1])
            for name in ("val", "test")
        }
        final = split_of(select(test, full)[0], splits["test"][1])
        yield "speech, val to test", areas(speech["val"], speech["test"])
        yield "speech, test to val", areas(speech["test"], speech["val"])
        yield "fused, val to test", areas(fused["val"], final)
        yield "fused, test to val", areas(fused["test"], fused["val"])


def interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean over speakers and its 95 % interval by Student's t."""
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def report(title: str, found: list[Row]) -> Iterator[str]:
    """Lines of a table: each measure, then the differences that answer the question."""
    yield f"\n{title}: {len(found)} speakers"
    for name in found[0]:
        mean, low, high = interval(np.array([row[name] for row in found]))
        yield f"  {name:<34}{mean:.4f}  [{low:.4f}, {high:.4f}]"
    yield "  difference (below 0: the first is better)"
    for first, second in COMPARED:
        apart = np.array([row[first] - row[second] for row in found])
        mean, low, high = interval(apart)
        shown = f"  {first} - {second}".ljust(66) + f"{mean:+.4f}  [{low:+.4f}, {high:+.4f}]"
        yield f"{shown}  better for {int((apart < 0).sum())} of {len(found)}"


def main() -> None:
    data = Path(os.environ.get("EMOCLI_TEST_DATA", DEFAULT))
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else data / "entropy-selection"
    found: dict[str, list[Row]] = {}
    for kind, row in rows(root):
        found.setdefault(kind, []).append(row)
    for kind in ("speech", "fused"):
        one, both = found[f"{kind}, val to test"], found[f"{kind}, test to val"]
        for line in report(f"{kind}, fitted on val, measured on test", one):
            sys.stdout.write(line + "\n")
        for line in report(f"{kind}, val and test in either role", one + both):
            sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
