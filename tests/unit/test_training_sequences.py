"""Sequences on disk: whole or not there, and never of two encoders."""

import json
import os
import time

import numpy as np
import pytest

from emocli.encoder_identity import EncoderIdentity
from emocli.errors import FeatureError
from emocli.training.sequences import (
    SequenceFolder,
    SequenceStore,
    Stored,
    read_manifest,
    recording_key,
    text_key,
)

KEY = "ab" * 32
IDENTITY = EncoderIdentity(
    name="a/wavlm", revision="0123456789abcdef", layer="last", modality="speech", dim=3,
    frames_per_second=50, sampling_rate=16000, settings=(("dtype", "float32"),),
)  # fmt: skip
DESCRIBED = "a/wavlm@0123456789ab layer last (3 values, 50 a second, dtype float32)"


@pytest.fixture
def frames(rng):
    return rng.normal(0, 3, (7, 3)).astype(np.float32)


def altered(**facts):
    return EncoderIdentity.from_facts({**IDENTITY.facts(), **facts})


def test_an_identity_comes_back_from_json():
    again = EncoderIdentity.from_facts(json.loads(json.dumps(IDENTITY.facts())))
    assert again == IDENTITY
    assert again.key == IDENTITY.key
    assert str(IDENTITY) == DESCRIBED


def test_what_is_written_is_read(tmp_path, frames):
    folder = SequenceFolder(tmp_path / "new", IDENTITY)
    assert folder.find(KEY) is None
    assert folder.write(KEY, frames, "cut") == Stored(7, "cut")
    assert folder.find(KEY) == Stored(7, "cut")
    found = SequenceFolder(tmp_path / "new", IDENTITY).read(KEY)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, frames)
    assert folder.write("cd" * 32, frames[:0]).n_frames == 0
    assert folder.read("cd" * 32).shape == (0, 3)
    assert not list((tmp_path / "new/partial").iterdir())


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
@pytest.mark.parametrize("layout", ["C", "Fortran", "transposed", "strided"])
def test_frames_of_any_memory_layout_are_stored_as_they_are(tmp_path, frames, layout, dtype):
    lying = {
        "C": frames,
        "Fortran": np.asfortranarray(frames),
        "transposed": np.ascontiguousarray(frames.T).T,
        "strided": np.repeat(frames, 2, axis=0)[::2],
    }[layout]
    folder = SequenceFolder(tmp_path, IDENTITY, dtype)
    folder.write(KEY, lying)
    expected = frames.astype(np.float16) if dtype == "fp16" else frames
    np.testing.assert_array_equal(folder.read(KEY), expected)


def test_half_precision_is_off_by_half_a_thousandth(tmp_path, rng):
    frames = (rng.normal(0, 1, (500, 3)) * 10.0 ** rng.integers(-3, 4, (500, 3))).astype("f")
    folder = SequenceFolder(tmp_path, IDENTITY, "fp16")
    folder.write(KEY, frames)
    found = folder.read(KEY)
    assert found.dtype == np.float32
    bound = np.maximum(np.abs(frames) * 2**-11, 2**-25)  # eleven bits, and the smallest steps
    assert (np.abs(found - frames) <= bound).all()
    assert folder.path(KEY).stat().st_size < 500 * 3 * 2 + 200


@pytest.mark.parametrize(
    ("facts", "described"),
    [
        ({"layer": "9"}, "a/wavlm@0123456789ab layer 9 (3 values, 50 a second, dtype float32)"),
        ({"name": "b/x"}, "b/x@0123456789ab layer last (3 values, 50 a second, dtype float32)"),
        ({"dim": 4}, "a/wavlm@0123456789ab layer last (4 values, 50 a second, dtype float32)"),
        (
            {"version": 2},
            "a/wavlm@0123456789ab layer last (3 values, 50 a second, dtype float32, version 2)",
        ),
        (
            {"settings": {"dtype": "bfloat16"}},
            "a/wavlm@0123456789ab layer last (3 values, 50 a second, dtype bfloat16)",
        ),
    ],
)
def test_a_folder_is_of_one_encoder(facts, described, tmp_path):
    SequenceFolder(tmp_path, IDENTITY)
    with pytest.raises(FeatureError) as caught:
        SequenceFolder(tmp_path, altered(**facts))
    assert str(caught.value) == (
        f"{tmp_path} holds features of {DESCRIBED}, expected {described}. Features of different "
        "encoders, layers or settings are not mixed; choose another folder."
    )


