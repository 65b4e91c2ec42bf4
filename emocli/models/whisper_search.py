"""Search for the text of a window: greedy, sampled or by beams, under Whisper's rules for times.

The rules, the order of candidates and the scores are those of ``whisper.decoding`` in
openai-whisper 20250625, so that a checkpoint gives the same text whichever library computes its
network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from emocli.models.whisper import MAX_FIRST_TIME_TOKEN, Decoded


@dataclass(frozen=True)
class Vocabulary:
    """Tokens with a meaning of their own.

    Attributes:
        end_of_text: ends a text; all tokens below it are text.
        start: starts a transcript.
        previous: starts the text that came before.
        no_times: asks for a text without times.
        no_speech: its probability tells how likely nobody speaks; None if the vocabulary lacks it.
        first_time: second 0.00; all tokens from here on are times.
        suppressed: never written, such as brackets and notes.
        blank: never written first.
    """

    end_of_text: int
    start: int
    previous: int
    no_times: int
    no_speech: int | None
    first_time: int
    suppressed: tuple[int, ...]
    blank: tuple[int, ...]

    @cached_property
    def never_written(self) -> Tensor:
        """Suppressed tokens and the one that asks for a text without times, as indices."""
        return torch.tensor([*self.suppressed, self.no_times])


class Stepper(Protocol):
    """A decoder that remembers what it was given."""

    def logits(self, tokens: Tensor, wanted: Sequence[int]) -> Tensor:
        """Logits after further tokens, on the CPU.

        Args:
            tokens: shape (n_sequences, n_new), what follows the tokens of the calls before; those
                of the first call are the same for all sequences.
            wanted: which of the new tokens to give the logits after.

        Returns:
            Shape (n_sequences, n_wanted, n_vocabulary), float32.
        """
        ...

    def reorder(self, sources: Sequence[int]) -> None:
        """Let sequence i go on from what sequence ``sources[i]`` was given."""
        ...


def search(
    stepper: Stepper,
    initial: Sequence[int],
    vocabulary: Vocabulary,
    *,
    temperature: float,
    n_beams: int | None,
    max_tokens: int,
    max_length: int,
    chance: torch.Generator,
) -> Decoded:
    """The text of a window.

    Args:
        stepper: knows the window; one sequence, or ``n_beams`` of them.
        initial: tokens that the text follows.
        vocabulary: special tokens.
        temperature: 0 takes the best token, above 0 draws one.
        n_beams: width of the beam search at temperature 0; None for one sequence.
        max_tokens: longest text.
        max_length: longest sequence with the initial tokens.
        chance: draws tokens.
    """
    n_sequences = n_beams or 1
    begun = torch.tensor([list(initial)]).repeat(n_sequences, 1)  # (n_sequences, n_initial)
    first = stepper.logits(begun, (list(initial).index(vocabulary.start), -1))
    no_speech = float("nan")  # first: (n_sequences, 2, n_vocabulary)
    if vocabulary.no_speech is not None:
        no_speech = float(first[0, 0].softmax(dim=-1)[vocabulary.no_speech])
    chooser: _Greedy | _Beams = _Greedy(temperature, vocabulary.end_of_text, chance)
    if n_beams is not None:
        chooser = _Beams(n_beams, vocabulary.end_of_text, stepper.reorder)
    written: list[list[int]] = [[] for _ in range(n_sequences)]
    logits = first[:, -1].clone()
    for _ in range(max_tokens):
        for row, tokens in zip(logits, written, strict=True):
            apply_rules(row, tokens, vocabulary)
        written, done = chooser.choose(logits, written)
        if done or len(initial) + len(written[0]) > max_length:
            break
        newest = torch.tensor([tokens[-1:] for tokens in written])  # (n_sequences, 1)
        logits = stepper.logits(newest, (-1,))[:, -1]
    tokens, total = chooser.best(written)
    return Decoded(tuple(tokens), total / (len(tokens) + 1), no_speech)


def apply_rules(logits: Tensor, written: Sequence[int], vocabulary: Vocabulary) -> None:
    """Forbid, in place, the tokens that must not follow what is written.

    Times come in pairs and never go back, a text starts with a time of at most 1 s, and where all
    times together are likelier than the likeliest word, it is time for a time.

    Args:
        logits: of one sequence, shape (n_vocabulary,).
        written: tokens after the initial ones.
        vocabulary: special tokens.
    """
    never = -torch.inf
    zero = vocabulary.first_time
    logits[vocabulary.never_written] = never
    if not written:
        logits[list(vocabulary.blank)] = never
        logits[:zero] = never
        logits[zero + MAX_FIRST_TIME_TOKEN + 1 :] = never
    elif written[-1] >= zero:
        if len(written) < 2 or written[-2] >= zero:
            logits[zero:] = never  # a pair is complete: text follows
        else:
            logits[: vocabulary.end_of_text] = never  # one time needs its other half
    times = [token for token in written if token >= zero]
    if times:
        closes = written[-1] >= zero and len(written) > 1 and written[-2] < zero
        logits[zero : times[-1] + (0 if closes else 1)] = never
    log_probs = logits.log_softmax(dim=-1)
    if log_probs[zero:].logsumexp(dim=-1) > log_probs[:zero].max():
        logits[:zero] = never


class _Greedy:
    """One sequence, each token the best or drawn."""

    def __init__(self, temperature: float, end_of_text: int, chance: torch.Generator) -> None:
        self.temperature = temperature
        self.chance = chance
        self.end_of_text = end_of_text
        self.total = 0.0

    def choose(self, logits: Tensor, written: list[list[int]]) -> tuple[list[list[int]], bool]:
        if self.temperature == 0:
            token = int(logits[0].argmax())
        else:
            probs = (logits[0] / self.temperature).softmax(dim=-1)
            token = int(torch.multinomial(probs, 1, replacement=True, generator=self.chance))
        self.total += float(logits[0].log_softmax(dim=-1)[token])
        return [[*written[0], token]], token == self.end_of_text

    def best(self, written: list[list[int]]) -> tuple[list[int], float]:
        return _before(written[0], self.end_of_text), self.total


class _Beams:
    """Several sequences side by side; the one with the best mean log probability wins."""

    def __init__(
        self, n_beams: int, end_of_text: int, reorder: Callable[[Sequence[int]], None]
    ) -> None:
        self.n_beams = n_beams
        self.end_of_text = end_of_text
        self.reorder = reorder
        self.totals = [0.0] * n_beams
        self.finished: dict[tuple[int, ...], float] = {}

    def choose(self, logits: Tensor, written: list[list[int]]) -> tuple[list[list[int]], bool]:
        scores, sources = self._candidates(logits, written)
        following: list[tuple[int, ...]] = []
        ended: dict[tuple[int, ...], float] = {}
        for sequence in sorted(scores, key=scores.__getitem__, reverse=True):
            if sequence[-1] == self.end_of_text:
                ended[sequence] = scores[sequence]
                continue
            following.append(sequence)
            if len(following) == self.n_beams:
                break
        for sequence in ended:
            if len(self.finished) < self.n_beams:
                self.finished[sequence] = ended[sequence]
        self.totals = [scores[sequence] for sequence in following]
        self.reorder([sources[sequence] for sequence in following])
        return [list(sequence) for sequence in following], len(self.finished) >= self.n_beams

    def _candidates(
        self, logits: Tensor, written: list[list[int]]
    ) -> tuple[dict[tuple[int, ...], float], dict[tuple[int, ...], int]]:
        """Totals and sources of the best continuations of each sequence."""
        values, tokens = logits.log_softmax(dim=-1).topk(self.n_beams + 1)
        scores, sources = {}, {}
        for beam, before in enumerate(written):
            for value, token in zip(values[beam], tokens[beam].tolist(), strict=True):
                sequence = (*before, token)
                # Added in float32, as the reference does, so that ties fall alike.
                scores[sequence] = float(value + self.totals[beam])
                sources[sequence] = beam
        return scores, sources

    def best(self, written: list[list[int]]) -> tuple[list[int], float]:
        for beam in sorted(range(len(written)), key=self.totals.__getitem__, reverse=True):
            if len(self.finished) >= self.n_beams:
                break
            self.finished[(*written[beam], self.end_of_text)] = self.totals[beam]
        texts = {
            tuple(_before(one, self.end_of_text)): total for one, total in self.finished.items()
        }
        winner = max(texts, key=lambda text: texts[text] / max(1, len(text)))
        return list(winner), texts[winner]


def _before(tokens: Sequence[int], end: int) -> list[int]:
    """Tokens before the first end."""
    kept = list(tokens)
    return kept[: kept.index(end)] if end in kept else kept
