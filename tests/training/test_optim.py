import math
from dataclasses import replace

import pytest
import torch
from tiny_run import make_config
from torch import nn

from fer_repro.config import OptimiserConfig
from fer_repro.errors import UserError
from fer_repro.training.optim import Schedule, make_optimiser


def parameter():
    return nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))


def gradients(step):
    return torch.tensor([math.sin(step), 0.3 * step], dtype=torch.float64)


def test_radam_decays_decoupled_as_in_the_paper():
    """Liu et al., ICLR 2020, Algorithm 2, with decay p <- p - lr * wd * p before the step."""
    lr, decay, beta1, beta2 = 0.01, 0.1, 0.9, 0.999
    tensor = parameter()
    optimiser = make_optimiser([tensor], OptimiserConfig("radam", lr, decay, beta1))
    values, first, second = [1.0, -2.0], [0.0, 0.0], [0.0, 0.0]
    longest = 2 / (1 - beta2) - 1
    for step in range(1, 30):
        tensor.grad = gradients(step)
        optimiser.step()
        length = longest - 2 * step * beta2**step / (1 - beta2**step)
        for i, gradient in enumerate(gradients(step).tolist()):
            values[i] -= lr * decay * values[i]
            first[i] = beta1 * first[i] + (1 - beta1) * gradient
            second[i] = beta2 * second[i] + (1 - beta2) * gradient**2
            mean = first[i] / (1 - beta1**step)
            if length > 5:
                rise = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
                values[i] -= lr * math.sqrt(rise) * mean / (math.sqrt(second[i] / (1 - beta2**step)) + 1e-8)
            else:
                values[i] -= lr * mean
        assert tensor.tolist() == pytest.approx(values, rel=1e-6)


def test_frozen_parameters_are_left_out():
    frozen = nn.Parameter(torch.ones(1), requires_grad=False)
    optimiser = make_optimiser([parameter(), frozen], OptimiserConfig("sgd", 0.1, 0.0, 0.9))
    assert len(optimiser.param_groups[0]["params"]) == 1


def test_nesterov_steps_match_the_formula():
    """Sutskever et al., ICML 2013, as PyTorch states it: v <- m v + g; p <- p - lr (g + m v)."""
    lr, decay, momentum = 0.1, 0.01, 0.9
    tensor = parameter()
    optimiser = make_optimiser([tensor], OptimiserConfig("nesterov", lr, decay, momentum))
    values, speed = [1.0, -2.0], [0.0, 0.0]
    for step in range(1, 10):
        tensor.grad = gradients(step)
        optimiser.step()
        for i, gradient in enumerate(gradients(step).tolist()):
            whole = gradient + decay * values[i]
            speed[i] = momentum * speed[i] + whole
            values[i] -= lr * (whole + momentum * speed[i])
        assert tensor.tolist() == pytest.approx(values, rel=1e-12)


@pytest.mark.parametrize("name", ["nesterov", "sgd", "adamw", "radam"])
def test_decay_of_weights_alone_spares_biases_and_norms(name):
    layers = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    before = [parameter.clone() for parameter in layers.parameters()]
    optimiser = make_optimiser(layers.parameters(), OptimiserConfig(name, 0.1, 0.5, 0.9), "weights")
    for value in layers.parameters():
        value.grad = torch.zeros_like(value)
    optimiser.step()
    moved = [not torch.equal(old, new) for old, new in zip(before, layers.parameters(), strict=True)]
    assert moved == [True, False, False, False]


def schedule(name, epochs=6, steps=4, **values):
    config = replace(make_config(name).recipe.schedule, **values)
    optimiser = make_optimiser([parameter()], OptimiserConfig("sgd", 0.1, 0.0, 0.0))
    return optimiser, Schedule(optimiser, config, epochs, steps)


