import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes import FakeRecognizer, FakeTextRecognizer, tone, write_tone

from emocli import posteriors
from emocli.errors import AudioError, ModelError
from emocli.models.protocol import LoadOptions
from emocli.pipeline import predict as use_case
from emocli.pipeline.inputs import Inputs, Utterance, read_inputs
from emocli.pipeline.predict import PredictionRun, predict
from emocli.pipeline.progress import Progress
from emocli.pipeline.scoring import DEFAULT_OPTIONS, PredictOptions, score, weighted_mean
from emocli.pipeline.texts import prepare_texts
from emocli.table import PredictionTable


def predict_rows(utterances, recognizers, options=DEFAULT_OPTIONS, progress=None):
    run = PredictionRun(Inputs(tuple(utterances)), recognizers, options)
    return use_case.rows_of(run.blocks(progress))


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def rows_of(paths, *recognizers, **options):
    models = recognizers or (FakeRecognizer(),)
    return list(predict_rows(read_inputs(paths).utterances, models, PredictOptions(**options)))


def expected_probs(recognizer, waveform):
    return posteriors.softmax([recognizer.statistics(waveform)])[0]


def probs_of(row):
    return [row[f"p_{label}"] for label in ("angry", "happy", "neutral", "sad")]


# --- recordings ------------------------------------------------------------------------------


def test_row_of_a_recording():
    soundfile.write("a.wav", tone(1.5), 16000, subtype="FLOAT")
    (row,) = rows_of("a.wav")
    probs = expected_probs(FakeRecognizer(), tone(1.5))
    assert (row["file"], row["start"], row["end"], row["model"]) == ("a.wav", 0.0, 1.5, "fake")
    np.testing.assert_allclose(probs_of(row), probs, rtol=1e-12)
    assert row["label"] == "angry"
    assert (row["note"], row["error"]) == ("", "")


@pytest.mark.parametrize(
    ("samples", "note"),
    [
        (np.zeros(8000), "digital silence; no label: nothing to hear"),
        (np.full(8000, 0.25), "no sound (constant 0.25); no label: nothing to hear"),
        (np.tile([2**-15, 0, -(2**-15), 0], 2000), "near silence (-93 dBFS); no label: nothing to"),
        (tone(0.5, amplitude=2**-14), ""),
    ],
    ids=["digital", "constant", "dither", "two steps"],
)
@pytest.mark.parametrize("windows", [True, False])
def test_a_recording_without_sound_has_a_posterior_and_no_label(samples, note, windows):
    soundfile.write("a.wav", samples, 16000, subtype="PCM_16")
    (row,) = rows_of("a.wav", windows=windows)
    assert sum(probs_of(row)) == pytest.approx(1)
    if note:
        assert row["label"] == ""
        assert row["note"].startswith(note)
    else:
        assert row["label"] != ""
        assert row["note"] == "near silence (-88 dBFS)"


@pytest.mark.parametrize("logit", [0.0, 0.1])
def test_where_all_labels_tie_there_is_none(logit, monkeypatch):
    monkeypatch.setattr(FakeRecognizer, "statistics", lambda self, waveform: [logit] * 4)
    write_tone(Path("a.wav"))
    (row,) = rows_of("a.wav")
    assert probs_of(row) == [0.25] * 4
    assert (row["label"], row["note"]) == ("", "no label: all labels are equally likely")


def test_dimensions_of_silence_are_as_the_model_gives_them():
    soundfile.write("a.wav", np.zeros(8000), 16000)
    (row,) = rows_of("a.wav", FakeRecognizer(labels=(), dimensions=("arousal",)))
    assert (row["arousal"], row["note"]) == (0.0, "digital silence")


def test_model_is_named_with_its_revision():
    write_tone(Path("a.wav"))
    assert rows_of("a.wav", FakeRecognizer(revision="0123456789abcdef"))[0]["model"] == (
        "fake@0123456789ab"
    )


