"""What `emocli train` shows: the plan of a fine-tuning, and how it went."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from emocli.cli.console import Talk, out, plain
from emocli.metrics.registry import title
from emocli.report.svg import counted
from emocli.training.examples import PARTS
from emocli.training.plan import memory_lines

if TYPE_CHECKING:
    from emocli.pipeline.crossmodal import NetworkPlan, Prepared, Trained
    from emocli.pipeline.tuning import Plan, Tuned
    from emocli.training.examples import Examples


def show_plan(plan: "Plan") -> None:
    """Print a plan on standard output, a fact on each line."""
    _show_facts(plan_lines(plan))


def _show_facts(facts: Sequence[tuple[str, str]]) -> None:
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, plain(value))
    out().print(table)


def plan_lines(plan: "Plan") -> list[tuple[str, str]]:
    """The facts of a plan, names and values."""
    prepared = plan.prepared
    recipe, examples = prepared.recipe, prepared.examples
    options = recipe.fit_options(prepared.precision)
    n_steps = plan.steps_per_epoch * recipe.epochs
    rates = ", ".join(f"{group.name} {group.learning_rate:g}" for group in options.groups)
    rising = f", warm-up over {recipe.warm_up:.0%} of the steps" if recipe.warm_up else ""
    return [
        ("recipe", recipe.name),
        ("encoder", f"{recipe.encoder} ({recipe.modality}), frozen: {recipe.frozen}"),
        ("gives", ", ".join(examples.names)),
        *_data_lines(plan),
        ("parameters", f"{plan.n_trained:,} trained, {plan.n_frozen:,} frozen"),
        ("loss", recipe.loss),
        ("steps", f"{n_steps:,}: {recipe.epochs} epochs of {plan.steps_per_epoch:,}, each of "
         f"{recipe.accumulation} x {recipe.micro_batch} utterances"),
        ("learning rates", f"{rates}; {recipe.schedule}{rising}"),
        ("computes on", f"{prepared.device} in {prepared.precision}"),
        *[(f"memory, {name}", size) for name, size in memory_lines(plan.memory)],
    ]  # fmt: skip


def _data_lines(plan: "Plan") -> list[tuple[str, str]]:
    prepared = plan.prepared
    recipe, weights = prepared.recipe, None
    if not recipe.is_dimensional:
        weights = prepared.weights.tolist()
    return _part_lines(prepared.examples, weights)


def _part_lines(
    examples: "Examples", class_weights: Sequence[float] | None
) -> list[tuple[str, str]]:
    """Who trains and judges; class weights are None for dimensions."""
    lines = []
    for part in PARTS:
        if not len(examples.parts[part]):
            continue
        said = f"{counted(len(examples.parts[part]), 'utterance')}, {examples.voices(part)}"
        if class_weights is not None:
            counts = zip(examples.counts(part), examples.names, strict=True)
            said += f": {', '.join(f'{n:,} {name}' for n, name in counts)}"
        lines.append((part, said))
    if class_weights is not None:
        weights = zip(examples.names, class_weights, strict=True)
        lines.append(("class weights", ", ".join(f"{name} {w:.4g}" for name, w in weights)))
    if examples.left_out:
        said = ", ".join(f"{n:,} with {why}" for why, n in examples.left_out.items())
        lines.append(("left out", said))
    return lines


def tell_tuned(talk: Talk, tuned: "Tuned") -> None:
    """Say how a fine-tuning went and where its model is."""
    history, recipe = tuned.history, tuned.prepared.recipe
    left_out = tuned.prepared.examples.left_out
    if left_out:
        said = ", ".join(f"{counted(n, 'row')} with {why}" for why, n in left_out.items())
        talk.say(f"Left out {said}")
    n_cut = sum(tuned.heard.n_cut.values()) if tuned.heard else 0
    if n_cut:
        talk.say(f"Heard only the first {recipe.crop_seconds:g} s of {counted(n_cut, 'recording')}")
    if history.stopped_early:
        talk.say(f"Stopped early: nothing better in {counted(recipe.patience, 'evaluation')}")
    best = history.evaluations[history.best]
    figures = ", ".join(f"{title(name)} {value:.3f}" for name, value in best.figures.items())
    last = history.evaluations[-1].epoch
    talk.say(f"Best after epoch {best.epoch:.4g} of {last:.4g}: {figures} on dev")
    talk.say(f"Wrote the model to {tuned.folder}; predict with -m {tuned.folder}")


def show_crossmodal_plan(prepared: "Prepared", plans: "Sequence[NetworkPlan]") -> None:
    """Print what the training of cross-modal networks would take, a fact on each line."""
    _show_facts(crossmodal_lines(prepared, plans))


def crossmodal_lines(prepared: "Prepared", plans: "Sequence[NetworkPlan]") -> list[tuple[str, str]]:
    """The facts of a plan, names and values."""
    from emocli.training.losses import class_weights

    recipe, examples = prepared.recipe, prepared.examples
    n_folds = recipe.folds if prepared.has_folds else 0
    largest = max(plans, key=lambda plan: plan.memory.total)
    counts = examples.counts("train").tolist()
    weights = class_weights(counts).tolist() if recipe.class_weights else [1.0] * len(counts)
    lines = [
        ("recipe", recipe.name),
        ("gives", ", ".join(examples.names)),
        *_part_lines(examples, weights),
    ]
    for plan in plans:
        network = plan.network
        encoders = ", ".join(
            f"{source.encoder} ({dim})"
            for source, dim in zip(recipe.sources(network), plan.dims, strict=True)
        )
        lines.append(
            (network.name, f"{encoders}; design {network.design}, {network.drawn}; "
             f"{plan.n_parameters:,} parameters; {plan.n_steps:,} steps")
        )  # fmt: skip
    if recipe.is_stack:
        learned = {
            "folds": f"outputs for unheard speakers, for which each network is trained {n_folds} "
            f"more times without a fold of them",
            "dev": "outputs for dev",
            "train": "outputs for what the networks were trained on",
        }[recipe.stack_on]
        lines.append(("stack", f"five forests on {learned}"))
    options = recipe.fit_options(largest.network, prepared.precision)
    return [
        *lines,
        ("learning rate", f"{recipe.learning_rate:g}; {recipe.schedule}"),
        ("step", f"{options.accumulation} x {options.micro_batch} utterances"),
        ("computes on", f"{prepared.device} in {prepared.precision}"),
        ("features", str(prepared.cache)),
        *[(f"memory, {name}", size) for name, size in memory_lines(largest.memory)],
    ]


def tell_crossmodal(talk: Talk, trained: "Trained") -> None:
    """Say how the training of cross-modal networks went and where the model is."""
    left_out = trained.prepared.examples.left_out
    if left_out:
        said = ", ".join(f"{counted(n, 'row')} with {why}" for why, n in left_out.items())
        talk.say(f"Left out {said}")
    for outcome in trained.outcomes:
        best = outcome.history.evaluations[outcome.history.best]
        talk.say(f"{outcome.network.name}: {_figures(best.figures)} on dev after epoch "
                 f"{best.epoch:.4g} of {outcome.history.evaluations[-1].epoch:.4g}")  # fmt: skip
    if trained.stacked is not None:
        talk.say(f"stack: {_figures(trained.stacked)} on dev")
    talk.say(f"Wrote the model to {trained.folder}; predict with -m {trained.folder}")


def _figures(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{title(name)} {value:.3f}" for name, value in figures.items())
