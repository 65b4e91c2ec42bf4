"""A small task for the loop: three clouds of points, told apart or placed."""

import numpy as np
import torch
from torch import nn

from emocli.errors import RecipeError
from emocli.metrics.classification import confusion, macro_f1, unweighted_average_recall
from emocli.metrics.regression import concordance_cc
from emocli.training.fitting import FitOptions, GroupOptions
from emocli.training.objectives import Categorical
from emocli.training.samplers import Sampler

N_TRAIN = 120


def network(dropout=0.2):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3))


def options(learning_rate=0.03, **settings):
    settings = {"groups": (GroupOptions(name="all", learning_rate=learning_rate),), **settings}
    return FitOptions(**{"epochs": 4, "micro_batch": 32, **settings})


class Points:
    """Points around the corners of a triangle; 120 to train on and 30 to judge by."""

    identity = "points"

    def __init__(self, objective=None, *, dimensional=False):
        rng = np.random.default_rng(0)
        labels = rng.choice(3, N_TRAIN + 30, p=[0.2, 0.5, 0.3])
        corners = np.array([[0, 1], [1, -1], [-1, -1]])
        self.points = (corners[labels] + rng.normal(0, 0.6, (len(labels), 2))).astype(np.float32)
        values = np.eye(3)[labels] + rng.normal(0, 0.1, (len(labels), 3))
        truth = values.astype(np.float32) if dimensional else labels
        self.targets, self.truth = torch.from_numpy(truth[:N_TRAIN]), truth[N_TRAIN:]
        self.objective = objective or Categorical(torch.ones(3))
        self.sampler = Sampler(N_TRAIN)
        self.dimensional = dimensional
        self.two_outputs = self.broken = False
        self.fixed = self.series = None
        self.seen = []

    def inputs(self, indices):
        if self.broken:
            raise RecipeError("no such recording.")
        self.seen.append(indices)
        return (torch.from_numpy(self.points[indices]),)

    def score(self, net):
        with torch.inference_mode():
            outputs = net(torch.from_numpy(self.points[N_TRAIN:]))
        return (outputs[0] if self.two_outputs else outputs).double().numpy()

    def figures(self, scores):
        if self.series is not None:
            return {"macro_f1": next(self.series)}
        if self.fixed is not None:
            return self.fixed
        if self.dimensional:
            return {
                "ccc": np.mean(
                    [concordance_cc(t, p) for t, p in zip(self.truth.T, scores.T, strict=True)]
                )
            }
        counts = confusion(self.truth, scores.argmax(1), 3)
        return {"macro_f1": macro_f1(counts), "uar": unweighted_average_recall(counts)}
