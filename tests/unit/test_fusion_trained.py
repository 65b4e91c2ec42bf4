"""Fusers that are fitted: against scikit-learn, by hand, and on their refusals."""

import sys

import numpy as np
import pytest

from emocli import posteriors
from emocli.errors import FuserError, MissingDependency, TableError
from emocli.fusion import stacking
from emocli.fusion.bayes import N_BINS, PSEUDO_COUNT, Bayes, answer_likelihood, fit_bayes
from emocli.fusion.features import (
    DIMENSIONS,
    POSTERIORS,
    TOP_SENTIMENT,
    Input,
    arrange,
    block,
    input_of,
)
from emocli.fusion.logistic import fit_logistic
from emocli.fusion.ridge import fit_ridge
from emocli.fusion.scaling import C_GRID, Scaler
from emocli.fusion.sides import Side
from emocli.fusion.softmax_regression import balanced_weights, fit_softmax
from emocli.fusion.stacking import balanced_sample, fit_stacking
from emocli.fusion.trained import (
    FitOptions,
    apply_fuser,
    choose_method,
    class_mix,
    fit_dimensions,
    fit_labels,
    reweight,
    trained_table,
)
from emocli.labels import SENTIMENTS
from emocli.splits import stratified_folds
from emocli.table import PredictionTable

LABELS = ("angry", "happy", "neutral", "sad")


def message(error, call, *arguments, **options):
    with pytest.raises(error) as caught:
        call(*arguments, **options)
    return str(caught.value)


def noisy_posteriors(rng, truth, sureness=2.0):
    """Posteriors that lean towards the truth, shape (n, 4)."""
    logits = rng.normal(size=(len(truth), 4))
    logits[np.arange(len(truth)), truth] += sureness
    return posteriors.softmax(logits)


@pytest.fixture
def truth(rng):
    return rng.integers(0, 4, 240)


@pytest.fixture
def speech(rng, truth):
    probs = noisy_posteriors(rng, truth, 1.0)
    columns = {f"p_{name}": probs[:, index] for index, name in enumerate(LABELS)}
    files = [f"{index}.wav" for index in range(len(truth))]
    speakers = [f"s{index % 8}" for index in range(len(truth))]
    return Side(
        "voice",
        PredictionTable.from_columns({"file": files, "speaker": speakers, **columns}),
    )


@pytest.fixture
def text(rng, truth, speech):
    likely = {0: "negative", 1: "positive", 2: "neutral", 3: "negative"}
    said = [
        likely[label] if rng.random() < 0.7 else SENTIMENTS[rng.integers(3)]
        for label in truth.tolist()
    ]
    files = speech.table["file"].tolist()
    scores = rng.uniform(0.4, 1.0, len(truth))
    return Side(
        "words", PredictionTable.from_columns({"file": files, "label": said, "score": scores})
    )


@pytest.fixture
def named(truth):
    return [LABELS[index] for index in truth.tolist()]


@pytest.fixture
def speakers(speech):
    return speech.table["speaker"].tolist()


def test_folds_keep_speakers_apart_and_the_class_mix(rng, truth, speakers):
    folds = stratified_folds(truth, speakers)
    assert sorted(set(folds.tolist())) == [0, 1, 2, 3, 4]
    homes = {speaker: {fold for s, fold in zip(speakers, folds, strict=True) if s == speaker}
             for speaker in speakers}  # fmt: skip
    assert all(len(found) == 1 for found in homes.values())
    loose = stratified_folds(truth)
    counts = np.array([np.bincount(truth[loose == fold], minlength=4) for fold in range(5)])
    assert (np.ptp(counts, axis=0) <= 1).all()
    np.testing.assert_array_equal(loose, stratified_folds(truth))


def test_lopsided_speakers_are_dealt_out_evenly():
    truth = np.array([0] * 6 + [1] * 6)
    speakers = ["a", "a", "a", "b", "b", "b", "c", "c", "c", "d", "d", "d"]
    folds = stratified_folds(truth, speakers, n_folds=2)
    assert np.bincount(folds[truth == 0]).tolist() == [3, 3]
    assert np.bincount(folds[truth == 1]).tolist() == [3, 3]


