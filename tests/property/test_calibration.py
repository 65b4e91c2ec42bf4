"""What holds of calibration whatever the predictions."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from emocli.calibration.conformal import LabelSets, SetRule, finite_sample_quantile
from emocli.calibration.disagreement import disagreement
from emocli.calibration.fitting import MAPS
from emocli.calibration.storage import dump_calibration, load_calibration
from emocli.calibration.tables import Calibration
from emocli.calibration.uncertainty import uncertainty
from emocli.posteriors import log_softmax, top
from emocli.splits import even_folds

seeds = st.integers(0, 10_000)
sizes = st.tuples(st.integers(5, 60), st.integers(2, 6))


def predictions(seed, size):
    rng = np.random.default_rng(seed)
    return log_softmax(rng.normal(scale=2.0, size=size)), rng.integers(0, size[1], size[0]), rng


@settings(max_examples=15, deadline=None)
@given(seed=seeds, size=sizes, method=st.sampled_from(sorted(MAPS)))
def test_calibrated_posteriors_are_posteriors_and_come_back_from_a_file(seed, size, method):
    log_probs, truth, _ = predictions(seed, size)
    fitted = MAPS[method].fit(log_probs, truth)
    after = np.exp(fitted.apply(log_probs))
    assert after.min() > 0
    np.testing.assert_allclose(after.sum(axis=1), 1.0)
    given_ = Calibration(tuple(f"l{k}" for k in range(size[1])), "m", fitted, None, size[0])
    assert load_calibration(dump_calibration(given_), "cal.json") == given_


@settings(max_examples=15, deadline=None)
@given(seed=seeds, size=sizes, method=st.sampled_from(sorted(MAPS)))
def test_labels_in_another_order_change_nothing(seed, size, method):
    log_probs, truth, rng = predictions(seed, size)
    order = rng.permutation(size[1])
    before = MAPS[method].fit(log_probs, truth).apply(log_probs)
    moved = log_probs[:, order]
    after = MAPS[method].fit(moved, np.argsort(order)[truth]).apply(moved)
    np.testing.assert_allclose(np.exp(after), np.exp(before[:, order]), atol=2e-3)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, size=sizes)
def test_temperature_never_changes_a_label_and_rising_maps_keep_each_label_s_order(seed, size):
    log_probs, truth, _ = predictions(seed, size)
    after = MAPS["temperature"].fit(log_probs, truth).apply(log_probs)
    assert top(np.exp(after)).tolist() == top(np.exp(log_probs)).tolist()
    for curve in MAPS["isotonic"].fit(log_probs, truth).curves:
        assert np.all(np.diff(curve.y) >= 0)
        assert np.all(np.diff(curve.x) > 0)


@settings(max_examples=50, deadline=None)
@given(
    seed=seeds,
    n=st.integers(1, 80),
    coverage=st.floats(0.05, 0.98),
    adaptive=st.booleans(),
    per_class=st.booleans(),
)
def test_the_fitted_utterances_themselves_are_covered(seed, n, coverage, adaptive, per_class):
    log_probs, truth, rng = predictions(seed, (n, 3))
    probs, draws = np.exp(log_probs), rng.random(n)
    rule = SetRule(coverage, adaptive, 0.0, per_class)
    sets = LabelSets.fit(probs, truth, draws, rule)
    inside = sets.members(probs, draws)[np.arange(n), truth]
    assert inside.mean() >= coverage - 1e-9
    wider = LabelSets.fit(probs, truth, draws, SetRule((1 + coverage) / 2, adaptive, 0, per_class))
    assert np.all(sets.members(probs, draws) <= wider.members(probs, draws))


@settings(max_examples=50, deadline=None)
@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=50), coverage=st.floats(0.01, 0.99))
def test_the_quantile_leaves_the_promised_share_below(values, coverage):
    found = finite_sample_quantile(np.array(values), coverage)
    below = np.sum(np.array(values) <= found)
    assert below >= min(len(values), (len(values) + 1) * coverage - 1e-6)


@settings(max_examples=50, deadline=None)
@given(seed=seeds, n_draws=st.integers(2, 5), n_labels=st.integers(2, 6))
def test_uncertainty_splits_and_disagreement_is_bounded(seed, n_draws, n_labels):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(n_labels, 0.3), size=(n_draws, 7))
    found = uncertainty(probs)
    np.testing.assert_allclose(found.expected + found.mutual_information, found.predictive)
    np.testing.assert_array_equal(disagreement(probs), found.mutual_information)
    assert np.all(found.mutual_information <= np.log(min(n_draws, n_labels)) + 1e-12)
    same = np.repeat(probs[:1], n_draws, axis=0)
    np.testing.assert_allclose(disagreement(same), 0.0, atol=1e-12)
    np.testing.assert_allclose(disagreement(probs[::-1]), disagreement(probs))


@settings(max_examples=50, deadline=None)
@given(names=st.lists(st.sampled_from("abcdefghijklmnop"), min_size=1, max_size=80))
def test_folds_partition_speakers(names):
    folds = even_folds(names)
    assert len({(name, fold) for name, fold in zip(names, folds, strict=True)}) == len(set(names))
    assert sorted(set(folds.tolist())) == list(range(min(len(set(names)), 10)))


def test_maps_name_themselves():
    assert {name: kind.method for name, kind in MAPS.items()} == {name: name for name in MAPS}
    assert list(MAPS) == ["temperature", "vector", "isotonic", "beta", "mean"]
