"""Adaptation to the recordings at hand, without a label.

A model that hears a new voice, room or language errs in one direction: all its log posteriors are
shifted by nearly the same. For ``n`` recordings of one group (a speaker, or all of a run),

    y_i = m_k + b + e_i,    e_i ~ N(0, S),    b ~ N(0, B),    k ~ the group's own mix of labels,

where ``y_i`` are the contrasts of the log posteriors, ``m_k`` is their mean for a label, ``S``
their covariance within labels and ``B`` that of the shifts of groups, all of recordings that the
model was not trained on. Expectation-maximisation finds the mix and the shift; a recording is then
corrected by the shift that the *others* of its group show. So one recording alone stays as it is,
few are corrected by little, and shifts that would be rare under ``B`` are taken for the mix.

A shift can be told from a one-sided mix only where the mix is broad. That shows in the spread:
where a group has several emotions, its posteriors vary more, in relation to all that the model
hears vary, than where it has one. The correction is multiplied by a share between 0 and 1 that
rises with this ratio, of all groups together; it is one half midway between what mixed groups and
groups of one label had of the corpora that the model was not trained on. What the model hears is
represented by random projections of its features: the directions in which its training varied
most would vary less in any other corpus.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from emocli.posteriors import log_softmax

Array = NDArray[np.float64]

ADAPTATION_FILE = "adaptation.safetensors"
"""Beside a model's weights."""
MIX_PRIOR = 2.0
"""Recordings of each label that are imagined in every group beside those that are there."""
ITERATIONS = 50
TOLERANCE = 1e-4
SPREAD_WIDTH = 0.1
"""How fast the share rises with the natural logarithm of the ratio of spreads."""
N_TRAITS = 32
MOST_DEVIATIONS = 6.0
LEAST_OFFSET = 0.02
"""Smallest variance of shifts in any direction, as a share of the mean variance within labels."""


@dataclass(frozen=True)
class GroupFigures:
    """How recordings of one kind of group are distributed.

    Attributes:
        means: contrasts of each label, shape (n_labels, n_labels - 1).
        within: covariance within labels and groups, shape (n_labels - 1, n_labels - 1).
        offsets: covariance of the groups' shifts, the same shape.
        threshold: logarithm of the ratio of spreads at which half of a correction passes, shape ().
    """

    means: Array
    within: Array
    offsets: Array
    threshold: Array


@dataclass(frozen=True)
class TraitDirections:
    """Traits of a recording: random projections of its features, which keep their mean variance.

    Attributes:
        mean: of the features, shape (n_features,).
        deviation: of the features, shape (n_features,).
        directions: of the standardised features, shape (n_features, n_traits).
    """

    mean: Array
    deviation: Array
    directions: Array

    def traits(self, features: Array) -> Array:
        """Traits of shape (n_utterances, n_traits); features beyond 6 deviations count as 6."""
        scaled = (features - self.mean) / self.deviation
        return np.asarray(scaled.clip(-MOST_DEVIATIONS, MOST_DEVIATIONS) @ self.directions)


@dataclass(frozen=True)
class Adaptation:
    """What a model knows of groups of recordings that it was not trained on.

    Attributes:
        directions: give the traits.
        run: figures for all recordings of a run.
        speaker: figures for those of one speaker.
    """

    directions: TraitDirections
    run: GroupFigures
    speaker: GroupFigures

    def arrays(self) -> dict[str, Array]:
        """All figures by name, ``part.figure``."""
        parts = {"directions": self.directions, "run": self.run, "speaker": self.speaker}
        return {
            f"{name}.{key}": value
            for name, part in parts.items()
            for key, value in vars(part).items()
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], n_labels: int) -> "Adaptation":
        """The adaptation of `arrays`.

        Raises:
            ValueError: a figure is missing, is none or has another shape; says which.
        """
        signs = arrays.get("directions.directions")
        n_features, n_traits = signs.shape if signs is not None and signs.ndim == 2 else (0, 0)
        square = (n_labels - 1, n_labels - 1)
        group = {
            "means": (n_labels, n_labels - 1),
            "within": square,
            "offsets": square,
            "threshold": (),
        }
        directions = {
            "mean": (n_features,),
            "deviation": (n_features,),
            "directions": (n_features, n_traits),
        }
        parts = {"directions": directions, "run": group, "speaker": group}
        for name, shapes in parts.items():
            for key, shape in shapes.items():
                found = arrays.get(f"{name}.{key}")
                if found is None or found.shape != shape or not np.isfinite(found).all():
                    raise ValueError(f"{name}.{key}")

        def part(name: str) -> dict[str, Array]:
            return {key: arrays[f"{name}.{key}"].astype(np.float64) for key in parts[name]}

        return cls(
            TraitDirections(**part("directions")),
            GroupFigures(**part("run")),
            GroupFigures(**part("speaker")),
        )


