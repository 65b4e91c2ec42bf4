"""Runs on a cluster, as far as they can be tested without one: addresses, parts, stores, rows."""

import builtins
import json
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from typer.testing import CliRunner

from emocli.audio.stores import StoredPath
from emocli.cli.app import app
from emocli.errors import ClusterError, MissingDependency, TableError
from emocli.models.protocol import LoadOptions
from emocli.pipeline import cluster
from emocli.pipeline.cluster import Cluster, Parts
from emocli.pipeline.inputs import Inputs, Utterance
from emocli.pipeline.predict import PredictionRun, load_recognizers, rows_of
from emocli.pipeline.scoring import DEFAULT_OPTIONS
from emocli.table import PredictionTable
from emocli.table_io import read_table


@pytest.fixture
def chunks(samples_dir):
    paths = sorted(samples_dir.glob("*.flac"))
    utterances = [Utterance(path.name, path) for path in paths]
    return [utterances[:2], utterances[2:]]


@pytest.fixture
def samples_dir():
    return Path(__file__).parents[1] / "samples"


def sentence(call, *arguments, kind, **options) -> str:
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    return str(caught.value)


class HereInsteadOfRay:
    """Scores chunks in this process, through the same actor and the same JSON."""

    def __init__(self, *, stops_after=99):
        self.stops_after = stops_after
        self.done = []

    def __call__(self, ray, run, chunks, numbers, model, loading):
        actor = cluster._Scorer(model, loading, DEFAULT_OPTIONS)
        for number in list(numbers)[: self.stops_after]:
            self.done.append(number)
            chunk = json.dumps([cluster._plain(one) for one in chunks[number]])
            found = actor({"number": [number], "chunk": [chunk]})
            yield number, json.loads(found["rows"][0])


@pytest.fixture
def run(samples_dir):
    paths = sorted(samples_dir.glob("*.flac"))
    utterances = [Utterance(f"{n}.flac", paths[n % len(paths)], start=0.0) for n in range(130)]
    return PredictionRun(Inputs(tuple(utterances)), load_recognizers("builtin"))


def test_rows_are_those_of_a_run_here_and_a_second_run_makes_only_what_is_missing(
    run, tmp_path, monkeypatch
):
    monkeypatch.setattr(Cluster, "connect", lambda self: None)
    out = str(tmp_path / "out")
    loading = {"model": "builtin", "loading": LoadOptions()}
    first, rest = HereInsteadOfRay(stops_after=1), HereInsteadOfRay()
    for mapping in (first, rest):
        monkeypatch.setattr(cluster, "_map_chunks", mapping)
        list(cluster.predict_on_cluster(run, Cluster(), out, **loading))
    assert (first.done, rest.done) == ([0], [1, 2])
    told = []
    monkeypatch.setattr(Cluster, "connect", None)  # nothing is missing, so nobody is asked
    list(cluster.predict_on_cluster(run, Cluster(), out, **loading, progress=told.append))
    local, found = run.table(rows_of(run.blocks())), read_table(out)
    assert found["file"].tolist() == local["file"].tolist()
    assert found.probs == pytest.approx(local.probs, abs=1e-12)


def missing(*arguments, **options):
    with Parts(*arguments, **options) as parts:
        return parts.missing()


def write(parts, *tables):
    with parts:
        for number, rows in enumerate(tables):
            parts.write(number, PredictionTable.from_rows([rows]))


def test_parts_of_other_settings_are_kept_unless_told_otherwise(chunks, tmp_path):
    out = str(tmp_path / "out")
    write(Parts(out, {"window": 4}, chunks), {"file": "a.wav"})
    assert missing(out, {"window": 4}, chunks) == [1]
    assert sentence(Parts, out, {"window": 12}, chunks, kind=TableError) == (
        f"{out}: holds parts of a run with other settings, expected the same command. Choose "
        f"another place with -o, or add --overwrite."
    )
    assert missing(out, {"window": 4}, chunks[1:]) == [0]
    assert missing(out, {"window": 4}, chunks) == [0, 1]
    write(Parts(out, {"window": 4}, chunks), {"file": "a.wav"})
    assert missing(out, {"window": 12}, chunks, overwrite=True) == [0, 1]


