"""From the name of a model to the model.

A name is one of

    builtin, builtin-sentiment, builtin-emotion    models of the package
    a short name of `emocli models list`
    hf:owner/name[@revision] or owner/name[@revision]
    a local folder, or a weight file in one
    FOLDER+emotion or FILE.pt+emotion    an emotion head of the package on a Whisper of the user's

Listing and describing models loads neither torch nor the transformers library.
"""

import difflib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emocli.errors import ModelError
from emocli.models import hub
from emocli.models.aliases import Alias, alias_of_hub, aliases
from emocli.models.checkpoint import Checkpoint
from emocli.models.outputs import Outputs, name_outputs
from emocli.models.protocol import LoadOptions, ModelCard, Recognizer

if TYPE_CHECKING:
    import torch

WEIGHT_SUFFIXES = (".safetensors", ".bin")
COMPACT_TYPE = "emocli-compact"
WHISPER_EMOTION_TYPE = "emocli-whisper-emotion"
WHISPER_EMOTION = "whisper-base+emotion"
"""The head that a Whisper of the user's gets."""
HEAD_SUFFIX = "+emotion"
HASHED_TEXT_TYPE = "emocli-hashed-text"
STACK_FILE = "fuser.safetensors"
"""Forests of a stack, whose networks are in folders of their own beside it."""
MULTIMODAL = "multimodal"
"""Modality of models that take a recording with its text."""
_HUB_NAME = re.compile(r"(?:hf:)?(?P<hub>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class Reference:
    """What a name means.

    Attributes:
        name: identifier for tables and messages.
        alias: what is known of it beforehand; None if nothing is.
        hub: ``owner/name``; empty if it is not of the hub.
        revision: what was asked or pinned; empty for the main branch.
        folder: where it is; None for a model of the hub that has to be looked for.
        weights: a weight file that was named; None for those of the folder.
    """

    name: str
    alias: Alias | None = None
    hub: str = ""
    revision: str = ""
    folder: Path | None = None
    weights: Path | None = None


@dataclass(frozen=True)
class Listing:
    """A model as ``models list`` and ``models show`` present it.

    Attributes:
        alias: short name; empty for a model without one.
        card: what is known of it.
        folder: where it is on this machine; None if it is not.
        hub: ``owner/name``; empty if it is not of the hub.
    """

    alias: str
    card: ModelCard
    folder: Path | None
    hub: str = ""

    @property
    def on_this_machine(self) -> bool:
        """Whether it can be used without a network."""
        return self.folder is not None

    @property
    def text(self) -> str:
        """The model card in the model's folder, without its metadata; empty if there is none."""
        if self.folder is None:
            return ""
        try:
            text = (self.folder / "README.md").read_text("utf-8")
        except OSError:
            return ""
        return re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL).strip()


def resolve(
    name: str,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int | None = None,
    offline: bool = False,
    modality: str | None = None,
    engine: str = "torch",
    label_names: Sequence[str] = (),
) -> Recognizer:
    """The model of a name, loaded; a model of the hub is fetched if it is not on this machine.

    Args:
        name: see the module's docstring.
        revision: branch, tag or commit of the hub, instead of one in the name.
        device: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
        dtype: ``auto`` (fp32, but bf16 for speech on a GPU with units for it), ``fp32``, ``bf16``,
            ``fp16`` or ``fast`` (whichever of fp32 and bf16 is quicker here).
        batch_size: most utterances at once; None for a size that suits the device.
        offline: use only what is on this machine, and keep the hub's library off the network.
        modality: ``"speech"``, ``"text"`` or ``"multimodal"`` if only such a model will do.
        engine: ``auto``, ``torch`` or ``openvino``; see `emocli.models.engines`.
        label_names: of the outputs in their order, for a checkpoint that names none.

    Raises:
        ModelError: no model has that name, or it cannot be used as asked.
        ModelUnavailable: it is not on this machine and could not be fetched.
        MissingDependency: the engine is not installed.
    """
    options = LoadOptions(
        device=device,
        dtype=dtype,
        engine=engine,
        batch_size=batch_size,
        offline=offline,
        label_names=tuple(label_names),
    )
    return load_recognizer(name, options, revision=revision, modality=modality)


load = resolve
"""What the package offers as ``emocli.load``."""


