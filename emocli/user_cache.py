"""Where files are kept that can be made again: answers, features, converted models."""

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """``EMOCLI_CACHE``, else ``emocli`` in the user's cache folder, where the system has it."""
    if given := os.environ.get("EMOCLI_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "emocli"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "emocli"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "emocli"


def whisper_folder() -> Path:
    """Folder in which openai-whisper keeps its checkpoints."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "whisper"