def test_nothing_to_hold_out():
    assert message(TableError, stratified_folds, np.array([0, 0, 1, 1]), ["a"] * 4) == (
        "Nothing can be held out: 4 rows, 2 of the rarest label, 1 speakers, expected two of each "
        "at least. Fit on more recordings."
    )
    assert message(TableError, stratified_folds, np.array([0, 0, 1])) == (
        "Nothing can be held out: 3 rows, 1 of the rarest label, expected two of each at least. "
        "Fit on more recordings."
    )


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("c", [0.01, 1.0, 100.0])
def test_the_optimum_is_that_of_scikit_learn(rng, truth, balanced, c):
    from sklearn.linear_model import LogisticRegression

    skewed = np.where(truth == 3, rng.integers(0, 4, len(truth)), truth)
    features = rng.normal(size=(len(truth), 3)) + 0.5 * skewed[:, np.newaxis]
    design = np.c_[features, np.ones(len(truth))]
    weights = balanced_weights(skewed, 4) if balanced else None
    found = fit_softmax(design, skewed, 4, penalty=[1 / c] * 3 + [0], weights=weights)
    theirs = LogisticRegression(
        C=c, class_weight="balanced" if balanced else None, tol=1e-10, max_iter=10000
    ).fit(features, skewed)
    np.testing.assert_allclose(
        posteriors.softmax(design @ found), theirs.predict_proba(features), atol=1e-5
    )


def test_a_strong_penalty_leaves_the_offset_as_it_is(rng, truth):
    offset = rng.normal(size=(len(truth), 4))
    found = fit_softmax(np.ones((len(truth), 1)), truth, 4, penalty=1e9, offset=offset)
    np.testing.assert_allclose(found, 0.0, atol=1e-6)


def test_standardisation_takes_a_missing_feature_as_an_average_one():
    scaler = Scaler.of(np.array([[1.0, 5.0], [3.0, 5.0]]))
    np.testing.assert_allclose(
        scaler.design(np.array([[3.0, 6.0], [np.nan, 5.0]])), [[1, 1, 1], [0, 0, 1]]
    )


def test_features_of_the_kinds_of_side(speech, text):
    given = input_of(speech)
    assert given == Input("", POSTERIORS, LABELS)
    np.testing.assert_allclose(block(speech, given), np.log(speech.probs))
    placed = block(text, input_of(text))
    assert input_of(text) == Input("", TOP_SENTIMENT, SENTIMENTS)
    np.testing.assert_allclose(placed.sum(axis=1), text.answers.score)
    assert (np.count_nonzero(placed, axis=1) == 1).all()
    felt = Side("felt", PredictionTable.from_rows([{"file": "a", "valence": 0.2, "arousal": 0.1}]))
    assert input_of(felt, dimensional=True) == Input("", DIMENSIONS, ("arousal", "valence"))
    np.testing.assert_allclose(block(felt, input_of(felt, dimensional=True)), [[0.1, 0.2]])


def test_sides_meet_the_inputs_by_model_and_kind(speech, text):
    inputs = (input_of(text), input_of(speech))
    assert [side.name for side in arrange([speech, text], inputs)] == ["words", "voice"]
    refusal = (
        "The fuser was fitted on (not named) with negative, neutral, positive; (not named) with "
        "angry, happy, neutral, sad, found (not named) with angry, happy, neutral, sad{more}. "
        "Predict with those models, or fit another fuser."
    )
    assert message(FuserError, arrange, [speech], inputs) == refusal.format(more="")
    again = Side("voice", speech.table)
    assert message(FuserError, arrange, [speech, text, again], inputs) == refusal.format(
        more="; (not named) with negative, neutral, positive; (not named) with angry, happy, "
        "neutral, sad"
    )
    other = Side("voice", speech.table.with_columns({"model": ["x"] * len(speech.table)}))
    assert "found x with angry" in message(FuserError, arrange, [other, text], inputs)


def test_the_penalty_is_chosen_by_held_out_rows(rng, truth, speech, text):
    inputs = (input_of(speech), input_of(text))
    blocks = [block(speech, inputs[0]), block(text, inputs[1])]
    folds = stratified_folds(truth)
    for criterion in ("uar", "macro-f1"):
        fuser, held = fit_logistic(blocks, truth, LABELS, inputs, folds, criterion=criterion)
        assert fuser.strength in C_GRID
        assert fuser.n_fit == len(truth)
        np.testing.assert_allclose(fuser.prior, np.bincount(truth) / len(truth))
        assert not np.allclose(held, fuser.probs(blocks))
    noise = [rng.normal(size=(len(truth), 5))]
    blind, _ = fit_logistic(noise, truth, LABELS, [Input("", POSTERIORS, tuple("abcde"))], folds)
    np.testing.assert_allclose(blind.probs(noise).sum(axis=1), 1.0)
    balanced, _ = fit_logistic(blocks, truth, LABELS, inputs, folds, balanced=True)
    np.testing.assert_allclose(balanced.prior, 0.25)


