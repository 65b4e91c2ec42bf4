"""Extraction: every utterance has features or an error, whatever happens on the way."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from emocli.encoder_identity import EncoderIdentity
from emocli.errors import FeatureError, ModelError
from emocli.models.encoders import load_encoder
from emocli.pipeline import extract
from emocli.pipeline.extract import extract_recordings, extract_texts, feature_folder
from emocli.pipeline.inputs import Utterance

RATE = 16000


class Counting:
    """An encoder whose two values are the mean magnitude of 10 ms and the place of the frame."""

    max_seconds = 2.0

    def __init__(self, most=1000, modality="speech"):
        self.identity = EncoderIdentity(
            name="counting", modality=modality, dim=2, frames_per_second=100, sampling_rate=RATE
        )
        self.most = most
        self.sizes = []

    def encode(self, batch):
        self.sizes.append(len(batch))
        if len(batch) > self.most:
            raise ModelError("counting: memory ran out.")
        return [self._frames(one) for one in batch]

    def remarks(self, batch):
        return ["long" if len(one) > 1.5 * RATE else "" for one in batch]

    def _frames(self, waveform):
        if np.abs(waveform).max() > 0.9:
            raise ModelError("counting: too loud. Turn it down.")
        n_frames = len(waveform) // 160
        means = np.abs(waveform[: n_frames * 160]).reshape(-1, 160).mean(1)
        return np.column_stack([means, np.arange(n_frames)]).astype(np.float32)


@pytest.fixture
def recordings(tmp_path, rng):
    made = []
    for number, seconds in enumerate((0.5, 1.0, 1.8, 0.3)):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, rng.uniform(-0.5, 0.5, round(seconds * RATE)), RATE)
        made.append(Utterance(file=path.name, path=path))
    return made


def test_features_of_recordings(tmp_path, recordings):
    encoder, seen = Counting(), []
    store = extract_recordings(recordings, encoder, tmp_path / "f", progress=seen.append)
    assert store.lengths.tolist() == [50, 100, 180, 30]
    assert (store.errors, store.notes) == ({}, {2: "long"})
    assert encoder.sizes == [4]
    assert (seen[-1].utterances_done, seen[-1].n_failed) == (4, 0)
    assert seen[-1].seconds_done == pytest.approx(3.6)
    for index, utterance in enumerate(recordings):
        waveform, _ = soundfile.read(utterance.path, dtype="float32")
        np.testing.assert_array_equal(store.load(index), encoder._frames(waveform))

    again = extract_recordings(recordings, encoder, tmp_path / "f")
    assert encoder.sizes == [4]
    assert (again.keys, again.notes) == (store.keys, store.notes)
    np.testing.assert_array_equal(again.lengths, store.lengths)


def test_doubts_about_a_recording_stay_with_its_features(tmp_path, recordings):
    whole = recordings[1].path.read_bytes()
    recordings[1].path.write_bytes(whole[: len(whole) // 2])
    wanted = {1: "truncated: 0.5 of 1.0 s", 2: "long"}
    for _ in range(2):
        store = extract_recordings(recordings, Counting(), tmp_path / "f")
        assert store.notes == wanted


def test_one_that_fails_costs_no_other(tmp_path, recordings, rng):
    broken, loud, long = (tmp_path / name for name in ("broken.wav", "loud.wav", "long.wav"))
    broken.write_bytes(b"RIFF nothing")
    soundfile.write(loud, rng.uniform(-1, 1, RATE), RATE)
    soundfile.write(long, rng.uniform(-0.5, 0.5, 3 * RATE), RATE)
    bad = [Utterance(file=path.name, path=path) for path in (broken, loud, long)]
    missing = Utterance(file="missing.wav", path=tmp_path / "missing.wav")
    before = Utterance(file="x.wav", path=tmp_path / "0.wav", error="no voice")
    utterances = [*bad, *recordings, missing, before]
    seen = []
    store = extract_recordings(utterances, Counting(), tmp_path / "f", progress=seen.append)
    assert store.errors[0].startswith("broken.wav: ")
    assert store.errors == {
        0: store.errors[0],
        1: "counting: too loud. Turn it down.",
        2: "long.wav: longer than the 2 s that counting takes at once. Name parts of it with "
        "start and end in a manifest.",
        7: "missing.wav: no such file, expected a recording. Check the path.",
        8: "no voice",
    }  # fmt: skip
    assert store.lengths.tolist() == [0, 0, 0, 50, 100, 180, 30, 0, 0]
    assert seen[-1].n_failed == 5
    with pytest.raises(FeatureError, match=r"^Utterance 1 has no features: counting: too loud\."):
        store.load(1)


def test_memory_that_runs_out_for_many_may_do_for_one(tmp_path, recordings):
    encoder = Counting(most=1)
    store = extract_recordings(recordings, encoder, tmp_path / "f")
    assert store.errors == {}
    assert encoder.sizes == [4, 1, 1, 1, 1]


def test_features_that_cannot_be_kept_are_errors(tmp_path, recordings):
    class Broken(Counting):
        def _frames(self, waveform):
            frames = super()._frames(waveform)
            return frames * np.nan if len(frames) == 100 else frames

    store = extract_recordings(recordings, Broken(), tmp_path / "f")
    assert store.errors == {1: "counting gave values that are no numbers. Compute in fp32."}
    assert store.lengths.tolist() == [50, 0, 180, 30]


def test_segments_and_repetitions(tmp_path, recordings):
    whole = recordings[1]
    part = dataclasses.replace(whole, start=0.25, end=0.75)
    copy = tmp_path / "copy.wav"
    copy.write_bytes(whole.path.read_bytes())
    renamed = Utterance(file="copy.wav", path=copy)
    encoder = Counting()
    store = extract_recordings([whole, part, whole, renamed], encoder, tmp_path / "f")
    assert store.lengths.tolist() == [100, 50, 100, 100]
    assert store.keys[0] == store.keys[2] == store.keys[3] != store.keys[1]
    assert encoder.sizes == [2]


def test_a_changed_recording_is_computed_again(tmp_path, recordings, rng):
    encoder = Counting()
    before = extract_recordings(recordings[:1], encoder, tmp_path / "f")
    soundfile.write(recordings[0].path, rng.uniform(-0.5, 0.5, RATE), RATE)
    after = extract_recordings(recordings[:1], encoder, tmp_path / "f")
    assert (before.lengths[0], after.lengths[0]) == (50, 100)


def test_many_recordings_in_little_memory(tmp_path, monkeypatch, rng):
    monkeypatch.setattr(extract, "AHEAD_SECONDS", 1.0)
    monkeypatch.setattr(extract, "POOL_SECONDS", 1.0)
    utterances = []
    for number in range(40):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, rng.uniform(-0.5, 0.5, 1600 + number * 160), RATE)
        utterances.append(Utterance(file=path.name, path=path))
    encoder = Counting()
    store = extract_recordings(utterances, encoder, tmp_path / "f")
    assert store.lengths.tolist() == list(range(10, 50))
    assert max(encoder.sizes) <= 10


def test_texts(tmp_path):
    encoder = load_encoder("words")
    texts = ["so happy", "", "so happy", "not at all"]
    store = extract_texts(texts, encoder, tmp_path / "f", dtype="fp16")
    assert store.lengths.tolist() == [2, 1, 2, 3]
    np.testing.assert_allclose(store.load(3), encoder.encode(texts)[3], rtol=1e-3, atol=1e-6)


def test_recordings_and_texts_are_not_confused(tmp_path):
    with pytest.raises(ModelError) as caught:
        extract_recordings([], load_encoder("words"), tmp_path)
    assert str(caught.value) == (
        "words reads texts, expected an encoder of recordings. Choose another one."
    )
    with pytest.raises(ModelError) as caught:
        extract_texts([], load_encoder("logmel"), tmp_path)
    assert str(caught.value) == (
        "logmel hears recordings, expected an encoder of texts. Choose another one."
    )


def test_folders_below_a_cache(tmp_path):
    identity = dataclasses.replace(Counting().identity, name="a/b c")
    one = feature_folder(tmp_path, identity)
    assert one.parent == tmp_path
    assert one.name == f"a-b-c-last-fp32-{identity.key[:12]}"
    other = feature_folder(tmp_path, dataclasses.replace(identity, layer="4"))
    assert one.name != other.name


EXTRACT = """
import sys, time
import numpy as np
from pathlib import Path
from emocli.models.builtin_encoders import LogMelEncoder
from emocli.pipeline import extract
from emocli.pipeline.inputs import Utterance

