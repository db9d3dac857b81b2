"""The frame graph against its formula written as loops, and what must hold whatever its weights."""

import math

import pytest
import torch

from fer_repro.errors import UserError
from fer_repro.layers.frame_graph import FrameGraph, FrameGraphClassifier, node_cosines

ADJACENCIES = ("relu_cosine", "softmax", "identity")
D, SHARED, H, K = 6, 5, 4, 3


def drawn(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def graph(adjacency):
    torch.manual_seed(0)
    return FrameGraph(D, SHARED, adjacency).double()


def classifier(adjacency="relu_cosine"):
    torch.manual_seed(0)
    return FrameGraphClassifier(D, SHARED, H, K, adjacency).double()


def cosine(a, b):
    product = math.sqrt(sum(x * x for x in a) * sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / product if product else 0.0


def by_hand(layer, nodes):
    """X' of one clip: nodes and weights as lists."""
    weight, count = layer.linear.weight.tolist(), len(nodes)
    mapped = [[sum(w * x for w, x in zip(row, node, strict=True)) for row in weight] for node in nodes]
    cosines = [[cosine(a, b) for b in nodes] for a in nodes]
    if layer.adjacency == "softmax":
        powers = [[math.exp(c) for c in row] for row in cosines]
        shares = [[p / sum(row) for p in row] for row in powers]
    else:
        known = layer.adjacency == "relu_cosine"
        matrix = [[known * max(cosines[i][j], 0) + (i == j) for j in range(count)] for i in range(count)]
        degrees = [sum(row) for row in matrix]
        shares = [
            [matrix[i][j] / math.sqrt(degrees[i] * degrees[j]) for j in range(count)] for i in range(count)
        ]
    return [
        [max(sum(shares[i][j] * mapped[j][o] for j in range(count)), 0) for o in range(len(weight))]
        for i in range(count)
    ]


def padded(seed=1):
    """Clips of 5, 2 and 1 frames, padding also between them; what stands there must not be read."""
    mask = torch.tensor([[True] * 5, [False, True, False, True, False], [True] + [False] * 4])
    return drawn(3, 5, D, seed=seed).masked_fill(~mask.unsqueeze(2), torch.nan), mask


@pytest.mark.parametrize("adjacency", ADJACENCIES)
@pytest.mark.parametrize("length", [1, 2, 7])
@torch.no_grad()
def test_the_layer_is_its_formula(adjacency, length):
    """Signed features, so that cosines below 0 count, and a zero vector, whose cosines are 0."""
    layer, nodes = graph(adjacency), drawn(2, length, D)
    nodes[1, 0] = 0
    expected = torch.tensor([by_hand(layer, clip.tolist()) for clip in nodes], dtype=torch.float64)
    torch.testing.assert_close(layer(nodes), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("adjacency", ADJACENCIES)
@torch.no_grad()
def test_permuted_nodes_permute_the_outputs(adjacency):
    layer, nodes, order = graph(adjacency), drawn(2, 6, D), torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(layer(nodes[:, order]), layer(nodes)[:, order], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("adjacency", ADJACENCIES)
@torch.no_grad()
def test_one_node_is_the_plain_network(adjacency):
    layer, nodes = graph(adjacency), drawn(3, 1, D)
    torch.testing.assert_close(layer(nodes), torch.relu(layer.linear(nodes)), rtol=1e-9, atol=1e-12)


@torch.no_grad()
def test_identity_shares_nothing_and_the_others_do():
    nodes = drawn(1, 4, D).abs()
    changed = nodes.clone()
    changed[0, 2] = drawn(D, seed=9).abs()
    for adjacency in ADJACENCIES:
        layer = graph(adjacency)
        same = (layer(nodes) == layer(changed)).all(dim=2)[0].tolist()
        assert same == [adjacency == "identity"] * 2 + [False] + [adjacency == "identity"], adjacency


@torch.no_grad()
def test_the_shares_of_a_node_are_scaled_as_they_should_be():
    nodes, mask = padded()
    for adjacency in ADJACENCIES:
        shares = graph(adjacency).shares(nodes.nan_to_num(0), mask)
        frames = mask[:, :, None] & mask[:, None, :]
        assert (shares[~frames & ~torch.eye(5, dtype=torch.bool)].sum() == 0) or adjacency == "softmax"
        if adjacency == "softmax":
            assert (shares.masked_select(~mask[:, None, :].expand_as(shares)) == 0).all()
            torch.testing.assert_close(shares.sum(2), torch.ones(3, 5).double())
        else:
            torch.testing.assert_close(shares, shares.transpose(1, 2))


@pytest.mark.parametrize("adjacency", [*ADJACENCIES, None])
def test_padding_is_passed_over_wherever_it_is(adjacency):
    """Result and gradients of a clip are those of its frames alone."""
    model, (features, mask) = classifier(adjacency), padded()
    logits, weights = model(features, mask)
    for clip, there, found, shares in zip(features, mask, logits, weights, strict=True):
        alone, own = model(clip[there][None])
        torch.testing.assert_close(found, alone[0], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(shares[there], own[0], rtol=1e-9, atol=1e-12)
        assert (shares[~there] == 0).all()
        assert shares.sum().item() == pytest.approx(1)
    logits.square().sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


@pytest.mark.parametrize("adjacency", [*ADJACENCIES, None])
@torch.no_grad()
def test_nodes_are_read_in_order_and_weighted_by_intensity(adjacency):
    """The LSTM's cell and the weighted sum of the nodes' logits, written out."""
    model, features = classifier(adjacency), drawn(2, 4, D)
    cell = torch.nn.LSTMCell(model.lstm.input_size, H).double()
    cell.load_state_dict({key.removesuffix("_l0"): value for key, value in model.lstm.state_dict().items()})
    logits, weights = model(features)
    nodes = features if model.graph is None else model.graph(features)
    for n in range(2):
        state, steps = (torch.zeros(1, H).double(), torch.zeros(1, H).double()), []
        for t in range(4):
            state = cell(nodes[n, t][None], state)
            steps.append(state[0][0])
        powers = [math.exp(float(model.intensity.weight[0] @ step)) for step in steps]
        shares = [power / sum(powers) for power in powers]
        summed = sum(share * model.classifier(step) for share, step in zip(shares, steps, strict=True))
        torch.testing.assert_close(
            weights[n, :, 0], torch.tensor(shares, dtype=torch.float64), rtol=1e-9, atol=0
        )
        torch.testing.assert_close(logits[n], summed, rtol=1e-9, atol=1e-12)


def test_a_zero_vector_has_a_finite_gradient():
    nodes = torch.zeros(1, 3, D, dtype=torch.float64, requires_grad=True)
    node_cosines(nodes).sum().backward()
    assert torch.isfinite(nodes.grad).all()
    mixed = drawn(1, 3, D).index_fill(1, torch.tensor(1), 0).requires_grad_()
    graph("relu_cosine")(mixed).sum().backward()
    assert mixed.grad.abs().max() < 100


@pytest.mark.parametrize(
    ("nodes", "mask", "said"),
    [
        (torch.zeros(4, D), None, r"nodes have the shape \(4, 6\): expected \(N, frames, 6\)"),
        (torch.zeros(2, 4, D + 1), None, r"\(2, 4, 7\): expected \(N, frames, 6\)"),
        (torch.zeros(2, 0, D), None, "at least one frame"),
        (torch.zeros(2, 4, D), torch.ones(2, 4), r"mask is float32 \(2, 4\): expected bool \(2, 4\)"),
        (torch.zeros(2, 4, D), torch.ones(2, 3).bool(), r"mask is bool \(2, 3\): expected bool \(2, 4\)"),
        (
            torch.zeros(2, 4, D),
            torch.tensor([[True] * 4, [False] * 4]),
            "samples 1 of the batch have no frames",
        ),
    ],
)
def test_what_are_no_nodes_is_refused(nodes, mask, said):
    for model in (graph("relu_cosine"), classifier(), classifier(None)):
        with pytest.raises(UserError, match=said):
            model(nodes.double(), mask)