@dataclass(frozen=True)
class Adapted:
    """Log posteriors after adaptation.

    Attributes:
        log_probs: shape (n_utterances, n_labels), rows log-sum to 0.
        share: of the correction that the spread let pass, 0 to 1.
        sizes: recordings in the group of each, shape (n_utterances,).
    """

    log_probs: Array
    share: float
    sizes: NDArray[np.intp]


def contrasts(n_labels: int) -> Array:
    """Orthonormal contrasts of labels (Helmert), shape (n_labels, n_labels - 1)."""
    found = np.zeros((n_labels, n_labels - 1))
    for k in range(1, n_labels):
        found[:k, k - 1], found[k, k - 1] = 1.0, -float(k)
    return found / np.linalg.norm(found, axis=0)


def adapt(
    log_probs: Array, traits: Array, groups: Sequence[Hashable], figures: GroupFigures
) -> Adapted:
    """Log posteriors corrected by what the other recordings of each group show.

    Args:
        log_probs: shape (n_utterances, n_labels), finite.
        traits: what else the model hears, shape (n_utterances, n_traits).
        groups: who or what each recording is of.
        figures: of groups of this kind.
    """
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    group = np.array([numbers[one] for one in groups], dtype=np.intp)
    sizes = np.bincount(group, minlength=1)[group] if len(group) else group
    basis = contrasts(log_probs.shape[1])
    values = log_probs @ basis
    share = spread_share(values, traits, group, figures)
    shifts = np.zeros_like(values)
    for number in np.flatnonzero(np.bincount(group, minlength=1) > 1):
        own = group == number
        shifts[own] = _shifts_of_others(values[own], figures)
    corrected = log_softmax(log_probs - share * shifts @ basis.T)
    return Adapted(corrected, share, sizes)


def _shifts_of_others(values: Array, figures: GroupFigures) -> Array:
    """The shift that all other recordings of a group show, for each of its recordings."""
    n = len(values)
    precision = np.asarray(np.linalg.inv(figures.within), dtype=np.float64)
    rarity = np.asarray(np.linalg.inv(figures.offsets), dtype=np.float64)
    memberships = _memberships(values, figures, precision, rarity)
    residuals = values - memberships @ figures.means
    of_others = residuals.sum(axis=0) - residuals
    return np.asarray(of_others @ precision @ np.linalg.inv(rarity + (n - 1) * precision))


def _memberships(values: Array, figures: GroupFigures, precision: Array, rarity: Array) -> Array:
    """Probability of each label for each recording, given the shift of them all."""
    n, n_labels = len(values), len(figures.means)
    shift, doubt = np.zeros(values.shape[1]), figures.offsets
    mix = np.full(n_labels, 1 / n_labels)
    memberships = np.tile(mix, (n, 1))
    for _ in range(ITERATIONS):
        distance = values[:, None] - figures.means - shift
        scale = np.linalg.inv(figures.within + doubt)
        fit = -0.5 * np.einsum("nkd,de,nke->nk", distance, scale, distance)
        memberships = np.exp(log_softmax(fit + np.log(mix)))
        doubt = np.asarray(np.linalg.inv(rarity + n * precision), dtype=np.float64)
        before = shift
        shift = (values - memberships @ figures.means).sum(axis=0) @ precision @ doubt
        mix = (memberships.sum(axis=0) + MIX_PRIOR) / (n + n_labels * MIX_PRIOR)
        if np.abs(shift - before).max() < TOLERANCE:
            break
    return memberships


def spread_share(
    values: Array, traits: Array, group: NDArray[np.intp], figures: GroupFigures
) -> float:
    """Share of a correction that the spread within groups lets pass, 0 to 1.

    It rises with the variance along the directions in which labels differ most over that of the
    traits.

    Args:
        values: contrasts of log posteriors, shape (n_utterances, n_labels - 1).
        traits: shape (n_utterances, n_traits).
        group: number of each recording's group, shape (n_utterances,).
        figures: of groups of this kind.
    """
    ratio = _spread_ratio(values @ _leading_directions(figures), traits, group)
    return float(1 / (1 + np.exp(-(ratio - figures.threshold) / SPREAD_WIDTH)))


def _spread_ratio(leading: Array, traits: Array, group: NDArray[np.intp]) -> float:
    """Logarithm of the ratio of spreads within groups; minus infinity where nothing differs."""
    spread, other = _variance_within(leading, group).mean(), _variance_within(traits, group).mean()
    return float(np.log(spread) - np.log(other)) if spread > 0 and other > 0 else -np.inf


