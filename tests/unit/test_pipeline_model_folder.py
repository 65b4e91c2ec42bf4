"""Where trained models go: nobody's files are replaced, and a wrong place is told at once."""

import pytest

from emocli.errors import RecipeError
from emocli.pipeline.model_folder import WORK, claim_folder, release_folder


def refused(folder, **options) -> str:
    with pytest.raises(RecipeError) as caught:
        claim_folder(folder, **options)
    return str(caught.value)


def test_a_folder_is_made(tmp_path):
    claim_folder(tmp_path / "new" / "model")
    assert (tmp_path / "new" / "model").is_dir()
    claim_folder(tmp_path / "new" / "model")


@pytest.mark.parametrize("replaces", ["", "emocli-compact"])
@pytest.mark.parametrize(
    "left",
    [
        [],
        ["curves.svg"],
        ["README.md", "model.safetensors", "config.json.tmp"],
        ["README.md", "model.safetensors", "config.json"],
    ],
)
def test_a_killed_training_goes_on_whatever_of_the_model_is_there(tmp_path, left, replaces):
    claim_folder(tmp_path, replaces=replaces)
    for name in left:
        (tmp_path / name).write_text("{}")
    claim_folder(tmp_path, replaces=replaces)
    release_folder(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(left)


def test_the_work_of_earlier_versions_is_known_by_its_files(tmp_path):
    (tmp_path / WORK / "whisper-roberta-i" / "all").mkdir(parents=True)
    (tmp_path / "curves.svg").write_text("")
    assert refused(tmp_path).startswith(f"{tmp_path}: holds curves.svg, training, expected")
    (tmp_path / WORK / "whisper-roberta-i" / "all" / "state.pt").write_text("")
    claim_folder(tmp_path)


def test_files_of_somebody_stay(tmp_path):
    (tmp_path / "README.md").write_text("my notes")
    assert refused(tmp_path, replaces="emocli-compact") == (
        f"{tmp_path}: holds README.md, expected an empty folder for a model. Choose another "
        f"with -o."
    )


def test_a_folder_of_somebody_called_training_is_not_taken_for_ours(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / WORK).mkdir()
    (tmp_path / WORK / "log.txt").write_text("")
    assert refused(tmp_path).startswith(f"{tmp_path}: holds a model already")


def test_a_model_stays_unless_it_is_of_the_type_that_may_go(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "emocli-compact"}')
    for replaces in ("", "emocli-hashed-text"):
        assert refused(tmp_path, replaces=replaces) == (
            f"{tmp_path}: holds a model already, expected a folder for a new one. Choose another "
            f"with -o, or delete it."
        )
    claim_folder(tmp_path, replaces="emocli-compact")
    release_folder(tmp_path)
    for content in ("[]", "{", '{"model_type": "wav2vec2"}'):
        (tmp_path / "config.json").write_text(content)
        assert "holds a model already" in refused(tmp_path, replaces="emocli-compact")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "file") == (
        f"{tmp_path}/file: no folder can be made there (File exists), expected a place for the "
        f"model. Choose another with -o."
    )
    assert "(Not a directory)" in refused(tmp_path / "file" / "model")
