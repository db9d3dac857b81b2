"""What every method promises, whichever it is: found by its file, built from params.yaml."""

import copy
import functools
import itertools
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fer_repro.config import load_config
from fer_repro.errors import UserError
from fer_repro.loading.batches import Batch
from fer_repro.loading.views import Faces, Frames, Regions, Sequences
from fer_repro.methods.method import load_method, method_names
from fer_repro.params import read_params
from fer_repro.recipes import resolve
from fer_repro.sections import read_section
from fer_repro.training.checkpoint import copy_weights, save_weights
from fer_repro.training.heads import dropping_features

PARAMS = Path(__file__).parent.parent.parent / "params.yaml"
CLASSES = {"expression": 7, "manipulation": 2, "regression": 4, "verification": 7}  # by task
NAMES = ("happy", "sad", "angry", "disgust", "fear", "surprise", "neutral")  # of the expressions
TARGETS = {
    "expression": [0, 3, 6, 1],
    "manipulation": [0, 1, 1, 0],
    "regression": [0.0, 0.33, 0.66, 1.0],
    "verification": [14, 3, 41, 8],  # person + 7 x expression
}
VIEWS = {"images": Faces, "frames": Frames, "regions": Regions, "sequences": Sequences}
CASES = [(name, arm) for name in method_names() for arm in load_method(name).arms]
SOLVED = [(name, arm) for name, arm in CASES if load_method(name).is_solved(arm)]
TRAINED = [case for case in CASES if case not in SOLVED]
WIDER = {"rmn-googlenet": 16}  # at the usual width it has branches of one channel, which may be dead
HEADLESS = {  # method -> arms whose logits are not those of a linear layer on features that are trained
    "adacos": lambda arm: arm != "softmax",
    "p2sgrad": lambda arm: arm != "softmax",
    "fan": lambda arm: arm == "score_fusion",
    "distillation": lambda arm: arm.startswith("joined"),
    "maxout": lambda arm: arm != "none",  # they drop features themselves
    "engagement": lambda arm: True,  # numbers, no classes
    "pixel_synthesis": lambda arm: True,  # images
    "benford": lambda arm: arm != "network",  # forests
    "face_losses": lambda arm: True,  # cosines, and losses of embeddings
    "cascade": lambda arm: arm != "flat",  # several networks
    "blinding": lambda arm: True,  # cosines
}
LENGTHS = {"images": ((), ()), "frames": ((3,), (5,)), "regions": ((6,), (8,))}  # per sample


def build(name, arm, seed=0, classes=None, width=None):
    method = load_method(name)
    recipe = next(key for key in read_params(PARAMS).methods[name].recipes if key != "paper")
    overrides = {"recipe.model.width": width} if width else {}
    config = load_config(PARAMS, name, "synthetic", arm, seed, recipe, overrides, smoke=True)
    classes = classes or CLASSES[method.task]
    options = method.read_options(config.recipe.model, "params.yaml", NAMES[:classes])
    torch.manual_seed(seed)
    model, side = method.build_model(arm, options, classes), config.recipe.image_size
    if method.is_solved(arm):
        method.solver.fit(model, learnt(method, classes, side), seed)
    return method, options, model, side


def learnt(method, classes, side):
    """Twelve random images of all classes, in two batches."""
    images, targets = samples(method, 12, side, seed=7), torch.arange(12) % classes
    if method.task == "verification":  # of all people, with five expressions
        targets = targets + classes * (torch.arange(12) % 5)
    return [Batch((images[part],), targets[part]) for part in (slice(0, 7), slice(7, 12))]


def samples(method, count, side, seed=1, other=False):
    if method.inputs == "sequences":  # at least of the length that the recipes of drawn sets have
        shape = (count, 120 + 7 * other, 14)
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    shape = (count, *LENGTHS[method.inputs][other], 3, side, side)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def logits_of(result):
    if isinstance(result, torch.Tensor):
        return result
    return result.values if hasattr(result, "values") else result.logits


def answers(method, count, classes=None):
    """The shape of what a network answers for so many samples: logits, or numbers."""
    return (count,) if method.task == "regression" else (count, classes or CLASSES[method.task])


