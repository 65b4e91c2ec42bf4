"""A run of `predict` on the machines of a Ray cluster, with Ray Data.

The unit is the chunk of utterances that share batches (`emocli.pipeline.scoring.CHUNK`), so that
rows are those of a run on one machine. Chunks are a dataset; a pool of actors, one for each GPU or
else for each core, maps them to rows; each chunk's rows become one Parquet file in the output
folder, written whole by the process that was started. Ray gives chunks to no actor that has
enough to do, and gives those of an actor or machine that dies to others.

Each actor decodes in threads ahead of its model, on the cores beside its GPU, where Ray Data would
have actors of their own for it: an hour of speech is a row of the table and 230 MB of samples,
which would go through the object store, and a chunk of hour-long recordings would need 15 GB there.
Actors of their own would gain where machines without GPUs are there to decode, as long as the
network between them takes 64 kB for each second of audio, four times what FLAC takes from a store.

Recordings are read where the actors are: on a disk that all machines share, or from a URI such as
``s3://bucket/a.flac``, which is fetched before it is decoded. The output is a folder on a disk of
the process that was started, shared or not.
"""

import hashlib
import io
import json
import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from emocli.audio.decode import Selection
from emocli.audio.stores import ask_stamps, located
from emocli.errors import ClusterError, MissingDependency, TableError
from emocli.files import replacing
from emocli.models.protocol import LoadOptions
from emocli.pipeline.inputs import Inputs, Utterance, stored_among, whole_path
from emocli.pipeline.journal import keep_others_out, utterance_key
from emocli.pipeline.predict import PredictionRun, load_recognizers, rows_of
from emocli.pipeline.progress import ProgressCallback, Tally
from emocli.pipeline.scoring import PredictOptions, Row, in_chunks
from emocli.table import PredictionTable
from emocli.table_io import read_table, write_table

SETTINGS = ".settings.json"
"""The file in the output folder that says what made its parts."""

LOCK = ".lock"
"""The file in the output folder that the process which writes there has locked."""

