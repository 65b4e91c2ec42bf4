"""Where trained models go: nobody's files are replaced, and a wrong place is told at once."""

import pytest

from emocli.errors import RecipeError
from emocli.pipeline.model_folder import WORK, claim_folder


def refused(folder, **options) -> str:
    with pytest.raises(RecipeError) as caught:
        claim_folder(folder, **options)
    return str(caught.value)


def test_a_folder_is_made(tmp_path):
    claim_folder(tmp_path / "new" / "model")
    assert (tmp_path / "new" / "model").is_dir()
    claim_folder(tmp_path / "new" / "model")


def test_a_training_goes_on(tmp_path):
    (tmp_path / WORK).mkdir()
    (tmp_path / "curves.svg").write_text("")
    claim_folder(tmp_path)


def test_files_of_somebody_stay(tmp_path):
    (tmp_path / "README.md").write_text("my notes")
    assert refused(tmp_path, may_hold_model=True) == (
        f"{tmp_path}: holds README.md, expected an empty folder for a model. Choose another "
        f"with -o."
    )


def test_a_model_stays_unless_it_may_go(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert refused(tmp_path) == (
        f"{tmp_path}: holds a model already, expected a folder for a new one. Choose another "
        f"with -o, or delete it."
    )
    claim_folder(tmp_path, may_hold_model=True)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "file") == (
        f"{tmp_path}/file: no folder can be made there (File exists), expected a place for the "
        f"model. Choose another with -o."
    )
    assert "(Not a directory)" in refused(tmp_path / "file" / "model")
