"""Recipes of cross-modal networks on frozen encoders, one network or several and their stack."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from emocli.errors import RecipeError
from emocli.training.fitting import FitOptions, GroupOptions
from emocli.training.recipe import Rule, build, check_choices, check_labels, check_rules
from emocli.training.samplers import CLASS_WEIGHTS, SAMPLINGS
from emocli.training.schedules import SCHEDULES

RECIPE_KIND = "cross-modal"
STACK = "crossmodal-stack"
PREFIX = "crossmodal-"
DESIGNS = ("i", "ii")
GROUPS = ("speech", "text", "prosody")
"""Kinds of encoders, in the order in which a network takes their frames."""
STACK_ON = ("folds", "dev", "train")
"""What the forests learn from: outputs for speakers of the training data that the networks had not
heard, outputs for the development set, or outputs for the training data itself, as the paper did.
"""
STACK_FEATURES = ("posteriors", "logits")
"""What the forests see of a network: its log posteriors, which tables hold too, so that the forests
serve `emocli fuse`; or its logits, as in the paper."""
NEUTRAL = "neutral"


@dataclass(frozen=True, kw_only=True)
class NetworkRecipe:
    """One network.

    Attributes:
        name: within the recipe.
        design: ``i``, or ``ii`` with an output for neutral against expressive.
        epochs: of its training.
        speech: names of encoders in the recipe's table of that name.
        text: the same for encoders of texts.
        prosody: the same for encoders of prosody.
        sampling: one of `emocli.training.samplers.SAMPLINGS`; by default ``shuffle`` for design i
            and ``neutral-expressive`` for design ii.
    """

    name: str
    design: str = "i"
    epochs: int = 20
    speech: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    prosody: tuple[str, ...] = ()
    sampling: str = ""

    @property
    def has_neutral_head(self) -> bool:
        """Whether it tells neutral from expressive besides."""
        return self.design == "ii"

    @property
    def drawn(self) -> str:
        """How the utterances of an epoch are drawn."""
        return self.sampling or ("neutral-expressive" if self.has_neutral_head else "shuffle")


@dataclass(frozen=True, order=True)
class Source:
    """An encoder that networks take frames from.

    Attributes:
        group: one of `GROUPS`.
        encoder: name or folder, see `emocli.models.encoders`.
    """

    group: str
    encoder: str


@dataclass(frozen=True, kw_only=True)
class CrossModalRecipe:
    """Everything that decides what comes of a training, beside the data.

    Attributes:
        recipe: ``cross-modal``, which tells it from recipes of other kinds.
        name: of the model.
        networks: one, or several for a stack.
        speech: encoders by the names that networks call them.
        text: the same for encoders of texts.
        prosody: the same for encoders of prosody.
        labels: emotions in the order of the outputs; empty for those of the training data.
        layer: of all encoders but those that have only one; see `emocli features`.
        max_tokens: of a text, with those that mark its ends.
        keeps_padding: of texts, whether the states of padding up to ``max_tokens`` are frames too,
            as in the paper's features.
        mean_of: frames of recordings that are averaged, which makes sequences as many times
            shorter; 1 for the encoders' own. Encoders with less than ten frames a second keep
            theirs.
        standardize: whether each value of the frames is taken in deviations from its mean over the
            frames of the training data. The network's first layer takes it in when it is written,
            so that it has no parameters more and reads the encoders' own frames.
        hidden: units, see `emocli.networks.cross_modal.CrossModalConfig.n_hidden`.
        dropout: in training.
        prosody_heads: of the prosody's attention; all others have one.
        masked: whether padding of frames in a batch is left out.
        pooling_scaled: whether the pooling divides by the root of the number of channels, as the
            paper has it and its code has not.
        class_weights: whether a class weighs ``N / (K n_c)``; else all weigh the same. ``drawn``
            counts the utterances as they are drawn.
        epochs: of every network; 0 for its own.
        micro_batch: utterances that go through the network at once.
        accumulation: micro-batches of a step.
        learning_rate: before the schedule.
        weight_decay: decoupled, of AdamW.
        schedule: one of `emocli.training.schedules.SCHEDULES`.
        warm_up: share of the steps in which the learning rate rises.
        final_rate: where the schedule ends, as a share of the learning rate.
        clip_norm: longest gradient; 0 for no limit.
        precision: ``fp32``, or ``mixed`` for half precision on CUDA.
        select: figure of the development set that makes the best epoch.
        patience: evaluations without a better one that end the training; 0 for no end.
        seed: of the first network; the next ones count on from it.
        stack_on: one of `STACK_ON`.
        stack_features: one of `STACK_FEATURES`.
        folds: of the speakers, where the stack learns from folds.
        features: ``fp32`` or ``fp16``, of the frames on disk.
        dev_share: of the speakers for development, where the data have no column ``split``.
        allow_unknown_speakers: go on where the data do not say who speaks.
        save_every_minutes: between two states of a training.
        workers: threads that read ahead.
        licence: of the weights.
        description: what the model is, for its card.
    """

    recipe: str
    name: str
    networks: tuple[NetworkRecipe, ...]
    speech: Mapping[str, str] = field(default_factory=dict)
    text: Mapping[str, str] = field(default_factory=dict)
    prosody: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    layer: str = "auto"
    max_tokens: int = 80
    keeps_padding: bool = False
    mean_of: int = 1
    standardize: bool = False
    hidden: int = 512
    dropout: float = 0.5
    prosody_heads: int = 2
    masked: bool = True
    pooling_scaled: bool = False
    class_weights: bool | str = True
    epochs: int = 0
    micro_batch: int = 64
    accumulation: int = 1
    learning_rate: float = 1e-5
    weight_decay: float = 1e-6
    schedule: str = "cosine-by-epoch"
    warm_up: float = 0.0
    final_rate: float = 0.1
    clip_norm: float = 0.0
    precision: str = "fp32"
    select: str = "macro_f1"
    patience: int = 0
    seed: int = 7
    stack_on: str = "folds"
    stack_features: str = "posteriors"
    folds: int = 5
    features: str = "fp32"
    dev_share: float = 0.2
    allow_unknown_speakers: bool = False
    save_every_minutes: float = 10.0
    workers: int = 2
    licence: str = ""
    description: str = ""

    dimensions = ()
    dimension_range = (0.0, 1.0)
    is_dimensional = False

    @property
    def modality(self) -> str:
        """``text`` if all networks read texts, so that rows without one are of no use.

        Beside networks that only listen, a row without a text has an empty one, as at prediction.
        """
        return "text" if all(one.text for one in self.networks) else "speech"

    @property
    def reads_texts(self) -> bool:
        """Whether some network reads texts."""
        return any(one.text for one in self.networks)

    @property
    def is_stack(self) -> bool:
        """Whether there are several networks and a fuser."""
        return len(self.networks) > 1

    def sources(self, network: NetworkRecipe) -> tuple[Source, ...]:
        """The encoders of a network, in the order of its inputs."""
        return tuple(
            Source(group, getattr(self, group).get(name, name))
            for group in GROUPS
            for name in getattr(network, group)
        )

    @property
    def all_sources(self) -> tuple[Source, ...]:
        """The encoders of all networks, each once."""
        return tuple(dict.fromkeys(s for one in self.networks for s in self.sources(one)))

    def heads(self, network: NetworkRecipe) -> tuple[int, ...]:
        """Heads of the attention of each input of a network."""
        return tuple(
            self.prosody_heads if source.group == "prosody" else 1
            for source in self.sources(network)
        )

    def fit_options(self, network: NetworkRecipe, precision: str) -> FitOptions:
        """How the loop shall train a network.

        Args:
            network: one of `networks`.
            precision: ``fp32``, ``bf16`` or ``fp16``, as the device and the user want it.
        """
        group = GroupOptions(
            name="network", learning_rate=self.learning_rate, weight_decay=self.weight_decay
        )
        return FitOptions(
            groups=(group,),
            epochs=self.epochs or network.epochs,
            micro_batch=self.micro_batch,
            accumulation=self.accumulation,
            schedule=self.schedule,
            warm_up=self.warm_up,
            final_rate=self.final_rate,
            precision=precision,
            clip_norm=self.clip_norm,
            seed=self.seed + self.networks.index(network),
            select=self.select,
            patience=self.patience,
            save_every_minutes=self.save_every_minutes,
            workers=self.workers,
        )


def single_recipes(stack: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The recipes of each network of a stack, by name.

    Args:
        stack: content of the stack's recipe.
    """
    shared = {key: value for key, value in stack.items() if key not in ("networks", *GROUPS)}
    for key in ("stack_on", "stack_features", "folds"):
        shared.pop(key, None)
    found = {}
    for network in stack["networks"]:
        name = PREFIX + network["name"]
        used = {
            group: {key: stack[group][key] for key in network[group]}
            for group in GROUPS
            if group in network
        }
        found[name] = {
            **shared, **used, "name": name, "networks": [network],
            "description": f"Cross-attention network on frozen {_told(network)}, design "
            f"{network['design']} (arXiv 2505.20007).",
        }  # fmt: skip
    return found


