"""Training of the hashed text models: a convex fit, so the recipe decides the weights.

The data are files in the form of GoEmotions: a comment, the numbers of its labels and an
identifier, separated by tabs, and a file that names the labels line by line. Labels are put
together in groups. A comment's target is the share of its labels in each group, and every comment
is shown twice: as it is, and as a transcript without punctuation would have it.

Source: Demszky et al. 2020, "GoEmotions" (data and groups); Guo et al. 2017 (temperature).
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocli.errors import RecipeError
from emocli.labels import canonical_label, canonical_labels
from emocli.metrics.calibration import bins, expected_calibration_error
from emocli.metrics.classification import accuracy, confusion, macro_f1
from emocli.networks.text_features import (
    BLOCKS,
    Block,
    HashedLinear,
    Vocabulary,
    character_features,
    pair_features,
    single_features,
    spoken,
    tokens_of,
)
from emocli.posteriors import log_softmax, softmax
from emocli.tensors import dump_tensors
from emocli.training.progress import Progress, tell
from emocli.training.recipe import Rule, build, check_labels, check_rules

RECIPE_KIND = "hashed-text"
MODEL_TYPE = "emocli-hashed-text"
TEMPERATURES = (0.2, 5.0)
"""Range in which the temperature is looked for."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class TextData:
    """Where the comments are.

    Attributes:
        folder: of the files, relative to the recipe's folder or to ``--data``.
        train: comments to learn from.
        dev: comments to fit the temperature to and to report.
        labels: file with the names of the labels, the first line for number 0.
        test: comments that are only reported; none if empty.
    """

    folder: str = "."
    train: str = "train.tsv"
    dev: str = "dev.tsv"
    labels: str = "labels.txt"
    test: str = ""


@dataclass(frozen=True, kw_only=True)
class LabelGroup:
    """Labels of the data that count as one.

    Attributes:
        name: of the group.
        of: names of its labels in the data.
        predicted: whether the model predicts it; a group that is not is learned, so that its
            comments do not pass for others, and then left out.
    """

    name: str
    of: tuple[str, ...]
    predicted: bool = True


@dataclass(frozen=True, kw_only=True)
class TextFit:
    """How the weights are found.

    Attributes:
        least_single: comments of the training data that a token must be in to be a feature.
        least_pair: the same for pairs of tokens.
        least_characters: the same for runs of characters.
        stripped_share: weight of a comment without punctuation; as it is it has the rest.
        l2: penalty on the squared weights, where a comment's loss counts once.
        iterations: of L-BFGS, at most.
        evening: how far the biases go from the frequencies of the groups in the data, at 0, to
            those of a model for equally frequent groups, at 1.
    """

    least_single: int = 2
    least_pair: int = 3
    least_characters: int = 4
    stripped_share: float = 0.4
    l2: float = 1.4
    iterations: int = 60
    evening: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TextRecipe:
    """A recipe of kind ``"hashed-text"``.

    Attributes:
        recipe: the kind.
        name: of the model.
        groups: of labels, in the order of the logits.
        output: folder of the model, relative to the working folder.
        licence: of the weights.
        source: of the data.
        description: what the model is, for its card.
        data: where the comments are.
        fit: how the weights are found.
    """

    recipe: str
    name: str
    groups: tuple[LabelGroup, ...]
    output: str = "model"
    licence: str = ""
    source: str = ""
    description: str = ""
    data: TextData = field(default_factory=TextData)
    fit: TextFit = field(default_factory=TextFit)

    @property
    def predicted(self) -> list[int]:
        """Indices of the groups that the model predicts."""
        return [index for index, group in enumerate(self.groups) if group.predicted]


@dataclass(frozen=True)
class Comments:
    """Texts with their labels.

    Attributes:
        texts: as they were written.
        targets: shape (n_texts, n_groups), share of a text's labels in each group; rows sum to 1.
    """

    texts: Sequence[str]
    targets: Floats

    def sure(self, groups: Sequence[int]) -> tuple[list[str], NDArray[np.intp]]:
        """Texts whose labels are all in one of these groups, and the group's index among them."""
        truth = self.targets[:, groups]
        rows = np.flatnonzero(truth.max(axis=1, initial=0) == 1).tolist()
        return [self.texts[row] for row in rows], truth[rows].argmax(axis=1)