def _leading_directions(figures: GroupFigures) -> Array:
    """Directions in which labels differ, of unit variance within a label, but for the last."""
    white = np.linalg.cholesky(np.linalg.inv(figures.within))
    centred = (figures.means - figures.means.mean(axis=0)) @ white
    _, turned = np.linalg.eigh(centred.T @ centred)
    return np.asarray(white @ turned[:, -max(1, turned.shape[1] - 1) :])


def _variance_within(values: Array, group: NDArray[np.intp]) -> Array:
    """Pooled variance within groups of two or more; 0 where there is no such group."""
    freedom = int((np.bincount(group, minlength=1) - 1).clip(0).sum())
    residuals = values - _group_means(values, group)[group]
    return np.asarray(np.square(residuals).sum(axis=0) / max(freedom, 1))


def fit_group_figures(
    log_probs: Array,
    traits: Array,
    truth: NDArray[np.intp],
    group: NDArray[np.intp],
    corpus: NDArray[np.intp],
    weights: Array,
    *,
    evenness: float = 0.0,
) -> GroupFigures:
    """Figures of recordings that the model was not trained on, by the method of moments.

    The covariance of shifts is that of the groups' mean residuals, less what it would be by chance,
    and the labels' means are taken of what is left when each group's shrunken shift is removed, for
    not all groups have all labels.

    Args:
        log_probs: shape (n_utterances, n_labels), of a model that has heard nothing of the group.
        traits: shape (n_utterances, n_traits).
        truth: index of the true label, shape (n_utterances,).
        group: number of the group, shape (n_utterances,).
        corpus: number of the corpus, shape (n_utterances,); a group is in one.
        weights: of the recordings in the labels' means, shape (n_utterances,).
        evenness: share of the shifts' covariance that is made alike in all directions, for where
            there are few groups.
    """
    values = log_probs @ contrasts(log_probs.shape[1])
    shifts = np.zeros_like(values)
    for _ in range(3):
        means = _weighted_means(values - shifts, truth, weights)
        residuals = values - means[truth]
        within = _covariance_within(residuals, group)
        offsets = _covariance_of_shifts(residuals, group, within)
        shifts = _shrunken_shifts(residuals, group, within, offsets)
    even = np.eye(len(offsets)) * np.trace(offsets) / len(offsets)
    untested = GroupFigures(means, within, (1 - evenness) * offsets + evenness * even, np.zeros(()))
    leading = values @ _leading_directions(untested)
    ratios = []
    for number in range(corpus.max() + 1):
        own = corpus == number
        for groups in (group, group * log_probs.shape[1] + truth):  # mixed, and of one label each
            ratio = _spread_ratio(leading[own], traits[own], groups[own])
            ratios += [ratio] if np.isfinite(ratio) else []
    return replace(untested, threshold=np.asarray(np.mean(ratios)))


def _weighted_means(values: Array, truth: NDArray[np.intp], weights: Array) -> Array:
    return np.stack(
        [
            np.average(values[truth == k], axis=0, weights=weights[truth == k])
            for k in range(truth.max() + 1)
        ]
    )


def _covariance_within(residuals: Array, group: NDArray[np.intp]) -> Array:
    counts = np.bincount(group, minlength=1)
    centred = residuals - _group_means(residuals, group)[group]
    return np.asarray(centred.T @ centred / (counts - 1).clip(0).sum())


def _covariance_of_shifts(residuals: Array, group: NDArray[np.intp], within: Array) -> Array:
    counts = np.bincount(group, minlength=1)
    several = counts > 1
    means = _group_means(residuals, group)[several]
    chance = within * np.mean(1 / counts[several])
    variances, directions = np.linalg.eigh(means.T @ means / len(means) - chance)
    least = LEAST_OFFSET * np.trace(within) / len(within)
    return np.asarray((directions * variances.clip(least)) @ directions.T)


def _shrunken_shifts(
    residuals: Array, group: NDArray[np.intp], within: Array, offsets: Array
) -> Array:
    counts = np.bincount(group, minlength=1)
    means = _group_means(residuals, group)
    shrunken = np.stack(
        [
            offsets @ np.linalg.solve(offsets + within / max(n, 1), mean)
            for n, mean in zip(counts, means, strict=True)
        ]
    )
    return np.asarray(shrunken[group])


def _group_means(values: Array, group: NDArray[np.intp]) -> Array:
    counts = np.bincount(group, minlength=1)
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, group, values)
    return np.asarray(sums / counts.clip(1)[:, None])


def fit_trait_directions(features: Array, seed: int = 0) -> TraitDirections:
    """Random signs by which standardised features are added up, for `N_TRAITS` traits.

    Args:
        features: shape (n_utterances, n_features).
        seed: of the signs.
    """
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (features.shape[1], N_TRAITS))
    return TraitDirections(features.mean(axis=0), features.std(axis=0) + 1e-6, signs)