@pytest.mark.parametrize("name", ["adacos", "fan", "p2sgrad", "ran", "rmn"])
def test_every_residual_network_takes_the_small_stem(name):
    method = load_method(name)
    recipe = next(key for key in read_params(PARAMS).methods[name].recipes if key != "paper")
    for arm in (method.headline, method.control):
        overrides = {"recipe.model.stem": "small", "recipe.image_size": 32}
        config = load_config(PARAMS, name, "synthetic", arm, 0, recipe, overrides, smoke=True)
        options = read_section(method.options, config.recipe.model, "params.yaml")
        network = method.build_model(arm, options, CLASSES[method.task])
        convolution = next(part for part in network.modules() if isinstance(part, torch.nn.Conv2d))
        assert (convolution.kernel_size, convolution.stride) == ((3, 3), (1, 1))
        logits = logits_of(network(samples(method, 2, 32)))
        assert logits.shape == (2, CLASSES[method.task])


built = functools.cache(build)


def a_copy(case):
    method, options, model, side = built(*case)
    return method, options, copy.deepcopy(model), side


@pytest.fixture(params=CASES, ids=lambda case: "-".join(case))
def case(request):
    return a_copy(request.param)


@pytest.fixture(params=TRAINED, ids=lambda case: "-".join(case))
def trained_case(request):
    return a_copy(request.param)


@pytest.fixture(params=SOLVED, ids=lambda case: "-".join(case))
def solved_case(request):
    return (*a_copy(request.param), request.param[1])


def test_what_is_solved_has_no_gradients_and_needs_its_fit(solved_case):
    method, options, model, side, arm = solved_case
    assert list(model.parameters())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    empty = method.build_model(arm, options, CLASSES[method.task])
    with pytest.raises(UserError, match="train the arm"):
        empty(samples(method, 2, side))


def test_one_seed_finds_one_solution_whatever_the_batches(solved_case):
    method, options, model, side, arm = solved_case
    first, second = learnt(method, CLASSES[method.task], side)
    images, targets = (
        torch.cat([first.inputs[0], second.inputs[0]]),
        torch.cat([first.targets, second.targets]),
    )
    torch.manual_seed(0)
    twin = method.build_model(arm, options, CLASSES[method.task])
    method.solver.fit(twin, iter([Batch((images,), targets)]), 0)
    ours, theirs = model.state_dict(), twin.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_solution_is_saved_as_plain_tensors(tmp_path, solved_case):
    method, options, model, side, arm = solved_case
    save_weights(tmp_path / "weights.safetensors", copy_weights(model))
    read = method.build_model(arm, options, CLASSES[method.task], pretrained=False)
    read.load_state_dict(load_file(tmp_path / "weights.safetensors"), strict=True)
    batch = samples(method, 3, side)
    found, expected = logits_of(read.eval()(batch)), logits_of(model.eval()(batch))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_params_know_the_method_and_its_arms():
    for name in method_names():
        section = read_params(PARAMS).methods[name]
        method = load_method(name)
        assert {method.headline, method.control} <= set(section.arms)
        assert {*section.arms, *section.more_arms} <= set(method.arms)
        for recipe in section.recipes:
            content = resolve(section.recipes, recipe, {}, name)
            options = read_section(method.options, content["model"], f"methods.{name}.recipes.{recipe}")
            assert method.pretraining_name(options)
            assert isinstance(method.view(options), VIEWS[method.inputs])


def test_logits_have_one_column_per_class_at_two_sizes_and_lengths(request, case):
    method, _, model, side = case
    model.eval()
    one_size = method.is_solved(request.node.callspec.params["case"][1]) and method.inputs == "frames"
    for larger in (False, True):  # a map of pixels has the size that it was fitted to
        batch = samples(method, 2, side + 32 * (larger and not one_size), other=larger)
        with torch.no_grad():
            assert logits_of(model(batch)).shape == answers(method, 2)


@pytest.mark.parametrize(("name", "arm"), CASES)
def test_the_number_of_expressions_is_free(name, arm):
    if load_method(name).task in ("manipulation", "regression"):
        pytest.skip("real or manipulated: two classes; or no classes")
    method, _, model, side = build(name, arm, classes=3)
    with torch.no_grad():
        assert logits_of(model.eval()(samples(method, 2, side))).shape == (2, 3)


def test_every_trainable_parameter_gets_a_gradient(trained_case):
    method, options, model, side = trained_case
    loss_module = method.build_loss(options)
    targets = torch.tensor(TARGETS[method.task])
    result = model.train()(samples(method, 4, side))
    loss = loss_module(result, targets)
    assert torch.isfinite(loss)
    loss.backward()
    for name, parameter in itertools.chain(model.named_parameters(), loss_module.named_parameters()):
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
        else:
            assert parameter.grad is None, name


