"""Whisper networks computed by transformers, from checkpoints of the hub or a local folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

from emocli.errors import ModelError
from emocli.models.checkpoint import Checkpoint, match_names
from emocli.models.protocol import ModelCard
from emocli.models.whisper import (
    FRAMES_PER_TIME_TOKEN,
    SAMPLING_RATE,
    WINDOW_FRAMES,
    WINDOW_SECONDS,
    Decoded,
    TokenSegment,
)
from emocli.models.whisper_decoder import Decoder, OnTorch, WindowStepper, transformers_decoder
from emocli.models.whisper_languages import LANGUAGES
from emocli.models.whisper_search import Vocabulary, search
from emocli.models.whisper_words import share_words, smooth_attention, split_words, time_words
from emocli.transcript import Segment, TranscribeOptions

if TYPE_CHECKING:
    from torch import Tensor

_MULTILINGUAL_SIZE = 51865
"""Vocabularies from this size on have languages; that of the English models is one smaller."""


@dataclass(frozen=True)
class TransformersWhisper(OnTorch):
    """A `WhisperNetwork` on top of `WhisperForConditionalGeneration`.

    Attributes:
        model: the network, on its device.
        tokenizer: its vocabulary.
        generation: content of ``generation_config.json``; empty if the checkpoint has none.
        card: what the model is.
    """

    model: Any
    tokenizer: Any
    generation: Mapping[str, Any]
    card: ModelCard

    @property
    def end_of_text(self) -> int:
        """The first token that is no text."""
        return self._vocabulary.end_of_text

    @property
    def first_time_token(self) -> int:
        """The token of second 0.00."""
        return self._vocabulary.first_time

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages that the model knows."""
        return tuple(self._languages) or ("en",)

    @cached_property
    def _languages(self) -> dict[str, int]:
        """Token by language code; empty for a model that knows English only."""
        size = self.model.config.vocab_size
        if not self.generation.get("is_multilingual", size >= _MULTILINGUAL_SIZE):
            return {}
        found = {code: self._token(f"<|{code}|>") for code in LANGUAGES}
        return {code: token for code, token in found.items() if token is not None}

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        end, start, previous, no_times = (
            self._needed(f"<|{name}|>")
            for name in ("endoftext", "startoftranscript", "startofprev", "notimestamps")
        )
        no_speech = self._token("<|nospeech|>") or self._token("<|nocaptions|>")
        special = [
            token
            for name in ("transcribe", "translate", "startoftranscript", "startofprev", "startoflm")
            if (token := self._token(f"<|{name}|>")) is not None
        ]
        suppressed = {*(self.generation.get("suppress_tokens") or ()), *special}
        return Vocabulary(
            end_of_text=end,
            start=start,
            previous=previous,
            no_times=no_times,
            no_speech=no_speech,
            first_time=no_times + 1,
            suppressed=tuple(sorted({*suppressed, no_speech} - {None})),
            blank=(*self.encode(" "), end),
        )

    @cached_property
    def _decoder(self) -> Decoder:
        return transformers_decoder(self.model.model.decoder)

    def _token(self, text: str) -> int | None:
        token = self.tokenizer.convert_tokens_to_ids(text)
        known = token is not None and self.tokenizer.convert_ids_to_tokens(token) == text
        return int(token) if known else None

    def _needed(self, text: str) -> int:
        token = self._token(text)
        if token is None or token >= self.model.config.vocab_size:
            raise ModelError(
                f"{self.card.name}: the vocabulary has no {text}, expected that of Whisper. "
                f"Point to a folder that holds the tokenizer of the checkpoint."
            )
        return token

    @cached_property
    def _extractor(self) -> WhisperFeatureExtractor:
        return WhisperFeatureExtractor(feature_size=self.model.config.num_mel_bins)

    def features(self, waveform: NDArray[np.float32]) -> "Tensor":
        """Log-mel spectrogram of the waveform and 30 s of silence, (n_mels, n_frames + 3000)."""
        padded = np.pad(waveform, (0, WINDOW_SECONDS * SAMPLING_RATE))
        extracted = self._extractor(
            padded,
            sampling_rate=SAMPLING_RATE,
            truncation=False,
            padding="do_not_pad",
            return_tensors="pt",
        )
        return extracted["input_features"][0]  # (n_mels, n_frames + 3000)

    def hear(self, window: "Tensor") -> "Tensor":
        """The encoder's output for a window, (1, n_audio_ctx, n_states)."""
        filled = torch.nn.functional.pad(window, (0, WINDOW_FRAMES - window.shape[-1]))
        ready = filled.to(self.model.device, self.model.dtype)  # (n_mels, 3000)
        return self.model.model.encoder(ready[None]).last_hidden_state

    def detect_language(self, heard: "Tensor") -> str:
        """Code of the most probable language; English for a model that knows no other."""
        if not self._languages:
            return "en"
        stepper = WindowStepper(self._decoder, heard[0])
        logits = stepper.logits(torch.tensor([[self._vocabulary.start]]), (0,))[0, 0]
        return max(self._languages, key=lambda code: float(logits[self._languages[code]]))

    def decode(
        self,
        heard: "Tensor",
        prompt: Sequence[int],
        language: str,
        options: TranscribeOptions,
        temperature: float,
        chance: torch.Generator,
    ) -> Decoded:
        """Text of a window."""
        half = self.model.config.max_target_positions // 2
        before = [self._vocabulary.previous, *prompt[-(half - 1) :]] if prompt else []
        n_beams = options.beam_size if temperature == 0 else None
        return search(
            WindowStepper(self._decoder, heard[0], n_beams or 1),
            [*before, *self._start(language, options.task)],
            self._vocabulary,
            temperature=temperature,
            chance=chance,
            n_beams=n_beams,
            max_tokens=half,
            max_length=self.model.config.max_target_positions,
        )

    def _start(self, language: str, task: str) -> list[int]:
        """The tokens that say what is to be written."""
        if not self._languages:
            return [self._vocabulary.start]
        return [self._vocabulary.start, self._languages[language], self._needed(f"<|{task}|>")]

    def encode(self, text: str) -> list[int]:
        """Tokens of a text."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def text(self, tokens: Sequence[int]) -> str:
        """Text of tokens, without time tokens."""
        return self._spell([token for token in tokens if token < self._vocabulary.first_time])

    def _spell(self, tokens: Sequence[int]) -> str:
        return str(
            self.tokenizer.decode(
                list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        )

    def time_words(
        self,
        window: "Tensor",
        segments: Sequence[TokenSegment],
        language: str,
        options: TranscribeOptions,
        last_speech_seconds: float,
    ) -> list[Segment]:
        """The segments with the times of their words."""
        end = self._vocabulary.end_of_text
        tokens = [token for piece in segments for token in piece.tokens if token < end]
        start = self._start(language, options.task)
        heads, probs = self._attention(window, [*start, self._vocabulary.no_times], tokens)
        attention = smooth_attention(heads[:, :, : window.shape[-1] // FRAMES_PER_TIME_TOKEN])
        splits = split_words([*tokens, end], self._spell, language, end)
        words = time_words(splits, attention[len(start) : -1], probs)
        return share_words(segments, words, last_speech_seconds)

    def _attention(
        self, window: "Tensor", start: Sequence[int], tokens: Sequence[int]
    ) -> tuple[NDArray[np.float32], list[float]]:
        """Attention of the aligned heads, (n_heads, n_tokens, n_frames), and probabilities."""
        written = torch.tensor([[*start, *tokens, self._vocabulary.end_of_text]])
        usual = self.model.config._attn_implementation
        self.model.set_attn_implementation("eager")  # the only one that gives the weights
        try:
            output = self.model(
                encoder_outputs=(self.hear(window),),
                decoder_input_ids=written.to(self.model.device),
                output_attentions=True,
            )
        finally:
            self.model.set_attn_implementation(usual)
        logits = output.logits[0, len(start) - 1 :, : self._vocabulary.end_of_text].float()
        chosen = logits.softmax(dim=-1)[range(len(tokens)), list(tokens)]
        layers = [layer[0].float() for layer in output.cross_attentions]
        heads = torch.stack([layers[layer][head] for layer, head in self._aligned_heads])
        return heads.cpu().numpy(), chosen.tolist()

    @cached_property
    def _aligned_heads(self) -> list[tuple[int, int]]:
        """Layer and number of the heads that follow the sound; the upper half if not known."""
        config = self.model.config
        known = self.generation.get("alignment_heads")
        if known:
            return [(int(layer), int(head)) for layer, head in known]
        layers = range(config.decoder_layers // 2, config.decoder_layers)
        return [(layer, head) for layer in layers for head in range(config.decoder_attention_heads)]


def load_checkpoint(
    checkpoint: Checkpoint, card: ModelCard, *, device: str, dtype: torch.dtype
) -> TransformersWhisper:
    """A network from a folder in the layout of the hub.

    Args:
        checkpoint: the folder.
        card: what is known of it; the number of weights and the size are filled in.
        device: where to compute, such as ``"cpu"``.
        dtype: number format of the weights.

    Raises:
        ModelError: it is no Whisper checkpoint that writes text, its weights do not fit its
            configuration, or it has no tokenizer.
    """
    network = _network(checkpoint)
    card = replace(card, n_parameters=checkpoint.n_parameters, size_bytes=checkpoint.size_bytes)
    model: Any = network.eval().requires_grad_(False)
    model.to(device=device, dtype=dtype)
    path = checkpoint.folder / "generation_config.json"
    generation = checkpoint._json(path) if path.is_file() else {}
    whisper = TransformersWhisper(model, _tokenizer(checkpoint), generation, card)
    _ = whisper._vocabulary  # fails now rather than at the first recording
    return whisper


def _network(checkpoint: Checkpoint) -> WhisperForConditionalGeneration:
    found = checkpoint.config.get("model_type")
    if found != "whisper":
        raise ModelError(
            f"{checkpoint.name}: a model of type {found or 'unknown'}, expected whisper. "
            f"Choose a Whisper checkpoint, such as openai/whisper-base."
        )
    config = WhisperConfig.from_dict(checkpoint.config)
    with torch.device("meta"):
        network = WhisperForConditionalGeneration(config)
    expected = {
        name: tuple(value.shape)
        for name, value in network.state_dict().items()
        if name != "proj_out.weight"  # the same as the embedding of tokens
    }
    names = match_names(checkpoint.name, checkpoint.shapes, expected)
    weights = checkpoint.load()
    network.load_state_dict(
        {target: weights[name] for target, name in names.items()}, strict=False, assign=True
    )
    network.tie_weights()
    return network


def _tokenizer(checkpoint: Checkpoint) -> WhisperTokenizer:
    try:
        return WhisperTokenizer.from_pretrained(checkpoint.folder, local_files_only=True)
    except Exception as error:  # the tokenizers library raises nothing narrower
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(
            f"{checkpoint.name}: no tokenizer can be read from {checkpoint.folder} ({reason}), "
            f"expected tokenizer.json or vocab.json and merges.txt. Fetch the checkpoint again."
        ) from error
