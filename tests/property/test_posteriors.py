"""What holds for every posterior."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from emocli import posteriors

logits = arrays.arrays(
    np.float64,
    st.tuples(st.integers(1, 5), st.integers(2, 9)),
    elements=st.floats(-500, 500, width=32),
)


@given(logits)
def test_posteriors_sum_to_one_and_measures_stay_in_range(values):
    probs = posteriors.softmax(values)
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, atol=1e-12)
    entropy = posteriors.entropy(probs)
    assert (entropy >= 0).all()
    assert (entropy <= np.log(values.shape[1]) + 1e-12).all()
    assert (posteriors.varentropy(probs) >= 0).all()
    margin = posteriors.margin(probs)
    assert ((margin >= 0) & (margin <= 1)).all()


@given(logits, st.floats(-100, 100))
def test_a_constant_added_to_logits_changes_nothing(values, constant):
    np.testing.assert_allclose(
        posteriors.softmax(values + constant), posteriors.softmax(values), atol=1e-9
    )


@given(logits, st.randoms(use_true_random=False))
def test_measures_do_not_depend_on_the_order_of_labels(values, random):
    order = list(range(values.shape[1]))
    random.shuffle(order)
    probs = posteriors.softmax(values)
    for measure in (posteriors.entropy, posteriors.varentropy, posteriors.margin):
        np.testing.assert_allclose(measure(probs[:, order]), measure(probs), atol=1e-9)


@given(st.integers(2, 40))
def test_uniform_is_most_uncertain_and_has_no_varentropy(n_labels):
    probs = np.full((1, n_labels), 1 / n_labels)
    np.testing.assert_allclose(posteriors.entropy(probs), np.log(n_labels))
    np.testing.assert_allclose(posteriors.varentropy(probs), 0.0, atol=1e-12)
    np.testing.assert_allclose(posteriors.normalized_entropy(probs), 1.0)
