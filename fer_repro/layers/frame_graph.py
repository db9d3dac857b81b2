"""A graph over the frames of a clip: frames share features, an LSTM reads them, intensity weighs them.

Inspired by "Video-based Facial Expression Recognition using Graph Convolutional Networks" (Liu, Zhang, Zhou,
ICPR 2020, arXiv:2010.13386). Only its abstract was read: nodes are the CNN features of frames, a layer of
graph convolution shares them, an LSTM follows, and the outputs of the nodes are weighted by the intensity of
the expression. Adjacency, sizes, direction of the LSTM and the form of the weights are this project's choice:

    X' = relu(D^-1/2 A D^-1/2 X W),    h_1 ... h_T = LSTM(X'),    logits = sum_n softmax_n(u h_n) (V h_n + b)

with A = max(C, 0) + I, where C are the cosines of the nodes, and D the row sums of A.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_repro.errors import UserError
from fer_repro.layers.image_sets import check_mask, weighted_mean

Adjacency = Literal["relu_cosine", "softmax", "identity"]
"""``relu_cosine``: as above. ``softmax``: a softmax of each row of C in place of D^-1/2 A D^-1/2.
``identity``: A = I, so that frames share nothing."""


def node_cosines(nodes: Tensor) -> Tensor:
    """Return the cosines of all pairs of nodes, (N, T, D) -> (N, T, T); those of a zero vector are 0."""
    lengths = torch.linalg.vector_norm(nodes, dim=2, keepdim=True)
    units = nodes / lengths.where(lengths > 0, 1)  # its gradient stays finite at a zero vector
    return units @ units.transpose(1, 2)


class FrameGraph(nn.Module):
    """One layer of graph convolution over the frames of each clip, without a bias.

    Args:
        features: D of the nodes.
        outputs: of the layer.
        adjacency: what frames share.
    """

    def __init__(self, features: int, outputs: int, adjacency: Adjacency = "relu_cosine") -> None:
        super().__init__()
        self.adjacency = adjacency
        self.linear = nn.Linear(features, outputs, bias=False)  # W, transposed

    def forward(self, nodes: Tensor, mask: Tensor | None = None) -> Tensor:
        """Share the features of nodes (N, T, D): (N, T, outputs), 0 at padding.

        Args:
            nodes: (N, T, D) in any order; permuted nodes give permuted outputs.
            mask: (N, T) bool, false at padding, whose values are not read.

        Raises:
            UserError: nodes or mask have another shape, or a clip has no frame.
        """
        _check_nodes(nodes, mask, self.linear.in_features)
        if mask is not None:
            nodes = nodes.masked_fill(~mask.unsqueeze(2), 0)
        shared = F.relu(self.shares(nodes, mask) @ self.linear(nodes))  # (N, T, O), X'
        return shared if mask is None else shared.masked_fill(~mask.unsqueeze(2), 0)

    def shares(self, nodes: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return what each node takes of each other one, (N, T, T); of padding nothing.

        A node counts itself twice, by its cosine and by I; a zero vector once.

        Args:
            nodes: (N, T, D), 0 at padding.
            mask: (N, T) bool, false at padding.
        """
        cosines = node_cosines(nodes)
        if self.adjacency == "softmax":
            return _softmax(cosines, None if mask is None else mask.unsqueeze(1))
        own = torch.eye(nodes.shape[1], dtype=cosines.dtype, device=nodes.device)  # I
        matrix = own if self.adjacency == "identity" else F.relu(cosines) + own  # A
        scale = matrix.sum(dim=-1, keepdim=True).rsqrt()  # D^-1/2
        return (scale * matrix * scale.transpose(-1, -2)).expand_as(cosines)


class FrameGraphClassifier(nn.Module):
    """Classifies a clip from the features of its frames: graph, LSTM, weights by intensity.

    Args:
        features: D of the frames.
        outputs: of the graph's layer.
        hidden: of the LSTM, one layer that reads forwards.
        classes: K.
        adjacency: what frames share; None leaves the graph out, so that the LSTM reads the features.
    """

    def __init__(
        self,
        features: int,
        outputs: int,
        hidden: int,
        classes: int,
        adjacency: Adjacency | None = "relu_cosine",
    ) -> None:
        super().__init__()
        self.graph = FrameGraph(features, outputs, adjacency) if adjacency else None
        self.lstm = nn.LSTM(outputs if adjacency else features, hidden, batch_first=True)
        self.intensity = nn.Linear(hidden, 1, bias=False)  # u
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Classify clips of frames in their order in time.

        Args:
            features: (N, T, D).
            mask: (N, T) bool, false at padding, which may be anywhere.

        Returns:
            Logits (N, K), and the weights of the frames (N, T, 1), of sum 1 and 0 at padding.

        Raises:
            UserError: features or mask have another shape, or a clip has no frame.
        """
        nodes = features if self.graph is None else self.graph(features, mask)  # (N, T, O), X'
        states = self.states(nodes, mask)  # (N, T, H), h_n
        scores = self.intensity(states).transpose(1, 2)  # (N, 1, T), u h_n
        weights = _softmax(scores, None if mask is None else mask.unsqueeze(1)).transpose(1, 2)  # (N, T, 1)
        clip = weighted_mean(states, weights)  # (N, H)
        return self.classifier(clip), weights  # the weighted sum of the nodes' logits, as weights sum to 1

    def states(self, nodes: Tensor, mask: Tensor | None = None) -> Tensor:
        """Read nodes (N, T, O) with the LSTM, from a zero state: (N, T, H). Padding is passed over, and 0.

        Raises:
            UserError: nodes or mask have another shape, or a clip has no frame.
        """
        _check_nodes(nodes, mask, self.lstm.input_size)
        if mask is None:
            return self.lstm(nodes)[0]
        order = (~mask).long().argsort(dim=1, stable=True).unsqueeze(2)  # (N, T, 1), the frames first
        frames = nodes.masked_fill(~mask.unsqueeze(2), 0).gather(1, order.expand_as(nodes))
        read = self.lstm(frames)[0]  # (N, T, H)
        states = torch.zeros_like(read).scatter(1, order.expand_as(read), read)
        return states.masked_fill(~mask.unsqueeze(2), 0)


def _softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Take the softmax over the last dimension, 0 where the mask is false."""
    if mask is None:
        return scores.softmax(dim=-1)
    return scores.masked_fill(~mask, -torch.inf).softmax(dim=-1)


def _check_nodes(nodes: Tensor, mask: Tensor | None, features: int) -> None:
    if nodes.ndim != 3 or nodes.shape[2] != features or not nodes.shape[1]:
        raise UserError(
            f"nodes have the shape {tuple(nodes.shape)}: expected (N, frames, {features}), at least one frame"
        )
    if mask is not None:
        check_mask(mask, nodes, "frames")