def test_every_trainable_parameter_matters(request, trained_case):
    """Away from zero-initialised scales, and with fixed statistics, no gradient vanishes exactly."""
    name, arm = request.node.callspec.params["trained_case"]
    width = WIDER.get(f"{name}-{arm}")
    method, options, model, side = build(name, arm, width=width) if width else trained_case
    model.double().eval()  # float64: the softmax masks of RMN receive small gradients
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    result = model(samples(method, 4, side).double())
    targets = torch.tensor(TARGETS[method.task])
    targets = targets.double() if targets.is_floating_point() else targets
    method.build_loss(options)(result, targets).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad.norm() > 0, name


def test_evaluation_repeats_and_ignores_batch_mates(case):
    method, _, model, side = case
    model.double().eval()
    batch = samples(method, 3, side).double()
    with torch.no_grad():
        together = logits_of(model(batch))
        torch.testing.assert_close(logits_of(model(batch)), together, rtol=0, atol=0)
        alone = logits_of(model(batch[1:2]))
    torch.testing.assert_close(alone[0], together[1], rtol=1e-9, atol=1e-12)


def test_one_seed_builds_one_network(request, case):
    name, arm = request.node.callspec.params["case"]
    ours, theirs = case[2].state_dict(), build(name, arm)[2].state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_the_state_dict_makes_the_round_trip(request, case):
    method, options, model, side = case
    arm = request.node.callspec.params["case"][1]
    model.train()(samples(method, 4, side))  # moves the running statistics
    torch.manual_seed(99)
    twin = method.build_model(arm, options, CLASSES[method.task], pretrained=False)
    twin.load_state_dict(model.state_dict(), strict=True)
    batch = samples(method, 2, side)
    with torch.no_grad():
        torch.testing.assert_close(
            logits_of(twin.eval()(batch)), logits_of(model.eval()(batch)), rtol=0, atol=0
        )


def test_bfloat16_stays_finite(case):
    method, _, model, side = case
    with torch.no_grad():
        logits = logits_of(model.bfloat16().eval()(samples(method, 2, side).bfloat16()))
    assert logits.dtype == torch.bfloat16
    assert torch.isfinite(logits).all()


def test_explained_tensors_have_the_batch_first(case):
    method, _, model, side = case
    if method.explain is None:
        pytest.skip("this method draws nothing")
    model.train()
    statistics = {name: buffer.clone() for name, buffer in model.named_buffers()}
    explained = method.explain(model, samples(method, 2, side))
    assert model.training, "explain leaves the mode as it found it"
    assert all(torch.equal(buffer, statistics[name]) for name, buffer in model.named_buffers())
    for name, tensor in (explained or {}).items():
        assert tensor.shape[0] == 2, name
        assert not tensor.requires_grad, name
        assert torch.isfinite(tensor).all(), name


@pytest.mark.parametrize("head", ["dropout", "pgm"])
def test_every_arm_takes_a_head_or_refuses_it(request, case, head):
    """Where it takes one, the loss is that of the logits that are left, and all weights learn from it."""
    name, arm = request.node.callspec.params["case"]
    method, options, model, side = case
    targets, loss = torch.tensor(TARGETS[method.task]), method.build_loss(options)
    item = Batch((samples(method, 1, side),), targets[:1])
    if HEADLESS.get(name, lambda arm: False)(arm):
        with pytest.raises(UserError, match=r"its logits|its loss|are frozen"):
            dropping_features(head, model, loss, item).__enter__()
        return
    keys = list(model.state_dict())
    with dropping_features(head, model, loss, item) as dropping:
        assert model.training
        assert list(model.state_dict()) == keys
        output = model.train()(samples(method, 4, side))
        dropping(output, targets).backward()
    for name, parameter in itertools.chain(model.named_parameters(), dropping.named_parameters()):
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
    scales = list(dropping.parameters())
    assert len(scales) == len(list(loss.parameters())) + (head == "pgm")
    assert all(scale.grad.abs().sum() > 0 for scale in scales)
    model.eval()(samples(method, 2, side))  # notes nothing any more
    with pytest.raises(RuntimeError, match="no features"):
        dropping(output, targets)
