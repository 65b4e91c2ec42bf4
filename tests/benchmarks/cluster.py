"""A Ray cluster of several nodes on this machine: a worker killed, a node killed, rows compared.

    python tests/benchmarks/cluster.py [N_COPIES]

Needs ``emocli[ray]``. Each node is a raylet of its own with one core, as on machines of their own;
recordings are copies of tests/samples and one file that is no recording.

On a machine with 2 cores, 1,251 rows in 20 parts, compared with a run without a cluster:

    undisturbed    17.1 s   lost 0   twice 0   largest difference of a posterior 0
    worker killed  16.9 s   lost 0   twice 0   largest difference of a posterior 0
    node killed    26.7 s   lost 0   twice 0   largest difference of a posterior 0

A million hours, reckoned and not run. Measured here: a part of 64 rows takes the process that was
started 7 ms to check and write, and 6 kB of disk. Assumed: wav2vec2-base at 14 GFLOP a second of
audio, a GPU that keeps up 300 TFLOP/s in bf16, 500 s of audio per second and core from 16 kHz
FLAC at 17.6 kB/s, utterances of 12 s, 1 kB of memory for each.

- Audio: 1e6 h = 3.6e9 s = 63 TB of FLAC, 3.0e8 utterances, 4.7e6 chunks.
- GPUs: 300e12 / 14e9 = 21,000 s of audio per second each, if decoding kept up: 3.6e9 / 21,000 s
  = 48 GPU-hours. Decoding is what saturates first: with 16 cores a GPU, 8,000 s per second, so
  125 GPU-hours and 2,000 core-hours. 8 such GPUs: 16 hours; 64 of them: 2 hours by this count.
- Network or disk: 8,000 s/s x 17.6 kB/s = 140 MB/s for each GPU; 1.1 GB/s for 8.
- Table: 4.7e6 x 6 kB = 28 GB, in 4.7 million files; with recordings of an hour instead of 12 s,
  15,600 files. Join them to larger ones before other tools list them often.
- The process that writes: 1 / 7 ms = 140 parts a second = 110,000 s of audio per second with
  utterances of 12 s, thus at most 13 such GPUs (3.6e9 s then take 9 hours whatever is added);
  beyond, share the inputs with --shard, a folder for each. It holds all utterances in memory:
  300 GB for 3.0e8, so share these among 30 runs or more in any case.
"""

import contextlib
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

from emocli.models.protocol import DEFAULT_LOADING
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
    ours, theirs = (np.nan_to_num(table.probs, nan=-1.0) for table in (found, local))
    gaps = [ours[i] - theirs[j] for i, j in pairs]
    return len(lost), len(found) - len(local), float(np.abs(gaps).max())


def actors() -> dict[int, int]:
    """Processes below this one that hold a model, and the raylet of each."""
    found, parents = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            parents[int(entry.name)] = parent
            if b"MapWorker" in (entry / "cmdline").read_bytes():
                found[int(entry.name)] = parent
    return {actor: raylet for actor, raylet in found.items() if _is_below(raylet, parents)}


def _is_below(process: int, parents: dict[int, int]) -> bool:
    while process in parents and process != os.getpid():
        process = parents[process]
    return process == os.getpid()


def kill_worker(nodes: LocalCluster) -> str:
    """Kill one of the processes that hold a model."""
    found = actors()
    process = sorted(found)[0]
    os.kill(process, signal.SIGKILL)
    return f"killed worker {process}, one of {len(found)}"


def kill_node(nodes: LocalCluster) -> str:
    """Kill a node, not the head, that has a model."""
    raylets = set(actors().values())
    for node in nodes.worker_nodes:
        if node.all_processes["raylet"][0].process.pid in raylets:
            nodes.remove_node(node, allow_graceful=False)
            return f"killed a node with a worker, one of {len(raylets)} with one"
    raise SystemExit("no node beside the head has a worker")


def main() -> None:
    """Three runs: undisturbed, a worker killed, a node killed."""
    n_copies = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    nodes = LocalCluster(initialize_head=True, head_node_args={"num_cpus": 1})
    for _ in range(N_NODES - 1):
        nodes.add_node(num_cpus=1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = recordings(Path(scratch, "rec"), n_copies)
        run = PredictionRun(gather_inputs([str(folder)]), load_recognizers("builtin"))
        local = run.table(rows_of(run.blocks()))
        cluster = Cluster(nodes.address)
        cluster.connect()
        disasters = {"undisturbed": lambda nodes: "", "worker": kill_worker, "node": kill_node}
        for name, disaster in disasters.items():
            output, begun, n_parts, told = f"{scratch}/{name}", time.monotonic(), 0, []
            for _ in predict_on_cluster(
                run, cluster, output, model="builtin", loading=DEFAULT_LOADING
            ):
                n_parts += 1
                if n_parts == 3:
                    killer = threading.Thread(target=lambda: told.append(disaster(nodes)))  # noqa: B023
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
