"""The walk over a recording, with a network that says what it is told to."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from emocli.errors import ModelError
from emocli.models.protocol import ModelCard
from emocli.models.whisper import Abandoned, Decoded, WhisperTranscriber, compression_ratio
from emocli.transcript import Segment, TranscribeOptions, Word

ZERO = 1000  # the token of second 0.00
HELLO, WORLD, THANKS = 1, 2, 3
TEXTS = {HELLO: " hello", WORLD: " world", THANKS: " thanks", 4: "ha" * 100}


def at(seconds: float) -> int:
    return ZERO + round(seconds / 0.02)


def saying(*tokens: int, logprob: float = -0.2, no_speech: float = 0.0) -> Decoded:
    return Decoded(tokens, logprob, no_speech)


@dataclass
class FakeNetwork:
    """Gives its answers one after the other and remembers what it was asked."""

    answers: list[Decoded]
    languages: tuple[str, ...] = ("en", "pl")
    card: ModelCard = ModelCard(name="fake")  # noqa: RUF009 - frozen
    end_of_text: int = 900
    first_time_token: int = ZERO
    asked: list[dict] = field(default_factory=list)
    word_end: float = 0.0
    times_words_alone: bool = True

    def features(self, waveform):
        return np.arange(len(waveform) // 160 + 3000)[np.newaxis]

    def hear(self, window):
        return int(window[0, 0]) if window.shape[-1] else 0

    def chance(self):
        return None

    def detect_language(self, heard):
        self.asked.append({"detect": heard})
        return "pl"

    def decode(self, heard, prompt, language, options, temperature, chance):
        self.asked.append(
            {"frame": heard, "prompt": list(prompt), "temperature": temperature, "in": language}
        )
        return self.answers.pop(0)

    def encode(self, text):
        return [700 + len(text)]

    def text(self, tokens):
        return "".join(TEXTS.get(token, "") for token in tokens)

    def time_words(self, window, segments, language, options, last_speech_seconds):
        self.asked.append({"spoke until": last_speech_seconds})
        return [
            Segment(
                **{
                    **vars(one.segment),
                    "end": self.word_end,
                    "words": (Word(one.segment.start, self.word_end, one.segment.text, 0.5),),
                }
            )
            for one in segments
        ]


def walk(answers: Sequence[Decoded], seconds: float = 30, speech=None, **options):
    network = FakeNetwork(list(answers))
    waveform = np.zeros(round(16000 * seconds), dtype=np.float32)
    given = TranscribeOptions(**{"language": "en", **options})
    transcript = WhisperTranscriber(network).transcribe(waveform, given, speech=speech)
    assert network.answers == []
    return transcript, network


def times(segments: Sequence[Segment]) -> list[tuple[float, float, str]]:
    return [(round(one.start, 3), round(one.end, 3), one.text) for one in segments]


def test_words_on_torch_are_timed_one_recording_at_a_time():
    network = FakeNetwork([])
    plain, words = TranscribeOptions(), TranscribeOptions(word_timestamps=True)
    transcriber = WhisperTranscriber(network, most_lanes=3)
    assert (transcriber.n_lanes(plain), transcriber.n_lanes(words)) == (3, 1)
    network.times_words_alone = False
    assert transcriber.n_lanes(words) == 3


def test_a_walk_ends_where_nobody_waits_any_more():
    answer = saying(at(0), HELLO, at(30), at(30))
    network = FakeNetwork([answer] * 3)
    waits = iter([True, True, False])
    transcriber, options = WhisperTranscriber(network), TranscribeOptions(language="en")
    with pytest.raises(Abandoned):
        transcriber.transcribe(
            np.zeros(16000 * 90, np.float32), options, is_wanted=lambda: next(waits)
        )
    assert len(network.answers) == 1


def test_segments_are_cut_at_pairs_of_times():
    answer = saying(at(0), HELLO, at(1), at(1.5), WORLD, at(3))
    transcript, _ = walk([answer])
    assert times(transcript.segments) == [(0.0, 1.0, " hello"), (1.5, 3.0, " world")]
    assert transcript.segments[0].n_tokens == 1
    assert transcript.segments[0].avg_logprob == -0.2


def test_an_unfinished_sentence_is_heard_again_in_the_next_window():
    first = saying(at(0), HELLO, at(20), at(20), WORLD)
    second = saying(at(0), WORLD, at(2))
    transcript, network = walk([first, second], 40)
    assert [ask["frame"] for ask in network.asked] == [0, 2000]
    assert times(transcript.segments) == [(0.0, 20.0, " hello"), (20.0, 22.0, " world")]


def test_text_without_times_is_one_segment():
    transcript, _ = walk([saying(at(0), HELLO)], 5)
    assert times(transcript.segments) == [(0.0, 5.0, " hello")]
    transcript, _ = walk([saying(at(0), HELLO, at(2))], 5)
    assert times(transcript.segments) == [(0.0, 2.0, " hello")]


def test_a_window_is_told_what_the_last_one_said():
    answers = [saying(HELLO), saying(WORLD), saying(THANKS)]
    _, network = walk(answers, 90, initial_prompt=" Names ")
    assert [ask["prompt"] for ask in network.asked] == [[706], [706, HELLO], [706, HELLO, WORLD]]
    _, network = walk([saying(HELLO), saying(WORLD)], 60, condition_on_previous_text=False)
    assert [ask["prompt"] for ask in network.asked] == [[], []]


def test_poor_text_is_tried_again_at_a_higher_temperature():
    answers = [saying(HELLO, logprob=-1.5), saying(4), saying(WORLD), saying(THANKS)]
    transcript, network = walk(answers, 60)
    assert [ask["temperature"] for ask in network.asked] == [0.0, 0.2, 0.4, 0.0]
    assert transcript.text == "world thanks"
    assert network.asked[3]["prompt"] == [WORLD]


def test_text_of_a_high_temperature_is_not_passed_on():
    answers = [saying(HELLO, logprob=-1.5)] * 4 + [saying(WORLD)]
    _, network = walk(answers, 60, temperatures=(0.0, 0.4, 0.6, 0.8))
    assert network.asked[-1]["prompt"] == []


def test_the_last_temperature_stands():
    transcript, _ = walk([saying(HELLO, logprob=-3.0)] * 2, temperatures=(0.0, 0.5))
    assert transcript.text == "hello"


def test_silence_is_dropped_and_kept_apart():
    answers = [saying(THANKS, logprob=-1.2, no_speech=0.9), saying(HELLO)]
    transcript, network = walk(answers, 60)
    assert transcript.text == "hello"
    assert times(transcript.dropped) == [(0.0, 30.0, " thanks")]
    assert network.asked[1]["prompt"] == []
    assert [ask["temperature"] for ask in network.asked] == [0.0, 0.0]


def test_probable_text_is_kept_whatever_the_no_speech_probability():
    transcript, _ = walk([saying(HELLO, logprob=-0.3, no_speech=0.9)])
    assert (transcript.text, transcript.no_speech_prob) == ("hello", 0.9)


def test_windows_without_speech_are_not_listened_to():
    transcript, network = walk([saying(HELLO)], 90, speech=[(31.0, 33.0)])
    assert [ask["frame"] for ask in network.asked] == [3000]
    assert transcript.text == "hello"


def test_segments_without_speech_are_dropped():
    answer = saying(at(0), HELLO, at(2), at(10), THANKS, at(12))
    transcript, network = walk([answer, saying(WORLD)], 60, speech=[(0.5, 1.9), (30.0, 31.0)])
    assert transcript.text == "hello world"
    assert times(transcript.dropped) == [(10.0, 12.0, " thanks")]
    assert network.asked[1]["prompt"] == [at(0), HELLO, at(2)]


def test_the_language_is_that_of_the_first_speech():
    _, network = walk([saying(HELLO)], 90, speech=[(35.0, 36.0)], language=None)
    assert network.asked[0] == {"detect": 3000}
    transcript, network = walk([saying(HELLO)], language=None)
    assert network.asked[0] == {"detect": 0}
    assert transcript.language == network.asked[1]["in"] == "pl"


def test_segments_without_text_or_length_vanish():
    answer = saying(at(0), at(1), at(1), HELLO, at(2), at(2), WORLD, at(2))
    assert times(walk([answer])[0].segments) == [(1.0, 2.0, " hello")]


def test_words_decide_where_to_go_on():
    network = FakeNetwork(
        [saying(at(0), HELLO, at(20), at(20), WORLD), saying(at(0), WORLD, at(9))], word_end=18.0
    )
    waveform = np.zeros(16000 * 31, dtype=np.float32)
    options = TranscribeOptions(language="en", word_timestamps=True)
    WhisperTranscriber(network).transcribe(waveform, options)
    assert [ask["frame"] for ask in network.asked if "frame" in ask] == [0, 1800]
    assert [ask["spoke until"] for ask in network.asked if "spoke until" in ask] == [0.0, 18.0]


def test_a_recording_shorter_than_a_frame_says_nothing():
    assert walk([], 0.005)[0].segments == ()


@pytest.mark.parametrize(
    ("languages", "options", "sentence"),
    [
        (
            ("en",),
            {"language": "pl"},
            "fake knows English only, asked for polish. Choose a model without .en in its name.",
        ),
        (
            ("en",),
            {"task": "translate"},
            "fake knows English only, asked for translate. Choose a model without .en in its name.",
        ),
        (
            ("en", "pl"),
            {"language": "yue"},
            "fake knows 2 languages, and cantonese is not one of them. "
            "Choose another model, or leave the language out.",
        ),
    ],
)
def test_what_a_model_cannot_do(languages, options, sentence):
    transcriber = WhisperTranscriber(FakeNetwork([], languages=languages))
    with pytest.raises(ModelError) as error:
        transcriber.check(TranscribeOptions(**options))
    assert str(error.value) == sentence


def test_compression_ratio_is_that_of_the_reference():
    reference = pytest.importorskip("whisper.utils").compression_ratio
    for text in ("", "hello world", "ha" * 100, "żółć " * 7):
        assert compression_ratio(text) == reference(text)
