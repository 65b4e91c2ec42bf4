"""The ways of ``emocli fuse``, and what has no meaning for some of them."""

from enum import StrEnum

from emocli.fusion.fused import ENTROPY_SELECTION

WHERE_TRUTH_COUNTS = (
    f"--truth counts what {ENTROPY_SELECTION} changed; for other methods use emocli eval"
)


class Method(StrEnum):
    """Ways to fuse."""

    MEAN = "mean"
    PRODUCT = "product"
    ENTROPY_WEIGHTED = "entropy-weighted"
    MAX_CONFIDENCE = "max-confidence"
    ENTROPY_SELECTION = "entropy-selection"
    AUTO = "auto"
    BAYES = "bayes"
    BLEND = "blend"
    LOGISTIC = "logistic"
    RIDGE = "ridge"
    STACKING = "stacking"


def no_prior(what: str) -> str:
    """Why ``--prior`` has no meaning for something."""
    return f"--prior needs posteriors that were learned from a known class mix, and {what} has none"
