"""What holds for figures of any table."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from emocli.metrics import classification as cls
from emocli.metrics import regression as reg
from emocli.metrics import soft, text
from emocli.metrics.intervals import Units
from emocli.metrics.registry import metric_of
from emocli.metrics.risk_coverage import Ranking, risk_coverage
from emocli.metrics.scores import Sample, figures_of, intervals_of

N_LABELS = 4
quick = settings(max_examples=40, deadline=None)


@st.composite
def label_pairs(draw):
    n = draw(st.integers(1, 40))
    truth = draw(hnp.arrays(np.intp, n, elements=st.integers(0, N_LABELS - 1)))
    predicted = draw(hnp.arrays(np.intp, n, elements=st.integers(-1, N_LABELS - 1)))
    return truth, predicted


@st.composite
def samples(draw):
    """Tables with rounded posteriors, so that equal confidences occur."""
    n = draw(st.integers(1, 30))
    masses = draw(
        hnp.arrays(np.int64, (n, N_LABELS), elements=st.integers(0, 6)).map(
            lambda array: np.where(array.sum(axis=1, keepdims=True) == 0, 1, array)
        )
    )
    probs = masses / masses.sum(axis=1, keepdims=True)
    truth = draw(hnp.arrays(np.intp, n, elements=st.integers(0, N_LABELS - 1)))
    return Sample(truth, probs.argmax(axis=1), N_LABELS, probs, probs.max(axis=1))


def rows_of(table, rows):
    return Sample(
        table.truth[rows],
        table.predicted[rows],
        N_LABELS,
        table.probs[rows],
        table.confidence[rows],
    )


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-9, err_msg=name)


@quick
@given(label_pairs())
def test_figures_of_classification_lie_in_their_ranges(pairs):
    counts = cls.confusion(*pairs, N_LABELS)
    uar, accuracy, macro = (
        view(counts) for view in (cls.unweighted_average_recall, cls.accuracy, cls.macro_f1)
    )
    assert counts.sum() == len(pairs[0])
    assert 0 <= uar <= 1
    assert 0 <= accuracy <= 1
    assert 0 <= macro <= 1
    recalls = cls.recall(counts)
    assert np.nanmin(recalls) - 1e-12 <= accuracy <= np.nanmax(recalls) + 1e-12


@quick
@given(label_pairs(), st.permutations(range(N_LABELS)))
def test_renaming_labels_changes_no_mean_figure(pairs, names):
    renamed = np.array([*names, -1])
    first = cls.confusion(*pairs, N_LABELS)
    second = cls.confusion(renamed[pairs[0]], renamed[pairs[1]], N_LABELS)
    for view in (cls.unweighted_average_recall, cls.macro_f1, cls.weighted_f1, cls.cohens_kappa):
        np.testing.assert_allclose(view(first), view(second), atol=1e-12)


@quick
@given(samples())
def test_doubling_a_table_changes_no_figure(table):
    rows = np.tile(np.arange(len(table)), 2)
    found, expected = figures_of(rows_of(table, rows)), figures_of(table)
    # The area is a mean over ranks, of which there are now more.
    for name in ("aurc", "eaurc"):
        del found[name], expected[name]
    assert_same(found, expected)


@quick
@given(samples(), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_figure(table, chance):
    rows = list(range(len(table)))
    chance.shuffle(rows)
    assert_same(figures_of(rows_of(table, np.array(rows))), figures_of(table))


@quick
@given(samples())
def test_figures_of_confidence_lie_in_their_ranges(table):
    found = figures_of(table)
    assert 0 <= found["ece"] <= found["mce"] + 1e-12 <= 1 + 2e-12
    assert 0 <= found["classwise_ece"] <= 1
    assert 0 <= found["adaptive_ece"] <= 1
    assert 0 <= found["brier"] <= 2
    assert found["nll"] >= 0
    assert found["accuracy"] <= found["top2"]
    assert -1e-9 <= found["eaurc"] <= found["aurc"] <= 1
    # The gap over all utterances is the least that any bins can show.
    gap = abs(table.confidence.mean() - found["accuracy"])
    assert gap <= found["ece"] + 1e-9
    assert gap <= found["adaptive_ece"] + 1e-9


@quick
@given(samples())
def test_the_parts_of_the_brier_score_add_up(table):
    found = figures_of(table)
    parts = (
        found["brier_reliability"]
        - found["brier_resolution"]
        + found["brier_uncertainty"]
        + found["brier_within_bin"]
    )
    assert abs(parts - found["brier"]) < 1e-9
    assert -1e-12 <= found["brier_resolution"] <= found["brier_uncertainty"] + 1e-9


@quick
@given(samples())
def test_any_rising_function_of_confidence_ranks_alike(table):
    right = table.predicted == table.truth
    ones = np.ones((1, len(table)))
    first = Ranking.of(table.confidence, right).curve(ones)
    second = Ranking.of(np.exp(3 * table.confidence), right).curve(ones)
    np.testing.assert_allclose(first.aurc(), second.aurc(), atol=1e-12)
    np.testing.assert_allclose(first.error_auroc(), second.error_auroc(), atol=1e-12)


@quick
@given(samples())
def test_full_coverage_has_the_error_rate(table):
    right = table.predicted == table.truth
    coverage, risk = risk_coverage(table.confidence, right)
    assert coverage[-1] == 1.0
    np.testing.assert_allclose(risk[-1], 1 - right.mean(), atol=1e-12)


@settings(quick, max_examples=15)
@given(samples())
def test_intervals_hold_their_figures_and_keep_to_their_range(table):
    if len(table) < 2:
        return
    values, found = figures_of(table), intervals_of(table, Units.of(None, len(table)))
    values["ece_debiased"] = found.further["ece_debiased"]
    for name, (low, high) in found.figures.items():
        if np.isnan(low):
            continue
        assert low < high, name
        bounds = metric_of(name).bounds
        assert bounds[0] <= low, name
        assert high <= bounds[1], name
        if "ece" not in name:  # that of ECE may lie below the plain figure, which is too large
            assert low - 1e-9 <= values[name] <= high + 1e-9, name


figures = st.floats(-100, 100).map(lambda value: round(value, 3))
series = st.integers(2, 30).flatmap(
    lambda n: st.tuples(*2 * (hnp.arrays(np.float64, n, elements=figures),))
)


@quick
@given(series)
def test_ccc_is_at_most_the_correlation(pair):
    sums = reg.regression_terms(*pair).sum(axis=0)
    ccc, pearson = reg.ccc_of_sums(sums), reg.pearson_of_sums(sums)
    if not np.isnan(pearson):
        assert abs(ccc) <= abs(pearson) + 1e-9


@quick
@given(series)
def test_ccc_with_itself_is_1_and_both_ways_the_same(pair):
    x, y = pair
    if np.ptp(x) > 0:
        np.testing.assert_allclose(reg.concordance_cc(x, x), 1.0, atol=1e-12)
    np.testing.assert_allclose(reg.concordance_cc(x, y), reg.concordance_cc(y, x), atol=1e-9)


@quick
@given(series)
def test_bias_and_mean_error_are_at_most_the_root_mean_square(pair):
    sums = reg.regression_terms(*pair).sum(axis=0)
    bias, mae, rmse = (f(sums) for f in (reg.bias_of_sums, reg.mae_of_sums, reg.rmse_of_sums))
    assert abs(bias) <= mae + 1e-9 <= rmse + 2e-9


@quick
@given(samples(), samples())
def test_divergences_lie_in_their_ranges(first, second):
    n = min(len(first), len(second))
    p, q = first.probs[:n], second.probs[:n]
    assert (soft.kl_divergence(p, q) >= 0).all()
    assert (soft.jensen_shannon(p, q) <= np.log(2) + 1e-12).all()
    np.testing.assert_allclose(soft.jensen_shannon(p, q), soft.jensen_shannon(q, p), atol=1e-12)
    assert (soft.cosine_similarity(p, q) <= 1 + 1e-12).all()


words = st.lists(st.sampled_from(["a", "bb", "c"]), max_size=6).map(" ".join)


@quick
@given(st.lists(st.tuples(words, words), min_size=1, max_size=5))
def test_word_errors_lie_between_the_lengths(pairs):
    said, heard = zip(*pairs, strict=True)
    for (errors, n_said), hypothesis in zip(text.word_errors(said, heard), heard, strict=True):
        n_heard = len(hypothesis.split())
        assert abs(n_said - n_heard) <= errors <= max(n_said, n_heard)


@quick
@given(st.text("aBß'’-_. 7\u0301", max_size=20))
def test_normalized_text_stays_as_it_is(line):
    once = text.normalize_text(line)
    assert text.normalize_text(once) == once
