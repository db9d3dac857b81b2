"""Memory stays flat as a set grows: the bound that benchmarks/memory.py shows up to a million images."""

import importlib
from pathlib import Path

import pandas as pd
import pytest

from fer_repro.datasets.samples import check_samples
from fer_repro.datasets.store import open_store
from fer_repro.loading.split import open_split

ROOT = Path(__file__).parents[2]


@pytest.fixture
def memory(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("benchmarks.memory")


def test_an_added_image_takes_at_most_200_bytes_of_memory(memory, tmp_path):
    small, large = (
        memory.held_bytes(memory.sparse_store(tmp_path / str(n), n), batches=2) for n in memory.QUICK
    )
    assert large - small <= 200 * (memory.QUICK[1] - memory.QUICK[0])


def test_sparse_store_opens_like_any_other_and_takes_no_room(memory, tmp_path):
    store = open_store(memory.sparse_store(tmp_path / "set", 40))
    assert store.images.shape == (40, 48, 48)
    assert store.samples["split"].value_counts().to_dict() == {"train": 36, "val": 2, "test": 2}
    assert len(open_split(store, "train")) == 36
    assert (tmp_path / "set" / "images.npy").stat().st_blocks * 512 < 40 * 48 * 48


@pytest.mark.parametrize("kind", [object, "str"])
def test_text_is_checked_alike_whatever_holds_it(kind):
    table = pd.DataFrame({"image": [0], "label": [0], "subject": ["007"], "clip": [""], "split": ["val"]})
    table = table.astype(dict.fromkeys(("subject", "clip", "split"), kind))
    checked = check_samples(table.set_index(pd.Index([5])), ("a",), 1, "here")
    assert checked.to_dict("records") == [
        {"image": 0, "label": 0, "subject": "007", "clip": "", "split": "val"}
    ]
    assert list(checked.index) == [0]
