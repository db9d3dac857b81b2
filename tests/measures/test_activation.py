"""Activation ratios: groups without samples and layers without activity have none."""

import numpy as np
import pytest

from fer_repro.errors import UserError
from fer_repro.measures.activation import activation_by_group, activation_ratios


def test_the_strongest_group_has_the_ratio_one():
    strengths, groups = np.array([1.0, 3.0, 8.0, 4.0]), np.array([0, 0, 1, 1])
    assert activation_by_group(strengths, groups, 2).tolist() == [2.0, 6.0]
    np.testing.assert_allclose(activation_ratios(strengths, groups, 2), [1 / 3, 1])


def test_an_empty_group_and_a_silent_layer_are_refused():
    with pytest.raises(UserError, match="group 2 has no samples"):
        activation_ratios(np.ones(2), np.array([0, 1]), 3)
    with pytest.raises(UserError, match="is 0 for all samples"):
        activation_ratios(np.zeros(2), np.array([0, 1]), 2)
