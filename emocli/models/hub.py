"""Checkpoints of the Hugging Face hub: which are on this machine, and fetching one.

What is on this machine is found by looking at the cache folder, without the hub's library. That
library, and with it the network, is used only to fetch what a user named.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from emocli.errors import ModelError, ModelUnavailable
from emocli.models.checkpoint import CTRANSLATE2, PICKLED, SAFETENSORS, is_complete

TIMEOUT_SECONDS = 10.0
"""How long to wait for the hub's first answer, once, without retrying."""

_WANTED = re.compile(
    r"(config|preprocessor_config|processor_config|generation_config|normalizer"
    r"|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|vocabulary)\.json"
    r"|vocab\.txt|vocabulary\.txt|merges\.txt|bpe\.codes|.*\.model|README\.md"
)
_FORMS = (*SAFETENSORS, *PICKLED, CTRANSLATE2)
_SHARD = {
    "model.safetensors.index.json": re.compile(r"model-\d+-of-\d+\.safetensors"),
    "pytorch_model.bin.index.json": re.compile(r"pytorch_model-\d+-of-\d+\.bin"),
}


def cache_dir() -> Path:
    """Folder of the hub's cache, from ``HF_HUB_CACHE``, ``HF_HOME`` or the default."""
    chosen = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or Path(cache) / "huggingface"
    return Path(home).expanduser() / "hub"


def repo_dir(hub: str) -> Path:
    """Folder of the cache that a checkpoint is, or would be, in."""
    return cache_dir() / f"models--{hub.replace('/', '--')}"


def is_offline() -> bool:
    """Whether the environment forbids the network (``HF_HUB_OFFLINE``)."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def find_cached(hub: str, revision: str = "") -> Path | None:
    """Folder of a checkpoint that is on this machine with all its weights; None if it is not.

    Args:
        hub: ``owner/name``.
        revision: branch, tag, commit or the beginning of one; empty for the main branch, or for
            whatever is there if only one revision is.
    """
    snapshots = repo_dir(hub) / "snapshots"
    known = sorted(path.name for path in snapshots.iterdir()) if snapshots.is_dir() else []
    commits = [commit for commit in known if is_complete(snapshots / commit)]
    wanted = _commit(hub, revision or "main")
    if wanted not in commits:
        if revision:
            matching = [c for c in commits if len(revision) >= 7 and c.startswith(revision)]
        else:
            matching = commits if not wanted else []
        if len(matching) != 1:
            return None
        wanted = matching[0]
    return snapshots / wanted


def _commit(hub: str, reference: str) -> str:
    """The commit of a branch or tag as the cache knows it; empty if it does not."""
    try:
        return (repo_dir(hub) / "refs" / reference).read_text("utf-8").strip()
    except OSError:
        return ""


def files_to_fetch(names: Iterable[str]) -> list[str]:
    """The files of a repository that a recogniser needs, weights in one form only.

    Args:
        names: of all files in the repository.

    Returns:
        Configuration, tokenizer, card and weights; no weights if none are in a form that emocli
        reads. safetensors go before pickled ones.

    Example:
        >>> files_to_fetch(["config.json", "pytorch_model.bin", "model.safetensors", "a.png"])
        ['config.json', 'model.safetensors']
    """
    names = list(names)
    weights = next((name for name in _FORMS if name in names), None)
    shard = _SHARD.get(weights or "")
    return [
        name
        for name in names
        if _WANTED.fullmatch(name) or name == weights or (shard and shard.fullmatch(name))
    ]


def unavailable(hub: str, revision: str, why: str) -> ModelUnavailable:
    """The error that says what is missing, where it would go and which command fetches it."""
    at = f"@{revision}" if revision else ""
    return ModelUnavailable(
        f"{hub}{at} is not on this machine and {why}. Its configuration and weights belong in "
        f"{repo_dir(hub)}; fetch them with `emocli models pull hf:{hub}{at}` where there is a "
        f"network."
    )


def fetch(hub: str, revision: str = "", *, progress: bool = False, force: bool = False) -> Path:
    """Fetch a checkpoint into the hub's cache.

    Args:
        hub: ``owner/name``.
        revision: branch, tag or commit; empty for the main branch.
        progress: whether the hub's library may draw progress bars.
        force: fetch files again that are there already, for they may be damaged.

    Returns:
        The folder of the checkpoint.

    Raises:
        ModelUnavailable: the hub cannot be reached, or does not give it.
        ModelError: it has no weights in a form that emocli reads.
    """
    if is_offline():
        raise unavailable(hub, revision, "HF_HUB_OFFLINE forbids the network")
    from huggingface_hub import HfApi, errors, snapshot_download
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    (enable_progress_bars if progress else disable_progress_bars)()
    try:
        info = HfApi().model_info(hub, revision=revision or None, timeout=TIMEOUT_SECONDS)
        names = files_to_fetch(file.rfilename for file in info.siblings or [])
        if not any(name in names for name in _FORMS):
            raise ModelError(
                f"{hub} has no model.safetensors and no pytorch_model.bin. "
                f"Use a checkpoint of the transformers library."
            )
        return Path(
            snapshot_download(
                hub,
                revision=revision or None,
                allow_patterns=names,
                etag_timeout=TIMEOUT_SECONDS,
                force_download=force,
            )
        )
    except errors.GatedRepoError as error:
        raise unavailable(
            hub, revision, "its owners ask for consent: give it on the hub and set HF_TOKEN"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise unavailable(
            hub, revision, "the hub has no model of that name, or it is private (set HF_TOKEN)"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise unavailable(hub, revision, "the hub has no such revision of it") from error
    except errors.HFValidationError as error:
        raise unavailable(hub, revision, "that is no name the hub can have") from error
    except (errors.HTTPError, errors.OfflineModeIsEnabled, OSError) as error:
        raise unavailable(hub, revision, f"the hub cannot be reached ({_line(error)})") from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
