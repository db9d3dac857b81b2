"""Teacher, students and joined embeddings: who sees which half, what is learnt, and what is saved."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from fer_repro.errors import UserError
from fer_repro.layers.half_faces import (
    EmbeddingBank,
    batch_triplet_loss,
    lower_visible,
    soft_divergence,
    upper_visible,
)
from fer_repro.methods.distillation import (
    METHOD,
    DistillationLoss,
    FaceNetwork,
    FrozenTeacher,
    Guidance,
    StudentOutput,
    TeacherOutput,
    _build_model,
    _explain,
    begin,
)
from fer_repro.training.loop import average_of, hits_of

TARGETS = torch.tensor([0, 3, 6, 3])


def faces(count=4, side=33, seed=1):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def trained(arm, options, seed=0):
    """A network away from its initial statistics, as a trained one is."""
    torch.manual_seed(seed)
    network = _build_model(arm, options, 7)
    with torch.no_grad():
        network.train()(faces(8, seed=seed + 10))
        network.fc.weight.mul_(20)  # answers far from equal
    return network


def outputs(network):
    network.eval()
    with torch.no_grad():
        return network(faces(14, seed=5)), torch.arange(14) % 7


def started(arm, options, *networks):
    torch.manual_seed(3)
    return begin(arm, options, networks or (trained("untouched", options),), outputs)


@pytest.mark.parametrize("arm", METHOD.arms)
@torch.no_grad()
def test_each_arm_is_tested_on_its_half(options, arm):
    network, images = trained(arm, options()).eval(), faces()
    cover = upper_visible if arm.endswith("_upper") else lower_visible
    hidden = images if arm == "whole_faces" else cover(images)
    found = network(images)
    logits = getattr(found, "logits", found)
    covered = network(hidden)
    assert torch.equal(logits, getattr(covered, "logits", covered))
    if arm != "whole_faces":
        other = (lower_visible if cover is upper_visible else upper_visible)(images)
        blind = network(images - other)  # black but for what is hidden: nothing of it may pass
        blind = getattr(blind, "logits", blind)
        assert torch.equal(blind, getattr(network(cover(images - other)), "logits", blind))


def test_the_teacher_learns_whole_faces_and_is_tested_on_halves(options):
    teacher, images = trained("untouched", options()), faces()
    with torch.no_grad():
        learnt = teacher.train()(images)
        assert torch.equal(learnt.logits, learnt.whole)
        tested = teacher.eval()(images)
        assert torch.equal(tested.whole, teacher.answer(images, "whole"))
        assert torch.equal(tested.logits, teacher.answer(lower_visible(images), "whole"))
    assert not torch.equal(tested.logits, tested.whole)


def test_whole_faces_choose_the_teachers_epoch():
    torch.manual_seed(0)
    found = TeacherOutput(logits=torch.randn(32, 7), whole=torch.randn(32, 7))
    whole, covered = found.whole.argmax(1), found.logits.argmax(1)
    assert hits_of(found, whole).all()
    assert torch.equal(hits_of(found, covered), whole == covered)
    assert not hits_of(found, covered).all()


def test_untouched_and_whole_faces_train_one_network(options):
    networks = [trained(arm, options()).train() for arm in ("untouched", "untouched_upper", "whole_faces")]
    losses = []
    for network in networks:
        loss = DistillationLoss(options())(network(faces()), TARGETS)
        loss.backward()
        losses.append(loss.item())
    assert len(set(losses)) == 1
    for parts in zip(*(network.parameters() for network in networks), strict=True):
        assert all(torch.equal(part.grad, parts[0].grad) for part in parts)


@pytest.mark.parametrize(
    "arm", ["fine_tuned", "kl", "triplet", "kl_shuffled", "triplet_shuffled", "kl_upper"]
)
def test_students_begin_as_the_teacher(options, arm):
    teacher = trained("untouched", options())
    student = started(arm, options(), teacher)
    ours, theirs = student.state_dict(), teacher.state_dict()
    assert list(ours) == list(theirs), "neither teacher nor bank is saved"
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert student.training
    assert METHOD.sources(arm) == ("untouched",)


def test_training_for_longer_begins_with_the_student(options):
    student = trained("fine_tuned", options())
    longer = started("fine_tuned_longer", options(), student)
    assert torch.equal(longer.fc.weight, student.fc.weight)
    assert longer.guidance == Guidance()
    assert METHOD.sources("fine_tuned_longer") == ("fine_tuned",)


def test_the_teacher_answers_whole_faces_and_never_learns(options):
    teacher, images = trained("untouched", options()), faces()
    kept = copy.deepcopy(teacher).eval()
    student = started("kl", options(), teacher)
    found = student(images)
    with torch.no_grad():
        torch.testing.assert_close(found.answers, kept(images).whole, rtol=0, atol=0)
    assert not found.answers.requires_grad
    DistillationLoss(options())(found, TARGETS).backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(torch.equal(a, b) for a, b in zip(teacher.buffers(), kept.buffers(), strict=True))
    assert student.conv1.weight.grad.norm() > 0


def test_a_shuffled_teacher_answers_for_other_faces(options):
    teacher, images = trained("untouched", options()), faces(16)
    with torch.no_grad():
        right = teacher.eval()(images).whole
    student = started("kl_shuffled", options(), teacher)
    torch.manual_seed(0)
    found = student(images).answers
    assert not torch.equal(found, right)
    order = (found[:, None] - right[None]).abs().sum(2).argmin(1)
    assert sorted(order.tolist()) == list(range(16))
    torch.testing.assert_close(found, right[order])


def test_positives_are_the_teachers_embeddings_of_whole_faces(options):
    teacher = trained("untouched", options())
    student = started("triplet", options(), teacher)
    found = student(faces())
    assert found.answers is None
    assert found.positives.shape == (4, 7, 32)
    assert not found.positives.requires_grad
    embeddings, targets = outputs(FrozenTeacher(teacher))
    for label in range(7):
        members = embeddings[targets == label]
        nearest = (found.positives[:, label, None] - members[None]).abs().sum(2).amin(1)
        assert nearest.max() < 1e-6


def test_no_teacher_is_asked_in_evaluation(options):
    for arm in ("kl", "triplet", "fine_tuned"):
        found = started(arm, options()).eval()(faces())
        assert (found.embeddings, found.answers, found.positives) == (None, None, None)


def test_the_loss_is_the_sum_of_its_parts(options):
    torch.manual_seed(0)
    logits, answers = torch.randn(4, 7), torch.randn(4, 7)
    embeddings, positives = torch.randn(4, 6), torch.randn(4, 7, 6)
    own = positives[range(4), TARGETS]
    for smoothing in (0.0, 0.1):
        entropy = cross_entropy(logits, TARGETS, label_smoothing=smoothing)
        chosen = options(kl_weight=0.4, temperature=3.0, triplet_weight=2.0, margin=0.5)
        loss = DistillationLoss(chosen, smoothing)
        divergence = soft_divergence(logits, answers, 3.0, squared=True)
        found = loss(StudentOutput(logits, embeddings, answers), TARGETS)
        torch.testing.assert_close(found, 0.6 * entropy + 0.4 * divergence)
        scaled = normalize(embeddings, dim=1), normalize(own, dim=1)
        triplets = batch_triplet_loss(*scaled, TARGETS, 0.5)
        found = loss(StudentOutput(logits, embeddings, None, positives), TARGETS)
        torch.testing.assert_close(found, entropy + 2 * triplets)
        for plain in (logits, StudentOutput(logits), StudentOutput(logits, embeddings)):
            assert torch.equal(loss(plain, TARGETS), entropy)
    changed = options(triplet_weight=2.0, margin=0.5, unit=False, distance="plain", negatives="nearest")
    found = DistillationLoss(changed)(StudentOutput(logits, embeddings, None, positives), TARGETS)
    triplets = batch_triplet_loss(embeddings, own, TARGETS, 0.5, "plain", "nearest")
    torch.testing.assert_close(found, cross_entropy(logits, TARGETS) + 2 * triplets)


def test_shares_of_votes_name_the_class_of_triplets(options):
    logits, embeddings, positives = torch.randn(4, 7), torch.randn(4, 6), torch.randn(4, 7, 6)
    shares = torch.full((4, 7), 0.05).scatter(1, TARGETS[:, None], 0.7)
    loss = DistillationLoss(options())
    output = StudentOutput(logits, embeddings, None, positives)
    added = [loss(output, targets) - loss(logits, targets) for targets in (TARGETS, shares)]
    torch.testing.assert_close(added[0], added[1])


def test_joined_students_begin_with_their_mean_answer(options):
    students = [trained("kl", options(), seed=1), trained("triplet", options(), seed=2)]
    joined, images = started("joined", options(), *students), faces()
    with torch.no_grad():
        expected = sum(student.eval()(images).logits for student in students) / 2
        torch.testing.assert_close(joined(images), expected, rtol=1e-4, atol=1e-4)
    assert METHOD.sources("joined") == ("kl", "triplet")
    trainable = [name for name, parameter in joined.named_parameters() if parameter.requires_grad]
    assert trainable == ["fc.weight", "fc.bias"]


def test_frozen_students_do_not_move(options):
    joined = started("joined", options(), trained("kl", options()), trained("triplet", options())).train()
    before = {name: tensor.clone() for name, tensor in joined.state_dict().items()}
    cross_entropy(joined(faces()), TARGETS).backward()
    assert all(torch.equal(tensor, before[name]) for name, tensor in joined.state_dict().items())
    assert not any(module.training for module in joined.modules() if isinstance(module, nn.BatchNorm2d))


def test_the_guidance_moves_with_the_student(options):
    for arm in ("kl", "triplet"):
        student = started(arm, options()).double()
        found = student(faces().double())
        assert {tensor.dtype for tensor in found if tensor is not None} == {torch.float64}
        average = average_of(student, 0.9)
        average.update_parameters(student)
        assert list(average.module.state_dict()) == list(student.state_dict())


def test_a_bank_is_no_buffer_of_the_student(options):
    student = started("triplet", options())
    assert isinstance(student.guidance.bank, EmbeddingBank)
    assert not any(isinstance(module, EmbeddingBank | FrozenTeacher) for module in student.modules())


def test_explained_are_both_halves_and_the_whole(options):
    images = faces(3)
    for arm in ("untouched", "kl_upper", "joined", "whole_faces"):
        network = trained(arm, options()).train()
        explained = _explain(network, images)
        assert network.training
        assert {name: tuple(tensor.shape) for name, tensor in explained.items()} == {
            "lower": (3, 7), "upper": (3, 7), "whole": (3, 7),
        }  # fmt: skip
        with torch.no_grad():
            logits = network.eval().answer(upper_visible(images), "whole")
        torch.testing.assert_close(explained["upper"], logits.softmax(1))


def test_the_cover_has_the_fill(options):
    network = trained("fine_tuned", options(fill=0.5)).eval()
    with torch.no_grad():
        expected = network.answer(lower_visible(faces(), 0.5), "whole")
        assert torch.equal(network(faces()).logits, expected)


def test_only_whole_teachers_start_from_other_weights(options):
    with pytest.raises(UserError, match=r"width is 4, but model\.pretraining imagenet needs 64"):
        _build_model("untouched", options(pretraining="imagenet"), 7)


def test_what_is_no_image_is_refused(options):
    network = FaceNetwork(7, 4, "lower", 0.0, "table")
    with pytest.raises(UserError, match=r"expected \(N, 3, H, W\)"):
        network(torch.rand(2, 1, 32, 32))