def load_recognizer(
    name: str, options: LoadOptions, *, revision: str | None = None, modality: str | None = None
) -> Recognizer:
    """The model of a name, loaded; see `resolve`.

    Raises:
        ModelError: no model has that name, or it cannot be used as asked.
        ModelUnavailable: it is not on this machine and could not be fetched.
        MissingDependency: the engine is not installed.
    """
    size = options.batch_size
    if size is not None and size < 1:
        raise ModelError(
            f"The batch size is {size}, expected a whole number above 0, or None for one "
            f"that suits the device."
        )
    if options.device != "auto":  # also for models too small for more than one core of a CPU
        from emocli.models.devices import choose_device

        choose_device(options.device)
    reference, checkpoint = open_checkpoint(name, revision=revision, offline=options.offline)
    found = modality_of(checkpoint)
    if modality is not None and found != modality:
        raise ModelError(
            f"{reference.name} is a {found} model, expected a {modality} model. "
            f"`emocli models list` shows which are which."
        )
    alias = reference.alias
    if options.label_names:
        alias = _with_names(checkpoint, alias, options.label_names)
    if found == MULTIMODAL:
        from emocli.models.cross_modal import load_cross_modal

        return load_cross_modal(checkpoint, options)
    return _load(checkpoint, alias, options)


def _with_names(checkpoint: Checkpoint, alias: Alias | None, names: tuple[str, ...]) -> Alias:
    """What is known of a checkpoint, with names for its outputs.

    Raises:
        ModelError: it has names of its own.
    """
    own = _outputs(checkpoint, alias)
    if len(own):
        raise ModelError(
            f"{checkpoint.name} names its outputs itself, {', '.join(own.labels or own.dimensions)}"
            f", expected a checkpoint with none, such as LABEL_0, for --label-names. Leave it out."
        )
    return replace(alias or Alias(name=checkpoint.name), labels=names, dimensions=())


def open_checkpoint(
    name: str, *, revision: str | None = None, offline: bool = False
) -> tuple[Reference, Checkpoint]:
    """What a name means and its checkpoint on this machine, fetched if it has to and may be.

    Raises:
        ModelError: no model has that name.
        ModelUnavailable: it is not on this machine and could not be fetched.
    """
    if offline:
        _stay_offline()
    reference = find(name, revision=revision)
    return reference, _checkpoint(reference, local_folder(reference, offline=offline))


def find(name: str, *, revision: str | None = None) -> Reference:
    """What a name means; nothing is loaded or fetched.

    Raises:
        ModelError: no model has that name, or a revision was asked of one that has none.
    """
    short, _, asked = name.partition("@")
    if short in aliases():
        return _of_alias(aliases()[short], revision or asked)
    path = Path(name).expanduser()
    if not name.startswith("hf:") and path.exists():
        return _of_path(name, path, revision)
    encoder = Path(name.removesuffix(HEAD_SUFFIX)).expanduser()
    if name.endswith(HEAD_SUFFIX) and encoder.exists():
        return replace(_of_alias(aliases()[WHISPER_EMOTION], revision or ""), weights=encoder)
    match = _HUB_NAME.fullmatch(name)
    if match and not name.startswith((".", "~", "/")):
        wanted = revision or match["revision"] or ""
        alias = alias_of_hub(match["hub"])
        if alias and not wanted:
            wanted = alias.revision
        return Reference(match["hub"], alias, match["hub"], wanted)
    raise _unknown(name)


def local_folder(reference: Reference, *, offline: bool = False) -> Path:
    """Where a model is on this machine; one of the hub is fetched if it is not and may be.

    Raises:
        ModelUnavailable: it is not here, and fetching is forbidden or fails.
    """
    if reference.folder is not None:
        return reference.folder
    cached = hub.find_cached(reference.hub, reference.revision)
    if cached is not None:
        return cached
    if offline:
        raise hub.unavailable(reference.hub, reference.revision, "--offline forbids the network")
    return hub.fetch(reference.hub, reference.revision, progress=sys.stderr.isatty())


def list_models() -> list[Listing]:
    """All models with a short name, and whether they are on this machine."""
    return [_listing(_of_alias(alias, "")) for alias in aliases().values()]


def describe(name: str) -> Listing:
    """What is known of a model without loading or fetching it.

    Raises:
        ModelError: no model has that name, or its configuration cannot be read.
    """
    return _listing(find(name))