def test_long_recording_has_the_mean_of_its_windows_weighted_by_duration(rng):
    samples = (0.1 * rng.standard_normal(30 * 16000) * np.linspace(0, 1, 30 * 16000)).astype("f4")
    soundfile.write("a.wav", samples, 16000, subtype="FLOAT")
    (row,) = rows_of("a.wav")
    parts = [samples[:192000], samples[192000:384000], samples[384000:]]
    single = [expected_probs(FakeRecognizer(), part) for part in parts]
    np.testing.assert_allclose(
        probs_of(row), (12 * single[0] + 12 * single[1] + 6 * single[2]) / 30, rtol=1e-9
    )
    assert (row["start"], row["end"]) == (0.0, 30.0)


def test_one_row_a_window():
    samples = np.concatenate([tone(6.0), np.zeros(6 * 16000, np.float32), tone(0.5)])
    soundfile.write("a.flac", samples, 16000)
    rows = rows_of("a.flac", windows=True, window_seconds=6.0)
    assert [(row["start"], row["end"]) for row in rows] == [(0, 6), (6, 9.25), (9.25, 12.5)]
    assert [row["note"] for row in rows] == ["", "digital silence; no label: nothing to hear", ""]
    assert [row["label"] for row in rows] == ["angry", "", "angry"]
    rows = rows_of("a.flac", windows=True, window_seconds=8.0, hop_seconds=2.0)
    assert [row["start"] for row in rows] == [0, 2, 4, 6]


def test_the_longest_call_is_a_window():
    write_tone(Path("a.wav"), 100.0)
    model = FakeRecognizer()
    rows_of("a.wav", model)
    assert max(length for call in model.calls for length in call) == 192000


def test_a_recording_is_heard_whole_up_to_two_minutes():
    for name, seconds in (("a.wav", 30.0), ("b.wav", 120.5)):
        write_tone(Path(name), seconds, sampling_rate=8000)
    model = FakeRecognizer(sampling_rate=8000)
    rows = rows_of(["a.wav", "b.wav"], model, window_seconds=math.inf)
    assert 240_000 in [length for call in model.calls for length in call]
    assert [row["error"] for row in rows] == [
        "",
        "b.wav: longer than the 120 s that are heard whole. Give --window in seconds, or name "
        "parts of it in a manifest.",
    ]
    assert rows[0]["note"] == ""


@pytest.mark.parametrize("batch_size", [None, 1, 3, 100])
def test_order_and_posteriors_do_not_depend_on_batches(batch_size):
    for index in range(9):
        write_tone(Path(f"rec/{index}.wav"), 0.2 + (index * 7 % 9) / 10, 200 + 50 * index)
    Path("rec/4.wav").write_bytes(b"")
    model = FakeRecognizer()
    rows = rows_of("rec", model, batch_size=batch_size)
    assert [row["file"] for row in rows] == [f"rec/{index}.wav" for index in range(9)]
    assert max(len(call) for call in model.calls) <= (batch_size or 64)
    for row in rows[:4] + rows[5:]:
        alone = rows_of(row["file"])[0]
        np.testing.assert_allclose(probs_of(row), probs_of(alone), rtol=1e-12)


def test_many_recordings_go_through_the_model_together():
    for index in range(5):
        write_tone(Path(f"rec/{index}.wav"), 0.1 * (5 - index))
    model = FakeRecognizer()
    rows_of("rec", model)
    assert model.calls == [[1600, 3200, 4800, 6400, 8000]]


def test_a_slow_model_is_given_no_more_than_it_says():
    for index in range(8):
        write_tone(Path(f"rec/{index}.wav"), 1.0)
    model = FakeRecognizer()
    model.pool_seconds = 2.5
    rows_of("rec", model)
    assert [len(call) for call in model.calls] == [3, 3, 2]
    model.calls.clear()
    write_tone(Path("long.wav"), 40.0)
    rows_of("long.wav", model, window_seconds=4.0)
    assert [len(call) for call in model.calls] == [2, 2, 2, 2, 2]