def test_a_folder_is_in_one_format(tmp_path):
    SequenceFolder(tmp_path, IDENTITY)
    with pytest.raises(FeatureError) as caught:
        SequenceFolder(tmp_path, IDENTITY, "fp16")
    assert str(caught.value) == (
        f"{tmp_path} holds features in fp32, expected fp16. Choose another folder, or the same "
        "number format."
    )
    with pytest.raises(FeatureError) as caught:
        SequenceFolder(tmp_path, IDENTITY, "int8")
    assert str(caught.value) == (
        "Number format 'int8' of features is unknown, expected one of fp32, fp16. Choose one of "
        "them."
    )


@pytest.mark.parametrize(
    "content",
    [
        "no JSON", "[]", "{}", '{"format": 2, "dtype": "fp32", "encoder": {}}',
        '{"format": 1, "dtype": "fp32", "encoder": {"settings": 3}}',
        '{"format": 1, "dtype": "fp32", "encoder": {"name": "x"}}',
    ],
)  # fmt: skip
def test_a_manifest_that_is_none(content, tmp_path):
    (tmp_path / "encoder.json").write_text(content)
    with pytest.raises(FeatureError) as caught:
        read_manifest(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'encoder.json'} does not say which encoder the features are of. Choose a "
        "folder that emocli has written features to, or an empty one."
    )


def test_damaged_files_are_not_there(tmp_path, frames):
    folder = SequenceFolder(tmp_path, IDENTITY)
    folder.write(KEY, frames)
    path = folder.path(KEY)
    whole = path.read_bytes()
    for damaged in (b"", whole[:5], whole[:40], whole[:-1], whole + b"0", b"\xff" * 99):
        path.write_bytes(damaged)
        assert folder.find(KEY) is None
    with pytest.raises(FeatureError) as caught:
        folder.read(KEY)
    assert str(caught.value) == (f"{path}: no features of {DESCRIBED} there. Extract them again.")
    path.write_bytes(whole)
    np.testing.assert_array_equal(folder.read(KEY), frames)


def test_leftovers_of_killed_runs_go_after_a_day(tmp_path):
    SequenceFolder(tmp_path, IDENTITY)
    old, new = tmp_path / "partial/old.1", tmp_path / "partial/new.2"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    SequenceFolder(tmp_path, IDENTITY)
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.parametrize(
    ("frames", "dtype", "fault"),
    [
        (
            np.full((2, 3), np.nan), "fp32",
            "a/wavlm gave values that are no numbers. Compute in fp32.",
        ),
        (
            np.full((2, 3), 7e4), "fp16",
            "a/wavlm gave a value of 70000, more than the 65504 that fp16 holds. Store in fp32.",
        ),
        (
            np.zeros((2, 4)), "fp32",
            "a/wavlm gave an array of shape (2, 4), expected 3 values per frame. Use another "
            "encoder.",
        ),
    ],
)  # fmt: skip
def test_frames_that_cannot_be_kept(frames, dtype, fault, tmp_path):
    folder = SequenceFolder(tmp_path, IDENTITY, dtype)
    with pytest.raises(FeatureError) as caught:
        folder.write(KEY, frames.astype(np.float32))
    assert str(caught.value) == fault


def test_a_place_that_is_no_folder(tmp_path, frames):
    (tmp_path / "file").write_text("")
    with pytest.raises(FeatureError) as caught:
        SequenceFolder(tmp_path / "file", IDENTITY)
    assert str(caught.value) == (
        f"{tmp_path / 'file'} cannot hold features (Not a directory). Choose a folder that can be "
        "written and has space."
    )
    folder = SequenceFolder(tmp_path / "there", IDENTITY)
    (tmp_path / "there/ab").write_text("")
    with pytest.raises(FeatureError) as caught:
        folder.write(KEY, frames)
    assert str(caught.value) == (
        f"{tmp_path / 'there'} cannot hold features (File exists). Choose a folder that can be "
        "written and has space."
    )


def test_keys(tmp_path):
    one, two = tmp_path / "one.wav", tmp_path / "two.wav"
    one.write_bytes(b"same")
    two.write_bytes(b"same")
    assert recording_key(one) == recording_key(two)
    keys = {recording_key(one), recording_key(one, 0.5), recording_key(one, 0.5, 1.0)}
    keys |= {recording_key(one, None, 1.0), text_key("same"), text_key("Same"), text_key("")}
    assert len(keys) == 7


def test_a_store(tmp_path, frames):
    folder = SequenceFolder(tmp_path, IDENTITY)
    folder.write(KEY, frames)
    lengths = np.array([0, 7])
    store = SequenceStore(folder, ["", KEY], lengths, {0: "a.wav: no such file."})
    assert (len(store), store.dim, store.identity) == (2, 3, IDENTITY)
    assert store.complete.tolist() == [False, True]
    np.testing.assert_array_equal(store.load(1), frames)
    with pytest.raises(FeatureError) as caught:
        store.load(0)
    assert str(caught.value) == ("Utterance 0 has no features: a.wav: no such file. Leave it out.")
