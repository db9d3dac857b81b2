"""AdaCos against the golden, a loop written from Eqs. 12-15, and the traps of its fact sheet."""

import json
import math
import socket
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from smoothed_controls import check_smoothing_of_softmax

from fer_repro.errors import UserError
from fer_repro.layers.adacos_head import AdaCosHead, across_processes, dynamic_scale, fixed_scale
from fer_repro.layers.margin_heads import ArcFaceHead, CosFaceHead, cosines
from fer_repro.methods.adacos import METHOD, AdaCosOptions

TOLERANCE = 1e-9
GOLDENS = Path(__file__).parent.parent / "goldens"
CASES = json.loads((GOLDENS / "adacos.json").read_text())["cases"]


@pytest.fixture(scope="module")
def arrays():
    with np.load(GOLDENS / "adacos.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def name_of(case):
    return f"C{case['C']}_d{case['d']}_B{case['B']}_{case['track']}"


_WEIGHTS = {}


def inputs(fill, case, step):
    """Features, weight and labels of a golden's step, by its note."""
    shape = (case["C"], case["d"])
    if shape not in _WEIGHTS:
        _WEIGHTS[shape] = torch.from_numpy(fill("weight", shape))
    weight, labels = _WEIGHTS[shape], torch.tensor(case["labels"])
    key = f"features_{step}" if case["track"] == "fresh" and step else "features"
    features = torch.from_numpy(fill(key, (case["B"], case["d"])))
    if case["track"] in ("aligned", "mislabelled"):
        own = weight[torch.arange(case["B"]) * 3 % case["C"]]
        features = own / own.norm(dim=1, keepdim=True) + 0.3 * features / features.norm(dim=1, keepdim=True)
    return features, weight, labels


def close(ours, golden):
    golden = torch.as_tensor(golden, dtype=torch.float64)
    ours = torch.as_tensor(ours, dtype=torch.float64)
    # a loss of 1e-8 is the logarithm of nearly 1: float64 keeps 1e-15 of it, on no processor 1e-17
    return bool((ours - golden).norm() <= TOLERANCE * golden.norm().clamp_min(1e-5))


@pytest.mark.parametrize("median", ["lower", "midpoint"])
@pytest.mark.parametrize("case", [case for case in CASES if case["C"] > 2], ids=name_of)
def test_five_steps_equal_the_golden(case, median, arrays, fill):
    head = AdaCosHead(case["d"], case["C"], median=median).double()
    head.scale.fill_(fixed_scale(case["C"]))  # double() keeps float32's digits
    steps = case[f"paper_median_{median}"]
    for t, golden in enumerate(steps):
        features, weight, labels = inputs(fill, case, t)
        shown = median == "lower" and t in (0, len(steps) - 1)
        head.weight = torch.nn.Parameter(weight, requires_grad=shown)
        assert close(head.scale, golden["s_before"])
        loss = head.loss(features.requires_grad_(shown), labels)
        assert close(head.scale, golden["s_after"])
        assert close(loss.detach(), golden["loss"])
        if shown:
            loss.backward()
            assert close(features.grad.norm(), golden["grad_features_norm"])
            assert close(head.weight.grad.norm(), golden["grad_weight_norm"])
            logits = head.eval()(features.detach())
            head.train()
            name = f"{name_of(case)}_{{}}_step{t}"
            assert close(logits[:, :16], arrays[name.format("logits")])
            assert close(features.grad[:, :16], arrays[name.format("gradx")])
            if t == 0:
                assert close(cosines(features, weight)[:, :16].detach(), arrays[name.format("cos")])
    assert head.refused.item() == 0


@pytest.mark.parametrize("case", [case for case in CASES if case["C"] > 2], ids=name_of)
def test_the_fixed_scale_equals_the_golden(case, fill):
    head = AdaCosHead(case["d"], case["C"], dynamic=False).double()
    head.scale.fill_(fixed_scale(case["C"]))
    features, weight, labels = inputs(fill, case, 0)
    head.weight = torch.nn.Parameter(weight)
    loss = head.loss(features.requires_grad_(), labels)
    loss.backward()
    golden = case["fixed"]
    assert close(head.scale, golden["s"])
    assert close(loss.detach(), golden["loss"])
    assert close(features.grad.norm(), golden["grad_features_norm"])
    assert close(head.weight.grad.norm(), golden["grad_weight_norm"])


@pytest.mark.parametrize(
    "case", [case for case in CASES if "repo_4uiiurz1_margin_heads" in case], ids=name_of
)
def test_the_margin_heads_equal_a_ports(case, fill):
    for name, kind in {"ArcFace": ArcFaceHead, "CosFace": CosFaceHead}.items():  # its SphereFace is another
        golden = case["repo_4uiiurz1_margin_heads"][name]
        head = kind(case["d"], case["C"], golden["s"], golden["m"]).double()
        features, weight, labels = inputs(fill, case, 0)
        head.weight = torch.nn.Parameter(weight)
        loss = head.loss(features.requires_grad_(), labels)
        loss.backward()
        logits = head.training_logits(features, labels).gather(1, labels[:, None]).squeeze(1)
        assert close(logits.detach(), golden["target_logits"])
        assert close(loss.detach(), golden["loss"])
        assert close(features.grad.norm(), golden["grad_features_norm"])
        assert close(head.weight.grad.norm(), golden["grad_weight_norm"])


def naive_scale(cosine, targets, scale):
    """Eqs. 13-15 with exp, acos and the statistics module's lower median."""
    total, angles = 0.0, []
    for row, y in zip(cosine.tolist(), targets.tolist(), strict=True):
        total += sum(math.exp(scale * c) for k, c in enumerate(row) if k != y)
        angles.append(math.acos(row[y]))
    return math.log(total / len(angles)) / math.cos(min(math.pi / 4, statistics.median_low(angles)))


@pytest.mark.parametrize("count", [1, 2, 5, 8])
@pytest.mark.parametrize("lift", [0.0, 0.9])
def test_the_dynamic_scale_equals_the_loop(count, lift):
    generator = torch.Generator().manual_seed(count)
    cosine = torch.rand(count, 7, dtype=torch.float64, generator=generator) - 0.5
    targets = torch.arange(count) * 3 % 7
    cosine[torch.arange(count), targets] += lift * 0.5
    ours = dynamic_scale(cosine, targets, torch.tensor(2.5, dtype=torch.float64))
    assert ours.item() == pytest.approx(naive_scale(cosine, targets, 2.5), rel=1e-12)


def test_three_classes_have_the_formulas_scale_and_two_a_given_one():
    assert AdaCosHead(8, 3).scale.item() == pytest.approx(math.sqrt(2) * math.log(2))
    assert AdaCosHead(8, 3).dynamic
    assert AdaCosHead(8, 2, scale=5.0).scale.item() == 5
    assert not AdaCosHead(8, 2, scale=5.0).dynamic


def test_the_fixed_scale_is_the_sheets():
    for classes, expected in {3: 0.9803, 7: 2.5339, 8: 2.7519, 100: 6.4985, 10575: 13.1043}.items():
        assert fixed_scale(classes) == pytest.approx(expected, abs=5e-5)
    assert fixed_scale(2) == 0


@pytest.mark.parametrize("case", [case for case in CASES if case["C"] == 2], ids=name_of)
def test_two_classes_are_dead(case, fill):
    """The golden: s stays 0, the loss ln 2, all gradients 0."""
    features, weight, labels = inputs(fill, case, 0)
    dead = dynamic_scale(cosines(features, weight), labels, torch.zeros((), dtype=torch.float64))
    assert dead.item() == pytest.approx(case["paper_median_lower"][0]["s_after"], abs=1e-15)
    assert case["paper_median_lower"][-1]["grad_weight_norm"] == 0
    with pytest.raises(UserError, match="2 classes: its scale"):
        AdaCosHead(16, 2)
    head = AdaCosHead(16, 2, scale=8.0)
    for _ in range(3):
        head.loss(features.float(), labels)
    assert head.scale.item() == 8.0


def test_the_scale_moves_in_training_alone(fill):
    features, _, labels = inputs(fill, CASES[0], 0)
    head = AdaCosHead(16, 7).double()
    start = head.scale.clone()
    head.eval()
    head.loss(features, labels)
    head(features)
    assert torch.equal(head.scale, start)
    head.train()
    head(features)  # logits alone know no targets
    assert torch.equal(head.scale, start)
    head.loss(features, labels)
    assert not torch.equal(head.scale, start)


def test_the_scale_is_saved_and_no_gradient_flows_through_it(fill):
    features, _, labels = inputs(fill, CASES[0], 0)
    head = AdaCosHead(16, 7)
    head.loss(features.float(), labels).backward()
    assert not head.scale.requires_grad
    twin = AdaCosHead(16, 7)
    twin.load_state_dict(head.state_dict())
    assert torch.equal(twin.scale, head.scale)
    assert twin.scale.item() != pytest.approx(fixed_scale(7))


def test_earlier_logits_still_have_their_gradient():
    head = AdaCosHead(4, 3)
    embeddings = torch.randn(5, 4, requires_grad=True)
    logits = head(embeddings)
    (head.loss(embeddings, torch.tensor([0, 1, 2, 0, 1])) + logits.mean()).backward()
    assert torch.isfinite(embeddings.grad).all()


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_scale_that_is_not_finite_is_refused_and_counted(poison):
    head = AdaCosHead(4, 3)
    before = head.scale.clone()
    head.update(torch.full((2, 3), poison), torch.tensor([0, 1]))
    assert torch.equal(head.scale, before)
    assert head.refused.item() == 1


def test_a_scale_that_is_not_positive_is_refused():
    head = AdaCosHead(4, 3, scale=5.0)
    head.update(torch.tensor([[1.0, -1.0, -1.0]]), torch.tensor([0]))
    assert head.scale.item() == 5.0
    assert head.refused.item() == 1


def test_large_scales_do_not_overflow():
    cosine = torch.full((4, 10), 0.9)
    scale = dynamic_scale(cosine, torch.arange(4), torch.tensor(400.0))
    assert torch.isfinite(scale)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_the_scale_in_float32(dtype):
    torch.manual_seed(0)
    head, targets = AdaCosHead(16, 7), torch.tensor([0, 3, 6])
    embeddings = torch.randn(3, 16).to(dtype)
    half = AdaCosHead(16, 7)
    half.load_state_dict(head.state_dict())
    half = half.to(dtype)
    half.loss(embeddings, targets).backward()
    head.weight.data = half.weight.data.float()
    head.loss(embeddings.float(), targets)
    assert half.scale.dtype == torch.float32
    assert torch.equal(half.scale, head.scale)
    assert torch.isfinite(half.weight.grad).all()


def _one_process(rank, meeting, counts, queue):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=len(counts))
    generator = torch.Generator().manual_seed(0)
    cosine = torch.rand(sum(counts), 7, dtype=torch.float64, generator=generator) - 0.3
    begin = sum(counts[:rank])
    part = slice(begin, begin + counts[rank])
    targets = torch.arange(sum(counts)) % 7
    rows = across_processes(cosine[part])
    scale = dynamic_scale(cosine[part], targets[part], torch.tensor(2.5, dtype=torch.float64))
    queue.put((rank, scale.item(), torch.equal(rows, cosine)))
    dist.destroy_process_group()


