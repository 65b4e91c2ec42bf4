"""Everything that emocli raises on purpose.

    EmocliError                 exit 1
    ├── AudioError              a recording that cannot be read or used
    ├── TableError              a table that is not one, or tables that do not join
    │   └── LabelMismatch       label sets that differ and no map between them
    ├── FuserError              a saved fuser that cannot be read, or tables it was not made for
    ├── CalibrationError        a saved calibration that cannot be read or fitted, or other tables
    ├── MissingText             a text model was asked and there is no transcript
    ├── TimelineError           windows, segments or speakers that cannot be had as asked
    ├── RecipeError             a training recipe that cannot be followed
    ├── CorpusError             a corpus that is not where or as it should be
    ├── FeatureError            a folder of features that is damaged or of another encoder
    ├── MissingDependency       an optional package is not installed
    ├── JudgeError              a review that cannot be made as asked
    │   └── JudgeUnavailable    exit 4: a judge that cannot be reached or does not let us in
    └── ModelError              a checkpoint that cannot be used as asked
        └── ModelUnavailable    exit 4: a checkpoint that is not on this machine

A message is one sentence of subject, found, expected, and one sentence of remedy. It is written
for the person at the keyboard: the command line prints it as it is.
"""


class EmocliError(Exception):
    """Root of all errors that a user can act on."""

    exit_status = 1


class AudioError(EmocliError):
    """A recording that cannot be decoded or holds nothing to decode."""


class TableError(EmocliError):
    """A table that breaks the table's rules, or tables that do not join."""


class LabelMismatch(TableError):
    """Label sets that differ although the operation needs them to be the same."""


class FuserError(EmocliError):
    """A saved fuser that is damaged, or that was made for other models or labels."""


class CalibrationError(EmocliError):
    """A calibration that is damaged, cannot be fitted, or was made for other tables."""


class MissingText(EmocliError):
    """A text model has no text to read for an utterance."""


class TimelineError(EmocliError):
    """Smoothing, segments or turns of speakers that cannot be made as asked."""


class RecipeError(EmocliError):
    """A training recipe, or the data it names, that cannot be followed."""


class CorpusError(EmocliError):
    """A folder that is not the corpus it should be, or labels that the corpus does not have."""


class FeatureError(EmocliError):
    """A folder of features that is damaged, cannot be written, or is of another encoder."""


class MissingDependency(EmocliError):
    """An optional package that this operation needs is not installed."""


class ClusterError(EmocliError):
    """A cluster that cannot be reached, or that gave up."""


class JudgeError(EmocliError):
    """A review of labels that cannot be made as asked."""


class JudgeUnavailable(JudgeError):
    """A judge that cannot be reached, is not there, or does not let us in."""

    exit_status = 4


class ModelError(EmocliError):
    """A checkpoint that exists but cannot be used as asked."""


class ModelUnavailable(ModelError):
    """A checkpoint that is not on this machine and could not be fetched."""

    exit_status = 4
