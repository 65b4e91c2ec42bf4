"""Encoders that need no download: log-mel frames, functionals, prosody, words, and eGeMAPS."""

import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocli.encoder_identity import EncoderIdentity
from emocli.errors import MissingDependency
from emocli.models.hashed_text import load_hashed_text
from emocli.networks.pitch import HOP_SECONDS
from emocli.networks.prosody import PROSODY_NAMES, PROSODY_VERSION, prosody_frames
from emocli.networks.text_features import tokens_of
from emocli.networks.word_features import HASHED_DIM, WORDS_VERSION, hashed_words

SAMPLING_RATE = 16000
LOGMEL_VERSION = 1
FUNCTIONALS_VERSION = 1
"""Counts up when the windows change; `emocli.networks.functionals.VERSION` is told besides."""
WINDOW_FRAMES, WINDOW_HOP = 62, 31
"""Frames of 16 ms, so windows of a second every half second."""
WORD_MODELS = ("text-emotion", "text-sentiment")
CONTEXT_TOKENS = 3
"""Tokens that the embedded text models see for each word: it and the two before it."""


class _Encoder:
    """What built-in encoders share: they take utterances of any length, one by one."""

    identity: EncoderIdentity
    value_names: Sequence[str]
    max_seconds = 0.0

    def encode(self, batch: Sequence[Any]) -> list[NDArray[np.float32]]:
        """Frames of utterances; see `emocli.models.encoders.Encoder.encode`."""
        raise NotImplementedError

    def remarks(self, batch: Sequence[object]) -> list[str]:
        """Nothing, for each utterance is taken in as a whole."""
        return [""] * len(batch)