def _has_loopback():
    with socket.socket() as listener, socket.socket() as caller:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        caller.settimeout(2)
        return caller.connect_ex(listener.getsockname()) == 0


@pytest.mark.skipif(not _has_loopback(), reason="processes meet over the loopback interface, which is down")
def test_processes_share_one_scale(tmp_path):
    """Two processes with 5 and 3 samples get the scale of their eight."""
    counts = [5, 3]
    context = mp.get_context("spawn")
    queue = context.SimpleQueue()
    arguments = [(rank, tmp_path / "meeting", counts, queue) for rank in range(2)]
    processes = [context.Process(target=_one_process, args=each, daemon=True) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    results = [queue.get() for _ in processes]
    cosine = torch.rand(8, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.3
    whole = dynamic_scale(cosine, torch.arange(8) % 7, torch.tensor(2.5, dtype=torch.float64)).item()
    assert all(same for _, _, same in results)
    assert [scale for _, scale, _ in results] == pytest.approx([whole, whole], rel=1e-14)


OPTIONS = AdaCosOptions(
    width=4,
    dimensions=8,
    adacos_scale=0.0,
    scale=8.0,
    cosface_margin=0.35,
    arcface_margin=0.5,
    pretraining="none",
)


@pytest.mark.parametrize(("mine", "theirs"), [(3, 5), (5, 3), (4, 4)])
def test_rows_of_all_processes_come_in_the_order_of_ranks(mine, theirs, monkeypatch):
    """The second of two processes is played here: what it sends is known."""
    own, other = torch.rand(mine, 2, dtype=torch.float64), torch.rand(theirs, 2, dtype=torch.float64)
    most = max(mine, theirs)

    def all_gather(found, sent):
        received = torch.tensor([theirs])
        if sent.ndim == 2:
            assert sent.shape == (most, 2)
            received = torch.cat([other, torch.full((most - theirs, 2), 7.0, dtype=torch.float64)])
        found[0].copy_(sent)
        found[1].copy_(received)
        assert found[1].dtype == sent.dtype

    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_gather", all_gather)
    torch.testing.assert_close(across_processes(own), torch.cat([own, other]), rtol=0, atol=0)
    monkeypatch.setattr(dist, "get_world_size", lambda: 1)
    assert across_processes(own) is own
    monkeypatch.setattr(dist, "is_initialized", lambda: False)
    assert across_processes(own) is own


def test_all_arms_start_from_one_trunk():
    trunks = []
    for arm in METHOD.arms:
        torch.manual_seed(5)
        trunks.append(METHOD.build_model(arm, OPTIONS, 7).trunk.state_dict())
    for trunk in trunks[1:]:
        assert all(torch.equal(trunk[key], trunks[0][key]) for key in trunk)


@pytest.mark.parametrize("arm", METHOD.arms)
def test_each_arm_has_its_head_with_the_recipes_numbers(arm):
    options = replace(OPTIONS, scale=9.0, cosface_margin=0.3, arcface_margin=0.4, adacos_scale=0.0)
    head = METHOD.build_model(arm, options, 7).head
    assert head.weight.shape == (7, 8)
    scales = {"dynamic": fixed_scale(7), "fixed": fixed_scale(7), "softmax": 1, "sphereface": 1}
    assert head.scale.item() == pytest.approx(scales.get(arm, 9))
    assert getattr(head, "margin", None) == {"cosface": 0.3, "arcface": 0.4, "sphereface": 4}.get(arm)
    assert METHOD.build_model(arm, options, 7).training
    given = METHOD.build_model(arm, replace(options, adacos_scale=3.0), 7).head.scale.item()
    assert given == (3 if arm in ("dynamic", "fixed") else head.scale.item())


def test_only_the_dynamic_scale_moves():
    for arm in ("dynamic", "fixed"):
        head = METHOD.build_model(arm, OPTIONS, 7).head
        before = head.scale.item()
        head.loss(torch.randn(6, 8, generator=torch.Generator().manual_seed(0)), torch.arange(6))
        assert (head.scale.item() != before) == (arm == "dynamic")


def test_smoothing_reaches_the_loss():
    check_smoothing_of_softmax(METHOD, OPTIONS)
    assert METHOD.pretraining_name(OPTIONS) == "none"
    with pytest.raises(UserError, match="dynamc"):
        METHOD.build_model("dynamc", OPTIONS, 7)


def test_explain_gives_angles_and_scale():
    model = METHOD.build_model("dynamic", OPTIONS, 7)
    explained = METHOD.explain(model, torch.rand(2, 3, 64, 64))
    assert explained["angles"].shape == (2, 7)
    assert explained["embeddings"].shape == (2, 8)
    assert explained["scale"].tolist() == pytest.approx([fixed_scale(7)] * 2)
    torch.testing.assert_close(explained["angles"].cos(), explained["cosines"], rtol=0, atol=1e-6)


def test_pretraining_needs_its_width():
    with pytest.raises(UserError, match=r"model\.width is 4, but .* needs 64"):
        METHOD.build_model("dynamic", replace(OPTIONS, pretraining="imagenet"), 7)


def test_a_short_training_lowers_the_angle():
    torch.manual_seed(0)
    head = AdaCosHead(16, 7)
    features = torch.randn(14, 16)
    targets = torch.arange(14) % 7
    optimiser = torch.optim.SGD(head.parameters(), lr=3.0)
    angles = []
    for _ in range(30):
        optimiser.zero_grad()
        head.loss(features, targets).backward()
        optimiser.step()
        target = head.cosines(features).gather(1, targets[:, None])
        angles.append(target.clamp(-1, 1).acos().median().item())
    assert angles[-1] < 1.0 < angles[0]
    assert head.scale.item() > 0
