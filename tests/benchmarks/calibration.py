"""Which calibration to take: chosen on train and val, then measured on test.

Posteriors are those that the authors of arXiv 2508.20796 released for IEMOCAP, five of ten
leave-one-speaker-out folds; val and test hold one speaker each that the network has not heard.

    python tests/benchmarks/calibration.py [FOLDER with fold_0, fold_2, ...]
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from emocli.calibration.conformal import SetRule
from emocli.calibration.fitting import (
    MAPS,
    Outcome,
    Sample,
    choose,
    figures,
    fit,
    held_out,
    outcome,
)
from emocli.calibration.tables import draws_of, log_posteriors
from emocli.fusion.sides import align_truth
from emocli.splits import even_folds, random_folds
from emocli.table_io import read_table

DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "data"
LABELS = ("angry", "happy", "neutral", "sad")
NAMES = ("ece", "nll", "brier", "aurc", "accuracy")
RULES = {
    "plain": SetRule(0.9),
    "adaptive": SetRule(0.9, adaptive=True),
    "adaptive, penalty 0.05": SetRule(0.9, adaptive=True, penalty=0.05),
    "plain, per class": SetRule(0.9, per_class=True),
}

Figures = Mapping[str, float]


def say(line: str = "") -> None:
    sys.stdout.write(line + "\n")


def read_split(folder: Path) -> tuple[Sample, list[str]]:
    """Predictions with their truth, and the speaker of each."""
    table, truth = (read_table(str(folder / f"{name}.csv")) for name in ("speech", "truth"))
    emotions = align_truth(table, truth, "emotion")
    speakers = dict(zip(truth["file"], truth["speaker"], strict=True))
    index = np.array([LABELS.index(name) for name in emotions])
    sample = Sample(log_posteriors(table, LABELS), index, draws_of(table.keys()))
    return sample, [speakers[file] for file in table["file"]]


def together(samples: Iterable[Sample]) -> Sample:
    parts = list(samples)
    return Sample(
        np.concatenate([part.log_probs for part in parts]),
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.draws for part in parts]),
    )


def measured(method: str, fitted_on: Sample, on: Sample) -> Figures:
    """Figures of a method; of the posteriors as they are for no method."""
    if not method:
        return figures(Outcome(on.log_probs), on.truth)
    return figures(outcome(fit(fitted_on, method), on), on.truth)


def line(title: str, found: Sequence[Figures], names: Sequence[str] = NAMES) -> None:
    means = "".join(f"{np.mean([one[name] for one in found]):9.4f}" for name in names)
    say(f"  {title:<24}{means}")


def heading(title: str, names: Sequence[str] = NAMES) -> None:
    say()
    say(title)
    say(f"  {'':<24}" + "".join(f"{name:>9}" for name in names))


def main() -> None:
    data = Path(os.environ.get("EMOCLI_TEST_DATA", DEFAULT))
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else data / "entropy-selection"
    folds = [
        {name: read_split(folder / name) for name in ("train", "val", "test")}
        for folder in sorted(root.glob("fold_*"))
    ]
    val, test = ([fold[name][0] for fold in folds] for name in ("val", "test"))
    both = [together([fold["train"][0], fold["val"][0]]) for fold in folds]
    speakers = [fold["train"][1] + fold["val"][1] for fold in folds]
    pairs = list(zip(folds, val, both, speakers, strict=True))

    say("Choosing the method: NLL on held-out speakers of train + val, by fold")
    losses = [choose(all_, even_folds(names)) for _, _, all_, names in pairs]
    for method in MAPS:
        each = [loss[method] for loss in losses]
        say(f"  {method:<24}" + "".join(f"{x:9.4f}" for x in [*each, np.mean(each)]))

    heading("Choosing what to fit on: measured on val (val itself in ten random parts)")
    for method in ("", *MAPS):
        line(
            f"{method or 'none'}, train",
            [measured(method, fold["train"][0], one) for fold, one, _, _ in pairs],
        )
        if method:
            parts = [held_out(one, random_folds(len(one)), method) for one in val]
            line(f"{method}, val", [figures(p, o.truth) for p, o in zip(parts, val, strict=True)])

    heading("From one val speaker to another one, all 20 pairs")
    others = [(one, two) for one in val for two in val if one is not two]
    for method in ("", *MAPS):
        line(method or "none", [measured(method, one, two) for one, two in others])

    heading("Fitted on val, measured on test")
    for method in ("", *MAPS):
        line(
            method or "none",
            [measured(method, one, two) for one, two in zip(val, test, strict=True)],
        )
    heading("Fitted on train + val, measured on test")
    for method in MAPS:
        line(method, [measured(method, one, two) for one, two in zip(both, test, strict=True)])

    say()
    say("mean - temperature on test, by fold")
    for name in NAMES:
        apart = [
            measured("mean", one, two)[name] - measured("temperature", one, two)[name]
            for one, two in zip(val, test, strict=True)
        ]
        say(f"  {name:<24}" + "".join(f"{x:+9.4f}" for x in [*apart, np.mean(apart)]))

    heading("Label sets for 0.9, fitted on val, on test", ("coverage", "set_size"))
    for title, rule in RULES.items():
        found = [
            figures(outcome(fit(one, "mean", rule), two), two.truth)
            for one, two in zip(val, test, strict=True)
        ]
        line(title, found, ("coverage", "set_size"))


if __name__ == "__main__":
    main()
