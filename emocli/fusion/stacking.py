"""Balanced stacking: random forests on the outputs of all models.

Five forests, each grown without one fold of speakers, vote with their mean probabilities. They
are grown on a sample that has every label equally often, so their posteriors stand for that mix.

Source: arXiv 2505.20007: 200 trees of depth 8 with at least 10 rows in a leaf on as many rows of
each label as the rarest one has. There the models' outputs on their own training data went in;
here they should come from data that the models were not trained on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocli.errors import MissingDependency
from emocli.fusion.features import Input

N_TREES = 200
MAX_DEPTH = 8
MIN_ROWS = 10
SEED = 42


@dataclass(frozen=True)
class Trees:
    """Decision trees as arrays over all nodes of all trees.

    A leaf is its own left and right child, so that walking on from it stays there.

    Attributes:
        feature: which feature a node looks at, shape (n_nodes,).
        threshold: rows with at most this value go left, shape (n_nodes,).
        left: index of the left child, shape (n_nodes,).
        right: index of the right child, shape (n_nodes,).
        value: class shares at the node, shape (n_nodes, n_labels).
        roots: the root of each tree, shape (n_trees,).
        forest: which forest each tree belongs to, shape (n_trees,).
    """

    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float32]
    roots: NDArray[np.int32]
    forest: NDArray[np.int32]

    def vote(self, features: NDArray[np.float64], which: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Mean class shares over some of the trees, shape (n_rows, n_labels).

        Args:
            features: shape (n_rows, n_features).
            which: the trees that vote, shape (n_trees,).
        """
        narrow = features.astype(np.float32)  # the precision that the thresholds were found in
        total = np.zeros((len(features), self.value.shape[1]))
        for root in self.roots[which]:
            node = np.full(len(features), root)
            for _ in range(MAX_DEPTH):
                low = narrow[np.arange(len(node)), self.feature[node]] <= self.threshold[node]
                node = np.where(low, self.left[node], self.right[node])
            total += self.value[node]
        return total / int(which.sum())


@dataclass(frozen=True)
class Stacking:
    """Fitted forests.

    Attributes:
        labels: emotions in the order of the fused posteriors.
        inputs: what they were fitted on, in the order of the features.
        n_fit: rows of the balanced sample.
        missing: what stands for a feature of a side without a say, its mean; (n_features,).
        trees: the trees of all forests.
    """

    labels: tuple[str, ...]
    inputs: tuple[Input, ...]
    n_fit: int
    missing: NDArray[np.float64]
    trees: Trees

    @property
    def prior(self) -> NDArray[np.float64]:
        """The class mix that its posteriors stand for: all labels equally frequent."""
        return np.full(len(self.labels), 1.0 / len(self.labels))

    def probs(self, blocks: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Fused posteriors.

        Args:
            blocks: one for each input, shape (n_utterances, n_outputs), NaN without a say.

        Returns:
            Shape (n_utterances, n_labels), rows sum to 1.
        """
        features = np.concatenate(blocks, axis=1)
        filled = np.where(np.isnan(features), self.missing, features)
        votes = self.trees.vote(filled, np.ones(len(self.trees.roots), dtype=bool))
        return votes / votes.sum(axis=1, keepdims=True)


def fit_stacking(
    blocks: Sequence[NDArray[np.float64]],
    truth: NDArray[np.intp],
    labels: Sequence[str],
    inputs: Sequence[Input],
    folds: NDArray[np.intp],
) -> tuple[Stacking, NDArray[np.float64]]:
    """Forests on a balanced sample, one without each fold.

    Args:
        blocks: features of each input, shape (n_rows, n_outputs), without NaN.
        truth: label index of each row, shape (n_rows,).
        labels: names of the indices.
        inputs: what the blocks are.
        folds: cross-validation fold of each row, shape (n_rows,).

    Returns:
        The forests, and for each row the posterior of the one that was grown without its fold;
        shape (n_rows, n_labels).

    Raises:
        MissingDependency: scikit-learn is not installed.
    """
    features = np.concatenate(blocks, axis=1)
    sample = balanced_sample(truth, len(labels))
    names = np.unique(folds)
    grown = [
        _grow(features[sample & (folds != fold)], truth[sample & (folds != fold)])
        for fold in names.tolist()
    ]
    trees = _as_arrays(grown)
    held_out = np.empty((len(truth), len(labels)))
    for index, fold in enumerate(names):
        held_out[folds == fold] = trees.vote(features[folds == fold], trees.forest == index)
    fuser = Stacking(tuple(labels), tuple(inputs), int(sample.sum()), features.mean(axis=0), trees)
    return fuser, held_out / held_out.sum(axis=1, keepdims=True)


def balanced_sample(truth: NDArray[np.intp], n_labels: int) -> NDArray[np.bool_]:
    """Which rows to take so that every label occurs as often as the rarest, shape (n_rows,)."""
    random = np.random.default_rng(SEED)
    n_each = int(np.bincount(truth, minlength=n_labels).min())
    sample = np.zeros(len(truth), dtype=bool)
    for label in range(n_labels):
        sample[random.permutation(np.flatnonzero(truth == label))[:n_each]] = True
    return sample


def _grow(features: NDArray[np.float64], truth: NDArray[np.intp]) -> Any:
    try:
        from sklearn.ensemble import RandomForestClassifier
    except ImportError:
        raise MissingDependency(
            "Stacking grows its forests with scikit-learn, and that is not installed. "
            "Install it with: pip install 'emocli[train]'."
        ) from None
    return RandomForestClassifier(
        n_estimators=N_TREES,
        max_depth=MAX_DEPTH,
        min_samples_leaf=MIN_ROWS,
        min_samples_split=MIN_ROWS,
        random_state=SEED,
    ).fit(features, truth)


def _as_arrays(forests: Sequence[Any]) -> Trees:
    """The nodes of scikit-learn's trees one behind another."""
    parts: list[tuple[NDArray[Any], ...]] = []
    roots, owners, first = [], [], 0
    for owner, forest in enumerate(forests):
        for tree in (estimator.tree_ for estimator in forest.estimators_):
            own = np.arange(tree.node_count)
            leaf = tree.children_left < 0
            left = np.where(leaf, own, tree.children_left) + first
            right = np.where(leaf, own, tree.children_right) + first
            shares = tree.value[:, 0] / tree.value[:, 0].sum(axis=1, keepdims=True)
            parts.append((np.where(leaf, 0, tree.feature), tree.threshold, left, right, shares))
            roots.append(first)
            owners.append(owner)
            first += tree.node_count
    feature, threshold, left, right, value = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    return Trees(
        feature=feature.astype(np.int32),
        threshold=threshold,
        left=left.astype(np.int32),
        right=right.astype(np.int32),
        value=value.astype(np.float32),
        roots=np.array(roots, dtype=np.int32),
        forest=np.array(owners, dtype=np.int32),
    )
