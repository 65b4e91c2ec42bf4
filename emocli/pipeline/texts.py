"""Emotions and sentiments of transcripts."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from emocli.english import is_english, lemmatizer, prepare
from emocli.errors import MissingText, ModelError
from emocli.models.protocol import Recognizer
from emocli.pipeline.inputs import Utterance
from emocli.pipeline.progress import Tally
from emocli.pipeline.scoring import (
    Block,
    PredictOptions,
    Row,
    Score,
    about,
    prediction_row,
    score,
)

NO_WORDS = "no words"
ONLY_NUMBERS = "nothing but numbers"


def text_blocks(
    chunks: Sequence[Sequence[Utterance]],
    recognizers: Sequence[Recognizer],
    options: PredictOptions,
    tally: Tally,
) -> Iterator[Block]:
    """Rows of text models, in the order of the utterances and, for each, of the models.

    The text is that of the column ``text``, else of ``name.txt`` beside ``name.wav``; the
    recording itself need not be there. An utterance without any text has an error. One whose
    transcript is empty, because nobody spoke, has neither a prediction nor an error but the note
    "no words": there is nothing to predict from, and nothing went wrong.

    Args:
        chunks: what gets a row; a model is given the texts of a chunk at once.
        recognizers: text models, at least one.
        options: the batch size; windows do not concern texts.
        tally: told of every utterance; reports whenever a chunk is done.

    Yields:
        Utterances and their rows with the columns of the table, ``text`` among them.
    """
    for chunk in chunks:
        read = [read_text(utterance) for utterance in chunk]
        by_model = [_rows(read, one, options.batch_size) for one in recognizers]
        rows = [list(each) for each in zip(*by_model, strict=True)]
        for each in rows:
            tally.finished(failed=any(row["error"] for row in each))
        yield list(zip(chunk, rows, strict=True))
        tally.report()


@dataclass(frozen=True)
class Read:
    """An utterance and what was said in it.

    Attributes:
        utterance: with its text among the carried columns, if it has one.
        text: what was said, without blanks around it; empty where nobody spoke.
        error: why there is no text.
    """

    utterance: Utterance
    text: str = ""
    error: str = ""


def prepare_texts(recognizers: Sequence[Recognizer]) -> None:
    """Have text models read English texts as `emocli.english.prepare` makes them.

    Their cards and so the identifiers in tables say it. Other models are left alone.

    Raises:
        ModelError: none of them is a text model.
        MissingDependency: the package that lemmatises is not installed.
    """
    readers = [one for one in recognizers if one.card.modality == "text"]
    if not readers:
        names = ", ".join(one.card.identifier for one in recognizers)
        raise ModelError(
            f"{names} reads no transcripts alone, expected a text model for --prepare-text. Leave "
            f"it out, or add a text model with -m."
        )
    lemmatizer()
    for one in readers:
        one.card = replace(one.card, prepares_text=True)


def read_text(utterance: Utterance) -> Read:
    """An utterance with its text, or with the reason why it has none."""
    try:
        text = find_text(utterance)
    except MissingText as error:
        return Read(utterance, error=utterance.error or str(error))
    return Read(replace(utterance, carried={**utterance.carried, "text": text}), text.strip())


def find_text(utterance: Utterance) -> str:
    """The transcript of an utterance; empty where nobody spoke.

    Raises:
        MissingText: there is none, or the file that should hold it cannot be read.
    """
    given = str(utterance.carried.get("text", ""))
    if given.strip() or ("text" in utterance.carried and not utterance.error):
        return given
    beside = utterance.path.with_suffix(".txt")
    if not beside.is_file():
        raise MissingText(
            f"{utterance.file}: no transcript, expected a column text in a table or {beside.name} "
            f"beside the recording. Make one with emocli transcribe."
        )
    if utterance.start is None and utterance.end is None:
        try:
            return beside.read_text(encoding="utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise MissingText(
                f"{utterance.file}: its transcript {beside.name} cannot be read ({error}), "
                f"expected UTF-8 text. Correct the file."
            ) from None
    raise MissingText(
        f"{utterance.file}: no transcript of {utterance.start or 0:g} to "
        f"{utterance.end or math.inf:g} s, expected a column text in the table, for "
        f"{beside.name} tells of the whole recording. Name the recording without start and end."
    )


def _prepared(read: Sequence[Read]) -> list[tuple[str, str]]:
    """What a model with prepared texts reads of each utterance, and a note on it."""
    lemma_of = lemmatizer()
    found = []
    for one in read:
        language = str(one.utterance.carried.get("language") or "")
        if is_english(language):
            text = prepare(one.text, lemma_of)
            found.append((text, ONLY_NUMBERS if one.text and not text else ""))
        else:
            found.append((one.text, f"text not prepared: {language} is not English"))
    return found


def _rows(read: Sequence[Read], recognizer: Recognizer, batch_size: int | None) -> list[Row]:
    """A row by one model for each utterance."""
    card = recognizer.card
    given = _prepared(read) if card.prepares_text else [(one.text, "") for one in read]
    texts = [text for text, _ in given if text]
    found = iter(score(recognizer, texts, batch_size) if texts else [])
    said = iter(recognizer.remarks(texts) if texts else [])
    rows = []
    for one, (text, remark) in zip(read, given, strict=True):
        utterance = one.utterance
        result: Score | None = one.error or None
        notes: tuple[str, ...] = () if one.error else (remark if one.text else NO_WORDS,)
        if text:
            result, notes = about(utterance, next(found)), (remark, next(said))
        rows.append(
            prediction_row(
                utterance, card, result, start=utterance.start, end=utterance.end, notes=notes
            )
        )
    return rows
