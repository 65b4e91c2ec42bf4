"""--adapt where predictions are made: groups, rows, and what is refused."""

import numpy as np
import pytest
import soundfile
from fakes import FakeRecognizer, tone

from emocli.calibration.adaptation import Adaptation, GroupFigures, TraitDirections, contrasts
from emocli.errors import CalibrationError
from emocli.models.protocol import ModelCard
from emocli.pipeline import predict as use_case
from emocli.pipeline.adapt import BY, AdaptOptions, adapt_options, adapted_table, with_traits
from emocli.pipeline.inputs import read_inputs
from emocli.pipeline.predict import PredictionRun, Shaping, rows_of

MEANS = 3.0 * np.eye(4) @ contrasts(4)
FIGURES = GroupFigures(MEANS, np.eye(3), 4.0 * np.eye(3), np.array(0.4))
TRAITS = TraitDirections(np.zeros(3), np.ones(3), np.eye(3))
ADAPTATION = Adaptation(TRAITS, FIGURES, FIGURES)


class Adaptable(FakeRecognizer):
    """A model that hears a label in a recording's length, and is partial to angry."""

    adaptation = ADAPTATION

    def _logits(self, utterances):
        rng = np.random.default_rng(1)
        found = np.zeros((len(utterances), 4))
        for row, one in enumerate(utterances):
            found[row, round(10 * len(one) / 16000) % 4] = 3.0
        return found + [2.5, 0, 0, 0] + 0.3 * rng.standard_normal(found.shape)

    def traits(self, utterances):
        values = [np.random.default_rng(len(one)).standard_normal(3) for one in utterances]
        return 0.3 * np.stack(values)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for speaker in ("ann", "bob"):
        (tmp_path / speaker).mkdir()
        for number in range(8):
            samples = tone(0.5 + 0.1 * number)
            soundfile.write(f"{speaker}/{number}.wav", samples, 16000, subtype="FLOAT")
    return tmp_path


def table_of(by, paths=("ann", "bob"), **options):
    recognizers = [Adaptable()]
    adaptation = adapt_options(by, recognizers, **options)
    inputs = read_inputs(list(paths))
    run = PredictionRun(inputs, with_traits(recognizers), shaping=Shaping(adaptation=adaptation))
    return run.table(rows_of(run.blocks()))


def test_rows_are_adapted_and_say_so(folder):
    said = []
    plain = use_case.PredictionRun(read_inputs(["ann", "bob"]), [Adaptable()])
    before = plain.table(rows_of(plain.blocks()))
    after = table_of("all", remark=said.append)
    assert len(after) == len(before) == 16
    assert set(after["model"]) == {"adapted(fake)"}
    share = float(after["note"][0].split(", ")[1].split("%")[0])
    assert after["note"].tolist() == [f"adapted to 16 rows, {share:.0f}% of the correction"] * 16
    assert (after["p_angry"] < before["p_angry"]).all()
    np.testing.assert_allclose(after.probs.sum(axis=1), 1)
    assert said == [
        f"fake: 16 rows of 1 group adapted to one another; their spread lets {share:.0f}% of the "
        f"correction pass."
    ]
    assert not [name for name in after.columns if name.startswith("trait_")]


def test_speakers_are_named_by_folders_or_a_column(folder):
    by_folder = table_of("speaker")
    (folder / "all.csv").write_text(
        "file,speaker\n" + "".join(f"{s}/{n}.wav,{s}\n" for s in ("ann", "bob") for n in range(8))
    )
    by_column = table_of("speaker", ["all.csv"])
    np.testing.assert_allclose(by_column.probs, by_folder.probs)
    assert by_folder["note"][0].startswith("adapted to 8 rows, ")


def test_a_row_without_a_speaker_is_one_of_its_own(folder):
    (folder / "all.csv").write_text(
        "file,speaker\n" + "".join(f"ann/{n}.wav,{'ann' if n < 4 else ''}\n" for n in range(8))
    )
    notes = table_of("speaker", ["all.csv"])["note"].tolist()
    assert all(note.startswith("adapted to 4 rows") for note in notes[:4])
    assert notes[4:] == [""] * 4


