"""Whole runs: train all members on a part of the speakers, score the others, fit a temperature."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from emocli.networks.compact import (
    CLIP_DEVIATIONS,
    CompactConfig,
    CompactNetwork,
    Convolutional,
    MemberConfig,
    Perceptron,
    combine,
    make_member,
)
from emocli.networks.logmel import pad_frames
from emocli.training.batches import Draws, FrameBatches, FunctionalBatches
from emocli.training.data import Split, Utterance, check_speakers
from emocli.training.export import write_tensors
from emocli.training.features import Features, write_array
from emocli.training.loop import train_member
from emocli.training.progress import Progress
from emocli.training.recipe import MemberRecipe, Recipe
from emocli.training.temperature import fit_temperature
from emocli.training.whitening import discriminant, whitening_matrix

SCORING_BATCH = 32


@dataclass(frozen=True)
class Data:
    """What every run of a recipe shares.

    Attributes:
        recipe: what to do.
        utterances: what to do it with.
        features: of the utterances, in their order.
        work: folder for checkpoints and scores.
        remarks: sentences for the user.
    """

    recipe: Recipe
    utterances: Sequence[Utterance]
    features: Features
    work: Path
    remarks: tuple[str, ...] = ()

    def path(self, split: Split, member: int, suffix: str) -> Path:
        """A file of a member's run; its name changes with the recipe and with who is trained on."""
        who = [f"{self.utterances[i].file} {self.utterances[i].label}" for i in split.train]
        key = sha256("\n".join([self.recipe.fingerprint, *who]).encode()).hexdigest()[:16]
        name = self.recipe.member_fingerprint(member)
        return self.work / f"{split.name}-{key}" / f"{name}{suffix}"


def network_config(recipe: Recipe) -> CompactConfig:
    """The shape of a recipe's network."""
    shapes = {field.name for field in dataclasses.fields(MemberConfig)}
    members = []
    for member in recipe.members:
        own = {k: v for k, v in dataclasses.asdict(member).items() if k in shapes}
        if member.kind == "discriminant":
            own["hidden"] = ()
        members.append(MemberConfig(n_outputs=len(recipe.trained_labels), **own))
    return CompactConfig(labels=recipe.labels, members=tuple(members), front_end=recipe.front_end)


def train(data: Data, split: Split, progress: Progress | None = None) -> CompactNetwork:
    """A network trained on a split's training part, from its checkpoints where there are some.

    Args:
        data: recipe, utterances and features.
        split: whom to train on.
        progress: what to tell.

    Raises:
        RecipeError: somebody is on both sides of the split, or a checkpoint is damaged.
    """
    check_speakers(split, data.utterances)
    network = CompactNetwork(network_config(data.recipe))
    for index, options in enumerate(data.recipe.members):
        done = data.path(split, index, ".safetensors")
        if done.is_file():
            network.members[index].load_state_dict(load_file(done))
            continue
        phase = f"{split.name}, member {index + 1} of {len(data.recipe.members)}"
        state = data.path(split, index, ".pt")
        seed = int(np.random.SeedSequence([data.recipe.seed, index]).generate_state(1)[0])
        _train_member(network.members[index], data, split, options, seed, state, phase, progress)
        write_tensors(done, network.members[index].state_dict())
        state.unlink(missing_ok=True)
    return network.eval()


def _train_member(
    member: nn.Module,
    data: Data,
    split: Split,
    options: MemberRecipe,
    seed: int,
    state: Path,
    phase: str,
    progress: Progress | None,
) -> None:
    recipe, features = data.recipe, data.features
    draws = Draws(data.utterances, split.train, recipe, options, features.n_copies)
    n_labels = len(recipe.labels)
    torch.manual_seed(seed)
    if isinstance(member, Convolutional):
        fresh = make_member(member_config(recipe, options), recipe.front_end)
        member.load_state_dict(fresh.state_dict())
        frames = FrameBatches(features, draws, options, recipe.front_end.n_mels)
        train_member(
            member, frames, options, n_labels, seed=seed, state=state, phase=phase,
            progress=progress,
        )  # fmt: skip
        return
    assert isinstance(member, Perceptron)
    member.load_state_dict(
        make_member(member_config(recipe, options), recipe.front_end).state_dict()
    )
    inputs, matrix = _whitened(member, data, split, options)
    if options.kind == "discriminant":
        labels = [recipe.trained_labels.index(u.label) for u in data.utterances]
        kept = [i for i in split.train if labels[i] < n_labels]
        weight, bias = discriminant(inputs[0, kept], np.array(labels)[kept])
        _set_classifier(member, weight @ matrix.T, bias, n_labels)
        return
    functionals = FunctionalBatches(inputs, draws, options)
    train_member(
        member.layers, functionals, options, n_labels, seed=seed, state=state, phase=phase,
        progress=progress,
    )  # fmt: skip
    member.eval()
    first = next(layer for layer in member.layers if isinstance(layer, nn.Linear))
    with torch.no_grad():  # from now on the member takes functionals as they are
        first.weight.copy_(first.weight @ torch.from_numpy(matrix).T)