def test_a_part_with_an_error_is_made_again(chunks, tmp_path):
    parts = Parts(str(tmp_path), {}, chunks)
    write(parts, {"file": "a.wav", "error": "broken"}, {"file": "b.wav"})
    assert missing(str(tmp_path), {}, chunks) == [0]


def test_an_output_that_is_a_file(chunks, tmp_path):
    (tmp_path / "out").touch()
    assert sentence(Parts, str(tmp_path / "out"), {}, chunks, kind=TableError) == (
        f"{tmp_path}/out: cannot be written (File exists), expected a folder for the parts of the "
        f"table. Choose another place with -o."
    )


def test_a_part_that_cannot_be_removed(chunks, tmp_path):
    (tmp_path / f"part-000007-{'0' * 16}.parquet").mkdir()
    told = sentence(Parts, str(tmp_path), {}, chunks, overwrite=True, kind=TableError)
    assert told == (
        f"{tmp_path}: cannot be written (Is a directory), expected a folder for the parts of the "
        f"table. Choose another place with -o."
    )


class RayThatGivesUp:
    """As much of Ray as scores chunks, up to an error after the first."""

    exceptions = SimpleNamespace(RayError=type("RayError", (Exception,), {}))

    def __init__(self, why):
        self.data, self.why, self.options = self, why, {}

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": 2.0}}]

    def cluster_resources(self):
        return {"CPU": 2.0}

    def from_items(self, items, override_num_blocks):
        self.items = items
        return self

    def ActorPoolStrategy(self, **sizes):
        return sizes

    def map_batches(self, kind, **options):
        self.actor = kind(**options.pop("fn_constructor_kwargs"))
        self.options = options
        return self

    def iter_rows(self):
        first = {name: [value] for name, value in self.items[0].items()}
        found = {name: values[0] for name, values in self.actor(first).items()}
        yield from (found, found)  # Ray repeats what an actor did before it died
        raise self.exceptions.RayError(self.why)


@pytest.mark.parametrize(
    ("why", "told"),
    [("Traceback\n  actor died\n\n", "  actor died"), ("", "RayError('')")],
)
def test_a_cluster_that_gives_up_keeps_what_it_has_done(run, tmp_path, monkeypatch, why, told):
    ray = RayThatGivesUp(why)
    monkeypatch.setattr(Cluster, "connect", lambda self: ray)
    out = str(tmp_path / "out")
    tables = cluster.predict_on_cluster(run, Cluster(), out, model="builtin", loading=LoadOptions())
    assert len(next(tables)) == 64
    with pytest.raises(ClusterError) as caught:
        next(tables)
    assert str(caught.value) == (
        f"The cluster gave up ({told}), expected rows of every recording. Run the same command "
        f"again: it goes on from the parts that are done."
    )
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 1
    assert ray.options["compute"] == {"min_size": 1, "max_size": 2, "initial_size": 2}
    assert (ray.options["num_cpus"], ray.options["num_gpus"]) == (1, 0)