def test_held_out_rows_do_not_know_their_own_truth(rng):
    blocks = [rng.normal(size=(40, 30))]
    noise = np.arange(40) % 4
    folds = stratified_folds(noise)
    fuser, held = fit_logistic(
        blocks, noise, LABELS, (Input("", POSTERIORS, tuple(map(str, range(30)))),), folds
    )
    assert (posteriors.top(held) == noise).mean() < 0.5
    assert fuser.coefficients.shape == (31, 4)


def test_ridge_is_that_of_scikit_learn(rng):
    from sklearn.linear_model import Ridge

    features = rng.normal(size=(120, 4))
    target = np.clip(0.5 + features[:, :2] * 0.1 + rng.normal(size=(120, 2)) * 0.05, 0, 1)
    inputs = (Input("", DIMENSIONS, ("arousal", "valence")),) * 2
    fuser, held = fit_ridge(
        [features[:, :2], features[:, 2:]],
        target,
        ("arousal", "valence"),
        inputs,
        np.arange(120) % 5,
    )
    assert fuser.limits == (0.0, 1.0)
    assert held.shape == (120, 2)
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    for column, strength in enumerate(fuser.strengths):
        theirs = Ridge(alpha=1 / strength).fit(standard, target[:, column]).predict(standard)
        np.testing.assert_allclose(
            fuser.values([features[:, :2], features[:, 2:]])[:, column],
            np.clip(theirs, 0, 1),
            atol=1e-9,
        )


def test_ridge_keeps_within_the_range_of_other_scales(rng):
    features, target = rng.normal(size=(30, 1)), np.linspace(1, 7, 30)[:, np.newaxis]
    inputs = (Input("", DIMENSIONS, ("arousal",)),)
    fuser, _ = fit_ridge([features], target, ("arousal",), inputs, np.arange(30) % 3)
    assert fuser.limits == (1.0, 7.0)
    assert fuser.values([np.array([[1e9]])])[0, 0] in (1.0, 7.0)


def test_the_likelihood_of_an_answer_is_counted():
    words = np.zeros((40, 3))
    words[:20, 0] = 0.9  # angry: always negative
    words[20:, 2] = 0.8  # happy: always positive
    truth = np.repeat([0, 1], 20)
    voice = np.log(np.full((40, 2), 0.5))
    inputs = (
        Input("", POSTERIORS, ("angry", "happy")),
        Input("", TOP_SENTIMENT, SENTIMENTS),
    )
    fuser, held = fit_bayes([voice, words], truth, ("angry", "happy"), inputs, np.arange(40) % 2)
    negative = np.array([20 + PSEUDO_COUNT / 2, PSEUDO_COUNT / 2]) / (20 + PSEUDO_COUNT)
    own = answer_likelihood(words[:1], TOP_SENTIMENT, fuser.edges, fuser.log_likelihood)
    np.testing.assert_allclose(own[0], np.log(negative / negative.mean()))
    # The voice says nothing, so the posterior is the likelihood.
    np.testing.assert_allclose(fuser.probs([voice, words])[0], negative / negative.sum(), atol=0.01)
    assert (held.argmax(axis=1) == truth).all()
    np.testing.assert_allclose(fuser.prior, 0.5)
    neutral = fuser.log_likelihood[1]  # never said: no evidence
    np.testing.assert_allclose(neutral, np.zeros((N_BINS, 2)))
    tempered = Bayes(**{**fuser.__dict__, "temper": 0.0})
    np.testing.assert_allclose(tempered.probs([voice, words])[0], [0.5, 0.5], atol=0.01)


def test_a_silent_side_leaves_bayes_rule_to_the_other(truth, speech, text):
    inputs = (input_of(speech), input_of(text))
    blocks = [block(speech, inputs[0]), block(text, inputs[1])]
    fuser, _ = fit_bayes(blocks, truth, LABELS, inputs, stratified_folds(truth))
    silent = np.full((1, 3), np.nan)
    alone = fuser.probs([blocks[0][:1], silent])
    np.testing.assert_allclose(alone, posteriors.softmax(blocks[0][:1] @ fuser.matrix + fuser.bias))
    mute = fuser.probs([np.full((1, 4), np.nan), blocks[1][:1]])
    words = answer_likelihood(blocks[1][:1], TOP_SENTIMENT, fuser.edges, fuser.log_likelihood)
    np.testing.assert_allclose(mute, posteriors.softmax(words))


