import numpy as np
import pytest

from fer_repro.figures.angles import reduction_table, scale_table


def test_bounds_of_the_fact_sheet():
    table = scale_table([3, 7, 8, 10, 100, 10_575]).set_index("C")
    expected = {3: (0.571, 0.685), 7: (0.678, 0.762), 8: (0.691, 0.768), 10: (0.713, 0.778)}
    expected |= {100: (0.870, 0.878), 10_575: (0.979, 0.979)}
    for count, bounds in expected.items():
        found = table.loc[count, ["P, orthogonal", "P, simplex"]].tolist()
        assert found == pytest.approx(bounds, abs=6e-4)
    assert table.loc[7, "lowest loss"] == pytest.approx(0.272, abs=5e-4)
    assert table.loc[7, "settled s"] == pytest.approx(1.536, abs=5e-4)


def test_two_classes_have_no_scale_at_all():
    row = scale_table([2]).iloc[0]
    assert row.tolist() == pytest.approx([2, 0, 0.5, 0.5, np.log(2), 0])


def test_reductions_by_hand():
    table = reduction_table([2, 7, 10_575], batch=8, dimensions=512)
    assert table["1/N"].tolist() == [0.125] * 3
    assert table["2/(N C)"].tolist() == pytest.approx([0.125, 2 / 56, 2 / 84_600])
    assert table["weaker"].tolist() == [1, 3.5, 5287.5]
    assert table["lowest loss"].tolist() == pytest.approx([0, 0, 9.827], abs=1e-3)