def _set_classifier(
    member: Perceptron, weight: NDArray[np.float32], bias: NDArray[np.float32], n_labels: int
) -> None:
    """Put a linear classifier in a member without hidden layers; auxiliary outputs are 0."""
    classifier = member.layers[-1]
    assert isinstance(classifier, nn.Linear)
    with torch.no_grad():
        classifier.weight.zero_()
        classifier.bias.zero_()
        classifier.weight[:n_labels] = torch.from_numpy(weight)
        classifier.bias[:n_labels] = torch.from_numpy(bias)


def member_config(recipe: Recipe, options: MemberRecipe) -> MemberConfig:
    """The shape of one member of a recipe's network."""
    return network_config(recipe).members[recipe.members.index(options)]


def _whitened(
    member: Perceptron, data: Data, split: Split, options: MemberRecipe
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Whitened functionals of everybody, and the matrix that made them so."""
    functionals = data.features.functionals
    own = functionals[0, list(split.train)]
    mean, deviation = own.mean(0), own.std(0) + 1e-6
    with torch.no_grad():
        member.mean.copy_(torch.from_numpy(mean))
        member.deviation.copy_(torch.from_numpy(deviation))
    scaled = ((functionals - mean) / deviation).clip(-CLIP_DEVIATIONS, CLIP_DEVIATIONS)
    predicted = [i for i in split.train if data.utterances[i].label in data.recipe.labels]
    matrix = whitening_matrix(
        scaled[:, predicted],
        [data.utterances[i].label for i in predicted],
        options.whitening,
        options.whitening_ridge,
    )
    return np.asarray(scaled @ matrix, dtype=np.float32), matrix


@torch.no_grad()
def member_scores(
    network: CompactNetwork, features: Features, indices: Sequence[int]
) -> NDArray[np.float32]:
    """Logits of every member for unaltered utterances.

    Returns:
        Shape (n_members, n_indices, n_outputs).
    """
    frames = features.frames[0]
    order = sorted(range(len(indices)), key=lambda place: len(frames[indices[place]]))
    n_outputs = network.config.members[0].n_outputs
    scores = np.zeros((len(network.members), len(indices), n_outputs), np.float32)
    for start in range(0, len(order), SCORING_BATCH):
        places = order[start : start + SCORING_BATCH]
        chosen = [indices[place] for place in places]
        batch = [torch.from_numpy(frames[index].astype(np.float32)) for index in chosen]
        padded, valid = pad_frames(batch)
        functionals = torch.from_numpy(features.functionals[0, chosen])
        for number, member in enumerate(network.members):
            inputs = (padded, valid) if isinstance(member, Convolutional) else (functionals,)
            scores[number, places] = member(*inputs).numpy()
    return scores


def held_out_scores(
    data: Data, splits: Sequence[Split], progress: Progress | None = None
) -> tuple[list[int], NDArray[np.float32]]:
    """Members' logits for everybody who is held out in some split, by who has not heard them.

    Args:
        data: recipe, utterances and features.
        splits: each is trained for, unless its scores are there already.
        progress: what to tell.

    Returns:
        Indices of utterances, and scores of shape (n_members, n_indices, n_outputs).
    """
    indices: list[int] = []
    scores = []
    for split in splits:
        paths = [data.path(split, i, ".npy") for i in range(len(data.recipe.members))]
        if all(path.is_file() for path in paths):
            found = np.stack([np.load(path) for path in paths])
        else:
            network = train(data, split, progress)
            found = member_scores(network, data.features, split.held_out)
            for path, own in zip(paths, found, strict=True):
                write_array(path, own)
        indices += split.held_out
        scores.append(found)
    return indices, np.concatenate(scores, axis=1)


def predicted(
    data: Data, indices: Sequence[int], scores: NDArray[np.float32]
) -> tuple[list[int], NDArray[np.float64], NDArray[np.intp]]:
    """The network's logits at temperature 1 for utterances whose label it can predict.

    Args:
        data: names labels.
        indices: of utterances.
        scores: of members, shape (n_members, n_indices, n_outputs).

    Returns:
        Indices of utterances, logits of shape (n, n_labels), and the true labels, shape (n,).
    """
    labels = data.recipe.labels
    kept = [p for p, index in enumerate(indices) if data.utterances[index].label in labels]
    chosen = [indices[place] for place in kept]
    members = [torch.from_numpy(own[kept]) for own in scores]
    logits = combine(members, network_config(data.recipe)).numpy().astype(np.float64)
    truth = np.array([labels.index(data.utterances[index].label) for index in chosen])
    return chosen, logits, truth


def temperature_of(data: Data, splits: Sequence[Split], progress: Progress | None) -> float:
    """The recipe's temperature, fitted to held-out speakers if it says so."""
    if isinstance(data.recipe.temperature, float):
        return data.recipe.temperature
    _, logits, truth = predicted(data, *held_out_scores(data, splits, progress))
    return fit_temperature(logits, truth)