def _told(network: Mapping[str, Any]) -> str:
    return " and ".join(name for group in GROUPS for name in network.get(group, ()))


def parse_crossmodal_recipe(content: Mapping[str, Any], name: str) -> CrossModalRecipe:
    """A recipe from the content of its file.

    A kind of encoders that is one name instead of a table stands for all of that kind.

    Args:
        content: as `tomllib` gives it.
        name: what to call the recipe in an error.

    Raises:
        RecipeError: a key is unknown, missing or of the wrong type, or has no sense.
    """
    named = {group: _encoders(content, group, name) for group in GROUPS}
    rest = {key: value for key, value in content.items() if key not in GROUPS}
    recipe: CrossModalRecipe = replace(build(CrossModalRecipe, rest, "", name), **named)
    _check_choices(recipe, name)
    _check_numbers(recipe, name)
    for network in recipe.networks:
        _check_network(recipe, network, name)
    names = [network.name for network in recipe.networks]
    if len(set(names)) < len(names):
        raise RecipeError(f"{name}: two networks of one name, expected different names. "
                          f"Change the recipe.")  # fmt: skip
    check_labels(recipe.labels, name)
    return recipe


def _encoders(content: Mapping[str, Any], group: str, name: str) -> dict[str, str]:
    """Encoders of a kind by what networks call them."""
    given = content.get(group, {})
    if isinstance(given, str):
        networks = content.get("networks", [])
        called = [key for one in networks if isinstance(one, dict) for key in one.get(group, [])]
        return dict.fromkeys(called, given)
    if not isinstance(given, dict) or not all(isinstance(one, str) for one in given.values()):
        raise RecipeError(
            f"{name}: {group} is {given!r}, expected the name of an encoder, or a table of such "
            f"names. Write it as in --set {group}=logmel."
        )
    return given