def train_text(
    recipe: Mapping[str, Any], base: Path, out: Path, progress: Progress | None = None
) -> dict[str, dict[str, float]]:
    """Train a text model and write its folder: ``config.json`` and ``model.safetensors``.

    The same recipe and data give the same weights.

    Args:
        recipe: content of the recipe, as `tomllib` gives it.
        base: folder that the recipe's data folder is relative to.
        out: folder of the model; it is made if needed.
        progress: called after each iteration.

    Returns:
        For ``"dev"``, and ``"test"`` if the recipe has one: ``n``, ``macro_f1``, ``accuracy``,
        ``ece`` and ``ece_before``, the calibration error before the temperature.

    Raises:
        RecipeError: the recipe or its data cannot be followed.
    """
    parsed = parse_text_recipe(recipe)
    folder = base / parsed.data.folder
    names = _read_labels(folder / parsed.data.labels)
    grouping = _grouping(parsed, names)
    train = read_comments(folder / parsed.data.train, grouping)
    network = fit_network(train, parsed, progress)
    dev = read_comments(folder / parsed.data.dev, grouping)
    temperature = fit_temperature(network, *dev.sure(parsed.predicted))
    figures = {"dev": _figures(network, temperature, *dev.sure(parsed.predicted))}
    if parsed.data.test:
        test = read_comments(folder / parsed.data.test, grouping)
        figures["test"] = _figures(network, temperature, *test.sure(parsed.predicted))
    _write(parsed, network, temperature, figures, out)
    return figures


def parse_text_recipe(content: Mapping[str, Any]) -> TextRecipe:
    """The recipe of a text model, checked.

    Raises:
        RecipeError: a key is unknown, missing or of the wrong type, or the parts do not fit.
    """
    name = str(content.get("name", "recipe"))
    recipe: TextRecipe = build(TextRecipe, content, "", name)
    fit = recipe.fit
    rules: tuple[Rule, ...] = (
        (recipe.recipe == RECIPE_KIND, "recipe", repr(recipe.recipe), repr(RECIPE_KIND)),
        (len(recipe.predicted) >= 2, "groups", f"{len(recipe.predicted)} that are predicted",
         "2 or more"),
        (fit.l2 > 0, "fit.l2", fit.l2, "above 0"),
        (fit.iterations >= 1, "fit.iterations", fit.iterations, "1 or more"),
        (0 <= fit.stripped_share <= 1, "fit.stripped_share", fit.stripped_share, "0 to 1"),
        (0 <= fit.evening <= 1, "fit.evening", fit.evening, "0 to 1"),
    )  # fmt: skip
    check_rules(rules, name)
    check_labels([canonical_label(group.name) for group in recipe.groups], name)
    return recipe


def read_comments(path: Path, grouping: Floats) -> Comments:
    """The comments of a file.

    Args:
        path: of a file with the columns text, label numbers with commas, and any others.
        grouping: shape (n_labels, n_groups), 1 where a label is in a group.

    Raises:
        RecipeError: the file cannot be read, or a line is not in this form.
    """
    texts, targets = [], []
    for number, line in enumerate(_read(path).split("\n"), 1):
        if not line:
            continue
        columns = line.split("\t")
        try:
            labels = [int(label) for label in columns[1].split(",")]
            shares = grouping[labels].mean(axis=0)
        except (IndexError, ValueError):
            raise RecipeError(
                f"{path}: line {number} is not a text, a tab and label numbers from 0 to "
                f"{len(grouping) - 1} with commas. Correct the line."
            ) from None
        texts.append(columns[0])
        targets.append(shares)
    if not texts:
        raise RecipeError(f"{path}: no comments, expected one a line. Name another file.")
    return Comments(texts, np.array(targets))


