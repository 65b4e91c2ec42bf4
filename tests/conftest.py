"""Fixtures that every room's tests share."""

import os

# Two test processes on two cores, one thread each; read when torch and its kin are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import hypothesis
import numpy as np
import pytest

# A busy machine is no reason to fail, and a failure has to be there again on the next run.
hypothesis.settings.register_profile("emocli", deadline=None, derandomize=True)
hypothesis.settings.load_profile("emocli")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Converted models of the tests stay out of the user's cache."""
    os.environ["EMOCLI_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def weights_dir() -> Path:
    """Folder of published weights: ``whisper-base.pt``, ``whisper-base-ct2``, ``-hf``."""
    folder = os.environ.get("EMOCLI_REAL_WEIGHTS", "")
    if not folder:
        pytest.skip("EMOCLI_REAL_WEIGHTS names no folder with whisper-base.pt and its like")
    return Path(folder)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the corpora and published scores, which are not part of the repository."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("EMOCLI_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no data at {folder}; set EMOCLI_TEST_DATA to the folder that has corpora/")
    return folder