class LogMelEncoder(_Encoder):
    """80 logarithmic mel energies, 50 frames a second.

    Windows of 32 ms every 20 ms around their middles; the level of the recording is taken out.

    Attributes:
        identity: what decides the frames.
    """

    def __init__(self) -> None:
        from emocli.networks.logmel import FrontEndConfig
        from emocli.networks.mel_sequence import LogMelSequence

        config = FrontEndConfig(n_mels=80, hop_samples=320)
        self._front_end = LogMelSequence(config)
        self.value_names = [f"mel{band}" for band in range(config.n_mels)]
        self.identity = EncoderIdentity(
            name="logmel",
            modality="speech",
            dim=config.n_mels,
            frames_per_second=config.frames_per_second,
            sampling_rate=SAMPLING_RATE,
            version=LOGMEL_VERSION,
        )

    def encode(self, batch: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Frames of waveforms, each of shape (ceil(n_samples / 320), 80)."""
        import torch

        found = [self._front_end(torch.from_numpy(np.ascontiguousarray(w))) for w in batch]
        return [frames.numpy() for frames in found]


class FunctionalsEncoder(_Encoder):
    """Statistics of spectrum, pitch and rhythm: of the whole recording, then of each second.

    The first frame is that of the recording between its first and its last loud frame; the next
    ones are of windows of a second, one begun every half second, the last maybe shorter. Values
    have scales of their own, so a network needs them standardised. A recording without sound has
    one frame of zeros.

    Attributes:
        identity: what decides the frames.
    """

    def __init__(self) -> None:
        from emocli.networks.functionals import FUNCTIONAL_NAMES, VERSION, Functionals
        from emocli.networks.logmel import FrontEndConfig, LogMelPitch

        config = FrontEndConfig()
        self._front_end, self._functionals = LogMelPitch(config), Functionals(config)
        self.value_names = FUNCTIONAL_NAMES
        self.identity = EncoderIdentity(
            name="functionals",
            modality="speech",
            dim=len(FUNCTIONAL_NAMES),
            frames_per_second=round(config.frames_per_second / WINDOW_HOP, 2),
            sampling_rate=SAMPLING_RATE,
            settings=(("functionals", str(VERSION)),),
            version=FUNCTIONALS_VERSION,
        )

    def encode(self, batch: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Frames of waveforms, each of shape (1 + n_windows, 472)."""
        return [self._encode(waveform) for waveform in batch]

    def _encode(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        from emocli.networks.logmel import pad_frames

        frames = self._front_end(torch.from_numpy(np.ascontiguousarray(waveform)))
        if not len(frames):
            return np.zeros((1, self.identity.dim), dtype=np.float32)
        starts = range(0, max(1, len(frames) - WINDOW_FRAMES + WINDOW_HOP), WINDOW_HOP)
        pieces = [frames, *(frames[start : start + WINDOW_FRAMES] for start in starts)]
        return np.asarray(self._functionals(*pad_frames(pieces)).numpy())


class ProsodyEncoder(_Encoder):
    """Pitch, voicing, periodicity and level with their slopes, 100 frames a second.

    Attributes:
        identity: what decides the frames.
    """

    def __init__(self) -> None:
        self.value_names = [*PROSODY_NAMES, *(f"{name}_slope" for name in PROSODY_NAMES)]
        self.identity = EncoderIdentity(
            name="prosody",
            modality="prosody",
            dim=len(self.value_names),
            frames_per_second=1 / HOP_SECONDS,
            sampling_rate=SAMPLING_RATE,
            version=PROSODY_VERSION,
        )

    def encode(self, batch: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Frames of waveforms; see `emocli.networks.prosody.prosody_frames`."""
        return [prosody_frames(waveform, SAMPLING_RATE) for waveform in batch]


class WordEncoder(_Encoder):
    """A vector per word: its spelling, hashed, and what the embedded text models make of it.

    The first 128 values depend on the word's own letters, so that inflected forms are near one
    another; they were not trained and know no meaning. The others are the logits that the
    embedded emotion and sentiment models (English) give to the word with the two before it, which
    tells "not happy" from "happy". A text without words gets one frame.

    Attributes:
        identity: what decides the frames.
    """

    def __init__(self) -> None:
        folder = Path(__file__).parent / "builtin"
        self._models = [load_hashed_text(folder / name) for name in WORD_MODELS]
        self.value_names = [
            *(f"spelling{place}" for place in range(HASHED_DIM)),
            *(
                f"{name.replace('-', '_')}_{label}"
                for name, model in zip(WORD_MODELS, self._models, strict=True)
                for label in model.card.labels
            ),
        ]
        self.identity = EncoderIdentity(
            name="words",
            modality="text",
            dim=len(self.value_names),
            settings=(("models", self._digest),),
            version=WORDS_VERSION,
        )

    @cached_property
    def _digest(self) -> str:
        from hashlib import sha256

        folder = Path(__file__).parent / "builtin"
        weights = [folder / name / "model.safetensors" for name in WORD_MODELS]
        return sha256(b"".join(path.read_bytes() for path in weights)).hexdigest()[:12]

    def encode(self, batch: Sequence[str]) -> list[NDArray[np.float32]]:
        """Frames of texts, each of shape (n_words, 138)."""
        tokens = [tokens_of(text) or [""] for text in batch]
        contexts = [
            " ".join(own[max(0, last + 1 - CONTEXT_TOKENS) : last + 1])
            for own in tokens
            for last in range(len(own))
        ]
        columns = [hashed_words([token for own in tokens for token in own])]
        columns += [model.logits(contexts) for model in self._models]
        frames = np.column_stack(columns).astype(np.float32)
        return np.split(frames, np.cumsum([len(own) for own in tokens])[:-1])


class EgemapsEncoder(_Encoder):
    """The 88 functionals of eGeMAPSv02 over the whole recording, as opensmile computes them.

    One frame for each recording; zeros where it is too short for opensmile (60 ms).

    Attributes:
        identity: what decides the frames.

    Raises:
        MissingDependency: opensmile is not installed.

    Source: Eyben et al. 2016, "The Geneva minimalistic acoustic parameter set (GeMAPS) for voice
    research and affective computing".
    """

    def __init__(self) -> None:
        try:
            import opensmile
        except ImportError:
            raise MissingDependency(
                "The encoder egemaps needs opensmile, which is not installed. Install it with "
                'pip install "emocli[opensmile]"; its licence allows research and private use.'
            ) from None
        self._smile = opensmile.Smile(
            feature_set=opensmile.FeatureSet.eGeMAPSv02,
            feature_level=opensmile.FeatureLevel.Functionals,
        )
        self.value_names = self._smile.feature_names
        self.identity = EncoderIdentity(
            name="egemaps",
            modality="speech",
            dim=len(self.value_names),
            sampling_rate=SAMPLING_RATE,
            settings=(("opensmile", opensmile.__version__),),
        )

    def encode(self, batch: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Frames of waveforms, each of shape (1, 88)."""
        return [self._encode(waveform) for waveform in batch]

    def _encode(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # "Segment too short"
            values = self._smile.process_signal(waveform, SAMPLING_RATE).to_numpy(np.float32)
        return np.asarray(np.nan_to_num(values))


_ENCODERS: dict[str, type[_Encoder]] = {
    "logmel": LogMelEncoder,
    "functionals": FunctionalsEncoder,
    "prosody": ProsodyEncoder,
    "words": WordEncoder,
    "egemaps": EgemapsEncoder,
}


def builtin_encoder(name: str) -> _Encoder:
    """The built-in encoder of a name.

    Raises:
        KeyError: there is none.
        MissingDependency: it needs a package that is not installed.
    """
    return _ENCODERS[name]()
