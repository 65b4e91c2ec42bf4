"""A Ray cluster of two hosts with a network between them, which fails in the middle of a run.

    python tests/benchmarks/two_hosts.py [N_COPIES]

Needs ``emocli[ray]``, Linux, iproute2 and root. The hosts are network namespaces on this machine,
each with an address, a shared memory and a /tmp/ray of its own, joined by one cable; what they
share is the disk with the recordings, as machines of a cluster do. The command runs on the first:

    emocli predict recordings/ --cluster ray:10.77.0.1:6379 -o out/

On a machine with 2 cores, 1,251 rows in 20 parts, compared with a run without a cluster:

    undisturbed  21.9 s   lost 0   twice 0   largest difference of a posterior 0
    cable cut    84.4 s   lost 0   twice 0   largest difference of a posterior 0

Most of the time after the cut is Ray's, which gives a silent host half a minute.
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster import differences, recordings

import emocli

HOSTS = {"emocli-a": "10.77.0.1", "emocli-b": "10.77.0.2"}
ADDRESS = f"{HOSTS['emocli-a']}:6379"
READY_SECONDS = 60.0
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
CUT_AFTER_PARTS = 3


def ip(*words: str) -> None:
    """One command of iproute2."""
    subprocess.run(["ip", *words], check=True)


@contextmanager
def hosts() -> Iterator[dict[str, subprocess.Popen]]:
    """The process of Ray on each host, the cluster whole."""
    running: dict[str, subprocess.Popen] = {}
    Path("/tmp/ray").mkdir(exist_ok=True)
    try:
        for host in HOSTS:
            ip("netns", "add", host)
        ip("link", "add", "emocli-a", "netns", "emocli-a", "type", "veth", "peer", "emocli-b",
           "netns", "emocli-b")  # fmt: skip
        for host, address in HOSTS.items():
            ip("-n", host, "addr", "add", f"{address}/24", "dev", host)
            ip("-n", host, "link", "set", host, "up")
            ip("-n", host, "link", "set", "lo", "up")
        for host in HOSTS:
            running[host] = start_ray(host)
            wait_for_hosts(running["emocli-a"], len(running))
        yield running
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()
        for host in HOSTS:
            subprocess.run(["ip", "netns", "del", host], check=False)


def start_ray(host: str) -> subprocess.Popen:
    """Ray on a host, the first one's at the head; ends with the process."""
    role = ["--head", "--port=6379", "--include-dashboard=false"]
    if host != "emocli-a":
        role = [f"--address={ADDRESS}"]
    ray = [
        *(str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats"),
        *("--num-cpus=1", "--object-store-memory=200000000", f"--node-ip-address={HOSTS[host]}"),
        *role,
    ]
    alone = 'mount -t tmpfs none /tmp/ray && mount -t tmpfs none /dev/shm && exec "$@"'
    return subprocess.Popen(
        ["ip", "netns", "exec", host, "unshare", "-m", "sh", "-c", alone, "ray", *ray],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **TOKEN},
    )


def wait_for_hosts(head: subprocess.Popen, n_hosts: int) -> None:
    """Wait until Ray knows so many hosts."""
    count = f"import ray; ray.init({ADDRESS!r}); print(len(ray.nodes()))"
    last = time.monotonic() + READY_SECONDS
    while time.monotonic() < last:
        time.sleep(2.0)
        asked = on_head(head, sys.executable, "-c", count, stdout=subprocess.PIPE, text=True)
        if asked.communicate()[0].strip() == str(n_hosts):
            return
    raise SystemExit(f"Ray does not know {n_hosts} hosts after {READY_SECONDS:g} s")


def on_head(head: subprocess.Popen, *command: str, **options) -> subprocess.Popen:
    """A command on the first host."""
    inside = ["nsenter", "-t", str(head.pid), "-m", "-n", *command]
    environment = {**os.environ, **TOKEN}
    return subprocess.Popen(inside, stderr=subprocess.DEVNULL, env=environment, **options)


def main() -> None:
    """Two runs: undisturbed, and with the cable cut when the first parts are there."""
    if os.geteuid() or not (shutil.which("ip") and shutil.which("nsenter")):
        print("left out: two hosts on one machine need Linux, root and iproute2")
        return
    n_copies = int(sys.argv[1]) if len(sys.argv) > 1 else 250
    with tempfile.TemporaryDirectory() as scratch:
        folder = recordings(Path(scratch, "rec"), n_copies)
        local = emocli.predict(str(folder))
        for name in ("undisturbed", "cable cut"):
            output, begun = Path(scratch, name), time.monotonic()
            with hosts() as running:
                begun = time.monotonic()
                run = on_head(
                    running["emocli-a"],
                    *(sys.executable, "-m", "emocli", "predict", str(folder), "-q"),
                    *("--cluster", f"ray:{ADDRESS}", "-o", str(output)),
                )
                while run.poll() is None:
                    time.sleep(0.2)
                    n_parts = len(list(output.glob("*.parquet")))
                    if name == "cable cut" and n_parts >= CUT_AFTER_PARTS:
                        ip("-n", "emocli-b", "link", "set", "emocli-b", "down")
                        break
                status, seconds = run.wait(), time.monotonic() - begun
            lost, twice, gap = differences(str(output), local)
            print(
                f"{name:<12} {seconds:5.1f} s   lost {lost}   twice {twice}   largest difference "
                f"of a posterior {gap:.1e}   exit status {status}",
                flush=True,
            )


if __name__ == "__main__":
    main()
