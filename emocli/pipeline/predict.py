"""Predicting emotions of whatever the arguments name: the use case behind ``emocli predict``."""

from collections.abc import Callable, Iterator, Sequence

from emocli.calibration.disagreement import with_movement
from emocli.models.protocol import Recognizer
from emocli.pipeline.inputs import PathLike, Utterance, read_inputs
from emocli.pipeline.progress import ProgressCallback
from emocli.pipeline.scoring import DEFAULT_OPTIONS, PredictOptions, Row
from emocli.pipeline.speakers import speaker_utterances
from emocli.pipeline.speech import predict_utterances
from emocli.pipeline.texts import predict_texts
from emocli.pipeline.voice import VoiceActivity
from emocli.table import PredictionTable
from emocli.timeline.smoothing import Smoothing
from emocli.timeline.tables import TimelineOptions, shape_timeline


def predict(
    paths: PathLike | PredictionTable | Sequence[PathLike],
    model: str | Sequence[str] = "builtin",
    *,
    windows: bool = False,
    window_seconds: float = 12.0,
    hop_seconds: float | None = None,
    vad: str = "off",
    smooth: str | None = None,
    segments: bool = False,
    min_seconds: float = 0.0,
    speakers: str | None = None,
    mc_dropout: int | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    dtype: str = "auto",
    offline: bool = False,
    progress: ProgressCallback | None = None,
    remark: Callable[[str], None] | None = None,
) -> PredictionTable:
    """Emotions of recordings, or of their transcripts if the model reads text.

    A recording that cannot be used has a row with an ``error`` and without a prediction.

    Args:
        paths: files, folders, patterns, manifests, ``"-"`` for standard input, or a table.
        model: ``"builtin"``, an alias, ``"hf:owner/name@revision"`` or a folder; several give
            the rows of each.
        windows: one row for each window instead of one for each utterance.
        window_seconds: longest stretch of a recording that goes through a model.
        hop_seconds: from the start of one window to the next; the window by default.
        vad: hear speech only: ``"auto"``, ``"silero"`` or ``"energy"``; ``"off"`` hears all.
        smooth: ``"median:N"`` or ``"viterbi:COST"`` over windows, see `Smoothing.parse`.
        segments: one row for each stretch of windows of one label; implies ``windows``.
        min_seconds: shortest segment, where it touches another.
        speakers: an RTTM file, a table, or ``"pyannote"``: one row for each turn of a speaker.
        mc_dropout: ask the model this often with dropout on, for ``expected_entropy`` and
            ``mutual_information``; None for one answer without dropout.
        batch_size: most utterances or windows at once; None for a size that suits the model.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
        dtype: ``"auto"``, ``"fp32"``, ``"bf16"`` or ``"fp16"``.
        offline: use only what is on this machine.
        progress: called now and then with how far the run has come.
        remark: called with sentences on inputs that were left out or columns that were replaced.

    Returns:
        One row for each utterance (or window) and model, in the order of the inputs.

    Raises:
        AudioError: a folder without recordings, a pattern that matches nothing, or a window or
            hop out of its range.
        TableError: a manifest that is not a table, or turns of speakers that are none.
        TimelineError: smoothing that is none, or turns of speakers in other recordings.
        MissingDependency: a package for voice activity or speakers is not installed.
        ModelError: a model that cannot be used.
        ModelUnavailable: a model that is not on this machine and could not be fetched.
    """
    shape = TimelineOptions(
        Smoothing.parse(smooth) if smooth else None,
        segments,
        min_seconds,
        hop_seconds or window_seconds,
    )
    voice = VoiceActivity.find(vad)
    inputs = read_inputs(paths)
    utterances, remarks = list(inputs.utterances), list(inputs.remarks)
    if speakers is not None:
        utterances, more = speaker_utterances(utterances, speakers, device=device)
        remarks += more
    if remark is not None:
        for sentence in remarks:
            remark(sentence)
    recognizers = load_recognizers(
        model,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        offline=offline,
        mc_dropout=mc_dropout,
    )
    options = PredictOptions(
        windows or segments, window_seconds, hop_seconds, batch_size, voice=voice
    )
    rows = list(predict_rows(utterances, recognizers, options, progress))
    table = PredictionTable.from_rows(rows, folder=inputs.folder, name="the prediction")
    if voice is not None and remark is not None:
        remark(voice.sentence())
    return shape_timeline(with_movement(table) if options.windows else table, shape)


def load_recognizers(
    model: str | Sequence[str],
    *,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int | None = None,
    offline: bool = False,
    mc_dropout: int | None = None,
) -> list[Recognizer]:
    """The models of one or several names, loaded, each once; the options are those of `predict`.

    Raises:
        ModelError: a model that cannot be used.
        ModelUnavailable: a model that is not on this machine and could not be fetched.
    """
    from emocli.models.registry import resolve

    names = [model] if isinstance(model, str) else list(dict.fromkeys(model))
    loaded = [
        resolve(name, device=device, dtype=dtype, batch_size=batch_size, offline=offline)
        for name in names
    ]
    if mc_dropout is None:
        return loaded
    from emocli.models.dropout import DropoutDraws

    return [DropoutDraws(one, mc_dropout) for one in loaded]


def predict_rows(
    utterances: Sequence[Utterance],
    recognizers: Sequence[Recognizer],
    options: PredictOptions = DEFAULT_OPTIONS,
    progress: ProgressCallback | None = None,
) -> Iterator[Row]:
    """Rows of all speech models and then of all text models.

    Within each of the two all rows of an utterance follow one another, in the order of the
    inputs. Progress starts anew for the text models.

    Raises:
        AudioError: window or hop are out of their ranges.
    """
    speech = [one for one in recognizers if one.card.modality == "speech"]
    text = [one for one in recognizers if one.card.modality == "text"]
    if speech:
        yield from predict_utterances(utterances, speech, options, progress)
    if text:
        yield from predict_texts(utterances, text, options, progress)
