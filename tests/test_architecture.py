"""The rooms and who may know whom; see the module docstrings for what each room owns."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "emocli"

PURE = {
    "errors",
    "labels",
    "posteriors",
    "schema",
    "splits",
    "table",
    "table_reader",
    "table_writer",
    "transcript",
    "subtitles",
    "tensors",
    "label_tracks",
    "natural_order",
    "encoder_identity",
    "english",
    "user_cache",
    "timeline",
    "fusion",
    "metrics",
    "calibration",
    "judging",
}
FILES = {"files"}
NETWORKS = {"networks"}
EDGES = {"asr", "audio", "chat", "corpora", "models", "training", "table_io", "report"}
ALLOWED = {
    **{room: PURE for room in PURE},
    "files": PURE,
    "networks": PURE | NETWORKS,
    # An edge knows the pure rooms, files, the networks and itself.
    **{room: PURE | FILES | NETWORKS | {room} for room in EDGES},
    # Speech recognition finds its checkpoints as all models do, and asks where speech is.
    "asr": PURE | FILES | NETWORKS | {"asr", "audio", "models"},
    "pipeline": PURE | FILES | NETWORKS | EDGES | {"pipeline"},
    "cli": PURE | FILES | EDGES | {"pipeline", "cli"},
    "__init__": PURE | EDGES | {"pipeline"},
    "__main__": {"cli"},
}
HEAVY = (
    "torch",
    "transformers",
    "whisper",
    "faster_whisper",
    "ctranslate2",
    "sklearn",
    "pandas",
    "av",
    "onnxruntime",
    "pyarrow",
    "openpyxl",
    "openvino",
    "ray",
    "fsspec",
)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path, *, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_rooms_import_only_what_they_may(path):
    allowed = ALLOWED[room_of(path)]
    rooms = {
        name.split(".")[1]
        for name in imports_of(path)
        if (name.startswith("emocli.") and (PACKAGE / name.split(".")[1]).with_suffix("").exists())
        or (name.startswith("emocli.") and (PACKAGE / f"{name.split('.')[1]}.py").exists())
    }
    assert rooms - allowed == set()


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_command_line_knows_typer_and_rich_and_prints(path):
    if room_of(path) == "cli":
        return
    names = {name.split(".")[0] for name in imports_of(path)}
    assert names & {"typer", "rich", "click"} == set()
    calls = [
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    assert "print" not in calls


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_module_trusts_a_pickle_or_remote_code(path):
    tree = ast.parse(path.read_text())
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert options.get("trust_remote_code", "False") == "False"
        if ast.unparse(call.func) == "torch.load":
            assert options.get("weights_only") == "True"
    assert imports_of(path) & {"pickle", "joblib", "dill", "cloudpickle", "shelve"} == set()


def loaded_after(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_emocli_loads_nothing_heavy():
    assert loaded_after("import emocli") & {*HEAVY, "numpy", "rich", "typer"} == set()


def test_help_loads_no_command():
    loaded = loaded_after(
        "import sys, io, contextlib\nfrom emocli.cli import main\nsys.argv = ['emocli', '--help']\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    try: main()\n    except SystemExit: pass"
    )
    assert loaded & {*HEAVY, "numpy", "scipy", "soundfile"} == set()


@pytest.mark.parametrize(
    "module",
    [
        "fuse",
        "eval",
        "models",
        "predict",
        "transcribe",
        "train",
        "calibrate",
        "report",
        "features",
        "data",
        "judge",
    ],
)
def test_commands_load_no_torch_before_a_model_is_needed(module):
    assert loaded_after(f"import emocli.cli.{module}") & set(HEAVY) == set()