class Slow(LogMelEncoder):
    def encode(self, batch):
        time.sleep(0.02)
        return super().encode(batch)

extract.POOL_UTTERANCES = 2
folder = Path(sys.argv[1])
utterances = [Utterance(file=p.name, path=p) for p in sorted(folder.glob("*.wav"))]
store = extract.extract_recordings(utterances, Slow(), folder / "f")
print(int(store.lengths.sum()), len(store.errors))
"""


def test_an_extraction_that_is_killed_goes_on(tmp_path, rng):
    for number in range(60):
        path = tmp_path / f"{number:02}.wav"
        soundfile.write(path, rng.uniform(-0.5, 0.5, 8000 + 160 * number), RATE)
    command = [sys.executable, "-c", EXTRACT, str(tmp_path)]
    counts = [0]
    for kill in range(2):
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while counts[-1] < 20 * (kill + 1) and time.monotonic() < deadline:
            time.sleep(0.005)
            counts.append(len(list(tmp_path.glob("f/??/*.safetensors"))))
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
        assert child.returncode == -signal.SIGKILL
    assert 40 <= counts[-1] < 60
    (tmp_path / "f/partial/half.1").write_bytes(b"half a file")
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("f/??/*.safetensors")}
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    n_frames = sum(-(-(8000 + 160 * number) // 320) for number in range(60))
    assert done.stdout == f"{n_frames} 0\n"
    assert all(path.stat().st_mtime_ns == when for path, when in written.items())
    assert len(list(tmp_path.glob("f/??/*.safetensors"))) == 60