def test_recordings_that_cannot_be_used_have_an_error_and_no_prediction(rng):
    write_tone(Path("rec/good.wav"))
    Path("rec/empty.wav").write_bytes(b"")
    broken = tone(40.0)
    broken[-5:] = np.nan
    soundfile.write("rec/nan.wav", broken, 16000, subtype="FLOAT")
    Path("rec/text.wav").write_text("not audio", encoding="utf-8")
    Path("rec/link.wav").symlink_to("gone.wav")
    rows = rows_of(["rec", "gone.wav"])
    assert [(row["file"], row["error"]) for row in rows] == [
        (
            "rec/empty.wav",
            "rec/empty.wav: empty (0 bytes), expected a recording. Record it or copy it again.",
        ),
        ("rec/good.wav", ""),
        (
            "rec/link.wav",
            "rec/link.wav: a link to gone.wav, which does not exist, expected a recording. "
            "Restore the target or remove the link.",
        ),
        (
            "rec/nan.wav",
            "rec/nan.wav: 5 of 640000 samples are not numbers (NaN or infinite), the first at "
            "40.000 s, expected finite samples. Repair the recording or make it again.",
        ),
        (
            "rec/text.wav",
            "rec/text.wav: holds text, expected audio. Check how the file was made or downloaded.",
        ),
        ("gone.wav", "gone.wav: no such file, expected a recording. Check the path."),
    ]
    failed = rows[0]
    assert failed["label"] == ""
    assert all(math.isnan(failed[name]) for name in ("start", "end", "p_angry", "p_sad"))


def test_notes():
    write_tone(Path("rec/clipped.wav"), amplitude=3.0)
    write_tone(Path("rec/quiet.wav"), amplitude=3e-4, subtype="FLOAT")
    write_tone(Path("rec/short.wav"), 0.05)
    soundfile.write("rec/zero.wav", np.zeros(16000), 16000)
    rows = rows_of("rec", FakeRecognizer(min_seconds=0.4))
    assert [row["note"] for row in rows] == [
        "heavy clipping (78.5% of samples at full scale)",
        "near silence (-73 dBFS)",
        "too short (0.05 s, padded to 0.4 s)",
        "digital silence; no label: nothing to hear",
    ]
    assert all(row["error"] == "" for row in rows)
    assert [row["label"] != "" for row in rows] == [True, True, True, False]


def test_remarks_of_a_model_are_noted_once():
    class Deaf(FakeRecognizer):
        def remarks(self, utterances):
            return [
                "only the first 5 s were heard" if len(one) > 80000 else "" for one in utterances
            ]

    write_tone(Path("a.wav"), 29.0)
    (row,) = rows_of("a.wav", Deaf())
    assert row["note"] == "only the first 5 s were heard"
    rows = rows_of("a.wav", Deaf(), windows=True)
    assert [row["note"] for row in rows] == [*(["only the first 5 s were heard"] * 2), ""]


def test_short_recordings_are_padded_with_zeros_to_the_models_minimum():
    write_tone(Path("a.wav"), 0.05)
    model = FakeRecognizer(min_seconds=0.40001)
    rows_of("a.wav", model)
    assert model.calls == [[6401]]


def test_segments_and_carried_columns():
    soundfile.write("a.wav", np.concatenate([tone(1.0), tone(1.0, 100)]), 16000, subtype="FLOAT")
    Path("m.csv").write_text(
        "file,start,end,speaker\na.wav,0,1,anna\na.wav,1,2.0004,ben\na.wav,5,6,cleo\n",
        encoding="utf-8",
    )
    first, second, third = rows_of("m.csv")
    assert [(row["start"], row["end"]) for row in (first, second, third)] == [
        *((0, 1), (1, 2), (5, 6))
    ]
    np.testing.assert_allclose(
        probs_of(second), expected_probs(FakeRecognizer(), tone(1.0, 100)), rtol=1e-9
    )
    assert [row["speaker"] for row in (first, second, third)] == ["anna", "ben", "cleo"]
    assert third["error"] == (
        "a.wav: segment starts at 5.000 s, expected before the recording's end at 2.000 s. "
        "Correct start and end."
    )


def test_windows_of_a_segment_have_times_of_the_recording():
    write_tone(Path("a.wav"), 10.0)
    utterance = Utterance("a.wav", Path("a.wav"), 2.0, 8.0)
    options = PredictOptions(windows=True, window_seconds=4.0)
    rows = list(predict_rows([utterance], [FakeRecognizer()], options))
    assert [(row["start"], row["end"]) for row in rows] == [(2, 6), (6, 8)]