CONNECT_SECONDS = 10.0
"""How long a cluster may take to answer at all."""


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster.

    Attributes:
        address: ``"host:port"`` or ``"ray://host:port"``; empty for one on this machine alone.
    """

    address: str = ""

    @classmethod
    def parse(cls, text: str) -> "Cluster":
        """A cluster such as ``"ray"`` or ``"ray:10.0.0.1:6379"``.

        Raises:
            ValueError: something else; says what was expected.

        Example:
            >>> Cluster.parse("ray:10.0.0.1:6379").address
            '10.0.0.1:6379'
        """
        kind, colon, address = text.partition(":")
        if kind != "ray" or (colon and not address):
            raise ValueError(f"{text!r} is no cluster, such as ray or ray:10.0.0.1:6379")
        return cls(address)

    def connect(self) -> Any:
        """The package ray, connected, unless this process is connected already.

        Raises:
            MissingDependency: ray is not installed.
            ClusterError: nothing answers at the address, or it asks for a token.
        """
        try:
            import ray
            import ray.data
        except ImportError:
            raise MissingDependency(
                "--cluster ray needs ray, which is not installed. "
                'Install it with pip install "emocli[ray]" or leave out --cluster.'
            ) from None
        if not ray.is_initialized():
            self._knock()
            try:
                ray.init(
                    address=self.address or "local",
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
                if _is_about_a_token(error):
                    raise ClusterError(
                        f"ray:{self.address}: the cluster asks for a token and got none or "
                        f"another, expected that of the machine on which it was started. Copy "
                        f"~/.ray/auth_token from there and set RAY_AUTH_MODE=token."
                    ) from None
                raise self._unreachable(str(error).splitlines()[0]) from None
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        return ray

    def _knock(self) -> None:
        """Fail at once where Ray would ask again and again."""
        host, colon, port = self.address.removeprefix("ray://").rpartition(":")
        if not colon or not port.isdecimal():
            return
        try:
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise self._unreachable(getattr(error, "strerror", None) or str(error)) from None

    def _unreachable(self, reason: str) -> ClusterError:
        return ClusterError(
            f"ray:{self.address}: no cluster answers ({reason}), expected the address of a "
            f"running one. Start it with ray start --head, or name the address it has printed."
        )


def _is_about_a_token(error: BaseException | None) -> bool:
    """Whether an error of Ray, or what led to it, is about tokens, which old versions lack."""
    while error is not None:
        if "authentication token" in str(error).lower():
            return True
        error = error.__cause__ or error.__context__
    return False


class Parts:
    """The folder of Parquet files that a run on a cluster writes, a file for each chunk.

    A part is named after its number and what is in it, so that the same command knows which it
    has. Parts of files that have changed since are removed. A context manager: until it ends,
    no other process gets the folder.

    Args:
        folder: where the parts are; made if it is missing.
        settings: all that decides what rows look like, plain data.
        chunks: utterances of each part.
        overwrite: forget what an earlier run has written.

    Raises:
        TableError: the output is no folder or cannot be written, another emocli is at work in
            it, or it holds parts of a run with other settings.
    """

    def __init__(
        self,
        folder: str,
        settings: Mapping[str, Any],
        chunks: Sequence[Sequence[Utterance]],
        *,
        overwrite: bool = False,
    ) -> None:
        self._folder = folder
        self._names = [_part_name(number, chunk) for number, chunk in enumerate(chunks)]
        content = json.dumps(settings, sort_keys=True)
        self._lock = self._locked()
        try:
            self._prepare(content, overwrite=overwrite)
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> "Parts":
        return self

    def __exit__(self, *raised: object) -> None:
        self._lock.close()

    def _locked(self) -> io.FileIO:
        """The file that keeps other processes out of the folder, which is made.

        Raises:
            TableError: the folder cannot be written, or another process has it.
        """
        try:
            os.makedirs(self._folder, exist_ok=True)
            stream = io.FileIO(self._path(LOCK), "a")
        except OSError as error:
            raise self._not_written(error) from None
        try:
            keep_others_out(stream, self._folder)
        except TableError:
            stream.close()
            raise
        return stream

    def _prepare(self, content: str, *, overwrite: bool) -> None:
        """Remove parts that this run does not want, and say what makes those that it writes.

        Raises:
            TableError: the folder cannot be written, or holds parts of a run with other settings.
        """
        folder = self._folder
        try:
            found = {one for one in os.listdir(folder) if _is_part(one)}
            before = None if overwrite else self._settings()
            if found and before not in (None, content):
                raise TableError(
                    f"{folder}: holds parts of a run with other settings, expected the same "
                    f"command. Choose another place with -o, or add --overwrite."
                )
            for name in found if before is None else found - set(self._names):
                os.unlink(os.path.join(folder, name))
        except OSError as error:
            raise self._not_written(error) from None
        if before != content:
            with replacing(os.path.join(folder, SETTINGS)) as stream:
                stream.write(content.encode())

    def _not_written(self, error: OSError) -> TableError:
        return TableError(
            f"{self._folder}: cannot be written ({error.strerror}), expected a folder for the "
            f"parts of the table. Choose another place with -o."
        )

    def missing(self) -> list[int]:
        """Numbers of the parts that are not there, or hold an error, which may not come again."""
        return [n for n, name in enumerate(self._names) if not self._is_done(self._path(name))]

    def _is_done(self, path: str) -> bool:
        return os.path.exists(path) and not read_table(path).failed.any()

    def write(self, number: int, table: PredictionTable) -> None:
        """Write a part, whole or not at all."""
        write_table(table, self._path(self._names[number]), "parquet")

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _settings(self) -> str | None:
        try:
            return Path(self._path(SETTINGS)).read_text()
        except (FileNotFoundError, ValueError):
            return None


def predict_on_cluster(
    run: PredictionRun,
    cluster: Cluster,
    output: str,
    *,
    model: str | Sequence[str],
    loading: LoadOptions,
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
) -> Iterator[PredictionTable]:
    """The tables of the chunks of a run, as they are written; only those that were missing.

    Args:
        run: models and utterances; its models are loaded again by each actor.
        cluster: where to run.
        output: folder of the table.
        model: names of the models.
        loading: how each actor loads them.
        overwrite: do all anew.
        progress: called with how far the run has come.

    Raises:
        MissingDependency: ray is not installed.
        ClusterError: the cluster cannot be reached, or gave up.
        TableError: the output cannot be written, or is that of another command.
    """
    utterances = run.inputs.utterances
    chunks = in_chunks(utterances)
    settings = run.settings(
        shaping=run.shaping.settings(),
        device=loading.device,
        dtype=loading.dtype,
        engine=loading.engine,
    )
    ask_stamps(stored_among(utterances))
    with Parts(output, settings, chunks, overwrite=overwrite) as parts:
        missing = parts.missing()
        n_before = len(utterances) - sum(len(chunks[number]) for number in missing)
        tally = Tally(len(utterances), progress, n_before)
        if not missing:
            return
        ray = cluster.connect()
        for number, rows in _map_chunks(ray, run, chunks, missing, model, loading):
            table = run.table(rows)
            parts.write(number, table)
            failed = {row["file"] for row in rows if row["error"]}
            for utterance in chunks[number]:
                tally.finished(failed=utterance.file in failed)
            tally.report()
            yield table


class _Scorer:
    """An actor: a chunk of utterances, as JSON, to its rows."""

    def __init__(
        self, model: str | Sequence[str], loading: LoadOptions, options: PredictOptions
    ) -> None:
        self._recognizers = load_recognizers(model, loading)
        self._options = options

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        found = [json.dumps(self._rows(json.loads(chunk))) for chunk in batch["chunk"]]
        return {"number": list(batch["number"]), "rows": found}

    def _rows(self, chunk: Sequence[Mapping[str, Any]]) -> list[Row]:
        utterances = [_utterance(one) for one in chunk]
        run = PredictionRun(Inputs(tuple(utterances)), self._recognizers, self._options)
        return list(rows_of(run.blocks()))


def _map_chunks(
    ray: Any,
    run: PredictionRun,
    chunks: Sequence[Sequence[Utterance]],
    numbers: Sequence[int],
    model: str | Sequence[str],
    loading: LoadOptions,
) -> Iterator[tuple[int, list[Row]]]:
    """Rows of chunks, in whatever order they come, each chunk once."""
    n_gpus, n_cores = _machines(ray)
    n_actors = min(len(numbers), n_gpus or int(ray.cluster_resources().get("CPU", 1)))
    options = replace(run.options, n_processes=1, n_threads=max(n_cores, 2))
    items = [{"number": n, "chunk": json.dumps([_plain(u) for u in chunks[n]])} for n in numbers]
    rows = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        _Scorer,
        fn_constructor_kwargs={"model": model, "loading": loading, "options": options},
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=n_actors, initial_size=n_actors),
        num_cpus=n_cores,
        num_gpus=1 if n_gpus else 0,
    )
    seen = set()
    try:
        for row in rows.iter_rows():
            if row["number"] not in seen:
                seen.add(row["number"])
                yield int(row["number"]), json.loads(row["rows"])
    except ray.exceptions.RayError as error:
        raise ClusterError(
            f"The cluster gave up ({_last_line(error)}), expected rows of every recording. "
            f"Run the same command again: it goes on from the parts that are done."
        ) from None


def _machines(ray: Any) -> tuple[int, int]:
    """GPUs of a cluster, and cores that decode for each; without GPUs, 0 and a core an actor."""
    found = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    with_gpus = [one for one in found if one.get("GPU", 0) >= 1]
    if not with_gpus:
        return 0, 1
    n_cores = min(int(one.get("CPU", 1) // one["GPU"]) for one in with_gpus)
    return int(sum(one["GPU"] for one in with_gpus)), max(1, n_cores)


def _last_line(error: Exception) -> str:
    return next((one for one in reversed(str(error).splitlines()) if one.strip()), repr(error))


def _plain(utterance: Utterance) -> dict[str, Any]:
    """An utterance as JSON has it, findable from other working folders."""
    return {**asdict(utterance), "path": whole_path(utterance.path)}


def _utterance(plain: Mapping[str, Any]) -> Utterance:
    """The utterance that `_plain` made plain."""
    selection = Selection(**plain["selection"])
    return Utterance(**{**plain, "path": located(plain["path"]), "selection": selection})


def _part_name(number: int, chunk: Sequence[Utterance]) -> str:
    keys = b"".join(utterance_key("text", one) for one in chunk)
    return f"part-{number:06}-{hashlib.blake2b(keys, digest_size=8).hexdigest()}.parquet"


def _is_part(name: str) -> bool:
    return name.startswith("part-") and name.endswith(".parquet")
