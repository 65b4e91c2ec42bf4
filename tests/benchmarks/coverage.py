"""How often intervals hold the true value, and how often tests find a difference that is not there.

    python tests/benchmarks/coverage.py [N_TABLES] [--population NAME]

Tables of four labels are drawn from populations whose figures are known, and evaluated as `emocli
eval` does. For each figure and design it prints the share of tables whose 95 % interval holds the
true value, then the level and the power of the tests of `--compare`, and the coverage of label
sets over random splits. 300 tables take about five minutes on two cores.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from emocli.calibration.conformal import LabelSets, SetRule, coverage_of
from emocli.metrics.intervals import Interval, Units
from emocli.metrics.scores import Sample, differences, figures_of, intervals_of

N_LABELS = 4


@dataclass(frozen=True)
class Population:
    """What tables are drawn from.

    Logits are normal; each speaker has offsets and a skill of its own.

    Attributes:
        skill: how far the true label's logit lies above the others, in standard deviations.
        sharpness: what logits are multiplied by; equal to ``skill`` for honest probabilities where
            speakers do not differ.
        speakers: standard deviation of speakers' offsets.
        shares: how often each label is true.
    """

    skill: float = 1.5
    sharpness: float = 1.5
    speakers: float = 0.6
    shares: tuple[float, ...] = (0.25, 0.25, 0.25, 0.25)

    def draw(
        self, rng: np.random.Generator, n_speakers: int, n_each: int, other: float = 0.0
    ) -> tuple[Sample, Sample, NDArray[np.intp]]:
        """Predictions of two systems of the same kind, the second better by ``other``."""
        speaker = np.repeat(np.arange(n_speakers), n_each)
        truth = rng.choice(N_LABELS, size=len(speaker), p=self.shares)
        valence = rng.normal(size=len(speaker))
        words = rng.integers(3, 13, size=len(speaker))
        loudness = self.speakers * rng.normal(size=n_speakers)[speaker]
        common = rng.normal(size=(len(speaker), N_LABELS))
        systems = []
        for more in (0.0, other):
            offsets = self.speakers * rng.normal(size=(n_speakers, N_LABELS))[speaker]
            skill = self.skill + more + 0.5 * self.speakers * rng.normal(size=n_speakers)[speaker]
            logits = (common + rng.normal(size=common.shape)) / np.sqrt(2.0) + offsets
            logits[np.arange(len(truth)), truth] += skill
            probs = np.exp(self.sharpness * (logits - logits.max(axis=1, keepdims=True)))
            probs /= probs.sum(axis=1, keepdims=True)
            bias = 0.5 * self.speakers * rng.normal(size=n_speakers)[speaker]
            heard = 0.6 * valence + bias + 0.6 * rng.normal(size=len(truth))
            rate = 1.0 / (1.0 + np.exp(self.skill - loudness - 0.5 * rng.normal(size=len(truth))))
            wrong = np.stack([rng.binomial(words, rate), words], axis=1)
            systems.append(
                Sample(
                    truth,
                    probs.argmax(axis=1),
                    N_LABELS,
                    probs,
                    probs.max(axis=1),
                    votes=np.eye(N_LABELS)[truth] * 0.7 + 0.075,
                    dimensions={"valence": (valence, heard)},
                    words=wrong,
                )
            )
        return systems[0], systems[1], speaker


@cache
def true_figures(population: Population) -> dict[str, float]:
    """What the figures are of half a million utterances of as many speakers."""
    rng = np.random.default_rng(99)
    tables = [population.draw(rng, 100_000, 1)[0] for _ in range(5)]
    found = [figures_of(table) for table in tables]
    true = {name: float(np.mean([one[name] for one in found])) for name in found[0]}
    right, truth = (
        np.concatenate([one.predicted == one.truth for one in tables]),
        np.concatenate([one.truth for one in tables]),
    )
    recalls = {f"recall {label}": right[truth == label].mean() for label in range(N_LABELS)}
    return {**true, "ece_debiased": true["ece"], **recalls}


POPULATIONS: Mapping[str, Population] = {
    "usual": Population(),
    "honest": Population(speakers=0.0),
    "too sure": Population(sharpness=3.0),
    "accuracy 0.99": Population(skill=4.2, sharpness=4.2, speakers=0.3),
    "rare labels": Population(skill=2.5, sharpness=2.5, shares=(0.7, 0.15, 0.1, 0.05)),
}
DESIGNS: Mapping[str, tuple[int, int]] = {
    "30 rows": (30, 1),
    "100 rows": (100, 1),
    "500 rows": (500, 1),
    "60 x 10": (60, 10),
    "24 x 20": (24, 20),
    "10 x 20": (10, 20),
    "8 x 25": (8, 25),
    "5 x 40": (5, 40),
}
"""Speakers and utterances of each."""
DEFAULT_FIGURES = (
    *("uar", "accuracy", "macro_f1", "weighted_f1", "kappa", "top2", "nll", "brier"),
    *("ece", "adaptive_ece", "classwise_ece", "aurc", "eaurc", "accuracy_at_50", "error_auroc"),
    *("kl", "js", "ccc", "rmse", "mae", "wer"),
)


def units_of(speaker: NDArray[np.intp], n_each: int) -> Units:
    names = None if n_each == 1 else [str(one) for one in speaker]
    return Units.of(names, len(speaker))


@dataclass(frozen=True)
class Held:
    """Of how many intervals the true value was below and above, and how many had no width."""

    n: int
    below: int
    above: int
    flat: int
    width: float

    @property
    def share(self) -> float:
        return 1.0 - (self.below + self.above) / self.n


def held(found: Sequence[Interval], true: float) -> Held:
    ends = np.array(found)
    return Held(
        len(ends),
        int(np.sum(true < ends[:, 0] - 1e-12)),
        int(np.sum(true > ends[:, 1] + 1e-12)),
        int(np.sum(ends[:, 0] == ends[:, 1])),
        float(np.mean(ends[:, 1] - ends[:, 0])),
    )


def coverage(
    population: Population, design: tuple[int, int], n_tables: int, seed: int = 1
) -> dict[str, Held]:
    """How often each interval holds its true value, also the mean ECE, plain and debiased."""
    true = true_figures(population)
    found: dict[str, list[Interval]] = {}
    for table, units in drawn(population, design, n_tables, seed):
        trust = intervals_of(table, units)
        for name, ends in trust.figures.items():
            found.setdefault(name, []).append(ends)
        for label, ends in enumerate(trust.labels["recall"]):
            if not np.isnan(ends[0]):  # a rare label may not occur
                found.setdefault(f"recall {label}", []).append(ends)
    return {name: held(ends, true[name]) for name, ends in found.items()}


def drawn(
    population: Population, design: tuple[int, int], n_tables: int, seed: int
) -> Iterator[tuple[Sample, Units]]:
    rng = np.random.default_rng(seed)
    for _ in range(n_tables):
        table, _, speaker = population.draw(rng, *design)
        yield table, units_of(speaker, design[1])


def biases(
    population: Population, design: tuple[int, int], n_tables: int, seed: int = 1
) -> tuple[float, float]:
    """Mean error of the plain and of the debiased ECE."""
    true = true_figures(population)["ece"]
    found = [intervals_of(*one).further for one in drawn(population, design, n_tables, seed)]
    debiased = np.array([one["ece_debiased"] for one in found])
    plain = debiased + np.array([one["ece_bias"] for one in found])
    return float(plain.mean() - true), float(debiased.mean() - true)


def rejections(
    population: Population,
    design: tuple[int, int],
    n_tables: int,
    better: float,
    *,
    n_draws: int = 400,
    seed: int = 1,
) -> dict[str, tuple[float, float]]:
    """How often p is below 0.05, and how often the interval of the difference leaves out 0."""
    rng = np.random.default_rng(seed)
    below: dict[str, list[tuple[bool, bool]]] = {}
    for table in range(n_tables):
        first, second, speaker = population.draw(rng, *design, other=better)
        units = units_of(speaker, design[1])
        for name, one in differences(first, second, units, n_draws, seed=table).items():
            outside = not one.low <= 0.0 <= one.high
            below.setdefault(name, []).append((one.p_value < 0.05, outside))
    return {name: tuple(np.mean(each, axis=0).tolist()) for name, each in below.items()}


def set_coverage(
    rule: SetRule, n_splits: int, n: int = 200, seed: int = 1
) -> tuple[float, list[float]]:
    """Mean coverage of label sets over random splits, of all and of each true label."""
    rng = np.random.default_rng(seed)
    table, _, _ = replace(POPULATIONS["rare labels"], speakers=0.0).draw(rng, 20_000, 1)
    kept = []
    for _ in range(n_splits):
        rows = rng.permutation(len(table))
        fitted, new = rows[:n], rows[n : n + 2_000]
        draws = rng.random(len(table))
        sets = LabelSets.fit(table.probs[fitted], table.truth[fitted], draws[fitted], rule)
        inside = coverage_of(sets.members(table.probs[new], draws[new]), table.truth[new])
        each = [inside[table.truth[new] == label].mean() for label in range(N_LABELS)]
        kept.append([inside.mean(), *each])
    means = np.mean(kept, axis=0)
    return float(means[0]), [float(one) for one in means[1:]]


def say(line: str = "") -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def print_rows(rows: Mapping[str, Mapping[str, str]]) -> None:
    """Figures as rows, designs as columns."""
    say(f"  {'':<16}" + "".join(f"{design:>10}" for design in rows))
    for name in dict.fromkeys(name for cells in rows.values() for name in cells):
        say(f"  {name:<16}" + "".join(f"{rows[design].get(name, ''):>10}" for design in rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("n_tables", nargs="?", type=int, default=300)
    parser.add_argument("--population", choices=[*POPULATIONS, "all"], default="all")
    parser.add_argument("--only", choices=["intervals", "tests", "sets"])
    asked = parser.parse_args()
    chosen = (
        POPULATIONS
        if asked.population == "all"
        else {asked.population: POPULATIONS[asked.population]}
    )
    for title, population in chosen.items() if asked.only in (None, "intervals") else ():
        say(f"\n{title}: tables of 100 whose 95 % interval holds the true value")
        found = {
            name: coverage(population, design, asked.n_tables) for name, design in DESIGNS.items()
        }
        names = (*DEFAULT_FIGURES, *(f"recall {label}" for label in range(N_LABELS)))
        print_rows(
            {
                design: {
                    name: f"{100 * one[name].share:.0f}" + ("*" if one[name].flat else "")
                    for name in names
                    if name in one
                }
                for design, one in found.items()
            }
        )
        say("  mean error of ECE, plain and debiased")
        errors = {
            name: biases(population, design, min(asked.n_tables, 100))
            for name, design in DESIGNS.items()
        }
        print_rows(
            {
                design: {"plain": f"{one[0]:+.3f}", "debiased": f"{one[1]:+.3f}"}
                for design, one in errors.items()
            }
        )
    if asked.only in (None, "tests"):
        for title, better in (("equal systems", 0.0), ("the second better", 0.4)):
            say(f"\n{title}: tables of 100 with p < 0.05 / whose interval leaves out 0")
            rows = {
                name: rejections(POPULATIONS["usual"], design, asked.n_tables, better)
                for name, design in DESIGNS.items()
            }
            print_rows(
                {
                    design: {
                        name: f"{100 * one[name][0]:.1f}/{100 * one[name][1]:.1f}"
                        for name in DEFAULT_FIGURES
                        if name in one
                    }
                    for design, one in rows.items()
                }
            )
    if asked.only in (None, "sets"):
        say("\nlabel sets for 0.9 from 200 utterances, 1,000 splits: coverage, of each label")
        for title, rule in {
            "plain": SetRule(0.9),
            "adaptive": SetRule(0.9, adaptive=True),
            "plain, per class": SetRule(0.9, per_class=True),
            "adaptive, per class": SetRule(0.9, adaptive=True, per_class=True),
        }.items():
            whole, each = set_coverage(rule, 1_000)
            say(f"  {title:<24}{whole:8.4f}   " + " ".join(f"{one:.3f}" for one in each))


if __name__ == "__main__":
    main()