def test_several_models_hear_a_recording_decoded_once(monkeypatch):
    from emocli.pipeline import inputs

    opened = []

    class Counted(inputs.WaveformStream):
        def __init__(self, path, *arguments, **options):
            opened.append(str(path))
            super().__init__(path, *arguments, **options)

    monkeypatch.setattr(inputs, "WaveformStream", Counted)
    write_tone(Path("a.wav"), sampling_rate=44100)
    write_tone(Path("b.wav"))
    high, low = FakeRecognizer(name="high"), FakeRecognizer(name="low", sampling_rate=8000)
    rows = rows_of(["a.wav", "b.wav"], low, high)
    assert [(row["file"], row["model"]) for row in rows] == [
        *(("a.wav", "low"), ("a.wav", "high"), ("b.wav", "low"), ("b.wav", "high"))
    ]
    assert opened == ["a.wav", "b.wav"]
    assert (high.calls, low.calls) == ([[16000, 16000]], [[8000, 8000]])


def test_dimensions_are_averaged_as_they_are():
    soundfile.write("a.wav", np.concatenate([tone(12.0), tone(6.0, amplitude=0.2)]), 16000)
    model = FakeRecognizer(labels=(), dimensions=("arousal", "dominance", "valence"))
    (row,) = rows_of("a.wav", model)
    assert row["arousal"] == pytest.approx((12 * 0.1 + 6 * 0.2) / 18 * 10 / math.sqrt(2), rel=1e-4)
    assert "label" not in row
    assert "entropy" not in row
    table = PredictionTable.from_rows([row])
    assert [name for name in table.columns if name in row][:5] == [
        *("file", "start", "end", "model", "arousal")
    ]


def predict_table(model, path):
    return PredictionRun(read_inputs(path), [model]).table(rows_of(path, model))


def test_multi_label_models_have_sigmoids_and_their_shares():
    write_tone(Path("a.wav"))
    model = FakeRecognizer(multi_label=True)
    (row,) = rows_of("a.wav", model)
    logits = np.array(model.statistics(soundfile.read("a.wav", dtype="float32")[0]))
    sigmoids = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(probs_of(row), sigmoids / sigmoids.sum(), rtol=1e-9)
    found = [row[f"sigmoid_{label}"] for label in model.card.labels]
    np.testing.assert_allclose(found, sigmoids, rtol=1e-9)
    table = predict_table(model, "a.wav")
    assert list(table.columns)[5:16] == [
        *(f"p_{label}" for label in model.card.labels),
        *(f"sigmoid_{label}" for label in model.card.labels),
        *("entropy", "varentropy", "margin"),
    ]


def test_a_model_that_refuses_one_recording_still_hears_the_others():
    for index, amplitude in enumerate((0.1, 0.5, 0.2)):
        write_tone(Path(f"rec/{index}.wav"), amplitude=amplitude, subtype="FLOAT")
    rows = rows_of("rec", FakeRecognizer(refuses=0.5))
    assert [row["error"] for row in rows] == [
        "",
        "rec/1.wav: the fake refuses this recording. Give another.",
        "",
    ]
    np.testing.assert_allclose(probs_of(rows[2]), probs_of(rows_of("rec/2.wav")[0]))


def test_scores_that_are_not_numbers_are_an_error():
    class Broken(FakeRecognizer):
        def statistics(self, waveform):
            return [math.nan, 0, 0, 0] if len(waveform) == 1600 else [0, 0, 0, 0]

    write_tone(Path("rec/a.wav"), 0.1)
    write_tone(Path("rec/b.wav"), 0.2)
    first, second = rows_of("rec", Broken())
    assert first["error"] == (
        "rec/a.wav: fake gave scores that are not numbers, expected finite ones. Try --dtype fp32."
    )
    assert second["p_sad"] == 0.25


def test_wrong_window_is_an_error_before_anything_is_read():
    with pytest.raises(AudioError, match=r"^The hop is 3 s, expected from 0.01 s"):
        rows_of("a.wav", window_seconds=2.0, hop_seconds=3.0)


