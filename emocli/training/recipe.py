"""A recipe: everything that decides what a training run gives, read from TOML."""

import copy
import dataclasses
import json
import tomllib
import types
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from emocli.errors import RecipeError
from emocli.labels import plain_label
from emocli.networks.functionals import VERSION as FUNCTIONALS_VERSION
from emocli.networks.logmel import FrontEndConfig

FITTED = ("held-out", "left-out")
"""Temperatures that are fitted instead of given."""
Rule = tuple[bool, str, object, str]
"""Whether it holds, the key that it is about, what the recipe has there, what is expected."""
MEMBER_KINDS = ("discriminant", "perceptron", "convolutional")


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """A table of recordings with labels and speakers.

    Attributes:
        name: of the corpus, for figures.
        table: path of the table, relative to the recipe's folder or to ``--data``.
        label_column: names the emotion.
        speaker_column: names the speaker; nobody is in two parts of a split.
    """

    name: str
    table: str
    label_column: str = "emotion"
    speaker_column: str = "speaker"


@dataclass(frozen=True, kw_only=True)
class SplitRecipe:
    """Who is held out.

    Attributes:
        folds: parts of the speakers for cross-validation; 0 for none.
        dev_speakers: held out of the final training, which reports how they come out.
    """

    folds: int = 0
    dev_speakers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AugmentationRecipe:
    """How copies of the recordings are altered before features are computed.

    Attributes:
        copies: altered copies of every recording.
        speed: largest change of speed and pitch together, as a logarithm.
        equalizer_db: deviation of a smooth random filter.
        tilt_db: deviation of a random tilt over the spectrum.
        room_share: share of copies with a synthetic room.
        band_limit_share: share of copies through a telephone or another limited band.
        noise_share: share of copies with coloured noise.
        lowest_snr_db: of the noise.
        highest_snr_db: of the noise.
        distortion_share: share of copies that clip, and of those with 8-bit companding.
    """

    copies: int = 0
    speed: float = 0.13
    equalizer_db: float = 4.0
    tilt_db: float = 5.0
    room_share: float = 0.45
    band_limit_share: float = 0.6
    noise_share: float = 0.6
    lowest_snr_db: float = 3.0
    highest_snr_db: float = 35.0
    distortion_share: float = 0.12


@dataclass(frozen=True, kw_only=True)
class MemberRecipe:
    """A member of the network and how it is trained.

    A discriminant is computed at once from the unaltered recordings; of the keys below it heeds
    ``weight``, ``whitening`` and ``whitening_ridge``.

    Attributes:
        kind: one of `MEMBER_KINDS`.
        weight: of its vote.
        hidden: widths of a perceptron's layers.
        channels: of a convolutional member.
        dilations: of a convolutional member's blocks.
        heads: of a convolutional member's attention.
        mean_removal: share of the mean spectrum taken out by a convolutional member.
        input_dropout: on a perceptron's inputs.
        dropout: between layers.
        output_dropout: before a convolutional member's last layer.
        epochs: passes of ``utterances_per_epoch`` draws.
        utterances_per_epoch: draws with replacement, balanced over corpora and labels.
        batch_size: utterances a step.
        learning_rate: highest of a warm-up and a cosine.
        weight_decay: decoupled, of AdamW.
        label_smoothing: share of a label's probability spread over all.
        auxiliary_share: weight of an auxiliary label in the draws; 1 draws it as often as others.
        clean_share: share of draws from the unaltered recordings.
        averaging: keep of the running mean of the weights at each step; 0 for none.
        whitening: weight of the changes by augmentation in the covariance by which a perceptron's
            inputs are whitened.
        whitening_ridge: share of the mean variance added to every direction.
        noise: deviation of Gaussian noise on a perceptron's inputs.
        mixup: parameter of the Beta distribution by which pairs of inputs are mixed; 0 for none.
        stretch: largest change of tempo on frames, as a logarithm.
        equalizer_nats: deviation of a smooth random filter on frames.
        contrast: deviation of the logarithm by which the spectrum's changes are scaled.
        crop_frames: longest piece of an utterance that a convolutional member is shown.
    """

    kind: str
    weight: float = 1.0
    hidden: tuple[int, ...] = (128, 64)
    channels: int = 96
    dilations: tuple[int, ...] = (1, 2, 4, 1)
    heads: int = 4
    mean_removal: float = 0.5
    input_dropout: float = 0.2
    dropout: float = 0.1
    output_dropout: float = 0.3
    epochs: int = 14
    utterances_per_epoch: int = 2400
    batch_size: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.1
    auxiliary_share: float = 0.0
    clean_share: float = 0.3
    averaging: float = 0.0
    whitening: float = 0.7
    whitening_ridge: float = 0.1
    noise: float = 0.2
    mixup: float = 0.2
    stretch: float = 0.2
    equalizer_nats: float = 0.5
    contrast: float = 0.1
    crop_frames: int = 160


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole training run.

    Attributes:
        name: of the model; its card and tables show it.
        labels: canonical names in the order of the logits.
        data: tables of recordings.
        members: of the network.
        auxiliary_labels: labels that training may use beside those that are predicted.
        seed: of everything random.
        output: folder of the model, relative to the working folder.
        temperature: divides the logits; ``"held-out"`` fits it to held-out speakers, and
            ``"left-out"`` to these and to whole corpora that were left out, half and half.
        licence: of the weights.
        description: what the model is, for its card.
        notes: what else the card shall say, in Markdown.
        split: who is held out.
        augmentation: altered copies.
        front_end: how frames are made.
    """

    name: str
    labels: tuple[str, ...]
    data: tuple[DataSource, ...]
    members: tuple[MemberRecipe, ...]
    auxiliary_labels: tuple[str, ...] = ()
    seed: int = 1
    output: str = "model"
    temperature: float | str = 1.0
    licence: str = ""
    description: str = ""
    notes: str = ""
    split: SplitRecipe = field(default_factory=SplitRecipe)
    augmentation: AugmentationRecipe = field(default_factory=AugmentationRecipe)
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)

    @property
    def trained_labels(self) -> tuple[str, ...]:
        """Labels and then auxiliary labels, the outputs of every member."""
        return self.labels + self.auxiliary_labels

    @property
    def fingerprint(self) -> str:
        """A hash of what all members' weights depend on, beside the recordings."""
        shared = ("labels", "auxiliary_labels", "seed", "augmentation", "front_end")
        content = dataclasses.asdict(self)
        return _hash([content[key] for key in shared])

    def member_fingerprint(self, index: int) -> str:
        """A hash of what one member's weights depend on; the weight of its vote is not of it."""
        content = dataclasses.asdict(self.members[index])
        del content["weight"]
        if content["kind"] == "convolutional":
            return _hash([index, content])
        return _hash([index, content, FUNCTIONALS_VERSION])