def test_plateau_drops_after_the_third_epoch_without_gain():
    _, rates = schedule("plateau", patience=2, factor=0.1, floor=0.002)
    found = []
    for accuracy in [0.5, 0.6, 0.6, 0.59, 0.6, 0.6, 0.6, 0.6, 0.6]:
        rates.after_epoch(100 - 100 * accuracy)
        found.append(rates.rate)
    assert found == pytest.approx([0.1] * 4 + [0.01] * 3 + [0.002] * 2)


def test_one_cycle_rises_and_falls_over_all_steps():
    optimiser, rates = schedule("one_cycle", warmup=0.25)
    found = []
    for _ in range(24):
        found.append(rates.rate)
        optimiser.step()
        rates.after_step()
    assert max(found) == pytest.approx(0.1)
    assert found.index(max(found)) == 5  # 0.25 * 24 - 1
    assert found[0] == pytest.approx(0.1 / 25)
    assert found[-1] < 1e-5


@pytest.mark.parametrize(("warmup", "steps"), [(0.2, 5), (0.1, 10), (0.5, 2), (0.25, 4)])
def test_one_cycle_with_a_warmup_of_one_step_only_falls(warmup, steps):
    optimiser, rates = schedule("one_cycle", epochs=1, steps=steps, warmup=warmup)
    found = []
    for _ in range(steps):
        found.append(rates.rate)
        optimiser.step()
        rates.after_step()
    assert found == sorted(found, reverse=True)
    assert found[0] == pytest.approx(0.1)
    assert found[-1] < 1e-5


def test_one_cycle_survives_a_run_of_one_step():
    optimiser, rates = schedule("one_cycle", epochs=1, steps=1)
    optimiser.step()
    rates.after_step()
    assert rates.rate > 0


def test_steps_fall_after_their_epochs():
    optimiser, rates = schedule("steps", milestones=[2, 5], factor=0.5)
    found = []
    for _ in range(6):
        found.append(rates.rate)
        optimiser.step()
        rates.after_epoch(1.0)
    assert found == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.05, 0.025])


def test_a_plateau_may_rest_after_a_fall():
    _, rates = schedule("plateau", patience=0, factor=0.1, floor=0.0, cooldown=2)
    found = []
    for _ in range(5):
        rates.after_epoch(1.0)
        found.append(rates.rate)
    assert found == pytest.approx([0.1, 0.01, 0.01, 0.01, 0.001])


def test_constant_stays():
    _, rates = schedule("constant")
    rates.after_step()
    rates.after_epoch(0.1)
    assert rates.rate == 0.1


def test_adam_adds_the_decay_to_the_gradient():
    """Kingma and Ba, arXiv:1412.6980, Algorithm 1, with g <- g + wd * p: not AdamW."""
    lr, decay, beta1, beta2 = 0.01, 0.1, 0.9, 0.999
    tensor = parameter()
    optimiser = make_optimiser([tensor], OptimiserConfig("adam", lr, decay, beta1))
    values, first, second = [1.0, -2.0], [0.0, 0.0], [0.0, 0.0]
    for step in range(1, 20):
        tensor.grad = gradients(step)
        optimiser.step()
        for i, gradient in enumerate(gradients(step).tolist()):
            decayed = gradient + decay * values[i]
            first[i] = beta1 * first[i] + (1 - beta1) * decayed
            second[i] = beta2 * second[i] + (1 - beta2) * decayed**2
            mean, square = first[i] / (1 - beta1**step), second[i] / (1 - beta2**step)
            values[i] -= lr * mean / (math.sqrt(square) + 1e-8)
        assert tensor.tolist() == pytest.approx(values, rel=1e-9)


def test_nothing_is_trained_without_an_optimiser():
    weights = [torch.nn.Parameter(torch.zeros(2))]
    with pytest.raises(UserError, match="name is none, which is for arms that are solved at once"):
        make_optimiser(weights, OptimiserConfig(name="none", lr=1.0, weight_decay=0.0, momentum=0.0))