def test_progress_counts_utterances_seconds_and_failures(monkeypatch):
    from emocli.pipeline import speech

    monkeypatch.setattr(speech, "POOL_WINDOWS", 2)
    for index in range(4):
        write_tone(Path(f"rec/{index}.wav"), 15.0)
    Path("rec/4.wav").write_bytes(b"")
    told = []
    utterances = read_inputs("rec").utterances
    rows = list(predict_rows(utterances, [FakeRecognizer()], progress=told.append))
    assert len(rows) == 5
    assert told[0].utterances_done < 5
    assert told[0].n_utterances == 5
    assert told[0].expected_seconds == 75.0  # what is known so far: 15 s each
    assert told[-1] == Progress(5, 5, 60.0, 75.0, 1)


def test_progress_of_overlapping_windows_does_not_count_seconds_twice():
    write_tone(Path("a.wav"), 20.0)
    told = []
    options = PredictOptions(window_seconds=10.0, hop_seconds=2.0)
    utterances = read_inputs("a.wav").utterances
    list(predict_rows(utterances, [FakeRecognizer()], options, told.append))
    assert told[-1].seconds_done <= 20.0


class SmallRecognizer(FakeRecognizer):
    """One that is best used in several processes, and whose scores tell their batch."""

    one_core = True

    def _logits(self, utterances):
        return super()._logits(utterances) + 1e-6 * sum(map(len, utterances))


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")
def test_rows_do_not_depend_on_how_many_processes_make_them(rng):
    for number in range(150):
        soundfile.write(f"{number:03}.wav", tone(rng.uniform(0.1, 1.0)), 8000)
    Path("149.wav").write_bytes(b"RIFF")
    utterances = read_inputs(".").utterances
    model = SmallRecognizer(sampling_rate=8000)
    told: list[Progress] = []
    alone, shared = (
        list(predict_rows(utterances, [model], PredictOptions(n_processes=n), progress=told.append))
        for n in (1, 3)
    )
    assert [repr(row) for row in shared] == [repr(row) for row in alone]
    last = [one for one in told if one.utterances_done == 150]
    assert {(one.n_failed, one.n_utterances) for one in last} == {(1, 150)}
    assert math.isclose(last[0].seconds_done, last[-1].seconds_done)
    assert math.isclose(last[0].expected_seconds, last[-1].expected_seconds, rel_tol=0.05)


def test_nothing_in_nothing_out():
    assert list(predict_rows([], [FakeRecognizer()])) == []
    assert list(predict_rows([], [FakeTextRecognizer()])) == []


# --- texts -----------------------------------------------------------------------------------


def text_rows(paths, *recognizers, **options):
    models = recognizers or (FakeTextRecognizer(),)
    return list(predict_rows(read_inputs(paths).utterances, models, PredictOptions(**options)))


def test_texts_of_a_table_need_no_recordings():
    table = PredictionTable.from_rows(
        [
            {"file": "a.wav", "start": 0.0, "end": 2.5, "text": " I hate it", "speaker": "anna"},
            {"file": "b.wav", "start": 0.0, "end": 1.0, "text": "love, love", "speaker": "ben"},
        ]
    )
    first, second = text_rows(table)
    assert (first["label"], first["start"], first["end"]) == ("angry", 0.0, 2.5)
    assert (first["model"], first["speaker"], first["text"]) == ("fake-text", "anna", " I hate it")
    expected = posteriors.softmax([0.0, 4.0, 0.5, 1.0])
    np.testing.assert_allclose(probs_of(second), expected, rtol=1e-12)


