"""The blend against its formula, and its discount against a search that knows nothing of it."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from emocli import posteriors
from emocli.errors import FuserError
from emocli.fusion.bayes import fit_bayes
from emocli.fusion.blend import FEWEST, LARGEST, N_ERRORS, find_discount, fit_blend
from emocli.fusion.features import POSTERIORS, TOP_SENTIMENT, Input
from emocli.fusion.logistic import fit_logistic
from emocli.fusion.sides import Side
from emocli.fusion.trained import FitOptions, apply_fuser, fit_labels
from emocli.labels import SENTIMENTS
from emocli.splits import stratified_folds
from emocli.table import PredictionTable

LABELS = ("angry", "happy", "neutral", "sad")
INPUTS = (Input("voice", POSTERIORS, LABELS), Input("words", TOP_SENTIMENT, SENTIMENTS))
MEANT = np.array([0, 2, 1, 0])  # the sentiment of each emotion


@pytest.fixture
def corpus():
    """Log posteriors, answers, truth and speakers; the voice knows all speakers but the last."""
    rng = np.random.default_rng(11)
    truth = rng.integers(0, 4, 600)
    speakers = np.repeat([f"s{index}" for index in range(6)], 100)
    logits = rng.normal(size=(600, 4))
    logits[np.arange(600), truth] += np.where(speakers == "s5", 0.2, 3.0)
    sentiment = np.where(rng.uniform(size=600) < 0.7, MEANT[truth], rng.integers(0, 3, 600))
    words = np.zeros((600, 3))
    words[np.arange(600), sentiment] = rng.uniform(0.4, 1.0, 600)
    return posteriors.log_softmax(2 * logits), words, truth, speakers


def sides_of(corpus, labels=LABELS):
    voice, words, _, _ = corpus
    files = [f"{index}.wav" for index in range(len(voice))]
    probs = {f"p_{n}": np.exp(voice[:, LABELS.index(n)]) for n in labels}
    said = {
        "label": [SENTIMENTS[index] for index in words.argmax(axis=1)],
        "score": words.max(axis=1),
    }
    tables = [{"model": ["voice"] * len(files), **probs}, {"model": ["words"] * len(files), **said}]
    return [
        Side(name, PredictionTable.from_columns({"file": files, **columns}))
        for name, columns in zip(("voice", "words"), tables, strict=True)
    ]


def fitted(corpus, speakers):
    voice, words, truth, _ = corpus
    folds = stratified_folds(truth, speakers)
    return fit_blend([voice, words], truth, LABELS, INPUTS, folds, speakers=speakers)


def test_it_is_the_geometric_mean_of_its_members_over_the_voice(corpus):
    voice, words, truth, speakers = corpus
    blend, held = fitted(corpus, speakers.tolist())
    assert 0.3 < blend.discount < LARGEST
    folds = stratified_folds(truth, speakers.tolist())
    common = ([voice, words], truth, LABELS, INPUTS, folds)
    bayes, bayes_held = fit_bayes(*common, speakers=speakers.tolist())
    logistic, logistic_held = fit_logistic(*common, balanced=True)
    for found, first, second in (
        (blend.probs([voice, words]), bayes.probs([voice, words]), logistic.probs([voice, words])),
        (held, bayes_held, logistic_held),
    ):
        expected = np.sqrt(first * second) / np.exp(voice) ** blend.discount
        expected /= expected.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_allclose(blend.prior, 0.25)


def test_the_discount_is_that_of_the_speaker_whom_the_voice_knows_least(corpus):
    voice, words, truth, speakers = corpus
    folds = stratified_folds(truth, speakers.tolist())
    _, held = fit_bayes([voice, words], truth, LABELS, INPUTS, folds)
    logits = np.log(held)
    stranger = speakers == "s5"
    own = truth[stranger]
    shares = 1.0 / (4 * np.bincount(own)[own])

    def surprisal(discount):
        found = posteriors.log_softmax(logits[stranger] - discount * voice[stranger])
        return -float(shares @ found[np.arange(len(own)), own])

    best = minimize_scalar(surprisal, bounds=(0, 1), method="bounded", options={"xatol": 1e-8}).x
    step = 1e-3
    bend = (surprisal(best + step) - 2 * surprisal(best) + surprisal(best - step)) / step**2
    found = find_discount(logits, voice, truth, speakers.tolist())
    assert found == pytest.approx(best - N_ERRORS / np.sqrt(len(own) * bend), abs=1e-3)
    familiar = ~stranger
    assert find_discount(
        logits[familiar], voice[familiar], truth[familiar], speakers[familiar].tolist()
    ) == pytest.approx(0.0, abs=0.05)


def test_few_recordings_of_a_speaker_decide_nothing(corpus):
    voice, _, truth, speakers = corpus
    stranger = np.flatnonzero(speakers == "s5")

    def found(rows):
        return find_discount(1.2 * voice[rows], voice[rows], truth[rows], ["s5"] * len(rows))

    assert found(stranger) > 0.8
    assert found(stranger[: FEWEST - 1]) == 0.0
    assert found(stranger[:FEWEST]) > 0.0


def test_a_voice_that_never_changes_is_not_discounted():
    flat = np.full((40, 4), np.log(0.25))
    assert find_discount(flat, flat, np.arange(40) % 4, ["s"] * 40) == 0.0


def test_unknown_speakers_mean_no_discount(corpus):
    blend, _ = fitted(corpus, None)
    assert blend.discount == 0.0


def test_a_side_without_a_say_is_left_out(corpus):
    voice, words, _, speakers = corpus
    blend, _ = fitted(corpus, speakers.tolist())
    for blocks in ([voice[:2] * np.nan, words[:2]], [voice[:2], words[:2] * np.nan]):
        np.testing.assert_allclose(blend.probs(blocks).sum(axis=1), 1.0)
        assert not np.isnan(blend.probs(blocks)).any()


def test_a_voice_never_heard_is_understood_better_than_by_the_regression(corpus):
    speakers = corpus[3]
    rng = np.random.default_rng(12)
    blend, _ = fitted(corpus, speakers.tolist())
    new = rng.integers(0, 4, 4000)
    logits = rng.normal(size=(4000, 4))
    logits[np.arange(4000), new] += 0.2
    said = np.where(rng.uniform(size=4000) < 0.7, MEANT[new], rng.integers(0, 3, 4000))
    heard = np.eye(3)[said] * rng.uniform(0.4, 1.0, (4000, 1))
    blocks = [posteriors.log_softmax(2 * logits), heard]
    right = (blend.probs(blocks).argmax(axis=1) == new).mean()
    assert right > (blend.logistic.probs(blocks).argmax(axis=1) == new).mean() + 0.03


def test_the_order_of_tables_and_labels_makes_no_difference(corpus):
    _, _, truth, speakers = corpus
    named = [LABELS[index] for index in truth]
    sides = sides_of(corpus)
    fuser = fit_labels(sides, named, speakers.tolist(), "blend", FitOptions()).fuser
    turned = sides_of(corpus, LABELS[::-1])
    np.testing.assert_allclose(
        apply_fuser(turned[::-1], fuser), apply_fuser(sides, fuser), rtol=1e-12
    )


def test_other_tables_are_refused(corpus):
    _, _, truth, speakers = corpus
    sides = sides_of(corpus)
    named = [LABELS[index] for index in truth]
    fuser = fit_labels(sides, named, speakers.tolist(), "blend", FitOptions()).fuser
    renamed = sides[1].table.with_columns({"model": ["others"] * len(truth)})
    with pytest.raises(FuserError) as caught:
        apply_fuser([sides[0], Side("words", renamed)], fuser)
    assert str(caught.value) == (
        "The fuser was fitted on voice with angry, happy, neutral, sad; words with negative, "
        "neutral, positive, found voice with angry, happy, neutral, sad; others with negative, "
        "neutral, positive. Predict with those models, or fit another fuser."
    )
