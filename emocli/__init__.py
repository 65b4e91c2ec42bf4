"""Emotion in speech: predictions, and how sure they are.

    import emocli

    table = emocli.predict(["recordings/"])
    table["label"], table["entropy"]
    table.to_pandas()

Nothing is imported before it is used, so ``import emocli`` costs next to nothing.
"""

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of importing typing
if TYPE_CHECKING:
    from emocli.errors import EmocliError
    from emocli.models.registry import load
    from emocli.pipeline.predict import predict
    from emocli.pipeline.transcribe import transcribe
    from emocli.table import PredictionTable
    from emocli.table_io import read_table, write_table

__all__ = [
    "EmocliError",
    "PredictionTable",
    "load",
    "predict",
    "read_table",
    "transcribe",
    "write_table",
]

_HOMES = {
    "EmocliError": "emocli.errors",
    "PredictionTable": "emocli.table",
    "load": "emocli.models.registry",
    "predict": "emocli.pipeline.predict",
    "read_table": "emocli.table_io",
    "transcribe": "emocli.pipeline.transcribe",
    "write_table": "emocli.table_io",
}


def __getattr__(name: str) -> object:
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'emocli' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
