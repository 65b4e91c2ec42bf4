"""Predicting emotions of whatever the arguments name: the use case behind ``emocli predict``."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emocli.calibration.abstention import abstain, keep_labels
from emocli.calibration.disagreement import with_movement
from emocli.models.protocol import DEFAULT_LOADING, LoadOptions, Recognizer
from emocli.pipeline.adapt import (
    AdaptOptions,
    TraitsRecognizer,
    adapt_options,
    adapted_table,
    with_traits,
)
from emocli.pipeline.inputs import (
    MIX,
    SPLIT,
    Arguments,
    ChannelChoice,
    Inputs,
    Utterance,
    carried_columns,
    read_inputs,
    select_sound,
)
from emocli.pipeline.multimodal import multimodal_blocks
from emocli.pipeline.progress import ProgressCallback, Tally
from emocli.pipeline.scoring import (
    DEFAULT_OPTIONS,
    WINDOW_SECONDS,
    Block,
    PredictOptions,
    Row,
    in_chunks,
    in_pieces,
    prediction_row,
)
from emocli.pipeline.speakers import speaker_utterances
from emocli.pipeline.speech import speech_blocks
from emocli.pipeline.texts import prepare_texts, text_blocks
from emocli.pipeline.voice import VoiceActivity
from emocli.table import PredictionTable
from emocli.table_reader import NO_NAMES, ColumnNames
from emocli.timeline.smoothing import Smoothing
from emocli.timeline.tables import TimelineOptions, shape_timeline

if TYPE_CHECKING:
    from emocli.calibration.tables import Calibration
    from emocli.pipeline.journal import Journal

NAME = "the prediction"
"""What errors call the table of a run."""


@dataclass(frozen=True)
class Shaping:
    """What becomes of the rows of a run.

    Attributes:
        windows: rows are windows, and each says how much the emotion moves.
        adaptation: corrects the rows by one another, before anything else; the models are then
            followed by those of their traits.
        calibration: corrects the posteriors of each row.
        timeline: smooths windows and puts them together.
        abstain_above: largest entropy in nats with which a row keeps its label.
        abstain_below: smallest probability with which a row keeps its label.
        labels: those that posteriors are restricted to, after calibration; empty for all.
    """

    windows: bool = False
    calibration: "Calibration | None" = None
    timeline: TimelineOptions = field(default_factory=TimelineOptions)
    abstain_above: float | None = None
    abstain_below: float | None = None
    labels: tuple[str, ...] = ()
    adaptation: AdaptOptions | None = None

    def settings(self) -> list[Any]:
        """What tells it from another one, as plain data."""
        from emocli.calibration.storage import dump_calibration

        learned = "" if self.calibration is None else dump_calibration(self.calibration)
        return [
            self.windows,
            learned,
            repr(self.timeline),
            self.abstain_above,
            self.abstain_below,
            self.labels,
        ]

    def measured(self, rows: Iterable[Row], folder: str = "") -> PredictionTable:
        """Rows as a table, calibrated, before windows are put together.

        Raises:
            CalibrationError: the calibration is for another model or other labels.
        """
        if self.adaptation is None:
            table = PredictionTable.from_rows(rows, folder=folder, name=NAME)
        else:
            table = adapted_table(rows, self.adaptation, folder, NAME)
        if self.calibration is not None:
            from emocli.calibration.tables import apply_calibration

            table = apply_calibration(table, self.calibration, NAME)
        if self.labels and not table.failed.all():
            table = keep_labels(table, self.labels)
        return with_movement(table) if self.windows else table

    def shaped(self, table: PredictionTable) -> PredictionTable:
        """What `measured` gave, smoothed, put together, and without the labels in doubt."""
        table = shape_timeline(table, self.timeline)
        if self.abstain_above is None and self.abstain_below is None:
            return table
        return abstain(table, above=self.abstain_above, below=self.abstain_below)


@dataclass(frozen=True)
class PredictionRun:
    """A run of models over utterances.

    Attributes:
        inputs: what gets rows.
        recognizers: models of speech, of text, or both.
        options: windows and batches.
        shaping: what becomes of the rows.
    """

    inputs: Inputs
    recognizers: Sequence[Recognizer]
    options: PredictOptions = DEFAULT_OPTIONS
    shaping: Shaping = field(default_factory=Shaping)

    def blocks(
        self, progress: ProgressCallback | None = None, journal: "Journal | None" = None
    ) -> Iterator[Block]:
        """Utterances with their rows, of all speech models and then of all text models.

        Within each of the two all rows of an utterance follow one another, in the order of the
        inputs. Progress starts anew for the text models.

        Args:
            progress: called with how far the run has come whenever a batch is done.
            journal: knows the rows of an earlier run, which are not made again, and gets those
                that are made.

        Raises:
            AudioError: window or hop are out of their ranges.
            TableError: the journal cannot be written.
        """
        utterances = self.inputs.utterances
        for modality, recognizers in self._groups():
            chunks = journal.pending(modality, utterances) if journal else in_chunks(utterances)
            n_before = len(utterances) - sum(len(chunk) for chunk in chunks)
            tally = Tally(len(utterances), progress, n_before)
            for block in _BLOCKS[modality](chunks, recognizers, self.options, tally):
                if journal:
                    journal.add(modality, block)
                yield block

    def recorded(self, journal: "Journal") -> Iterator[Row]:
        """All rows of a run whose `blocks` have gone to a journal, in their order."""
        for modality, _ in self._groups():
            yield from journal.rows(modality)

    def table(self, rows: Iterable[Row]) -> PredictionTable:
        """The rows as the table that was asked for; without any, a table of the same columns."""
        return self.shaping.shaped(self.measured(rows))

    def tables(self, rows: Iterable[Row]) -> Iterator[PredictionTable]:
        """The same as `table` in pieces, for rows that are not put together."""
        return in_pieces(rows, self.table)

    def measured(self, rows: Iterable[Row]) -> PredictionTable:
        """The rows as a table before windows are put together; see `Shaping.measured`."""
        table = self.shaping.measured(rows, self.inputs.folder)
        if len(table) or not self.recognizers:
            return table
        empty: dict[str, list[Any]] = {name: [] for name in self.header()}
        return PredictionTable.from_columns(empty, folder=self.inputs.folder)

    def header(self) -> list[str]:
        """Names of the columns that the table will have, whatever its rows are.

        Only for rows that are not put together: the models and the inputs decide alone.
        """
        carried = dict.fromkeys(carried_columns(self.inputs.utterances), "")
        rows = []
        for one in self.recognizers:
            if isinstance(one, TraitsRecognizer):
                continue
            more = {"text": ""} if one.card.modality != "speech" else {}
            example = Utterance("-", Path(), carried={**carried, **more})
            n_draws, n_outputs = one.n_draws, len(one.card.outputs)
            found = np.full((n_draws, n_outputs) if n_draws else n_outputs, 1.0 / n_outputs)
            rows.append(prediction_row(example, one.card, found, start=None, end=None))
        return list(self.table(rows).columns)

    def check_labels(self) -> None:
        """Make sure that the models have the labels that posteriors are restricted to.

        Raises:
            LabelMismatch: they do not.
        """
        if self.shaping.labels:
            replace(self, shaping=Shaping(labels=self.shaping.labels)).header()

    def settings(self, **machine: Any) -> dict[str, Any]:
        """All that decides what rows look like, as plain data.

        Args:
            machine: what else there is, such as the number format.
        """
        from importlib.metadata import version

        chosen = self.options
        return {
            "version_of_emocli": version("emocli"),
            "model": [_identity(one) for one in self.recognizers],
            "windows": chosen.windows,
            "window": chosen.window_seconds,
            "hop": chosen.hop_seconds,
            "batch_size": chosen.batch_size,
            "voice_activity": chosen.voice is not None,
            **machine,
        }

    def _groups(self) -> Iterator[tuple[str, list[Recognizer]]]:
        for modality in _BLOCKS:
            found = [one for one in self.recognizers if one.card.modality == modality]
            if found:
                yield modality, found


_BLOCKS = {"speech": speech_blocks, "text": text_blocks, "multimodal": multimodal_blocks}
"""What makes rows of models, in the order in which rows come."""


def _identity(recognizer: Recognizer) -> list[Any]:
    """What tells a model from another one, and one in a folder from itself before a change."""
    card = recognizer.card
    found: list[Any] = [card.identifier, card.source, card.n_parameters, list(card.outputs)]
    if os.path.isdir(card.source):
        files = sorted(Path(card.source).iterdir())
        stats = [(file.name, file.stat()) for file in files if file.is_file()]
        found += [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]
    return [*found, recognizer.n_draws]


def gather_inputs(
    paths: Arguments,
    speakers: str | None = None,
    *,
    channel: ChannelChoice = MIX,
    track: int | None = None,
    device: str = "auto",
    columns: ColumnNames = NO_NAMES,
) -> Inputs:
    """What the arguments of `predict` name, each turn of a speaker apart if those are asked for.

    Raises:
        AudioError: a folder without recordings, a pattern that matches nothing, or a channel or
            track that is none.
        TableError: a manifest that is not a table, or turns of speakers that are none.
        TimelineError: turns of speakers in other recordings.
        MissingDependency: a package for speakers is not installed.
    """
    if speakers is None:
        return select_sound(read_inputs(paths, columns), channel, track)
    inputs = read_inputs(paths, replace(columns, speaker=""))
    if channel != SPLIT:
        inputs = select_sound(inputs, channel, track)
    utterances, silent = speaker_utterances(
        inputs.utterances, speakers, device=device, columns=replace(columns, text="")
    )
    found = replace(inputs, utterances=tuple(utterances), warnings=(*inputs.warnings, *silent))
    return select_sound(found, channel, track) if channel == SPLIT else found


def predict(
    paths: Arguments,
    model: str | Sequence[str] = "builtin",
    *,
    windows: bool = False,
    window_seconds: float | None = None,
    hop_seconds: float | None = None,
    vad: bool = False,
    smooth: str | None = None,
    segments: bool = False,
    min_seconds: float = 0.0,
    speakers: str | None = None,
    channel: ChannelChoice = MIX,
    track: int | None = None,
    adapt: str = "none",
    labels: Sequence[str] = (),
    calibration: "Calibration | None" = None,
    abstain_above: float | None = None,
    abstain_below: float | None = None,
    mc_dropout: int | None = None,
    label_names: Sequence[str] = (),
    prepare_text: bool = False,
    batch_size: int | None = None,
    device: str = "auto",
    dtype: str = "auto",
    engine: str = "auto",
    offline: bool = False,
    progress: ProgressCallback | None = None,
    remark: Callable[[str], None] | None = None,
) -> PredictionTable:
    """Emotions of recordings, or of their transcripts if the model reads text.

    A recording that cannot be used has a row with an ``error`` and without a prediction.

    Args:
        paths: files, folders, patterns, manifests, ``"-"`` for standard input, or a table, which
            may be a pandas data frame with a column (or an audformat index level) ``file``.
        model: ``"builtin"``, an alias, ``"hf:owner/name@revision"`` or a folder; several give
            the rows of each.
        windows: one row for each window instead of one for each utterance.
        window_seconds: longest stretch of a recording that goes through a model; `math.inf` for
            whole recordings, up to `emocli.pipeline.scoring.WHOLE_SECONDS`; None for what suits
            the model: windows of 12 s, or its authors' cut.
        hop_seconds: from the start of one window to the next; the window by default.
        vad: hear speech only.
        smooth: ``"median:N"`` or ``"viterbi:COST"`` over windows, see `Smoothing.parse`.
        segments: one row for each stretch of windows of one label; implies ``windows``.
        min_seconds: shortest segment, where it touches another.
        speakers: one row for each turn of a speaker: an RTTM file, a table, a TextGrid, an ELAN
            file, labels of Audacity, subtitles, a folder of these, or ``"pyannote"``.
        channel: ``"mix"`` hears all channels as one; a number, from 1 on, that one alone;
            ``"split"`` gives a row for each, with a column ``channel``.
        track: sound track of videos with several, from 1 on; None for the default one.
        adapt: correct rows by what the others show, without labels: ``"all"`` of the run, those of
            a ``"speaker"`` (by a column, ``speakers`` or folders) or of a ``"file"`` (windows);
            see `emocli.calibration.adaptation`.
        labels: restrict posteriors to these labels, scaled to sum to 1; empty for all.
        calibration: corrects the posteriors of each row; see `emocli.calibration`.
        abstain_above: leave out the label where the entropy in nats is above this.
        abstain_below: leave out the label where its probability is below this.
        mc_dropout: ask the model this often with dropout on, for ``expected_entropy`` and
            ``mutual_information``; None for one answer without dropout.
        label_names: of the outputs in their order, for a checkpoint that names none.
        prepare_text: give text models English texts with contractions expanded, words replaced by
            their lemmas, without numbers and in lower case; see `emocli.english`. Rows whose
            ``language`` is another are read as they are; the column ``text`` always stays.
        batch_size: most utterances or windows at once; None for a size that suits the model.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
        dtype: ``"auto"`` (fp32 on a CPU), ``"fp32"``, ``"bf16"``, ``"fp16"``, or ``"fast"`` for
            whichever of fp32 and bf16 is quicker.
        engine: ``"auto"``, ``"torch"`` or ``"openvino"``.
        offline: use only what is on this machine.
        progress: called now and then with how far the run has come.
        remark: called with sentences on inputs that were left out or columns that were replaced.

    Returns:
        One row for each utterance (or window) and model, in the order of the inputs.

    Raises:
        AudioError: a folder without recordings, a pattern that matches nothing, a channel or track
            that is none, or a window or hop out of its range.
        TableError: a manifest that is not a table, or turns of speakers that are none.
        TimelineError: smoothing that is none, or turns of speakers in other recordings.
        CalibrationError: the calibration is for another model or other labels, or a model cannot
            be adapted.
        LabelMismatch: ``labels`` that the models do not have.
        MissingDependency: a package for voice activity, speakers or lemmas is not installed.
        ModelError: a model that cannot be used.
        ModelUnavailable: a model that is not on this machine and could not be fetched.
    """
    timeline = TimelineOptions(
        Smoothing.parse(smooth) if smooth else None,
        segments,
        min_seconds,
        hop_seconds or window_seconds or WINDOW_SECONDS,
    )
    voice = VoiceActivity() if vad else None
    inputs = gather_inputs(paths, speakers, channel=channel, track=track, device=device)
    if remark is not None:
        for sentence in (*inputs.remarks, *inputs.warnings):
            remark(sentence)
    loading = LoadOptions(
        device=device,
        dtype=dtype,
        engine=engine,
        batch_size=batch_size,
        offline=offline,
        mc_dropout=mc_dropout,
        label_names=tuple(label_names),
        prepare_text=prepare_text,
    )
    recognizers = load_recognizers(model, loading)
    adaptation = adapt_options(
        adapt,
        recognizers,
        dropout=mc_dropout is not None,
        speakers_within_files=speakers is not None,
        remark=remark,
    )
    shaping = Shaping(
        windows or segments,
        calibration,
        timeline,
        abstain_above,
        abstain_below,
        tuple(labels),
        adaptation,
    )
    if adaptation is not None:
        recognizers = with_traits(recognizers)
    options = PredictOptions(
        windows or segments, window_seconds, hop_seconds, batch_size, voice=voice
    )
    run = PredictionRun(inputs, recognizers, options, shaping)
    run.check_labels()
    table = run.table(rows_of(run.blocks(progress)))
    if voice is not None and remark is not None:
        remark(voice.sentence())
    return table


def load_recognizers(
    model: str | Sequence[str], options: LoadOptions = DEFAULT_LOADING
) -> list[Recognizer]:
    """The models of one or several names, loaded, each once.

    Raises:
        ModelError: a model that cannot be used.
        ModelUnavailable: a model that is not on this machine and could not be fetched.
        MissingDependency: the engine, or the package for lemmas, is not installed.
    """
    from emocli.errors import ModelError
    from emocli.models.registry import load_recognizer

    given = [model] if isinstance(model, (str, os.PathLike)) else model
    names = list(dict.fromkeys(map(os.fspath, given)))
    if not names:
        raise ModelError("No model is named, expected one at least. Give for example builtin.")
    if options.mc_dropout is not None and options.engine == "auto":
        options = replace(options, engine="torch")  # the only one whose dropout can be on
    loaded = [load_recognizer(name, options) for name in names]
    if options.prepare_text:
        prepare_texts(loaded)
    if options.mc_dropout is None:
        return loaded
    from emocli.models.dropout import DropoutDraws

    return [DropoutDraws(one, options.mc_dropout) for one in loaded]


def rows_of(blocks: Iterable[Block]) -> Iterator[Row]:
    """The rows of blocks, one after another."""
    return (row for block in blocks for _, rows in block for row in rows)