def _of_alias(alias: Alias, revision: str) -> Reference:
    if alias.hub:
        return Reference(alias.hub, alias, alias.hub, revision or alias.revision)
    if revision:
        raise _no_revision(alias.name)
    folder = Path(__file__).parent / "builtin" / alias.folder
    return Reference(alias.name, alias, folder=folder)


def _of_path(name: str, path: Path, revision: str | None) -> Reference:
    if revision:
        raise _no_revision(name)
    if path.is_dir():
        return Reference(name, folder=path)
    if path.suffix in WEIGHT_SUFFIXES:
        return Reference(name, folder=path.parent, weights=path)
    raise ModelError(
        f"{name} is a file, expected a folder with config.json and weights, or a weight file "
        f"({', '.join(WEIGHT_SUFFIXES)}) in one. Name the folder."
    )


def _no_revision(name: str) -> ModelError:
    return ModelError(
        f"{name} is not a model of the hub, so it has no revisions. Leave the revision out."
    )


def _unknown(name: str) -> ModelError:
    near = difflib.get_close_matches(name, aliases(), n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    return ModelError(
        f"No model is called {name}, and no file or folder is: {guess}`emocli models list` shows "
        f"short names; hf:owner/name and folders work too."
    )


def _stay_offline() -> None:
    """Keep the hub's library off the network; it reads the variable when it is imported."""
    if "huggingface_hub" not in sys.modules:
        os.environ["HF_HUB_OFFLINE"] = "1"


def _checkpoint(reference: Reference, folder: Path) -> Checkpoint:
    revision = folder.name if reference.hub else ""
    weights = reference.weights
    if weights is None and (folder / STACK_FILE).is_file():
        weights = folder / STACK_FILE
    return Checkpoint(folder, reference.name, revision, weights)


def modality_of(checkpoint: Checkpoint) -> str:
    """``"speech"``, ``"text"`` or ``"multimodal"``, from what ``config.json`` says.

    Raises:
        ModelError: the model is of an unknown kind.
    """
    kind = checkpoint.config.get("model_type")
    if isinstance(kind, str):
        for modality, kinds in KINDS.items():
            if kind in kinds:
                return modality
        if modality := _library_modality(kind):
            return modality
    raise ModelError(
        f"{checkpoint.name}: config.json says model_type {kind!r}, expected one that emocli or "
        f"transformers has an audio or sequence classifier for, such as wav2vec2 or bert. Use "
        f"another checkpoint, or a later transformers."
    )


def _library_modality(kind: str) -> str:
    """The modality of classifiers that only the library knows; empty if it knows none."""
    from transformers.models.auto import modeling_auto

    if kind in modeling_auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES:
        return "speech"
    known = kind in modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES
    return "text" if known else ""


# The types that `emocli.models.speech` and `emocli.models.text` load, listed here once more so
# that torch need not be imported to tell them apart; a test compares the two.
KINDS: Mapping[str, frozenset[str]] = {
    "speech": frozenset(
        {
            COMPACT_TYPE,
            WHISPER_EMOTION_TYPE,
            "data2vec-audio",
            "hubert",
            "ser",
            "sew",
            "sew-d",
            "unispeech",
            "unispeech-sat",
            "wav2vec2",
            "wav2vec2-bert",
            "wav2vec2-conformer",
            "wavlm",
            "whisper",
        }
    ),
    "text": frozenset(
        {
            HASHED_TEXT_TYPE,
            "bert",
            "camembert",
            "deberta",
            "deberta-v2",
            "distilbert",
            "electra",
            "roberta",
            "xlm-roberta",
        }
    ),
    MULTIMODAL: frozenset({"emocli-cross-modal", "emocli-stack"}),
}


def _load(checkpoint: Checkpoint, alias: Alias | None, options: LoadOptions) -> Recognizer:
    kind = checkpoint.config["model_type"]
    if kind == HASHED_TEXT_TYPE:
        from emocli.models.hashed_text import load_hashed_text

        return load_hashed_text(checkpoint.folder)
    if kind == WHISPER_EMOTION_TYPE:
        from emocli.models.whisper_emotion import load_whisper_emotion

        return load_whisper_emotion(checkpoint.folder, checkpoint.weights, offline=options.offline)
    if kind == COMPACT_TYPE:
        from emocli.models.compact import load_compact

        return load_compact(checkpoint.folder)
    from emocli.models.devices import choose_device, number_formats

    place = choose_device(options.device)
    load = _load_text if modality_of(checkpoint) == "text" else _load_speech
    loaded = [
        load(checkpoint, alias, options, place, dtype)
        for dtype in number_formats(options.dtype, place)
    ]
    if len(loaded) == 1:
        return loaded[0]
    from emocli.models.probes import seconds_taken

    return min(loaded, key=seconds_taken)


def _load_text(
    checkpoint: Checkpoint,
    alias: Alias | None,
    options: LoadOptions,
    place: "torch.device",
    dtype: "torch.dtype",
) -> Recognizer:
    from emocli.models.devices import choose_dtype
    from emocli.models.text import load_text

    if options.dtype == "auto":  # texts are short: fp32 on every device
        dtype = choose_dtype("fp32")
    return load_text(checkpoint, place, dtype, alias=alias, batch_size=options.batch_size)


def _load_speech(
    checkpoint: Checkpoint,
    alias: Alias | None,
    options: LoadOptions,
    place: "torch.device",
    dtype: "torch.dtype",
) -> Recognizer:
    from emocli.models.devices import dtype_name
    from emocli.models.engines import choose_engine
    from emocli.models.speech import WAVEFORM_TYPES, load_speech

    fits = checkpoint.config["model_type"] in WAVEFORM_TYPES | {"ser"}
    engine = choose_engine(options.engine, device=place.type, dtype=dtype_name(dtype), fits=fits)
    remark = ""
    if engine == "openvino":
        from emocli.models.openvino_speech import load_openvino

        try:
            return load_openvino(checkpoint, alias=alias)
        except ModelError as error:
            if options.engine == "openvino":
                raise
            remark = f"{error} Torch runs it instead."
    return load_speech(
        checkpoint, place, dtype, alias=alias, batch_size=options.batch_size, remark=remark
    )


def _listing(reference: Reference) -> Listing:
    alias = reference.alias
    folder = reference.folder or hub.find_cached(reference.hub, reference.revision)
    short = alias.name if alias else ""
    is_of_hub = reference.folder is None  # else what is wrong with the folder is told below
    if folder is None or (is_of_hub and not (folder / "config.json").is_file()):
        card = alias.card if alias else ModelCard(name=reference.name, source=reference.name)
        return Listing(short, card, None, reference.hub)
    card = _card(_checkpoint(reference, folder), alias)
    return Listing(short, card, folder, reference.hub)


def _card(checkpoint: Checkpoint, alias: Alias | None) -> ModelCard:
    """A card from the files of a checkpoint, without loading it."""
    known = alias.card if alias else ModelCard(name=checkpoint.name)
    modality = modality_of(checkpoint)
    outputs = _outputs(checkpoint, alias)
    fields, heard = checkpoint.fields, checkpoint.preprocessor_fields
    rate = fields.count("sampling_rate", heard.count("sampling_rate", 16000))
    return replace(
        known,
        revision=checkpoint.revision,
        modality=modality,
        labels=outputs.labels,
        dimensions=outputs.dimensions,
        multi_label=outputs.multi_label,
        sampling_rate=0 if modality == "text" else rate,
        n_parameters=_n_parameters(checkpoint),
        size_bytes=checkpoint.size_bytes,
        licence=known.licence or fields.text("licence", "") or checkpoint.licence,
        source=known.source or fields.text("source", str(checkpoint.folder)),
        description=known.description or fields.text("description", ""),
    )


def _outputs(checkpoint: Checkpoint, alias: Alias | None) -> Outputs:
    config: dict[str, Any] = dict(checkpoint.config)
    # The embedded models list theirs in order.
    if isinstance(config.get("labels"), list):
        config["id2label"] = dict(enumerate(config["labels"]))
    try:
        n_outputs = len(config.get("id2label") or (alias.card.outputs if alias else ()))
        return name_outputs(checkpoint.name, config, n_outputs, alias)
    except (ModelError, TypeError):
        return Outputs()


def _n_parameters(checkpoint: Checkpoint) -> int:
    """Number of weights as far as it can be read without torch; else 0."""
    if any(path.suffix != ".safetensors" for path in checkpoint.weight_files):
        return 0
    return checkpoint.n_parameters