def test_prepared_texts_are_read_and_the_column_stays():
    table = PredictionTable.from_rows(
        [
            {"file": "a.wav", "text": "I hated it", "language": "en"},
            {"file": "b.wav", "text": "ich hated 2", "language": "de"},
            {"file": "c.wav", "text": "1 2 3", "language": ""},
            {"file": "d.wav", "text": "", "language": "de"},
        ]
    )
    heard = []

    class Reader(FakeTextRecognizer):
        def _logits(self, utterances):
            heard.extend(utterances)
            return super()._logits(utterances)

    reader = Reader(number_format="bf16")
    prepare_texts([FakeRecognizer(), reader])
    rows = text_rows(table, reader)
    assert sorted(heard) == ["i hate it", "ich hated 2"]
    assert {row["model"] for row in rows} == {"fake-text+bf16+prepared"}
    assert [row["text"] for row in rows] == ["I hated it", "ich hated 2", "1 2 3", ""]
    assert [row["note"] for row in rows] == [
        "", "text not prepared: de is not English", "nothing but numbers", "no words",
    ]  # fmt: skip
    assert [row["label"] != "" for row in rows] == [True, True, False, False]
    assert {row["error"] for row in rows} == {""}


def test_texts_are_prepared_for_text_models_alone():
    hearing = FakeRecognizer()
    with pytest.raises(ModelError) as caught:
        prepare_texts([hearing])
    assert str(caught.value) == (
        "fake reads no transcripts alone, expected a text model for --prepare-text. Leave it out, "
        "or add a text model with -m."
    )
    assert not hearing.card.prepares_text


def test_the_python_interface_prepares_texts():
    table = PredictionTable.from_rows([{"file": "a.wav", "text": "I wasn't feeling GREAT"}])
    found = predict(table, "builtin-sentiment", prepare_text=True)
    ready = PredictionTable.from_rows([{"file": "a.wav", "text": "i be not feeling great"}])
    expected = predict(ready, "builtin-sentiment")
    assert found["model"].tolist() == ["builtin-sentiment+prepared"]
    np.testing.assert_array_equal(found.probs, expected.probs)
    assert found["text"].tolist() == ["I wasn't feeling GREAT"]


def test_text_beside_a_recording():
    write_tone(Path("rec/a.wav"))
    Path("rec/a.txt").write_text("\ufeffI love it\n", encoding="utf-8")
    write_tone(Path("rec/b.wav"))
    first, second = text_rows("rec")
    assert (first["text"], first["label"], first["error"]) == ("I love it", "happy", "")
    assert second["error"] == (
        "rec/b.wav: no transcript, expected a column text in a table or b.txt beside the "
        "recording. Make one with emocli transcribe."
    )
    assert second["label"] == ""
    assert math.isnan(second["p_sad"])


def test_text_beside_a_recording_says_nothing_of_a_segment():
    Path("a.txt").write_text("I love it", encoding="utf-8")
    table = PredictionTable.from_rows([{"file": "a.wav", "start": 1.0, "end": 2.0}])
    assert text_rows(table)[0]["error"] == (
        "a.wav: no transcript of 1 to 2 s, expected a column text in the table, for a.txt tells "
        "of the whole recording. Name the recording without start and end."
    )


def test_text_that_is_no_utf8():
    Path("a.txt").write_bytes(b"caf\xe9")
    assert text_rows("a.wav")[0]["error"] == (
        "a.wav: its transcript a.txt cannot be read ('utf-8' codec can't decode byte 0xe9 in "
        "position 3: unexpected end of data), expected UTF-8 text. Correct the file."
    )


def test_empty_transcript_has_neither_prediction_nor_error():
    table = PredictionTable.from_rows(
        [
            {"file": "a.wav", "text": "  ", "note": "no speech"},
            {"file": "b.wav", "text": "love"},
        ]
    )
    first, second = text_rows(table)
    assert (first["label"], first["error"], first["note"]) == ("", "", "no speech; no words")
    assert math.isnan(first["p_happy"])
    assert second["label"] == "happy"


def test_error_of_the_step_before_is_passed_on():
    table = PredictionTable.from_rows(
        [{"file": "a.wav", "text": "", "error": "a.wav: empty (0 bytes)."}]
    )
    assert text_rows(table)[0]["error"] == "a.wav: empty (0 bytes)."


def test_remarks_of_a_text_model_are_noted():
    table = PredictionTable.from_rows(
        [{"file": f"{n}.wav", "text": text} for n, text in enumerate(("", "short", "long " * 20))]
    )
    assert [row["note"] for row in text_rows(table)] == ["no words", "", "text cut to 40 letters"]