def _hash(content: Any) -> str:
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def read_recipe(path: Path) -> Recipe:
    """The recipe of a speech model in a TOML file.

    Raises:
        RecipeError: the file cannot be read, is not TOML, or says something that a recipe cannot.
    """
    return parse_recipe(read_content(path), str(path))


def read_content(path: Path) -> dict[str, Any]:
    """What a TOML file says, of whatever recipe it is.

    Raises:
        RecipeError: the file cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise RecipeError(
            f"{path}: cannot be read ({error.strerror}), expected a recipe in TOML. Check the path."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"{path}: not TOML ({error}), expected a recipe. Correct the line."
        ) from error


def with_settings(content: Mapping[str, Any], settings: Sequence[str], name: str) -> dict[str, Any]:
    """The content of a recipe with some keys set to other values.

    Args:
        content: as `tomllib` gives it.
        settings: ``key=value``, where a dot leads into a table and the value is one of TOML; a
            value that is none is text.
        name: what to call the recipe in an error.

    Raises:
        RecipeError: there is no equals sign, or a dot leads into something that is no table.

    Example:
        >>> with_settings({"split": {"folds": 2}}, ["split.folds=3", "encoder=hf:a/b"], "r")
        {'split': {'folds': 3}, 'encoder': 'hf:a/b'}
    """
    changed: dict[str, Any] = copy.deepcopy(dict(content))
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise RecipeError(
                f"{name}: setting {setting!r}, expected key=value. Write it as in --set epochs=5."
            )
        *way, last = key.strip().split(".")
        table = changed
        for step in way:
            table = table.setdefault(step, {})
            if not isinstance(table, dict):
                raise RecipeError(
                    f"{name}: {step} in setting {setting!r} is no table, expected one. Change "
                    f"the key in a copy of the recipe."
                )
        table[last] = _toml_value(text.strip())
    return changed


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def parse_recipe(content: Mapping[str, Any], name: str) -> Recipe:
    """A recipe from the content of its file.

    Args:
        content: as `tomllib` gives it.
        name: what to call the recipe in an error.

    Raises:
        RecipeError: a key is unknown, missing or of the wrong type, or the parts do not fit.
    """
    recipe: Recipe = build(Recipe, content, "", name)
    _check(recipe, name)
    labels = check_labels(recipe.trained_labels, name)
    n_labels = len(recipe.labels)
    return dataclasses.replace(recipe, labels=labels[:n_labels], auxiliary_labels=labels[n_labels:])


def _check(recipe: Recipe, name: str) -> None:
    rules: tuple[Rule, ...] = (
        (len(recipe.labels) >= 2, "labels", f"{len(recipe.labels)} labels", "two or more"),
        (bool(recipe.data), "data", "no table", "one or more"),
        (bool(recipe.members), "members", "no member", "one or more"),
        (recipe.split.folds != 1 and recipe.split.folds >= 0, "split.folds",
         recipe.split.folds, "0 or at least 2"),
        (recipe.augmentation.copies >= 0, "augmentation.copies",
         recipe.augmentation.copies, "0 or more"),
        (recipe.temperature in FITTED or (not isinstance(recipe.temperature, str)
         and recipe.temperature > 0), "temperature", repr(recipe.temperature),
         'a number above 0, "held-out" or "left-out"'),
        (recipe.temperature not in FITTED or recipe.split.folds >= 2, "split.folds",
         recipe.split.folds, "at least 2 for a temperature that is fitted"),
        (recipe.temperature != "left-out" or len(recipe.data) >= 2, "temperature",
         repr(recipe.temperature), '"held-out" where there is only one table'),
    )  # fmt: skip
    check_rules(rules, name)
    for index, member in enumerate(recipe.members):
        _check_member(member, f"{name}: members[{index}]")


def _check_member(member: MemberRecipe, name: str) -> None:
    rules: tuple[Rule, ...] = (
        (member.kind in MEMBER_KINDS, "kind", repr(member.kind), " or ".join(MEMBER_KINDS)),
        (member.epochs >= 1, "epochs", member.epochs, "1 or more"),
        (member.batch_size >= 2, "batch_size", member.batch_size, "2 or more"),
        (member.utterances_per_epoch >= member.batch_size, "utterances_per_epoch",
         member.utterances_per_epoch, "at least batch_size"),
        (member.weight > 0, "weight", member.weight, "above 0"),
        (member.heads >= 1 and member.channels % member.heads == 0, "channels",
         member.channels, "a multiple of heads"),
    )  # fmt: skip
    check_rules(rules, name, separator=".")


def check_rules(rules: Iterable[Rule], name: str, *, separator: str = ": ") -> None:
    """Make sure that the values of a recipe have a sense.

    Args:
        rules: each about one key.
        name: what to call the recipe.
        separator: between its name and the key.

    Raises:
        RecipeError: a rule does not hold.
    """
    for holds, key, found, expected in rules:
        if not holds:
            raise RecipeError(
                f"{name}{separator}{key} is {found}, expected {expected}. Change the recipe."
            )


def check_choices(recipe: object, choices: Mapping[str, Collection[object]], name: str) -> None:
    """Make sure that keys of a recipe have one of the values that there are.

    Raises:
        RecipeError: one has another.
    """
    for key, allowed in choices.items():
        found = getattr(recipe, key)
        check_rules([(found in allowed, key, repr(found), " or ".join(map(str, allowed)))], name)


def check_labels(labels: Sequence[str], name: str) -> tuple[str, ...]:
    """A recipe's labels as words.

    Raises:
        RecipeError: one is there twice.
    """
    words = tuple(plain_label(label) for label in labels)
    if twice := sorted({word for word in words if words.count(word) > 1}):
        raise RecipeError(
            f"{name}: labels has {', '.join(twice)} more than once, expected each once. Change "
            f"the recipe."
        )
    return words


def build(kind: Any, content: Any, place: str, name: str) -> Any:
    """A dataclass from a TOML table, whose keys and types are checked."""
    if not isinstance(content, Mapping):
        raise _wrong_type(name, place, content, "a table")
    hints = typing.get_type_hints(kind)
    prefix = f"{place}." if place else ""
    unknown = [key for key in content if key not in hints]
    if unknown:
        raise RecipeError(
            f"{name}: {prefix}{unknown[0]} is no key of a recipe, expected one of "
            f"{', '.join(hints)}. Correct or delete it."
        )
    for item in dataclasses.fields(kind):
        required = item.default is item.default_factory is dataclasses.MISSING
        if required and item.name not in content:
            raise RecipeError(f"{name}: {prefix}{item.name} is missing. Add it.")
    values = {k: _value(hints[k], v, f"{prefix}{k}", name) for k, v in content.items()}
    return kind(**values)


def _value(hint: Any, value: Any, place: str, name: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return build(hint, value, place, name)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise _wrong_type(name, place, value, "a list")
        inner = typing.get_args(hint)[0]
        return tuple(_value(inner, item, f"{place}[{i}]", name) for i, item in enumerate(value))
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) not in allowed:
        raise _wrong_type(name, place, value, " or ".join(kind.__name__ for kind in allowed))
    return value


def _wrong_type(name: str, place: str, value: Any, expected: str) -> RecipeError:
    return RecipeError(
        f"{name}: {place} is {value!r} ({type(value).__name__}), expected {expected}. Correct it."
    )