def test_names_of_turns_are_of_their_recording(folder):
    (folder / "all.csv").write_text(
        "file,speaker\n" + "".join(f"{s}/{n}.wav,A\n" for s in ("ann", "bob") for n in range(8))
    )
    assert table_of("speaker", ["all.csv"])["note"][0].startswith("adapted to 16 rows")
    apart = table_of("speaker", ["all.csv"], speakers_within_files=True)
    assert set(apart["note"]) == {""}


def test_speakers_have_to_be_named_somehow(folder):
    with pytest.raises(CalibrationError, match="nothing names speakers"):
        table_of("speaker", ["ann"])


def test_a_recording_alone_is_left_as_it_is(folder):
    said = []
    plain = PredictionRun(read_inputs(["ann/3.wav"]), [Adaptable()])
    before = plain.table(rows_of(plain.blocks()))
    after = table_of("all", ["ann/3.wav"], remark=said.append)
    np.testing.assert_allclose(after.probs, before.probs)
    assert after["note"].tolist() == [""]
    assert said == ["fake: nothing to adapt to, for there are no two recordings of a group."]


def test_what_cannot_be_used_stays_an_error(folder):
    (folder / "ann" / "broken.wav").write_bytes(b"RIFF")
    table = table_of("all")
    (broken,) = [row for row in table.rows() if row["error"]]
    assert (broken["file"], broken["model"], broken["label"]) == ("ann/broken.wav", "fake", "")
    assert table["note"][0].startswith("adapted to 16 rows")


def test_nothing_but_errors_is_a_table_all_the_same(folder):
    (folder / "broken.wav").write_bytes(b"RIFF")
    table = table_of("all", ["broken.wav"])
    assert len(table) == 1
    assert table.failed.all()


def test_models_are_adapted_each_by_itself(folder):
    recognizers = [Adaptable(), Adaptable(name="other")]
    adaptation = adapt_options("all", recognizers)
    inputs = read_inputs(["ann"])
    run = PredictionRun(inputs, with_traits(recognizers), shaping=Shaping(adaptation=adaptation))
    table = run.table(rows_of(run.blocks()))
    assert table["model"].tolist() == ["adapted(fake)", "adapted(other)"] * 8
    np.testing.assert_allclose(table.probs[::2], table.probs[1::2])


def test_no_rows_have_the_columns_of_a_table():
    options = AdaptOptions("all", {"fake": ADAPTATION})
    assert len(adapted_table([], options, "", "the prediction")) == 0


def test_none_is_no_adaptation_and_other_words_are_refused():
    assert adapt_options("none", [FakeRecognizer()]) is None
    with pytest.raises(CalibrationError) as caught:
        adapt_options("voice", [Adaptable()])
    assert str(caught.value) == (
        "adaptation by 'voice', expected none, all, speaker or file. Choose one of them."
    )
    assert BY == ("none", "all", "speaker", "file")


def test_models_without_figures_are_named():
    with pytest.raises(CalibrationError) as caught:
        adapt_options("all", [FakeRecognizer()])
    assert str(caught.value) == (
        "fake: no figures for adaptation, expected a model that has them, such as builtin. Leave "
        "out --adapt, or train a model with emocli train."
    )


def test_draws_are_not_adapted():
    with pytest.raises(CalibrationError, match="--adapt together with --mc-dropout"):
        adapt_options("all", [Adaptable()], dropout=True)


def test_traits_are_a_model_of_dimensions():
    own, traits = with_traits([Adaptable()])
    assert isinstance(own.card, ModelCard)
    assert traits.card.dimensions == ("trait_0", "trait_1", "trait_2")
    assert traits.card.name == "traits of fake"
    assert traits.logits([tone(1.0)]).shape == (1, 3)