def test_without_ray(monkeypatch):
    found = builtins.__import__

    def refuse(name, *rest):
        if name.split(".")[0] == "ray":
            raise ImportError(name)
        return found(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert sentence(Cluster().connect, kind=MissingDependency) == (
        "--cluster ray needs ray, which is not installed. "
        'Install it with pip install "emocli[ray]" or leave out --cluster.'
    )


def test_an_address_where_nothing_answers():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        assert sentence(Cluster(address)._knock, kind=ClusterError) == (
            f"ray:{address}: no cluster answers (Connection refused), expected the address of a "
            f"running one. Start it with ray start --head, or name the address it has printed."
        )


class RayError(Exception):
    """What Ray calls its own errors."""


def ray_that_raises(error, monkeypatch):
    """A package ray that cannot connect."""

    def init(**options):
        raise error

    package = ModuleType("ray")
    package.is_initialized = lambda: False
    package.init = init
    package.exceptions = SimpleNamespace(RayError=RayError)
    package.data = ModuleType("ray.data")
    monkeypatch.setitem(sys.modules, "ray", package)
    monkeypatch.setitem(sys.modules, "ray.data", package.data)


def test_a_cluster_that_asks_for_a_token(monkeypatch):
    unknown = RayError("InvalidAuthToken: Authentication token is missing or incorrect.")
    refused = ConnectionError("Failed to connect to Ray cluster at head")
    refused.__cause__ = RuntimeError("no cluster id")
    refused.__cause__.__context__ = unknown
    for error in (unknown, refused):
        ray_that_raises(error, monkeypatch)
        assert sentence(Cluster("head").connect, kind=ClusterError) == (
            "ray:head: the cluster asks for a token and got none or another, expected that of "
            "the machine on which it was started. Copy ~/.ray/auth_token from there and set "
            "RAY_AUTH_MODE=token."
        )


@pytest.mark.parametrize("kind", [RayError, ConnectionError, TimeoutError, ValueError])
def test_a_cluster_that_does_not_answer_in_its_own_words(monkeypatch, kind):
    ray_that_raises(kind("Version mismatch.\nIn detail: ..."), monkeypatch)
    assert sentence(Cluster("head").connect, kind=ClusterError) == (
        "ray:head: no cluster answers (Version mismatch.), expected the address of a running "
        "one. Start it with ray start --head, or name the address it has printed."
    )


def test_an_address_without_a_port_is_left_to_ray():
    for address in ("", "auto", "ray://head", "head:"):
        Cluster(address)._knock()


def test_actors_fetch_what_is_in_a_store(samples_dir):
    uri = f"file://{samples_dir}/grandmother.flac"
    utterances = [Utterance(one, StoredPath(one)) for one in (uri, "nowhere://b/a.wav")]
    chunk = json.dumps([cluster._plain(one) for one in utterances])
    actor = cluster._Scorer(["builtin"], LoadOptions(), DEFAULT_OPTIONS)
    good, bad = json.loads(actor({"number": [0], "chunk": [chunk]})["rows"][0])
    assert (good["file"], good["label"], good["error"]) == (uri, "neutral", "")
    assert bad["error"].startswith("nowhere://b/a.wav: no kind of store is called nowhere, ")


def test_two_runs_in_one_folder(chunks, tmp_path):
    out = tmp_path / "out"
    program = (
        "import sys, time; from emocli.pipeline.cluster import Parts; "
        "parts = Parts(sys.argv[1], {}, []); print(flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        assert sentence(Parts, str(out), {}, chunks, overwrite=True, kind=TableError) == (
            f"{out}: another emocli is writing it, expected to be the only one. Wait for it to "
            f"end, or choose another place with -o."
        )
        other.kill()
    assert missing(str(out), {}, chunks) == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["a.wav", "--cluster", "dask"], "'dask' is no cluster, such as ray or ray:10.0.0.1:6379"),
        (["a.wav", "--cluster", "ray"], "a run on a cluster writes parts into a folder; name it"),
        (["-", "--cluster", "ray", "-o", "out"], "standard input cannot be read again when the"),
    ],
)
def test_what_a_cluster_is_not_for(arguments, expected):
    done = CliRunner().invoke(app, ["predict", *arguments])
    assert done.exit_code == 2
    assert expected in " ".join(done.stderr.replace("│", " ").split())


def test_cores_of_machines_with_gpus_are_shared_among_these():
    class Nodes:
        def __init__(self, *found):
            self.found = found

        def nodes(self):
            return [{"Alive": alive, "Resources": has} for alive, has in self.found]

    gone = (False, {"CPU": 2.0, "GPU": 2.0})
    assert cluster._machines(Nodes(gone, (True, {"CPU": 4.0}))) == (0, 1)
    two, one = (True, {"CPU": 16.0, "GPU": 2.0}), (True, {"CPU": 12.0, "GPU": 1.0})
    assert cluster._machines(Nodes(gone, two, one, (True, {"CPU": 64.0}))) == (3, 8)