def fit_network(
    comments: Comments, recipe: TextRecipe, progress: Progress | None = None
) -> HashedLinear:
    """The classifier that fits comments best under the recipe's penalty, in 8 bits.

    It minimises ``-sum_i w_i sum_k t_ik log p_ik + l2/2 |W|^2`` over the weights and biases of a
    softmax, for the comments as they are and without punctuation.
    """
    from scipy import sparse

    fit = recipe.fit
    tokens = [tokens_of(text) for text in comments.texts]
    vocabularies = choose_vocabularies(tokens, fit)
    versions = [tokens, [spoken(text) for text in tokens]]
    matrix = sparse.vstack([_matrix(version, vocabularies) for version in versions], format="csr")
    shares = (1 - fit.stripped_share, fit.stripped_share)
    targets = np.concatenate([share * comments.targets for share in shares])
    weights, bias = minimise(matrix, targets, fit, progress)
    frequency = np.log(comments.targets.mean(axis=0))
    bias, prior = bias - fit.evening * frequency, (1 - fit.evening) * frequency
    kept = recipe.predicted
    sizes = [len(vocabulary.hashes) for vocabulary in vocabularies.values()]
    parts = np.split(weights[:, kept], np.cumsum(sizes)[:-1])
    blocks = {
        name: quantize(vocabulary, part)
        for (name, vocabulary), part in zip(vocabularies.items(), parts, strict=True)
    }
    return HashedLinear(blocks, bias[kept].astype(np.float32), prior[kept].astype(np.float32))


def choose_vocabularies(tokens: Sequence[Sequence[str]], fit: TextFit) -> dict[str, Vocabulary]:
    """The features that are in enough texts, and their weights ``ln((n + 1) / (n_f + 1)) + 1``."""
    kinds = {
        "word": ((single_features, fit.least_single), (pair_features, fit.least_pair)),
        "character": ((character_features, fit.least_characters),),
    }
    chosen = {}
    for name, sources in kinds.items():
        known: dict[int, int] = {}
        for features, least in sources:
            counts = Counter(chain.from_iterable(set(features(text)) for text in tokens))
            known |= {feature: count for feature, count in counts.items() if count >= least}
        hashes = np.array(sorted(known), np.uint32)
        counts_of = np.array([known[feature] for feature in hashes.tolist()])
        rarity = np.log((len(tokens) + 1) / (counts_of + 1)) + 1
        # as precise as in the file, so that training sees what prediction will
        chosen[name] = Vocabulary(hashes, rarity.astype(np.float16).astype(np.float32))
    return chosen


def minimise(
    matrix: Any, targets: Floats, fit: TextFit, progress: Progress | None = None
) -> tuple[Floats, Floats]:
    """Weights of shape (n_features, n_groups) and biases of shape (n_groups,) at the minimum.

    Args:
        matrix: sparse, shape (n_texts, n_features).
        targets: shape (n_texts, n_groups); a row sums to the weight of the text.
        fit: penalty and number of iterations.
        progress: called after each iteration.
    """
    from scipy.optimize import minimize

    n_features, n_groups = matrix.shape[1], targets.shape[1]
    transposed = matrix.T.tocsr()
    total = targets.sum(axis=1, keepdims=True)

    def loss_and_slope(flat: Floats) -> tuple[float, Floats]:
        weights, bias = flat[:-n_groups].reshape(n_features, n_groups), flat[-n_groups:]
        log_probs = log_softmax(matrix @ weights + bias)
        loss = fit.l2 / 2 * (weights**2).sum() - (targets * log_probs).sum()
        error = np.exp(log_probs) * total - targets  # (n_texts, n_groups)
        slope = transposed @ error + fit.l2 * weights
        return float(loss), np.concatenate([slope.ravel(), error.sum(axis=0)])

    done = 0

    def count(_: Floats) -> None:
        nonlocal done
        done += 1
        tell(progress, "fitting the weights", done, fit.iterations)

    found = minimize(
        loss_and_slope,
        np.zeros((n_features + 1) * n_groups),
        jac=True,
        method="L-BFGS-B",
        callback=count,
        options={"maxiter": fit.iterations, "maxfun": 4 * fit.iterations},
    ).x
    return found[:-n_groups].reshape(n_features, n_groups), found[-n_groups:]