def _check_choices(recipe: CrossModalRecipe, name: str) -> None:
    choices = {
        "recipe": (RECIPE_KIND,),
        "schedule": SCHEDULES,
        "precision": ("fp32", "mixed"),
        "select": ("macro_f1", "uar", "accuracy"),
        "stack_on": STACK_ON,
        "stack_features": STACK_FEATURES,
        "class_weights": CLASS_WEIGHTS,
        "features": ("fp32", "fp16"),
    }
    check_choices(recipe, choices, name)


def _check_numbers(recipe: CrossModalRecipe, name: str) -> None:
    rules: tuple[Rule, ...] = (
        (bool(recipe.networks), "networks", "empty", "one or more"),
        (len(recipe.labels) != 1, "labels", recipe.labels, "two or more, or none for all"),
        (recipe.max_tokens >= 3, "max_tokens", recipe.max_tokens, "3 or more"),
        (recipe.mean_of >= 1, "mean_of", recipe.mean_of, "1 or more"),
        (recipe.hidden >= 1, "hidden", recipe.hidden, "1 or more"),
        (0 <= recipe.dropout < 1, "dropout", recipe.dropout, "from 0 to below 1"),
        (recipe.prosody_heads >= 1 and 2 * recipe.hidden % recipe.prosody_heads == 0,
         "prosody_heads", recipe.prosody_heads, "a divisor of twice hidden"),
        (recipe.epochs >= 0, "epochs", recipe.epochs, "0 or more"),
        (recipe.micro_batch >= 1, "micro_batch", recipe.micro_batch, "1 or more"),
        (recipe.accumulation >= 1, "accumulation", recipe.accumulation, "1 or more"),
        (0 <= recipe.warm_up < 1, "warm_up", recipe.warm_up, "from 0 to below 1"),
        (0 <= recipe.final_rate <= 1, "final_rate", recipe.final_rate, "from 0 to 1"),
        (recipe.folds >= 2, "folds", recipe.folds, "2 or more"),
        (0 < recipe.dev_share < 1, "dev_share", recipe.dev_share, "above 0 and below 1"),
        (min(recipe.learning_rate, recipe.weight_decay, recipe.clip_norm, recipe.patience,
             recipe.workers, recipe.save_every_minutes) >= 0, "a number", "negative", "0 or more"),
    )  # fmt: skip
    check_rules(rules, name)


def _check_network(recipe: CrossModalRecipe, network: NetworkRecipe, name: str) -> None:
    n_sources = len(recipe.sources(network))
    rules: tuple[Rule, ...] = (
        (network.design in DESIGNS, "design", repr(network.design), " or ".join(DESIGNS)),
        (network.drawn in SAMPLINGS, "sampling", repr(network.drawn), " or ".join(SAMPLINGS)),
        (network.epochs >= 1, "epochs", network.epochs, "1 or more"),
        (n_sources >= 2, "encoders", n_sources, "two or more"),
        (n_sources > len(network.text), "encoders", "of texts alone", "one for recordings"),
        (bool(network.name) and "/" not in network.name and network.name != "training",
         "name", repr(network.name), "one for a folder, other than training"),
    )  # fmt: skip
    check_rules(rules, f"{name}: network {network.name}")
