"""Every method has its deviation sheet, as complete as the numbered list in its file."""

import importlib
import re
from pathlib import Path

import pytest
import torch

from fer_repro.figures.deviations import NOT_MEASURED, read_deviations
from fer_repro.layers.margin_heads import SphereFaceHead, falling_cosine
from fer_repro.loading.batches import batch_bounds
from fer_repro.methods.method import method_names

ROOT = Path(__file__).parents[2]
SHEETS = read_deviations(ROOT / "results/published/deviations.yaml")


def test_every_method_has_a_sheet():
    assert set(SHEETS) == set(method_names())


@pytest.mark.parametrize("method", method_names())
def test_no_sheet_is_shorter_than_the_list_in_the_methods_file(method):
    text = importlib.import_module(f"fer_repro.methods.{method}").__doc__
    numbered = re.findall(r"^\d+\. ", text, re.MULTILINE)
    assert len(numbered) >= 5
    assert len(SHEETS[method]) >= len(numbered) - 2  # class counts and unused tensors are the code's alone
    assert len({entry.about for entry in SHEETS[method]}) == len(SHEETS[method])


@pytest.mark.parametrize("method", method_names())
def test_sources_inside_the_project_exist(method):
    """Notebooks are named with their section after a comma."""
    for entry in SHEETS[method]:
        assert (entry.effect == NOT_MEASURED) == (entry.source == "")
        for place in re.findall(r"(?:tests|notebooks|results/published)/[\w/]+\.\w+", entry.source):
            assert (ROOT / place).is_file(), place


@pytest.mark.parametrize(("images", "epochs", "share"), [(1300, 10, 4.8), (4970, 12, 16.7)])
def test_what_annealing_leaves_of_spherefaces_margin(images, epochs, share):
    """Of the training part of the synthetic pairs, and of LFW's development list."""
    head, cosine = SphereFaceHead(4, 3), torch.tensor([0.5])
    steps = epochs * len(batch_bounds(images, 32))
    head.steps.fill_(steps)
    psi = falling_cosine(cosine, head.margin)
    found = (head.target_cosine(cosine) - cosine) / (psi - cosine)  # 1 / (1 + lambda)
    assert 100 * found.item() == pytest.approx(share, abs=0.05)
    (entry,) = [entry for entry in SHEETS["adacos"] if entry.about == "margin of SphereFace"]
    assert f"{share} %" in entry.effect
    assert f"{steps:,} " in entry.effect
