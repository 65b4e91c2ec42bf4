import numpy as np
import pytest

from emocli.errors import RecipeError
from emocli.training.samplers import make_sampler
from emocli.training.schedules import rate_factor

LABELS = np.repeat([0, 1, 2], [60, 30, 10])
NAMES = ("neutral", "happy", "sad")


def test_a_shuffle_shows_everybody_once(rng):
    drawn = make_sampler("shuffle", LABELS, NAMES).draw(rng)
    assert sorted(drawn) == list(range(100))
    assert drawn.tolist() != list(range(100))


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [("class-balanced", [1 / 3] * 3), ("neutral-expressive", [0.5, 0.375, 0.125])],
)
def test_draws_have_the_proportions_that_they_should(sampling, expected, rng):
    sampler = make_sampler(sampling, LABELS, NAMES)
    drawn = np.concatenate([sampler.draw(rng) for _ in range(200)])
    assert sampler.n_draws == 100
    np.testing.assert_allclose(np.bincount(LABELS[drawn]) / len(drawn), expected, atol=0.02)


def test_the_same_generator_draws_the_same():
    sampler = make_sampler("class-balanced", LABELS, NAMES)
    one, other = (sampler.draw(np.random.default_rng(3)) for _ in range(2))
    assert one.tolist() == other.tolist()


def test_a_side_without_utterances_is_an_error():
    with pytest.raises(RecipeError) as caught:
        make_sampler("neutral-expressive", LABELS, ("angry", "happy", "sad"))
    assert str(caught.value) == (
        "0 of 100 training utterances are neutral, expected some that are and some that are not "
        "for sampling neutral-expressive. Use sampling shuffle."
    )


def test_an_unknown_sampling_is_an_error():
    with pytest.raises(RecipeError) as caught:
        make_sampler("best", LABELS, NAMES)
    assert str(caught.value) == (
        "Sampling 'best' is unknown, expected one of shuffle, class-balanced, neutral-expressive. "
        "Change sampling in the recipe."
    )


def factors(schedule, n=10, **more):
    return [rate_factor(schedule, step, n, steps_per_epoch=5, **more) for step in range(n)]


def test_schedules():
    assert factors("constant", warm_up=0.2) == [0.5] + [1.0] * 9
    assert factors("linear", n=4) == [1.0, 0.75, 0.5, 0.25]
    assert factors("linear", n=4, final=0.5) == [1.0, 0.875, 0.75, 0.625]
    np.testing.assert_allclose(
        factors("cosine", n=4, warm_up=0.25), [1.0, 1.0, 0.75, 0.25], atol=1e-12
    )


def test_the_cosine_by_epoch_is_the_published_one():
    found = factors("cosine-by-epoch", final=0.1)
    highest, lowest = 1e-5, 1e-6
    for step, factor in enumerate(found):
        epoch = step // 5
        rate = lowest + (highest - lowest) * (1 + np.cos(np.pi * epoch / 2)) / 2
        assert highest * factor == pytest.approx(rate)


def test_weights_count_what_is_in_the_data_or_what_is_drawn():
    labels = np.array([0] * 6 + [1] * 2)
    sampler = make_sampler("class-balanced", labels, ["neutral", "sad"])
    assert sampler.weights(labels, 2, kind=True).tolist() == pytest.approx([8 / 12, 2.0])
    assert sampler.weights(labels, 2, kind="drawn").tolist() == pytest.approx([1.0, 1.0])
    assert sampler.weights(labels, 2, kind=False).tolist() == [1.0, 1.0]