def quantize(vocabulary: Vocabulary, weights: Floats) -> Block:
    """Weights in 8 bits; a feature's largest weight becomes 127 steps of its scale."""
    scale = (np.abs(weights).max(axis=1, initial=0) / 127).astype(np.float16)
    steps = weights / np.maximum(scale, np.finfo(np.float16).tiny)[:, None]
    clipped = np.clip(np.rint(steps), -127, 127)
    return Block(vocabulary, clipped.astype(np.int8), scale)


def fit_temperature(network: HashedLinear, texts: Sequence[str], truth: NDArray[np.intp]) -> float:
    """The temperature at which held-out texts are most likely, to 4 decimals.

    Every text counts as much, for the posteriors are to be right for texts as frequent as these.
    """
    from scipy.optimize import minimize_scalar

    logits = network.logits(texts)
    rows = np.arange(len(truth))

    def surprise(log_temperature: float) -> float:
        return float(-log_softmax(logits / np.exp(log_temperature))[rows, truth].mean())

    found = minimize_scalar(surprise, bounds=tuple(np.log(TEMPERATURES)), method="bounded")
    return round(float(np.exp(found.x)), 4)


def _matrix(tokens: Sequence[Sequence[str]], vocabularies: Mapping[str, Vocabulary]) -> Any:
    """Features of texts, the blocks side by side; sparse, shape (n_texts, n_features)."""
    from scipy import sparse

    parts = []
    for name, features in BLOCKS.items():
        vocabulary = vocabularies[name]
        entries = vocabulary.entries([features(text) for text in tokens])
        shape = (len(tokens), len(vocabulary.hashes))
        parts.append(sparse.csr_matrix((entries.value, (entries.row, entries.column)), shape))
    return sparse.hstack(parts, format="csr")


def _figures(
    network: HashedLinear, temperature: float, texts: Sequence[str], truth: NDArray[np.intp]
) -> dict[str, float]:
    logits = network.logits(texts)
    counts = confusion(truth, logits.argmax(axis=1), logits.shape[1])
    return {
        "n": len(truth),
        "macro_f1": round(float(macro_f1(counts)), 4),
        "accuracy": round(float(accuracy(counts)), 4),
        "ece": _ece(softmax(logits, temperature), truth),
        "ece_before": _ece(softmax(logits), truth),
    }


def _ece(probs: Floats, truth: NDArray[np.intp]) -> float:
    sums = bins(probs.max(axis=1), probs.argmax(axis=1) == truth)
    return round(float(expected_calibration_error(sums)), 4)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise RecipeError(
            f"{path}: cannot be read ({error.strerror}), expected a file that the recipe names. "
            f"Check data.folder, or give the folder of the data with --data."
        ) from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not UTF-8 text ({error}). Convert the file.") from error


def _read_labels(path: Path) -> list[str]:
    return _read(path).split()


def _grouping(recipe: TextRecipe, names: Sequence[str]) -> Floats:
    """Shape (n_labels, n_groups), 1 where a label is in a group."""
    grouping = np.zeros((len(names), len(recipe.groups)))
    for column, group in enumerate(recipe.groups):
        for label in group.of:
            if label not in names:
                raise RecipeError(
                    f"{recipe.name}: group {group.name} has {label}, which is no label of the "
                    f"data. Use one of {', '.join(names)}."
                )
            grouping[names.index(label), column] = 1
    for label, times in zip(names, grouping.sum(axis=1), strict=True):
        if times != 1:
            raise RecipeError(
                f"{recipe.name}: label {label} is in {int(times)} groups, expected 1. "
                f"Put it in one, with predicted = false if the model shall not predict it."
            )
    return grouping


def _write(
    recipe: TextRecipe,
    network: HashedLinear,
    temperature: float,
    figures: Mapping[str, Mapping[str, float]],
    out: Path,
) -> None:
    config = {
        "model_type": MODEL_TYPE,
        "name": recipe.name,
        "labels": canonical_labels([recipe.groups[index].name for index in recipe.predicted]),
        "temperature": temperature,
        "licence": recipe.licence,
        "source": recipe.source,
        "description": recipe.description,
        "figures": figures,
        "fit": asdict(recipe.fit),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.safetensors").write_bytes(dump_tensors(network.tensors()))
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
