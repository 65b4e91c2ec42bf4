"""Which fuser of a speech posterior and a sentiment is the best on speakers never heard?

Scores are those that the authors of arXiv 2508.20796 released for IEMOCAP. Each fold has train (8
speakers that the speech model was trained on), val and test (one other speaker each).

    python tests/benchmarks/fusers.py            what the choice was made on: val alone
    python tests/benchmarks/fusers.py --test     fitted on train + val, measured on test

Development has two views, both measured on val. "unheard": fitted on train; no recording to fit on
is from a speaker that the speech model had not heard. "one unheard" is what the test asks for,
rehearsed: fitted on train, where one speaker's rows come from the fold that had this speaker as
its val, so that they are of a speaker not heard; the mean over the other folds. A speaker is never
on both sides. UAR with 95 % intervals from resampled utterances; the mean over folds resamples
each of them. The last columns give the difference to the class-balanced logistic regression.

A second table shows what `fuse --prior` does: UAR and accuracy of posteriors for equally frequent
emotions, and for the class mix of the recordings that were fitted on.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emocli.fusion.fused import average, fit_selection, select
from emocli.fusion.sides import Side, align, align_rows, true_labels
from emocli.fusion.trained import FitOptions, apply_fuser, class_mix, fit_labels, reweight
from emocli.table import PredictionTable
from emocli.table_io import read_table

DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "data"
LABELS = ("angry", "happy", "neutral", "sad")
BASELINE = "logistic, balanced"
N_DRAWS = 2000

Split = tuple[list[Side], PredictionTable]
"""Aligned sides, and the truth in their order."""
Predictions = list[tuple[NDArray[np.str_], NDArray[np.str_]]]
"""Truth and predicted labels of one or several fits; their figures are averaged."""


def read_split(folder: Path) -> Split:
    """One split of one fold."""
    tables = [read_table(str(folder / f"{name}.csv")) for name in ("speech", "text")]
    sides = align([Side(name, table) for name, table in zip("st", tables, strict=True)])
    return sides, align_rows(sides[0].table, read_table(str(folder / "truth.csv")))


def rows_of(split: Split, which: NDArray[np.intp]) -> Split:
    """Some rows of a split."""
    sides = [Side(side.name, side.table.select(which)) for side in split[0]]
    return sides, split[1].select(which)


def below(first: Split, second: Split) -> Split:
    """Two splits one below the other."""
    sides = [
        Side(a.name, PredictionTable.concat([a.table, b.table]))
        for a, b in zip(first[0], second[0], strict=True)
    ]
    return sides, PredictionTable.concat([first[1], second[1]])


def speech_alone(fit: Split, apply: Split) -> Sequence[str]:
    return apply[0][0].table["label"].tolist()


def averaged(method: str) -> Callable[[Split, Split], Sequence[str]]:
    return lambda fit, apply: average(apply[0], method)["label"].tolist()


def selection(fit: Split, apply: Split) -> Sequence[str]:
    fuser, _ = fit_selection(fit[0], true_labels(fit[1], "emotion"))
    return select(apply[0], fuser)[0]["label"].tolist()


def learned(
    method: str, *, prior: str = "", **options: object
) -> Callable[[Split, Split], Sequence[str]]:
    def run(fit: Split, apply: Split) -> Sequence[str]:
        truth, speakers = true_labels(fit[1], "emotion"), fit[1]["speaker"].tolist()
        fuser = fit_labels(fit[0], truth, speakers, method, FitOptions(**options)).fuser
        figures = apply_fuser(apply[0], fuser)
        if prior:
            mix = np.full(len(fuser.labels), 1 / len(fuser.labels))
            expected = mix if prior == "uniform" else class_mix(truth, fuser.labels)
            figures = reweight(figures, fuser.prior, expected)
        return [fuser.labels[index] for index in figures.argmax(axis=1)]

    return run


SYSTEMS = {
    "speech alone": speech_alone,
    "mean": averaged("mean"),
    "product": averaged("product"),
    "entropy-selection": selection,
    "logistic": learned("logistic"),
    BASELINE: learned("logistic", balanced=True),
    "stacking": learned("stacking"),
    "bayes": learned("bayes"),
    "blend (auto)": learned("blend"),
}
PRIORS = ("logistic", "stacking", "bayes", "blend")


def measured_on_test(run: Callable, folder: Path) -> Predictions:
    fit = below(read_split(folder / "train"), read_split(folder / "val"))
    apply = read_split(folder / "test")
    return [(np.array(true_labels(apply[1], "emotion")), np.array(run(fit, apply)))]


def unheard(run: Callable, folder: Path) -> Predictions:
    apply = read_split(folder / "val")
    predicted = run(read_split(folder / "train"), apply)
    return [(np.array(true_labels(apply[1], "emotion")), np.array(predicted))]


def one_unheard(run: Callable, folder: Path) -> Predictions:
    train, apply = read_split(folder / "train"), read_split(folder / "val")
    truth = np.array(true_labels(apply[1], "emotion"))
    found = []
    for other in sorted(set(folder.parent.glob("fold_*")) - {folder}):
        stranger = read_split(other / "val")
        rest = np.flatnonzero(train[1]["speaker"] != stranger[1]["speaker"][0])
        found.append((truth, np.array(run(below(rows_of(train, rest), stranger), apply))))
    return found


def show_priors(protocol: Callable, folders: Sequence[Path]) -> None:
    """UAR and accuracy, means over folds, of posteriors for either class mix."""
    say(
        f"\n{protocol.__name__}, --prior\n{'':20}{'uniform':>12}{'':12}{'mix of fit':>12}\n"
        f"{'':20}" + f"{'UAR':>12}{'accuracy':>12}" * 2
    )
    for method in PRIORS:
        figures = []
        for prior in ("uniform", "mix"):
            found = [pair for f in folders for pair in protocol(learned(method, prior=prior), f)]
            figures += [np.mean([uar(*pair) for pair in found])]
            figures += [np.mean([np.mean(truth == said) for truth, said in found])]
        say(f"{method:20}" + "".join(f"{figure:12.4f}" for figure in figures))


def uar(truth: NDArray[np.str_], predicted: NDArray[np.str_]) -> float:
    return float(np.mean([np.mean(predicted[truth == name] == name) for name in set(truth)]))


def resampled(found: Predictions) -> NDArray[np.float64]:
    """UAR of resampled utterances; the same ones for every system and fit of a fold."""
    n_rows = len(found[0][0])
    draws = np.random.default_rng(0).integers(0, n_rows, (N_DRAWS, n_rows))
    total = np.zeros(N_DRAWS)
    for truth, predicted in found:
        of_label = [(truth == name)[draws] for name in LABELS]
        right = (truth == predicted)[draws]
        total += np.mean([(right & own).sum(1) / own.sum(1) for own in of_label], axis=0)
    return total / len(found)


def interval(draws: NDArray[np.float64]) -> str:
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"[{low:.4f}, {high:.4f}]"


def show(protocol: Callable, folders: Sequence[Path]) -> None:
    """A line for each system: folds, mean, interval, difference to the baseline."""
    base = np.mean([resampled(protocol(SYSTEMS[BASELINE], folder)) for folder in folders], axis=0)
    say(f"\n{protocol.__name__}\n{'':20}" + "".join(f"{f.name:>9}" for f in folders))
    for name, run in SYSTEMS.items():
        found = [protocol(run, folder) for folder in folders]
        figures = [np.mean([uar(*pair) for pair in fits]) for fits in found]
        draws = np.array([resampled(fits) for fits in found])
        mean = draws.mean(axis=0)
        say(
            f"{name:20}"
            + "".join(f"{figure:9.4f}" for figure in figures)
            + f"   mean {np.mean(figures):.4f} {interval(mean)}"
            + f"   minus baseline {(mean - base).mean():+.4f} {interval(mean - base)}"
        )
        say(f"{'':20}" + " ".join(interval(own) for own in draws))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--data", type=Path, default=os.environ.get("EMOCLI_TEST_DATA", DEFAULT))
    arguments = parser.parse_args()
    folders = sorted((Path(arguments.data) / "entropy-selection").glob("fold_*"))
    for protocol in [measured_on_test] if arguments.test else [unheard, one_unheard]:
        show(protocol, folders)
        if protocol is not one_unheard:
            show_priors(protocol, folders)


if __name__ == "__main__":
    main()
