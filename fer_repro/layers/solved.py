"""Networks whose numbers are found at once, not by gradients; a random forest is one, as arrays.

They are modules like any other: their numbers are in the state dict, so a run keeps them in safetensors, and
nothing is ever unpickled.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fer_repro.errors import UserError


class Solved(nn.Module):
    """A module whose tensors get their shapes when it is solved, or when its state dict is loaded.

    Args:
        names: of its tensors; empty until ``keep``.
    """

    def __init__(self, *names: str) -> None:
        super().__init__()
        for name in names:
            self.register_parameter(name, _frozen(torch.empty(0)))

    @property
    def is_solved(self) -> bool:
        """Whether it holds numbers."""
        return all(parameter.numel() for parameter in self._parameters.values() if parameter is not None)

    def keep(self, **found: np.ndarray) -> None:
        """Take over the solution: an array for each of its names."""
        for name, array in found.items():
            assert name in self._parameters, name
            self._parameters[name] = _frozen(torch.from_numpy(np.array(array)))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:  # noqa: ANN401
        """Take over the shapes and types of the file before its numbers."""
        for name in self._parameters:
            if (given := state_dict.get(prefix + name)) is not None:
                self._parameters[name] = _frozen(torch.empty_like(given))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _frozen(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor, requires_grad=False)


class Forest(Solved):
    """A random forest of scikit-learn: the nodes of all trees, one after the other.

    ``roots`` (T,) int32; of each of M nodes ``left`` and ``right`` (-1 at leaves) and ``feature`` (M,) int32,
    ``threshold`` (M,) float64 and ``shares`` (M, K) float64 of the classes at a leaf.
    """

    def __init__(self) -> None:
        super().__init__("roots", "left", "right", "feature", "threshold", "shares")

    def _kept(self, name: str) -> Tensor:
        found = self._parameters[name]
        assert found is not None
        return found.long() if found.dtype == torch.int32 else found.double()

    def grow(self, features: np.ndarray, targets: np.ndarray, classes: int, trees: int, seed: int) -> None:
        """Fit ``sklearn.ensemble.RandomForestClassifier`` with its own defaults.

        Args:
            features: (N, D), finite.
            targets: (N,) class indices.
            classes: K.
            trees: how many.
            seed: ``random_state``.

        Raises:
            UserError: there are fewer than two classes to tell apart.
        """
        from sklearn.ensemble import RandomForestClassifier  # takes a second, and only training needs it

        if len(np.unique(targets)) < 2:
            raise UserError(f"a forest needs samples of two classes: found {len(targets)} of one or none")
        grown = RandomForestClassifier(n_estimators=trees, random_state=seed).fit(features, targets)
        nodes = [tree.tree_ for tree in grown.estimators_]
        starts = np.cumsum([0, *(tree.node_count for tree in nodes)])[:-1].astype(np.int32)
        shares = np.zeros((sum(tree.node_count for tree in nodes), classes))
        values = np.concatenate([tree.value[:, 0, :] for tree in nodes])
        shares[:, grown.classes_] = values / values.sum(axis=1, keepdims=True)

        def moved(children: str) -> np.ndarray:
            """Number the children over all trees; leaves keep -1."""
            parts = [(getattr(tree, children), start) for tree, start in zip(nodes, starts, strict=True)]
            return np.concatenate([np.where(part < 0, -1, part + start) for part, start in parts]).astype(
                np.int32
            )

        self.keep(
            roots=starts,
            left=moved("children_left"),
            right=moved("children_right"),
            feature=np.concatenate([tree.feature for tree in nodes]).astype(np.int32),
            threshold=np.concatenate([tree.threshold for tree in nodes]),
            shares=shares,
        )

    def forward(self, features: Tensor) -> Tensor:
        """Average the trees' shares of the classes.

        Args:
            features: (N, D); compared in float32, as scikit-learn does.

        Returns:
            Probabilities (N, K) float64.

        Raises:
            UserError: the forest has not been grown.
        """
        if not self.is_solved:
            raise UserError("this forest has not been grown: train the arm, or load the weights of a run")
        values = features.float()
        left, right, feature, threshold = map(self._kept, ("left", "right", "feature", "threshold"))
        places = self._kept("roots").expand(len(values), -1)  # (N, T)
        while bool((left[places] >= 0).any()):
            chosen = values.gather(1, feature[places].clamp_min(0)).double()
            children = torch.where(chosen <= threshold[places], left[places], right[places])
            places = torch.where(left[places] >= 0, children, places)
        return self._kept("shares")[places].mean(dim=1)
