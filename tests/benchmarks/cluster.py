"""A Ray cluster of several nodes on this machine: a worker killed, a node killed, rows compared.

    python tests/benchmarks/cluster.py [N_COPIES]

Needs ``emocli[ray]``. Each node is a raylet of its own with one core, as on machines of their own;
recordings are copies of tests/samples and one file that is no recording.
"""

import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import ray
from ray.cluster_utils import Cluster as LocalCluster

from emocli.pipeline.cluster import Cluster, predict_on_cluster
from emocli.pipeline.predict import PredictionRun, gather_inputs, load_recognizers, rows_of
from emocli.table_io import read_table

SAMPLES = Path(__file__).parents[1] / "samples"
N_NODES = 3


def recordings(folder: Path, n_copies: int) -> Path:
    """A folder with copies of the samples and a broken file."""
    folder.mkdir()
    for number in range(n_copies):
        for path in SAMPLES.glob("*.flac"):
            (folder / f"{number:05}-{path.name}").symlink_to(path)
    (folder / "broken.flac").write_text("no recording")
    return folder


def differences(output: str, local) -> tuple[int, int, float]:
    """Rows lost, rows too many, and the largest difference of a posterior."""
    found = read_table(output)
    lost = set(local["file"]) - set(found["file"])
    at = {file: row for row, file in enumerate(local["file"])}
    pairs = [(row, at[file]) for row, file in enumerate(found["file"])]
    gaps = [np.nan_to_num(found.probs[i] - local.probs[j]) for i, j in pairs]
    return len(lost), len(found) - len(local), float(np.abs(gaps).max())


def kill_worker() -> str:
    """Kill one of the processes that hold a model."""
    from ray.util.state import list_actors

    alive = [one for one in list_actors() if one.state == "ALIVE" and one.pid]
    os.kill(alive[0].pid, signal.SIGKILL)
    return f"killed worker {alive[0].pid}, one of {len(alive)}"


def main() -> None:
    """Three runs: undisturbed, a worker killed, a node killed."""
    n_copies = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    nodes = LocalCluster(initialize_head=True, head_node_args={"num_cpus": 1})
    workers = [nodes.add_node(num_cpus=1) for _ in range(N_NODES - 1)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = recordings(Path(scratch, "rec"), n_copies)
        loading = {"model": ["builtin"]}
        run = PredictionRun(gather_inputs([str(folder)]), load_recognizers(**loading))
        local = run.table(rows_of(run.blocks()))
        cluster = Cluster(nodes.address)
        cluster.connect()
        disasters = {
            "undisturbed": lambda: "",
            "worker": kill_worker,
            "node": lambda: nodes.remove_node(workers.pop(), allow_graceful=False) or "a node",
        }
        for name, disaster in disasters.items():
            output, begun, n_parts, told = f"{scratch}/{name}", time.monotonic(), 0, []
            for _ in predict_on_cluster(run, cluster, output, loading=loading):
                n_parts += 1
                if n_parts == 3:
                    killer = threading.Thread(target=lambda: told.append(disaster()))  # noqa: B023
                    killer.start()
            killer.join()
            lost, twice, gap = differences(output, local)
            print(
                f"{name}: {len(local)} rows in {time.monotonic() - begun:.1f} s, {n_parts} parts; "
                f"lost {lost}, twice {twice}, largest difference {gap:.1e} {told}",
                flush=True,
            )
    ray.shutdown()
    nodes.shutdown()


if __name__ == "__main__":
    main()
