"""Every table of the benchmarks, one after another: speed beside the rivals, and what is lost.

    python tests/benchmarks/all.py               # some hours
    python tests/benchmarks/all.py --quick       # minutes: fewer inputs, the same tables
    python tests/benchmarks/all.py speed_models kills

A benchmark that needs what is not here (a GPU, Ray, other people's programs, corpora) says so, and
the others go on. The exit status is 1 if one of them failed.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BENCHMARKS: dict[str, tuple[tuple[str, ...], tuple[str, ...] | None]] = {
    "startup": ((), ()),
    "speed_builtin": ((), ()),
    "speed_models": (
        ("wav2vec2-base", "hubert-base", "wavlm-base", "wavlm-large"),
        ("--clips", "8"),
    ),
    "speed_transcribe": ((), ("--files", "4")),
    "eval_speed": ((), ()),
    "coverage": ((), ("60", "--population", "usual")),
    "fuzz": ((), ("-n", "1000")),
    "extremes": ((), ("--files", "100000", "--hours", "1")),
    "kills": ((), ("--kills", "5")),
    "soak": ((), ("--files", "5000")),
    "cluster": ((), ()),
    "two_hosts": ((), ("50",)),
    "judge_serve": ((), ()),
    "fusers": ((), ()),
    "calibration": ((), ()),
    "varentropy": ((), ()),
    "embedded": (("builtin",), ("builtin",)),
    "crossmodal": ((), None),
}
"""Benchmarks in the order in which they run: options, and those that make them quick; None where
nothing does."""


def main() -> None:
    """Run benchmarks in processes of their own and pass on what they print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], help="all by default")
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    failed = []
    for name in chosen.names or BENCHMARKS:
        full, quick = BENCHMARKS[name]
        more = quick if chosen.quick else full
        if more is None:
            print(f"\n=== {name}: left out, it has no quick form", flush=True)
            continue
        print(f"\n=== {name}: python tests/benchmarks/{name}.py {' '.join(more)}", flush=True)
        command = [sys.executable, str(HERE / f"{name}.py"), *more]
        # The clock of one must not be that of what numpy's threads do beside it.
        done = subprocess.run(command, env={"OPENBLAS_NUM_THREADS": "1", **os.environ})
        if done.returncode:
            failed.append(name)
    if failed:
        raise SystemExit(f"not well: {', '.join(failed)}")


if __name__ == "__main__":
    main()