def test_full_sentiment_posteriors_give_the_same_answers_as_top_and_score(text):
    answers = text.answers
    probs = np.full((len(text.table), 3), 0.0)
    rest = (1 - answers.score) / 2
    for index in range(3):
        probs[:, index] = np.where(answers.sentiment == index, answers.score, rest)
    edges, table = np.tile([0.5, 0.6, 0.7], (3, 1)), np.arange(24.0).reshape(3, 4, 2)
    np.testing.assert_array_equal(
        answer_likelihood(np.log(probs), POSTERIORS, edges, table),
        answer_likelihood(block(text, input_of(text)), TOP_SENTIMENT, edges, table),
    )


@pytest.fixture
def small_forests(monkeypatch):
    monkeypatch.setattr(stacking, "N_TREES", 6)


def test_forests_vote_as_in_scikit_learn(rng, truth, speech, text, small_forests, monkeypatch):
    grown = []
    grow = stacking._grow
    monkeypatch.setattr(stacking, "_grow", lambda *a: grown.append(grow(*a)) or grown[-1])
    inputs = (input_of(speech), input_of(text))
    blocks = [block(speech, inputs[0]), block(text, inputs[1])]
    folds = stratified_folds(truth)
    fuser, held = fit_stacking(blocks, truth, LABELS, inputs, folds)
    features = np.concatenate(blocks, axis=1)
    theirs = np.mean([forest.predict_proba(features) for forest in grown], axis=0)
    np.testing.assert_allclose(fuser.probs(blocks), theirs, atol=1e-6)
    for fold, forest in enumerate(grown):
        np.testing.assert_allclose(
            held[folds == fold], forest.predict_proba(features[folds == fold]), atol=1e-6
        )
    assert fuser.n_fit == 4 * np.bincount(truth).min()
    silent = [blocks[0], np.full_like(blocks[1], np.nan)]
    filled = [blocks[0], np.tile(blocks[1].mean(axis=0), (len(truth), 1))]
    np.testing.assert_allclose(fuser.probs(silent), fuser.probs(filled))


def test_the_sample_has_every_label_equally_often():
    sample = balanced_sample(np.array([0, 0, 0, 1, 1, 2]), 3)
    assert np.bincount(np.array([0, 0, 0, 1, 1, 2])[sample]).tolist() == [1, 1, 1]


def test_stacking_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    assert message(MissingDependency, stacking._grow, np.zeros((4, 1)), np.zeros(4)) == (
        "Stacking grows its forests with scikit-learn, and that is not installed. "
        "Install it with: pip install 'emocli[train]'."
    )


@pytest.mark.parametrize("method", ["bayes", "blend", "logistic", "stacking"])
def test_fitted_fusers_beat_the_voice(speech, text, truth, named, speakers, method, small_forests):
    fitted = fit_labels([text, speech], named, speakers, method, FitOptions())
    heard = (speech.probs.argmax(axis=1) == truth).mean()
    held = (fitted.figures.argmax(axis=1) == truth).mean()
    assert held > heard
    assert fitted.report.n_used == len(truth)
    assert fitted.fuser.labels == LABELS
    table = trained_table([text, speech], fitted.fuser, apply_fuser([text, speech], fitted.fuser))
    order = "voice,words" if method in ("bayes", "blend") else "words,voice"
    assert table["model"][0] == f"{method}({order})"
    np.testing.assert_allclose(table.probs.sum(axis=1), 1.0)


def test_rows_that_take_no_part_are_fused_all_the_same(speech, text, named, speakers):
    silent = text.table["label"].copy()
    silent[0] = ""
    quiet = Side("words", text.table.with_columns({"label": silent}))
    named[1] = "calm"
    fitted = fit_labels([speech, quiet], named, speakers, "bayes", FitOptions())
    assert (fitted.report.n_silent, fitted.report.foreign) == (1, {"calm": 1})
    assert not np.isnan(fitted.figures).any()
    table = trained_table([speech, quiet], fitted.fuser, fitted.figures)
    assert table["note"][0] == "words has no say (no probabilities)"


