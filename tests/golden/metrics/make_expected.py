"""Write expected.json: figures of other libraries on seeded data; see README.md."""

import json
import sys
import types
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import audmetric
import jiwer
import numpy as np
import torch
from scipy import stats
from scipy.spatial.distance import cosine, jensenshannon
from sklearn import metrics
from torchmetrics.functional.classification import multiclass_calibration_error

UNCERTAINTY = Path(find_spec("torch_uncertainty").submodule_search_locations[0])
N, N_LABELS = 300, 5  # 300 = 15 bins of 20, so that bins of equal mass share no utterance


def torch_uncertainty(module: str):
    """One module of torch-uncertainty; the package itself wants torchvision and lightning."""
    for name in ("", ".metrics", ".metrics.classification", ".metrics.classification.calibration"):
        package = types.ModuleType("torch_uncertainty" + name)
        package.__path__ = [str(UNCERTAINTY.joinpath(*name.split(".")[1:]))]
        sys.modules.setdefault(package.__name__, package)
    return __import__(f"torch_uncertainty.metrics.classification.{module}", fromlist=["x"])


def posteriors(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """True labels, the last one rare, and posteriors that never prefer label 3."""
    truth = rng.choice(N_LABELS, size=N, p=[0.4, 0.25, 0.2, 0.1, 0.05])
    logits = rng.normal(size=(N, N_LABELS))
    logits[np.arange(N), truth] += 1.5
    logits[:, 3] -= 5.0
    probs = np.exp(2.0 * logits)
    probs = np.round(probs / probs.sum(axis=1, keepdims=True), 6)
    probs[:, 0] = np.round(probs[:, 0] + 1.0 - probs.sum(axis=1), 6)
    return truth, probs


def classification(truth: np.ndarray, predicted: np.ndarray) -> dict:
    names = range(N_LABELS)
    shared = {"labels": names, "average": None}
    return {
        "confusion": metrics.confusion_matrix(truth, predicted, labels=names).tolist(),
        "recall": metrics.recall_score(truth, predicted, **shared).tolist(),
        "precision": metrics.precision_score(
            truth, predicted, **shared, zero_division=np.nan
        ).tolist(),
        "f1": metrics.f1_score(truth, predicted, **shared).tolist(),
        "uar": metrics.balanced_accuracy_score(truth, predicted),
        "uar_audmetric": audmetric.unweighted_average_recall(truth, predicted),
        "accuracy": metrics.accuracy_score(truth, predicted),
        "macro_f1": metrics.f1_score(truth, predicted, average="macro"),
        "weighted_f1": metrics.f1_score(truth, predicted, average="weighted"),
        "kappa": metrics.cohen_kappa_score(truth, predicted),
    }


def calibration(truth: np.ndarray, predicted: np.ndarray, probs: np.ndarray) -> dict:
    right = predicted == truth
    confidence = probs.max(axis=1)
    tensors = torch.tensor(probs, dtype=torch.float64), torch.tensor(truth)
    bins = {"num_classes": N_LABELS, "n_bins": 15}
    curve = torch_uncertainty("risk_coverage").AURC()
    curve.update(*tensors)
    errors = curve.partial_compute().double().numpy()  # error rate of the k surest, k = 1 to n
    adaptive = torch_uncertainty("calibration.adaptive_calibration_error")
    return {
        "top2": metrics.top_k_accuracy_score(truth, probs, k=2, labels=range(N_LABELS)),
        "nll": metrics.log_loss(truth, probs, labels=range(N_LABELS)),
        "brier": metrics.brier_score_loss(
            truth, probs, labels=range(N_LABELS), scale_by_half=False
        ),
        "ece": multiclass_calibration_error(*tensors, **bins).item(),
        "mce": multiclass_calibration_error(*tensors, **bins, norm="max").item(),
        "adaptive_ece": adaptive._ace_compute(
            torch.tensor(confidence), torch.tensor(right.astype(float)), 15, "l1"
        ).item(),
        "aurc": float(errors.mean()),
        "error_auroc": metrics.roc_auc_score(~right, -confidence),
    }


def soft_truth(rng: np.random.Generator, probs: np.ndarray) -> dict:
    votes = rng.multinomial(5, probs)
    shares = votes / 5.0
    clipped = np.clip(probs, np.finfo(float).eps, 1.0)
    rows = range(len(probs))
    return {
        "votes": votes.tolist(),
        "kl": [stats.entropy(shares[i], clipped[i]) for i in rows],
        "js": [jensenshannon(shares[i], probs[i]) ** 2 for i in rows],
        "cosine": [1.0 - cosine(shares[i], probs[i]) for i in rows],
    }


def dimensions(rng: np.random.Generator) -> dict:
    truth = np.round(rng.uniform(1.0, 7.0, size=80), 3)
    predicted = np.round(0.6 * truth + 1.8 + rng.normal(scale=0.7, size=80), 3)
    return {
        "truth": truth.tolist(),
        "predicted": predicted.tolist(),
        "ccc": audmetric.concordance_cc(truth, predicted),
        "pearson": audmetric.pearson_cc(truth, predicted),
        "rmse": metrics.root_mean_squared_error(truth, predicted),
        "mae": audmetric.mean_absolute_error(truth, predicted),
        "bias": float(np.mean(predicted) - np.mean(truth)),
    }


def transcripts() -> dict:
    said = ["the cat sat on the mat", "yes", "", "don't go there", "one two three"]
    heard = ["the cat sat on mat mat", "", "um", "do not go there", "one two three"]
    return {
        "references": said,
        "hypotheses": heard,
        "wer": jiwer.wer(said, heard),
        "cer": jiwer.cer(said, heard),
    }


def intervals(rng: np.random.Generator) -> dict:
    values = np.round(rng.exponential(size=60), 4)
    found = stats.bootstrap(
        (values,), np.mean, n_resamples=100_000, method="BCa", random_state=np.random.default_rng(1)
    ).confidence_interval
    first, second = rng.random(200) < 0.6, rng.random(200) < 0.7
    only = int(np.sum(first & ~second)), int(np.sum(~first & second))
    return {
        "values": values.tolist(),
        "low": float(found.low),
        "high": float(found.high),
        "first": first.tolist(),
        "second": second.tolist(),
        "mcnemar_p": float(stats.binomtest(only[0], sum(only)).pvalue),
    }


def main() -> None:
    rng = np.random.default_rng(2508)
    truth, probs = posteriors(rng)
    predicted = probs.argmax(axis=1)
    libraries = ("audmetric", "jiwer", "numpy", "scikit-learn", "scipy", "torch-uncertainty")
    found = {
        "versions": {name: version(name) for name in (*libraries, "torchmetrics")},
        "truth": truth.tolist(),
        "probs": probs.tolist(),
        "classification": classification(truth, predicted),
        "calibration": calibration(truth, predicted, probs),
        "soft_truth": soft_truth(rng, probs),
        "dimensions": dimensions(rng),
        "transcripts": transcripts(),
        "intervals": intervals(rng),
    }
    target = Path(__file__).with_name("expected.json")
    target.write_text(json.dumps(found, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