def test_texts_are_batched_and_keep_their_order():
    table = PredictionTable.from_rows(
        [{"file": f"{n}.wav", "text": "love " * (n * 3 % 7 + 1)} for n in range(20)]
    )
    one, other = text_rows(table, batch_size=1), text_rows(table, batch_size=6)
    assert one == other
    assert [row["file"] for row in one] == [f"{n}.wav" for n in range(20)]


def test_progress_of_texts():
    table = PredictionTable.from_rows([{"file": "a.wav", "text": "x"}, {"file": "b.wav"}])
    told = []
    list(predict_rows(read_inputs(table).utterances, [FakeTextRecognizer()], progress=told.append))
    (last,) = told
    assert (last.utterances_done, last.n_utterances, last.seconds_done) == (2, 2, 0.0)
    assert math.isnan(last.expected_seconds)


# --- the use case ----------------------------------------------------------------------------


@pytest.fixture
def _models(monkeypatch):
    found = {"builtin": FakeRecognizer(), "words": FakeTextRecognizer()}
    monkeypatch.setattr(
        use_case,
        "load_recognizers",
        lambda model, options: [
            found[name] for name in ([model] if isinstance(model, str) else model)
        ],
    )


@pytest.mark.usefixtures("_models")
def test_predict_gives_a_table():
    write_tone(Path("rec/a.wav"))
    Path("rec/b.wav").write_bytes(b"")
    Path("rec/m.csv").write_text("file,speaker\na.wav,anna\nb.wav,ben\n", encoding="utf-8")
    remarks = []
    table = predict(["rec/m.csv", "rec/a.wav"], remark=remarks.append)
    assert list(table.columns) == [
        *("file", "start", "end", "model", "label"),
        *("p_angry", "p_happy", "p_neutral", "p_sad", "entropy", "varentropy", "margin"),
        "normalized_entropy",
        *("note", "error", "speaker"),
    ]
    assert table.failed.tolist() == [False, True]
    assert table.probs[0].sum() == pytest.approx(1.0, abs=1e-12)
    assert remarks == ["Named more than once and taken once: rec/a.wav."]
    assert predict("rec/m.csv").folder == "rec"


@pytest.mark.usefixtures("_models")
def test_speech_models_first_then_text_models():
    write_tone(Path("a.wav"))
    Path("a.txt").write_text("love", encoding="utf-8")
    table = predict("a.wav", ["words", "builtin"])
    assert table["model"].tolist() == ["fake", "fake-text"]
    assert table["label"].tolist() == ["angry", "happy"]


def test_no_model_at_all():
    with pytest.raises(ModelError, match=r"^No model is named, expected one at least\. Give for"):
        use_case.load_recognizers([])


def test_a_batch_size_that_is_none():
    with pytest.raises(ModelError, match=r"^The batch size is 0, expected a whole number above 0"):
        use_case.load_recognizers("builtin", LoadOptions(batch_size=0))


def test_a_device_that_is_none_is_refused_whatever_the_model():
    with pytest.raises(ModelError, match=r"^Device 'foo' is unknown, expected auto, cpu, mps"):
        use_case.load_recognizers("builtin", LoadOptions(device="foo"))


def test_each_model_is_loaded_once_and_as_asked(monkeypatch):
    from emocli.models import registry

    asked = []
    monkeypatch.setattr(registry, "load_recognizer", lambda *given: asked.append(given))
    options = LoadOptions(device="cpu", dtype="fp32", engine="torch", batch_size=3, offline=True)
    use_case.load_recognizers(["a", "b", "a"], options)
    use_case.load_recognizers("c", options)
    assert asked == [("a", options), ("b", options), ("c", options)]


def test_rows_of_no_models():
    assert list(predict_rows([Utterance("a.wav", Path("a.wav"))], [])) == []


def test_mean_of_scores_gives_the_reason_where_one_is_missing():
    assert weighted_mean([np.array([0.0, 1.0]), "too loud"], [1.0, 1.0]) == "too loud"


def test_score_of_nothing():
    assert score(FakeRecognizer(), []) == []


def test_the_pipeline_does_not_import_torch():
    code = "import sys, emocli.pipeline.predict; print('torch' in sys.modules, 'av' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert found.stdout == "False False\n"
