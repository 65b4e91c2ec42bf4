import dataclasses
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fitting_task import Points, network, options
from torch import nn

from emocli.errors import RecipeError
from emocli.training.fitting import BEST, STATE, GroupOptions, _ahead, _Run, fit, grouped
from emocli.training.objectives import Categorical, Dimensional
from emocli.training.samplers import make_sampler


def weights(net):
    return {name: values.clone() for name, values in net.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def close(one, other, **tolerance):
    return all(torch.allclose(one[name], other[name], **tolerance) for name in one)


def fitted(folder, task=None, net=None, progress=None, **settings):
    net = net or network()
    history = fit(net, task or Points(), options(**settings), folder=folder, progress=progress)
    return weights(net), history


def test_it_learns_and_keeps_the_best_epoch(tmp_path):
    _, history = fitted(tmp_path)
    losses = [item.loss for item in history.evaluations]
    assert len(losses) == 4
    assert losses[-1] < 0.7 * losses[0]
    best = history.evaluations[history.best].figures["macro_f1"]
    assert best == max(item.figures["macro_f1"] for item in history.evaluations)
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines[0] == "step,epoch,loss,learning_rate,macro_f1,uar,best"
    assert [line[-2:] for line in lines[1:]].count(",1") == 1
    assert lines[1].startswith("4,1.0,")


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    fitted(tmp_path / "a")
    torch.manual_seed(99)
    np.random.seed(99)
    fitted(tmp_path / "b")
    fitted(tmp_path / "c", seed=8)
    first, second, third = ((tmp_path / n / BEST).read_bytes() for n in "abc")
    assert first == second
    assert first != third
    states = [torch.load(tmp_path / n / STATE, weights_only=True)["network"] for n in "ab"]
    assert same(*states)


def test_nobody_elses_chance_is_disturbed(tmp_path):
    torch.manual_seed(1)
    np.random.seed(1)
    expected = torch.rand(1).item(), np.random.rand()
    torch.manual_seed(1)
    np.random.seed(1)
    fitted(tmp_path, net=network(), epochs=1)
    torch.manual_seed(1)
    assert (torch.rand(1).item(), np.random.rand()) == expected


@pytest.mark.parametrize("loss", ["weighted-cross-entropy", "focal"])
def test_four_micro_batches_of_eight_are_one_of_32(tmp_path, loss):
    task = Points(objective=Categorical(torch.tensor([0.2, 1.7, 3.0]), loss=loss))
    one, _ = fitted(tmp_path / "a", task, network(0.0), micro_batch=32, accumulation=1)
    other, _ = fitted(tmp_path / "b", task, network(0.0), micro_batch=8, accumulation=4)
    assert close(one, other, atol=2e-6)


def test_a_concordance_is_that_of_the_whole_step(tmp_path):
    task = Points(objective=Dimensional(), dimensional=True)
    settings = {"select": "ccc", "drop_last": True}
    one, history = fitted(tmp_path / "a", task, network(0.0), micro_batch=32, **settings)
    other, _ = fitted(tmp_path / "b", task, network(0.0), micro_batch=8, accumulation=4, **settings)
    alone, _ = fitted(tmp_path / "c", task, network(0.0), micro_batch=8, **settings)
    assert close(one, other, atol=2e-6)
    assert not close(one, alone, atol=1e-3)
    assert history.evaluations[-1].loss < history.evaluations[0].loss


def test_dropout_is_the_same_in_both_passes_of_a_whole_step(tmp_path):
    task = Points(objective=Dimensional(), dimensional=True)
    seen = []

    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network(0.5)

        def forward(self, inputs):
            outputs = self.inner(inputs)
            if self.training:
                seen.append(outputs.detach())
            return outputs

    fitted(tmp_path, task, Watched(), micro_batch=8, accumulation=2, epochs=1, select="ccc")
    assert torch.equal(seen[0], seen[2])
    assert torch.equal(seen[1], seen[3])
    assert not torch.equal(seen[0], seen[1])


def test_the_soft_margin_is_weighted_by_numbers_and_the_labels_by_their_weights(tmp_path):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network(0.0)

        def forward(self, inputs):
            logits = self.inner(inputs)
            return logits, logits[:, :1] - logits[:, 1:2]

    task = Points(objective=Categorical(torch.tensor([0.2, 1.7, 3.0]), neutral=0))
    task.two_outputs = True
    one, _ = fitted(tmp_path / "a", task, Two(), micro_batch=32)
    other, _ = fitted(tmp_path / "b", task, Two(), micro_batch=8, accumulation=4)
    assert close(one, other, atol=2e-6)


def test_a_penalty_counts_once_in_a_step(tmp_path):
    weights_of_classes = torch.ones(3)
    plain = Points(objective=Categorical(weights_of_classes))
    held = Points(objective=Categorical(weights_of_classes, penalized=["0.weight"], penalty=10.0))
    loose, _ = fitted(tmp_path / "a", plain)
    one, _ = fitted(tmp_path / "b", held, network(0.0), micro_batch=32)
    other, _ = fitted(tmp_path / "c", held, network(0.0), micro_batch=8, accumulation=4)
    assert close(one, other, atol=2e-6)
    assert one["0.weight"].square().sum() < 0.7 * loose["0.weight"].square().sum()


def test_half_precision_learns_on_a_cpu(tmp_path):
    for precision in ("bf16", "fp16"):
        got, history = fitted(tmp_path / precision, precision=precision)
        losses = [item.loss for item in history.evaluations]
        assert losses[-1] < 0.7 * losses[0]
        assert all(values.dtype == torch.float32 for values in got.values())
    full, _ = fitted(tmp_path / "full")
    assert not same(got, full)


def test_groups_have_rates_and_decays_of_their_own(tmp_path):
    groups = (
        GroupOptions(name="first", prefixes=("0.",), learning_rate=0.0, weight_decay=0.5),
        GroupOptions(name="rest", prefixes=("",), learning_rate=0.03, weight_decay=0.0),
    )
    start = weights(network())
    got, history = fitted(tmp_path, groups=groups)
    assert torch.equal(got["0.weight"], start["0.weight"])
    assert not torch.equal(got["3.weight"], start["3.weight"])
    assert history.evaluations[0].learning_rate == 0.03
    named = [(group.name, len(own)) for group, own in grouped(network(), groups)]
    assert named == [("first", 2), ("rest", 2)]


def test_parameters_in_no_group_are_an_error():
    with pytest.raises(ValueError, match=r"^parameter 3.weight is in no group\.$"):
        grouped(network(), [GroupOptions(name="first", prefixes=("0.",))])
    with pytest.raises(ValueError, match=r"^no parameter requires a gradient\.$"):
        grouped(network().requires_grad_(False), [GroupOptions(name="all")])


def test_frozen_parameters_stay(tmp_path):
    net = network()
    net[0].requires_grad_(False)
    start = weights(net)
    got, _ = fitted(tmp_path, net=net)
    assert torch.equal(got["0.weight"], start["0.weight"])


def test_a_long_gradient_is_clipped(tmp_path):
    start = weights(network(0.0))
    moved = []
    for clip in (0.0, 1e-9):
        got, _ = fitted(tmp_path / str(clip), net=network(0.0), clip_norm=clip, epochs=1)
        moved.append(float((got["0.weight"] - start["0.weight"]).abs().max()))
    assert moved[1] < 0.5 * moved[0]  # epsilon of AdamW is no longer small beside the gradient


def test_a_schedule_moves_all_rates(tmp_path):
    _, history = fitted(tmp_path, schedule="cosine-by-epoch", final_rate=0.1)
    rates = [round(item.learning_rate / 0.03, 4) for item in history.evaluations]
    assert rates == [1.0, 0.8682, 0.55, 0.2318]


def test_evaluations_by_steps_and_an_early_stop(tmp_path):
    _, history = fitted(tmp_path / "a", evaluate_every=3, epochs=2)
    assert [item.step for item in history.evaluations] == [3, 6, 8]
    _, history = fitted(tmp_path / "c", evaluate_every=50, epochs=2)
    assert [item.step for item in history.evaluations] == [4, 8]
    task = Points()
    task.fixed = {"macro_f1": 0.5}
    _, history = fitted(tmp_path / "b", task, patience=2, epochs=9)
    assert history.stopped_early
    assert (len(history.evaluations), history.best) == (3, 0)
    _, history = fitted(tmp_path / "b", task, patience=2, epochs=9)
    assert len(history.evaluations) == 3


def test_a_figure_that_is_no_number_beats_nothing(tmp_path):
    task = Points()
    task.series = iter([np.nan, 0.2, np.nan, 0.2])
    _, history = fitted(tmp_path, task)
    assert history.best == 1


def test_samplers_decide_who_is_seen(tmp_path):
    task = Points()
    labels = task.targets.numpy()
    task.sampler = make_sampler("neutral-expressive", labels, ("neutral", "happy", "sad"))
    fitted(tmp_path, task, epochs=1)
    seen = np.concatenate(task.seen)
    assert len(seen) == 120
    assert abs((labels[seen] == 0).mean() - 0.5) < 0.1


def test_threads_that_read_ahead_change_nothing(tmp_path):
    inline, _ = fitted(tmp_path / "a")
    ahead, _ = fitted(tmp_path / "b", workers=2)
    assert same(inline, ahead)


def test_what_fails_in_a_thread_is_raised(tmp_path):
    task = Points()
    task.broken = True
    with pytest.raises(RecipeError, match=r"^no such recording\.$"):
        fitted(tmp_path, task, workers=2)


def test_an_incomplete_step_can_be_left_out(tmp_path):
    task = Points()
    fitted(tmp_path, task, micro_batch=50, drop_last=True, epochs=1)
    assert [len(part) for part in task.seen] == [50, 50]


class _Stop(Exception):
    pass


@pytest.mark.parametrize(
    ("settings", "saved"),
    [({}, 8), ({"save_every_steps": 3}, 12), ({"save_every_minutes": 1e-9}, 13)],
)
def test_an_interrupted_run_goes_on_to_the_same_bytes(tmp_path, settings, saved):
    settings = {"precision": "fp16", "accumulation": 2, "micro_batch": 8, **settings}
    whole, history = fitted(tmp_path / "a", **settings)

    def stop(_phase, done, _total):
        if done == 13:
            raise _Stop

    with pytest.raises(_Stop):
        fitted(tmp_path / "b", progress=stop, **settings)
    assert torch.load(tmp_path / "b" / STATE, weights_only=True)["n_done"] == saved
    again, second = fitted(tmp_path / "b", **settings)
    assert same(whole, again)
    assert history == second
    for name in (BEST, "history.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from fitting_task import Points, network, options
from emocli.training.fitting import fit

def progress(phase, done, total):
    if done == 10:
        os.kill(os.getpid(), signal.SIGKILL)

fit(network(), Points(), options(), folder=Path({folder!r}), progress=progress)
"""


def test_a_killed_process_goes_on_to_the_same_bytes(tmp_path):
    tests = str(Path(__file__).resolve().parents[1])
    code = KILLED.format(tests=tests, folder=str(tmp_path / "b"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    fitted(tmp_path / "a")
    fitted(tmp_path / "b")
    assert (tmp_path / "a" / BEST).read_bytes() == (tmp_path / "b" / BEST).read_bytes()
    states = [torch.load(tmp_path / n / STATE, weights_only=True) for n in "ab"]
    assert same(states[0]["network"], states[1]["network"])
    assert states[0]["history"] == states[1]["history"]


def test_a_state_of_another_training_is_refused(tmp_path):
    fitted(tmp_path)
    with pytest.raises(RecipeError) as caught:
        fitted(tmp_path, seed=8)
    assert str(caught.value) == (
        f"{tmp_path / STATE}: the state of a training with other settings or data, expected one "
        f"to go on from. Delete its folder to start anew, or choose another output folder."
    )
    fitted(tmp_path, workers=2, save_every_steps=3)  # these change nothing


@pytest.mark.parametrize("damage", ["noise", "torn", "other", "no best"])
def test_a_damaged_state_is_refused(tmp_path, damage):
    fitted(tmp_path)
    path = tmp_path / STATE
    if damage == "noise":
        path.write_bytes(b"noise")
    elif damage == "torn":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "other":
        torch.save({"weights": 1}, path)
    else:
        (tmp_path / BEST).unlink()
    with pytest.raises(RecipeError) as caught:
        fitted(tmp_path)
    assert str(caught.value) == (
        f"{path}: not the state of a training, expected one to go on from. Delete it to start anew."
    )


def test_a_loss_that_is_no_number_is_an_error(tmp_path):
    task = Points()
    task.points[:] = np.nan
    with pytest.raises(RecipeError) as caught:
        fitted(tmp_path, task)
    assert str(caught.value) == (
        "The loss by step 1 is no number, expected one. Lower the learning rates."
    )
    with pytest.raises(RecipeError) as caught:
        fitted(tmp_path, task, precision="bf16")
    assert str(caught.value).endswith("Lower the learning rates, or train with --dtype fp32.")
    assert not (tmp_path / STATE).exists()


def test_memory_that_runs_out_is_an_error(tmp_path):
    class Large(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network()

        def forward(self, inputs):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.")

    with pytest.raises(RecipeError) as caught:
        fitted(tmp_path, net=Large())
    assert str(caught.value) == (
        "Memory of cpu ran out at step 1 with 32 utterances at once. Halve micro_batch and double "
        "accumulation, which gives the same training."
    )


def test_an_evaluation_without_the_selecting_figure_is_an_error(tmp_path):
    with pytest.raises(RecipeError) as caught:
        fitted(tmp_path, select="ccc")
    assert str(caught.value) == (
        "The evaluation gives macro_f1, uar, expected ccc among them to select the best epoch by. "
        "Change select in the recipe."
    )


def test_options_that_change_no_weight_are_no_part_of_a_run(tmp_path):
    assert options().effective_batch == 32
    assert dataclasses.replace(options(), accumulation=3).steps_per_epoch(100) == 2
    assert options(drop_last=True).steps_per_epoch(10) == 1


@pytest.mark.parametrize("n_workers", [0, 1, 3])
def test_parts_come_in_their_order_however_they_are_read(n_workers):
    parts = [np.array([n]) for n in range(20)]
    assert list(_ahead(parts, lambda part: 2 * int(part[0]), n_workers)) == list(range(0, 40, 2))


def test_class_weights_follow_the_targets_to_their_device():
    objective = Categorical(torch.tensor([1.0, 2.0]))
    (loss,) = objective.terms(
        torch.zeros(3, 2, device="meta"), torch.zeros(3, dtype=torch.long, device="meta")
    )
    assert loss.device.type == "meta"
    (again,) = objective.terms(torch.zeros(1, 2), torch.tensor([0]))
    assert again.item() == pytest.approx(np.log(2))


def test_a_loss_over_micro_batches_is_the_mean_of_theirs():
    weights = torch.tensor([0.2, 1.0, 3.0])
    task = Points(Categorical(weights))
    first, second = network(0.0), network(0.0)
    order = task.sampler.draw(np.random.default_rng([7, 0]))[:32]
    chosen = options(micro_batch=8, accumulation=4, loss_over="micro-batch")
    run = _Run(first, task, chosen, Path())
    parts = [order[start : start + 8] for start in range(0, 32, 8)]
    targets = [task.targets[torch.from_numpy(part)] for part in parts]
    batches = [task.inputs(part) for part in parts]
    found = run._in_parts(batches, targets, is_apart=True)
    expected = torch.stack(
        [
            torch.nn.functional.cross_entropy(second(*batch), target, weights)
            for batch, target in zip(batches, targets, strict=True)
        ]
    ).mean()
    expected.backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    whole = _Run(network(0.0), task, options(micro_batch=8, accumulation=4), Path())
    assert whole._in_parts(batches, targets, is_apart=False).item() != pytest.approx(found.item())
