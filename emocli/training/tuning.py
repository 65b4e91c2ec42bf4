"""Recipes that fine-tune a pretrained encoder with a head, for speech or for text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emocli.errors import RecipeError
from emocli.training.fitting import LOSS_OVER, FitOptions, GroupOptions
from emocli.training.objectives import CATEGORICAL_LOSSES
from emocli.training.recipe import Rule, build, check_choices, check_labels, check_rules
from emocli.training.samplers import CLASS_WEIGHTS, SAMPLINGS
from emocli.training.schedules import SCHEDULES

RECIPE_KIND = "fine-tuning"
DIMENSIONS = ("arousal", "dominance", "valence")
CONCORDANCE = "concordance"
FROZEN = ("nothing", "front-end", "encoder")
PRECISIONS = ("fp32", "mixed")
POOLINGS = ("attentive-statistics", "mean")
# What the l2 penalty on the attention is on; see AttentiveStatisticsPooling.attention_weights.
PENALIZED = ("pool_model.sap_linear.weight", "pool_model.attention")
SMALLEST_CONCORDANCE = 16
"""Utterances below which the CCC of a step says little."""


@dataclass(frozen=True, kw_only=True)
class TuningRecipe:
    """Everything that decides what a fine-tuning gives, beside the data.

    Attributes:
        recipe: ``fine-tuning``, which tells it from recipes of other kinds.
        name: of the model.
        modality: ``speech`` or ``text``.
        encoder: a model of the hub or a folder; only its encoder is used.
        loss: ``weighted-cross-entropy`` or ``focal`` for emotions, ``concordance`` for dimensions.
        labels: emotions in the order of the outputs; empty for those of the training data.
        dimensions: outputs where the loss is ``concordance``.
        dimension_range: lowest and highest value in the data; the model gives 0 to 1.
        focal_gamma: of the focal loss.
        class_weights: whether a class weighs ``N / (K n_c)``; else all weigh the same. ``drawn``
            counts the utterances as they are drawn.
        sampling: one of `emocli.training.samplers.SAMPLINGS`.
        crop_seconds: only so much of a recording is heard, from its beginning; 0 for all.
        tiled: whether shorter recordings are repeated up to ``crop_seconds``, in training and in
            the evaluations.
        max_tokens: of a text, with those that mark its ends.
        frozen: ``nothing``, ``front-end`` (the convolutions over samples) or ``encoder``.
        masking: whether stretches of frames are masked in training, as the encoder's configuration
            says.
        pooling: ``attentive-statistics`` as in the challenges' baselines, or ``mean`` for the
            layout of ``Wav2Vec2ForSequenceClassification``: a projection of ``hidden`` channels,
            the mean over time and one output layer, on waveforms that are standardised as the
            encoder's preprocessor says.
        hidden: width of the head's layers.
        residual_blocks: layers with a skip connection after the first one.
        dropout: of the head.
        attention_penalty: weight of the squares of the pooling's attention, which then has no
            weight decay.
        epochs: at most.
        micro_batch: utterances that go through the network at once.
        accumulation: micro-batches of a step.
        loss_over: one of `emocli.training.fitting.LOSS_OVER`.
        drop_last: leave out an epoch's last step if it is incomplete.
        learning_rate: of the encoder.
        pooling_rate: learning rate of the pooling.
        head_rate: learning rate of the head.
        weight_decay: decoupled, of AdamW.
        schedule: one of `emocli.training.schedules.SCHEDULES`.
        warm_up: share of the steps in which the learning rate rises.
        final_rate: where the schedule ends, as a share of the learning rate.
        clip_norm: longest gradient; 0 for no limit.
        precision: ``fp32``, or ``mixed`` for half precision on CUDA.
        select: figure of the development set that makes the best epoch.
        evaluate_every: steps between evaluations; 0, or more than an epoch has, for one after each
            epoch.
        patience: evaluations without a better one that end the training; 0 for no end.
        seed: of all chance.
        dev_share: of the speakers for development, where the data have no column ``split``.
        allow_unknown_speakers: go on where the data do not say who speaks.
        save_every_minutes: between two states of the training.
        workers: threads that read ahead.
        licence: of the weights.
        description: what the model is, for its card.
    """

    recipe: str
    name: str
    modality: str
    encoder: str
    loss: str
    labels: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = DIMENSIONS
    dimension_range: tuple[float, ...] = (1.0, 7.0)
    focal_gamma: float = 2.0
    class_weights: bool | str = True
    sampling: str = "shuffle"
    crop_seconds: float = 12.0
    tiled: bool = False
    max_tokens: int = 128
    frozen: str = "front-end"
    masking: bool = True
    pooling: str = "attentive-statistics"
    hidden: int = 1024
    residual_blocks: int = 0
    dropout: float = 0.5
    attention_penalty: float = 0.0
    epochs: int = 20
    micro_batch: int = 8
    accumulation: int = 4
    loss_over: str = "step"
    drop_last: bool = False
    learning_rate: float = 1e-5
    pooling_rate: float = 1e-5
    head_rate: float = 1e-5
    weight_decay: float = 0.01
    schedule: str = "constant"
    warm_up: float = 0.0
    final_rate: float = 0.0
    clip_norm: float = 0.0
    precision: str = "fp32"
    select: str = "macro_f1"
    evaluate_every: int = 0
    patience: int = 0
    seed: int = 7
    dev_share: float = 0.2
    allow_unknown_speakers: bool = False
    save_every_minutes: float = 10.0
    workers: int = 2
    licence: str = ""
    description: str = ""

    @property
    def is_dimensional(self) -> bool:
        """Whether it predicts dimensions and not emotions."""
        return self.loss == CONCORDANCE

    def fit_options(self, precision: str) -> FitOptions:
        """How the loop shall train.

        Args:
            precision: ``fp32``, ``bf16`` or ``fp16``, as the device and the user want it.
        """
        return FitOptions(
            groups=self._groups(),
            epochs=self.epochs,
            micro_batch=self.micro_batch,
            accumulation=self.accumulation,
            loss_over=self.loss_over,
            schedule=self.schedule,
            warm_up=self.warm_up,
            final_rate=self.final_rate,
            precision=precision,
            clip_norm=self.clip_norm,
            seed=self.seed,
            select=self.select,
            evaluate_every=self.evaluate_every,
            patience=self.patience,
            drop_last=self.drop_last,
            save_every_minutes=self.save_every_minutes,
            workers=self.workers,
        )

    def _groups(self) -> tuple[GroupOptions, ...]:
        def group(name: str, rate: float, *prefixes: str, decay: bool = True) -> GroupOptions:
            weight_decay = self.weight_decay if decay else 0.0
            return GroupOptions(
                name=name, prefixes=prefixes, learning_rate=rate, weight_decay=weight_decay
            )

        if self.modality == "text":
            return (
                group("encoder", self.learning_rate, "roberta."),
                group("head", self.head_rate, "classifier."),
            )
        penalized = (group("attention", self.pooling_rate, *PENALIZED, decay=False),)
        return (
            *(penalized if self.attention_penalty else ()),
            group("encoder", self.learning_rate, "ssl_model."),
            group("pooling", self.pooling_rate, "pool_model."),
            group("head", self.head_rate, "ser_model.", "projector.", "classifier."),
        )


def parse_tuning_recipe(content: Mapping[str, Any], name: str) -> TuningRecipe:
    """A recipe from the content of its file.

    Args:
        content: as `tomllib` gives it.
        name: what to call the recipe in an error.

    Raises:
        RecipeError: a key is unknown, missing or of the wrong type, or has no sense.
    """
    recipe: TuningRecipe = build(TuningRecipe, content, "", name)
    _check_outputs(recipe, content, name)
    losses = (*CATEGORICAL_LOSSES, CONCORDANCE)
    figures = (
        ("ccc", *(f"ccc_{one}" for one in recipe.dimensions))
        if recipe.is_dimensional
        else ("macro_f1", "uar", "accuracy")
    )
    choices = {
        "recipe": (RECIPE_KIND,),
        "modality": ("speech", "text"),
        "loss": losses,
        "sampling": SAMPLINGS if not recipe.is_dimensional else ("shuffle",),
        "class_weights": CLASS_WEIGHTS,
        "frozen": FROZEN,
        "pooling": POOLINGS,
        "loss_over": LOSS_OVER,
        "schedule": SCHEDULES,
        "precision": PRECISIONS,
        "select": figures,
    }
    check_choices(recipe, choices, name)
    _check_numbers(recipe, name)
    check_labels(recipe.labels, name)
    return recipe


def _check_outputs(recipe: TuningRecipe, content: Mapping[str, Any], name: str) -> None:
    """Refuse labels for dimensions and dimensions for labels, which would be passed over."""
    idle = ("labels",) if recipe.is_dimensional else ("dimensions", "dimension_range")
    outputs = "dimensions" if recipe.is_dimensional else "labels"
    for key in idle:
        if key in content:
            raise RecipeError(
                f"{name}: {key} is set, and the loss {recipe.loss} is for {outputs}. Delete "
                f"{key}, or change the loss."
            )


def _check_numbers(recipe: TuningRecipe, name: str) -> None:
    effective = recipe.micro_batch * recipe.accumulation
    known = set(recipe.dimensions) <= set(DIMENSIONS) and recipe.dimensions
    low_high = recipe.dimension_range
    rules: tuple[Rule, ...] = (
        (len(recipe.labels) != 1, "labels", recipe.labels, "two or more, or none for all"),
        (bool(known), "dimensions", ", ".join(recipe.dimensions),
         f"some of {', '.join(DIMENSIONS)}"),
        (len(low_high) == 2 and low_high[0] < low_high[1], "dimension_range", list(low_high),
         "a low and a higher number"),
        (recipe.epochs >= 1, "epochs", recipe.epochs, "1 or more"),
        (recipe.micro_batch >= 1, "micro_batch", recipe.micro_batch, "1 or more"),
        (recipe.accumulation >= 1, "accumulation", recipe.accumulation, "1 or more"),
        (not recipe.is_dimensional or effective >= SMALLEST_CONCORDANCE, "micro_batch",
         f"{recipe.micro_batch} and accumulation {recipe.accumulation}",
         f"a product of {SMALLEST_CONCORDANCE} or more for CCC"),
        (recipe.hidden >= 1, "hidden", recipe.hidden, "1 or more"),
        (not recipe.tiled or recipe.crop_seconds > 0, "crop_seconds", recipe.crop_seconds,
         "above 0 to tile recordings"),
        *((recipe.pooling != "mean" or not value, key, value, "0 with pooling mean")
          for key, value in (("residual_blocks", recipe.residual_blocks),
                             ("dropout", recipe.dropout),
                             ("attention_penalty", recipe.attention_penalty))),
        (recipe.residual_blocks >= 0, "residual_blocks", recipe.residual_blocks, "0 or more"),
        (0 <= recipe.dropout < 1, "dropout", recipe.dropout, "from 0 to below 1"),
        (0 <= recipe.warm_up < 1, "warm_up", recipe.warm_up, "from 0 to below 1"),
        (0 <= recipe.final_rate <= 1, "final_rate", recipe.final_rate, "from 0 to 1"),
        (0 < recipe.dev_share < 1, "dev_share", recipe.dev_share, "above 0 and below 1"),
        (recipe.max_tokens >= 3, "max_tokens", recipe.max_tokens, "3 or more"),
        (recipe.focal_gamma >= 0, "focal_gamma", recipe.focal_gamma, "0 or more"),
        (min(recipe.crop_seconds, recipe.patience, recipe.clip_norm, recipe.evaluate_every,
             recipe.workers, recipe.attention_penalty, recipe.save_every_minutes) >= 0,
         "a number", "negative", "0 or more"),
        (min(recipe.learning_rate, recipe.pooling_rate, recipe.head_rate) >= 0, "a learning rate",
         "negative", "0 or more"),
    )  # fmt: skip
    check_rules(rules, name)