def test_a_row_on_which_nobody_has_a_say_has_no_prediction(speech, text, named, speakers):
    fitted = fit_labels([speech, text], named, speakers, "logistic", FitOptions())
    error = ["broken", *[""] * (len(named) - 1)]
    sides = [Side(s.name, s.table.with_columns({"error": error})) for s in (speech, text)]
    table = trained_table(sides, fitted.fuser, apply_fuser(sides, fitted.fuser))
    assert table["error"][0] == "broken"
    assert table.failed.sum() == 1


def test_too_little_to_fit_on(speech, text, named):
    options = FitOptions()
    assert message(
        TableError, fit_labels, [speech, text], ["calm"] * len(named), None, "logistic", options
    ) == (
        f"No row can be used to fit: of {len(named)}, 0 lack a prediction and {len(named)} have no "
        f"truth that the models know. Check the tables and --truth-column."
    )
    once = ["angry" if name == "sad" else name for name in named]
    once[0] = "sad"
    assert message(TableError, fit_labels, [speech, text], once, None, "logistic", options) == (
        "The truth has too few rows of some labels (sad 1), expected two of each at least. "
        "Restrict the tables with --labels, or fit on more recordings."
    )


def felt(name, values, **columns):
    files = [f"{index}.wav" for index in range(len(values))]
    return Side(name, PredictionTable.from_columns({"file": files, "arousal": values, **columns}))


def test_dimensions_are_fused_by_ridge(rng, speakers):
    true = rng.uniform(0, 1, len(speakers))
    first, second = (
        felt(name, np.clip(true + rng.normal(size=len(true)) * 0.2, 0, 1)) for name in "xy"
    )
    truth = felt("truth", true).table
    fitted = fit_dimensions([first, second], truth, speakers)
    error = np.abs(fitted.figures[:, 0] - true).mean()
    assert error < np.abs(first.table["arousal"] - true).mean()
    table = trained_table([first, second], fitted.fuser, fitted.figures)
    assert table["model"][0] == "ridge(x,y)"
    np.testing.assert_array_equal(table["arousal"], fitted.figures[:, 0])
    np.testing.assert_allclose(
        apply_fuser([first, second], fitted.fuser)[:, 0], fitted.figures[:, 0], atol=0.05
    )
    assert message(
        TableError, fit_dimensions, [first], truth.without_columns(["arousal"]), None
    ) == (
        "The truth has none of arousal, dominance, valence among file. "
        "Ridge fuses dimensions; for labels use another method."
    )


def test_a_dimension_that_was_not_fused_is_not_there(rng):
    first, second = (felt(name, rng.uniform(size=9), valence=[0.5] * 9) for name in "xy")
    fitted = fit_dimensions([first, second], felt("truth", rng.uniform(size=9)).table, None)
    table = trained_table([first, second], fitted.fuser, fitted.figures)
    assert "arousal" in table
    assert "valence" not in table


def test_what_auto_means(speech, text):
    assert choose_method([speech, text]) == "blend"
    assert choose_method([speech, speech]) == "logistic"
    assert choose_method([speech, text, speech]) == "logistic"
    assert choose_method([felt("x", [0.1]), felt("y", [0.2])]) == "ridge"


def test_another_class_mix():
    probs = np.array([[0.5, 0.5], [0.9, 0.1], [1.0, 0.0]])
    found = reweight(probs, np.array([0.5, 0.5]), np.array([0.8, 0.2]))
    np.testing.assert_allclose(found, [[0.8, 0.2], [0.72 / 0.74, 0.02 / 0.74], [1, 0]])
    back = reweight(found, np.array([0.8, 0.2]), np.array([0.5, 0.5]))
    np.testing.assert_allclose(back, probs)
    np.testing.assert_allclose(
        class_mix(["sad", "sad", "calm", "happy"], ("sad", "happy")), [2 / 3, 1 / 3]
    )
    assert message(TableError, class_mix, ["calm"], ("sad", "happy")) == (
        "The table for --prior has none of the labels sad, happy, expected a column of labels in "
        "the mix to expect. Check --truth-column."
    )


def test_forests_stand_for_labels_that_are_equally_frequent(rng, monkeypatch):
    monkeypatch.setattr(stacking, "N_TREES", 2)
    features, truth = rng.normal(size=(60, 2)), np.repeat([0, 1, 2], [30, 20, 10])
    inputs = (Input("", DIMENSIONS, ("arousal", "valence")),)
    fuser, _ = fit_stacking([features], truth, ("angry", "happy", "sad"), inputs, np.arange(60) % 3)
    np.testing.assert_allclose(fuser.prior, [1 / 3] * 3)
