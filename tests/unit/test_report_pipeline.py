"""Tables become systems: truth by row, thresholds, exchanges, recordings and cards."""

import base64

import numpy as np
import pytest

from emocli.errors import AudioError, TableError
from emocli.fusion.entropy_selection import NEVER, ClassRule, EntropySelection
from emocli.pipeline import report
from emocli.pipeline.evaluate import EvalOptions
from emocli.pipeline.pairing import Pairing
from emocli.report.truth_figures import Exchange
from emocli.table import PredictionTable

LABELS = ("angry", "happy", "neutral", "sad")
LENIENT = EvalOptions(Pairing(allow_missing=True, ignore_extra=True), n_draws=0)


def table(labels, models=None, **more):
    columns = {"file": [f"{row}.wav" for row in range(len(labels))]}
    columns["model"] = models or ["m"] * len(labels)
    for name in LABELS:
        columns[f"p_{name}"] = [0.7 if name == label else 0.1 for label in labels]
    return PredictionTable.from_columns(columns | more)


def truth(emotions, **more):
    files = [f"{row}.wav" for row in range(len(emotions))]
    return PredictionTable.from_columns({"file": files, "emotion": emotions} | more)


def sources(**more):
    doubt = {"unsure": lambda rows: np.zeros(len(rows), dtype=bool), "options": LENIENT}
    return report.Sources(**doubt | more)


def test_each_model_is_a_system():
    found = report.systems_of(
        [("t.csv", table(["sad", "sad", "angry"], ["a", "b", "a"]))], sources()
    )
    assert [(one.name, len(one.rows)) for one in found] == [("a", 2), ("b", 1)]
    assert found[0].verdict is None


def test_truth_meets_its_rows_whatever_their_order():
    predictions = table(["sad", "angry", "happy"], error=["", "", ""]).select(np.array([2, 0, 1]))
    (found,) = report.systems_of(
        [("t.csv", predictions)], sources(truth=truth(["sad", "sad", "joy"], speaker=list("xxy")))
    )
    assert found.verdict.truth.tolist() == ["happy", "sad", "sad"]
    assert found.verdict.right.tolist() == [True, False, True]
    assert found.verdict.measures["probability"] == pytest.approx([0.7] * 3)
    assert list(found.verdict.evaluation.groups) == ["speaker"]


def test_rows_that_failed_stay_in_their_system():
    columns = {"file": ["a", "b"], "model": ["m", "m"], "error": ["", "unreadable"]}
    shares = zip(LABELS, (0.4, 0.3, 0.2, 0.1), strict=True)
    probs = {f"p_{name}": [share, None] for name, share in shares}
    predictions = PredictionTable.from_columns(columns | probs)
    emotions = PredictionTable.from_columns({"file": ["a", "b"], "emotion": ["sad", "sad"]})
    (found,) = report.systems_of([("t.csv", predictions)], sources(truth=emotions))
    assert found.verdict.truth.tolist() == ["sad", ""]
    assert found.verdict.evaluation.n_missing == 1


def test_sentiments_are_not_judged_by_emotions():
    sentiments = PredictionTable.from_columns({"file": ["0.wav"], "p_negative": [1.0]})
    (found,) = report.systems_of([("t", sentiments)], sources(truth=truth(["sad"])))
    assert found.verdict is None
    (found,) = report.systems_of([("t", sentiments)], sources(truth=truth(["negative"])))
    assert found.verdict.right.tolist() == [True]


def test_a_table_of_labels_that_are_true_holds_nothing_to_show():
    truth = PredictionTable.from_columns({"file": ["a.wav"], "emotion": ["sad"]})
    with pytest.raises(TableError) as caught:
        report.systems_of([("labels.csv", truth)], sources())
    assert str(caught.value) == (
        "labels.csv: nothing to show, expected a label, p_ columns, dimensions, a text or an "
        "error, found file, emotion. Give a table that emocli predict wrote."
    )


