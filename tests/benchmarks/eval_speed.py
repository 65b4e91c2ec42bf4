"""How long figures take: a million utterances, and intervals of 25,000.

    python tests/benchmarks/eval_speed.py

`figures` are arrays in, figures out; `evaluate` also joins two
tables in memory by file name and checks labels.
"""

import sys
import time
from collections.abc import Callable

import numpy as np

from emocli.labels import EMOTIONS
from emocli.metrics.intervals import Units
from emocli.metrics.scores import Sample, differences, figures_of, intervals_of
from emocli.pipeline.evaluate import EvalOptions, evaluate
from emocli.table import PredictionTable

N_LABELS = 8


def sample(n: int) -> Sample:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, N_LABELS, size=n)
    logits = rng.normal(size=(n, N_LABELS))
    logits[np.arange(n), truth] += 1.5
    probs = np.exp(logits)
    probs /= probs.sum(axis=1, keepdims=True)
    return Sample(truth, probs.argmax(axis=1), N_LABELS, probs, probs.max(axis=1))


def tables(of: Sample) -> tuple[PredictionTable, PredictionTable]:
    labels = EMOTIONS[:N_LABELS]
    files = [f"corpus/{row}.wav" for row in range(len(of))]
    columns = {f"p_{label}": of.probs[:, column] for column, label in enumerate(labels)}
    emotions = np.array(labels, dtype=object)[of.truth]
    return (
        PredictionTable.from_columns({"file": files, **columns}),
        PredictionTable.from_columns({"file": files, "emotion": emotions}),
    )


def timed(what: str, run: Callable[[], object]) -> None:
    wall, processor = time.perf_counter(), time.process_time()
    run()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    sys.stdout.write(f"{wall:6.2f} s, {processor:6.2f} s of processor time: {what}\n")


def main() -> None:
    million = sample(1_000_000)
    timed("figures of 1,000,000 utterances, 8 labels", lambda: figures_of(million))
    predictions, truth = tables(million)
    without = EvalOptions(n_draws=0)
    timed(
        "evaluate 1,000,000 utterances, 8 labels, no intervals",
        lambda: evaluate([("table", predictions)], truth, without),
    )
    some = sample(25_000)
    speakers = [str(row % 500) for row in range(25_000)]
    units = Units.of(speakers, 25_000)
    timed("intervals over 500 speakers, 25,000 utterances", lambda: intervals_of(some, units))
    timed(
        "intervals over 25,000 utterances without speakers",
        lambda: intervals_of(some, Units.of(None, 25_000)),
    )
    few = sample(500)
    twenty = Units.of(speakers[:20] * 25, 500)
    timed("intervals over 20 speakers, 500 utterances", lambda: intervals_of(few, twenty))
    timed(
        "comparison with 1,000 exchanges of 20 speakers, 500 utterances",
        lambda: differences(few, few, twenty, 1_000),
    )


if __name__ == "__main__":
    main()
