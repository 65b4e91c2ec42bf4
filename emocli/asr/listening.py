"""A recording of any length, with a recogniser and a detector of speech.

Whisper writes fluent sentences where nobody speaks, and a detector of speech misses who shouts or
screams. So neither decides alone. The recogniser hears stretches around the speech that the
detector has found, and what it writes in there but outside of that speech is dropped. It also
hears the stretches without such speech, unless they are silent, and there it is believed only
where it is sure.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emocli.asr.transcriber import SAMPLING_RATE, OnWindow, Transcriber, no_report
from emocli.audio.voice_activity import Detector, has_sound, is_digital_silence
from emocli.transcript import Segment, Span, TranscribeOptions, Transcript, overlaps

SLACK_SECONDS = 0.2
"""How far a segment and speech may be apart: Whisper's times are rarely better than that."""

MARGIN_SECONDS = 1.0
"""What is heard before and after speech, for a detector finds its edges late."""

MIN_GAP_SECONDS = 10.0
"""A shorter gap between speech is heard with it, as part of one text."""

SURE_NO_SPEECH_PROB = 0.3
"""Below it, text without detected speech is kept if it passes the thresholds of all text too.

Whisper base gives 0.03 to 0.10 to the shouted sentences of RAVDESS that Silero misses, and 0.56
and more to what it writes for noise, hum and music.
"""


def listen(
    waveform: NDArray[np.float32],
    transcriber: Transcriber,
    options: TranscribeOptions,
    detector: Detector | None = None,
    on_window: OnWindow = no_report,
) -> Transcript:
    """What is said in a recording, and apart from it what is written where nobody seems to speak.

    Args:
        waveform: mono, shape (n_samples,), 16000 Hz, [-1, 1].
        transcriber: writes down what it hears.
        options: how to transcribe; a language that is not given is that of the first stretch with
            detected speech.
        detector: finds speech; None believes the transcriber everywhere. Digital silence is never
            heard.
        on_window: called before each window with the seconds heard so far.

    Raises:
        Abandoned: ``on_window`` did.
    """
    if is_digital_silence(waveform):
        return Transcript()
    seconds = len(waveform) / SAMPLING_RATE
    speech = None if detector is None else detector(waveform)
    kept: list[Segment] = []
    dropped: list[Segment] = []
    language, n_heard = options.language, 0.0
    for start, end, is_speech in sorted(_stretches(speech, seconds), key=lambda one: not one[2]):
        part = waveform[round(start * SAMPLING_RATE) : round(end * SAMPLING_RATE)]
        if is_speech or not speech or has_sound(part):
            before = n_heard
            how = replace(options, language=language)
            if not is_speech:  # what is drawn is never sure
                how = replace(how, temperatures=options.temperatures[:1])
            said = transcriber.transcribe(
                part,
                how,
                lambda heard, before=before: on_window(min(before + heard, seconds)),  # type: ignore[misc]
            )
            language = said.language
            for one in said.segments:
                # Whisper fills the last window with silence, and some of its times lie there.
                segment = one.moved(start, latest=end)
                detected = _is_in(segment, speech)
                segment = replace(segment, is_detected=detected)
                believed = detected or (
                    _is_sure(segment, options)
                    # Beside speech its figures are those of a window with real speech; who
                    # shouts is louder than that.
                    and not (is_speech and speech and _is_quieter(segment, waveform, speech))
                )
                (kept if believed and segment.start < end else dropped).append(segment)
        n_heard += end - start
    return Transcript(
        language or "" if kept else "",
        tuple(sorted(kept, key=lambda one: one.start)),
        tuple(sorted(dropped, key=lambda one: one.start)),
    )


def _stretches(
    speech: Sequence[Span] | None, seconds: float
) -> Iterator[tuple[float, float, bool]]:
    """Start and end of what is heard at once, and whether speech was detected in it."""
    if not speech:
        yield 0.0, seconds, speech is None
        return
    merged: list[list[float]] = []
    for start, end in speech:
        if merged and start - merged[-1][1] < MIN_GAP_SECONDS:
            merged[-1][1] = end
        else:
            merged.append([start, end])
    reached = 0.0
    for start, end in merged:
        start = 0.0 if start < MIN_GAP_SECONDS else start - MARGIN_SECONDS
        end = seconds if seconds - end < MIN_GAP_SECONDS else end + MARGIN_SECONDS
        if start > reached:
            yield reached, start, False
        yield start, end, True
        reached = end
    if reached < seconds:
        yield reached, seconds, False


def _is_in(segment: Segment, speech: Sequence[Span] | None) -> bool:
    return speech is None or overlaps(segment.start, segment.end, speech, SLACK_SECONDS)


def _is_sure(segment: Segment, options: TranscribeOptions) -> bool:
    return (
        segment.no_speech_prob < SURE_NO_SPEECH_PROB
        and segment.avg_logprob > options.logprob_threshold
        and segment.compression_ratio <= options.compression_ratio_threshold
    )


def _is_quieter(segment: Segment, waveform: NDArray[np.float32], speech: Sequence[Span]) -> bool:
    """Whether the waveform is quieter in a segment than in the detected speech."""
    own = segment.start, max(segment.end, segment.start + SLACK_SECONDS)
    return _level(waveform, [own]) < _level(waveform, speech)


def _level(waveform: NDArray[np.float32], spans: Sequence[Span]) -> float:
    """Root mean square of parts of a waveform, 0 to 1; 0 of nothing."""
    parts = [waveform[round(a * SAMPLING_RATE) : round(b * SAMPLING_RATE)] for a, b in spans]
    samples = np.concatenate(parts).astype(np.float64)
    return float(np.sqrt(np.mean(samples**2))) if len(samples) else 0.0