def test_a_table_without_rows_is_refused():
    with pytest.raises(TableError) as caught:
        report.systems_of([("t.csv", PredictionTable.from_columns({"file": []}))], sources())
    assert str(caught.value) == (
        "t.csv: no rows, expected at least one prediction. Check that the command before it found "
        "recordings."
    )


def test_thresholds_belong_to_tables_with_the_fusers_labels():
    rules = dict.fromkeys(LABELS, NEVER) | {"sad": ClassRule(0.9, 0.2)}
    fuser = EntropySelection(LABELS, rules)
    sentiments = PredictionTable.from_columns({"file": ["a"], "p_negative": [1.0]})
    voice, text = report.systems_of(
        [("v", table(["sad"])), ("t", sentiments)], sources(fuser=fuser)
    )
    assert voice.thresholds == {"sad": (0.9, 0.2)}
    assert text.thresholds == {}


def test_exchanges_are_counted_with_their_worth():
    changed = ["sad->angry", "", "sad->angry", "angry->sad"]
    fused = table(["angry", "sad", "angry", "sad"], changed=changed)
    known = np.array(["angry", "sad", "sad", "happy"], dtype=object)
    assert report.exchanges_of(fused, known) == (
        Exchange("sad", "angry", 2, 1, 1),
        Exchange("angry", "sad", 1, 0, 0),
    )
    assert report.exchanges_of(fused)[0] == Exchange("sad", "angry", 2)
    assert report.exchanges_of(table(["sad"])) == ()


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("clips/a b.wav", "tables/c.wav", "d.wav"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"sound")
    return tmp_path


def named(*files, folder=""):
    return PredictionTable.from_columns({"file": files}, folder=folder)


def test_recordings_are_found_from_the_page(recordings):
    found = report.find_audio([named("clips/a b.wav", "no.wav")], "clips")
    assert found == {"clips/a b.wav": "a b.wav"}
    assert report.linked(found) == {"clips/a b.wav": "a%20b.wav"}


def test_the_tables_own_folder_comes_first(recordings):
    found = report.find_audio([named("c.wav", "d.wav", folder="tables")], "")
    assert found == {"c.wav": "tables/c.wav", "d.wav": "d.wav"}
    assert report.linked(found)["d.wav"] == "d.wav"


def test_a_root_is_the_only_place_to_look(recordings):
    assert report.find_audio([named("c.wav", "d.wav", folder="tables")], "", "clips") == {}


def test_absolute_paths_become_relative(recordings):
    file = str(recordings / "d.wav")
    assert report.find_audio([named(file)], "tables") == {file: "../d.wav"}


def test_recordings_inside_the_page(recordings):
    found = report.embedded({"x": "d.wav"}, "")
    kind, _, content = found["x"].partition(";base64,")
    assert kind in {"data:audio/x-wav", "data:audio/wav", "data:audio/vnd.wave"}
    assert base64.b64decode(content) == b"sound"


def test_a_large_set_does_not_go_inside(recordings, monkeypatch):
    with open("big.wav", "wb") as stream:
        stream.truncate(20_000_001)
    with pytest.raises(AudioError) as caught:
        report.embedded({"x": "big.wav"}, "")
    assert str(caught.value) == (
        "--embed-audio: 1 recordings have 20.0 MB, expected at most 20 MB. Leave it out, and keep "
        "the page where the recordings are."
    )


def test_cards_of_known_models_also_inside_other_names():
    names = ["temperature(builtin-sentiment)", "speech", "hf-nothing/known", "builtin-sentiment"]
    rows = table(["sad"] * 4, names)
    cards = report.cards_of(report.systems_of([("t", rows)], sources()))
    assert len(cards) == 1
    facts = dict(cards[0].facts)
    assert facts["kind"] == "text"
    assert facts["gives"] == "negative, neutral, positive"
    assert facts["licence"]
