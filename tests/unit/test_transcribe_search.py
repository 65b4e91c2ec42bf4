"""The search for a text, against that of openai-whisper on the same logits."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

pytest.importorskip("whisper")
from whisper.decoding import (  # noqa: E402
    ApplyTimestampRules,
    BeamSearchDecoder,
    DecodingOptions,
    DecodingTask,
    GreedyDecoder,
    MaximumLikelihoodRanker,
    SuppressBlank,
    SuppressTokens,
)

from emocli.models.whisper import MAX_FIRST_TIME_TOKEN  # noqa: E402
from emocli.models.whisper_search import Vocabulary, search  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")

BLANK, BRACKET, END, START, PREVIOUS, NO_SPEECH, NO_TIMES, ZERO = 0, 1, 12, 13, 14, 15, 16, 17
N_VOCABULARY = ZERO + 80  # tokens 2 to 11 are words, those from 17 on are times
VOCABULARY = Vocabulary(
    end_of_text=END,
    start=START,
    previous=PREVIOUS,
    no_times=NO_TIMES,
    no_speech=NO_SPEECH,
    first_time=ZERO,
    suppressed=(BRACKET, START, PREVIOUS, NO_SPEECH),
    blank=(BLANK, END),
)
TOKENIZER = SimpleNamespace(
    eot=END,
    sot=START,
    no_speech=NO_SPEECH,
    no_timestamps=NO_TIMES,
    timestamp_begin=ZERO,
    encode=lambda text: [BLANK],
    decode=lambda tokens: "".join(chr(97 + token) for token in tokens),
)


@dataclass(frozen=True)
class Network:
    """Logits that depend on all tokens so far and on nothing else.

    Attributes:
        seed: another one is another network.
        end: how much it wants to end.
        times: how much it wants to write times.
        step: logits are multiples of it, so that some are equal; 0 for any value.
    """

    seed: int
    end: float = 0.0
    times: float = -3.0
    step: float = 0.0

    def logits(self, tokens) -> np.ndarray:
        values = np.random.default_rng([self.seed, *tokens]).normal(size=N_VOCABULARY)
        values[END] += self.end
        values[ZERO:] += self.times
        values = np.round(values / self.step) * self.step if self.step else values
        return values.astype(np.float32)


@dataclass
class Sequences:
    """A `Stepper` that remembers tokens, and holds no more of them than a decoder has room for."""

    network: Network
    room: int
    texts: list[list[int]] = field(default_factory=list)

    def logits(self, tokens, wanted):
        given = tokens.tolist()
        held = self.texts or [[] for _ in given]
        before = len(held[0])
        self.texts = [old + new for old, new in zip(held, given, strict=True)]
        assert all(len(text) <= self.room for text in self.texts)
        n_new = len(given[0])
        return torch.tensor(
            np.array(
                [
                    [self.network.logits(text[: before + at % n_new + 1]) for at in wanted]
                    for text in self.texts
                ]
            )
        )

    def reorder(self, sources):
        self.texts = [self.texts[source] for source in sources]


@dataclass
class WholeSequences:
    """The same for openai-whisper, which gives all tokens each time."""

    network: Network
    start_at: int

    def logits(self, tokens, audio_features):
        found = torch.zeros((len(tokens), tokens.shape[1], N_VOCABULARY))
        for row, text in enumerate(tokens.tolist()):
            found[row, -1] = torch.from_numpy(self.network.logits(text))
            found[row, self.start_at] = torch.from_numpy(
                self.network.logits(text[: self.start_at + 1])
            )
        return found

    def rearrange_kv_cache(self, source_indices):
        pass  # the tokens are all there is

    def cleanup_caching(self):
        pass


def reference(network, initial, *, n_beams, max_tokens, max_length, temperature=0.0):
    """What `whisper.decoding.DecodingTask.run` makes of the network."""
    task = DecodingTask.__new__(DecodingTask)
    task.model = SimpleNamespace(dims=SimpleNamespace(n_audio_ctx=1, n_audio_state=1))
    task.tokenizer = TOKENIZER
    task.options = DecodingOptions(language="en", fp16=False, beam_size=n_beams)
    task.n_group = n_beams or 1
    task.n_ctx, task.sample_len = max_length, max_tokens
    task.initial_tokens, task.sample_begin = tuple(initial), len(initial)
    task.sot_index = initial.index(START)
    task.inference = WholeSequences(network, task.sot_index)
    task.sequence_ranker = MaximumLikelihoodRanker(None)
    task.decoder = (
        BeamSearchDecoder(n_beams, END, task.inference)
        if n_beams
        else GreedyDecoder(temperature, END)
    )
    task.logit_filters = [
        SuppressBlank(TOKENIZER, len(initial)),
        SuppressTokens(VOCABULARY.suppressed),
        ApplyTimestampRules(TOKENIZER, len(initial), MAX_FIRST_TIME_TOKEN),
    ]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        (result,) = task.run(torch.zeros(1, 1, 1))
    return result


def ours(network, initial, *, n_beams, max_tokens, max_length, temperature=0.0):
    return search(
        Sequences(network, max_length),
        initial,
        VOCABULARY,
        temperature=temperature,
        n_beams=n_beams,
        max_tokens=max_tokens,
        max_length=max_length,
        chance=torch.Generator().manual_seed(0),
    )


def assert_alike(network, initial, **how):
    """Both find the same; gives the number of its tokens."""
    found, expected = ours(network, initial, **how), reference(network, initial, **how)
    assert list(found.tokens) == expected.tokens
    assert found.avg_logprob == pytest.approx(expected.avg_logprob, rel=1e-5)
    assert found.no_speech_prob == pytest.approx(expected.no_speech_prob, rel=1e-6)
    return len(found.tokens)


@pytest.mark.parametrize("n_beams", [None, 1, 2, 3, 5])
@pytest.mark.parametrize(("end", "shortest", "longest"), [(-6, 10, 10), (0, 1, 10), (3, 1, 9)])
def test_the_text_of_the_reference(n_beams, end, shortest, longest):
    """Texts that never end, that may end, and that all end before the limit."""
    how = {"n_beams": n_beams, "max_tokens": 10, "max_length": 448}
    lengths = [assert_alike(Network(seed, end), [START, 2], **how) for seed in range(8)]
    assert shortest <= min(lengths) <= max(lengths) <= longest


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_the_draws_of_the_reference(temperature):
    how = {"n_beams": None, "max_tokens": 10, "max_length": 448, "temperature": temperature}
    for seed in range(4):
        assert_alike(Network(seed), [PREVIOUS, 3, START], **how)


@pytest.mark.parametrize("n_beams", [None, 2, 4])
def test_equal_logits_fall_alike(n_beams):
    for seed in range(12):
        network = Network(seed, end=1.0, times=-2.0, step=1.0)
        assert_alike(network, [START], n_beams=n_beams, max_tokens=8, max_length=448)


@pytest.mark.parametrize("n_beams", [None, 3])
def test_a_text_that_fills_the_decoder(n_beams):
    """The last token may be one that the decoder has no room for, since nothing follows it."""
    initial = [PREVIOUS, *range(2, 10), START, 2]
    for seed in range(4):
        length = assert_alike(
            Network(seed, end=-5.0), initial, n_beams=n_beams, max_tokens=12, max_length=16
        )
        assert len(initial) + length == 17


def test_beams_that_end_at_different_lengths():
    """The best per token wins, not the first to end."""
    told = {
        (): {20: 1.0},
        (20,): {5: 0.9, 6: 0.1},
        (20, 5): {END: 0.3, 7: 0.7},
        (20, 6): {8: 1.0},
    }

    class Told(Network):
        def logits(self, tokens):
            probs = np.full(N_VOCABULARY, 1e-9)
            for token, prob in told.get(tuple(tokens[1:]), {END: 1.0}).items():
                probs[token] = prob
            return np.log(probs / probs.sum()).astype(np.float32)

    how = {"n_beams": 2, "max_tokens": 10, "max_length": 448}
    assert assert_alike(Told(0), [START], **how) == 3
    found = ours(Told(0), [START], **how)
    assert found.tokens == (20, 5, 7)  # 0.63 ** (1 / 3) = 0.86, above 0.27 ** (1 / 2) = 0.52
    assert found.avg_logprob == pytest.approx(np.log(0.63) / 4, abs=1e-6)
