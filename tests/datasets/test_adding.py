"""Every adapter is whole, and names lead to adapters."""

import numpy as np
import pandas as pd
import pytest

from fer_repro.datasets.adding import add_dataset, added_names, official_of
from fer_repro.datasets.dataset import is_addable, load_dataset
from fer_repro.datasets.samples import SPLITS
from fer_repro.datasets.store import write_store
from fer_repro.errors import UserError
from fer_repro.params import dataset_names


@pytest.mark.parametrize("name", dataset_names())
def test_an_adapter_is_whole(name):
    dataset = load_dataset(name)
    assert dataset.terms.endswith(".")
    assert dataset.classes or dataset.read_classes
    assert len(set(dataset.classes)) == len(dataset.classes)
    if dataset.official is not None:
        for part, counts in dataset.official.counts.items():
            assert set(part.split("+")) <= set(SPLITS)
            assert len(counts) == len(dataset.classes)


@pytest.mark.parametrize("name", ["rafdb", "affectnet", "ferplus"])
def test_official_counts_add_up_to_the_published_sizes(name):
    official = load_dataset(name).official
    sums = {part: sum(counts) for part, counts in official.counts.items()}
    published = {
        "rafdb": {"train+val": 12271, "test": 3068},
        "affectnet": {"train+val": 287651, "test": 4000},
        "ferplus": {"train": 25045, "val": 3191, "test": 3137},
    }
    assert sums == published[name]


def test_names_with_a_variant():
    assert is_addable("ferplus-plain")
    assert not is_addable("synthetic")
    assert official_of("ferplus-plain").sizes == {"train": 28385, "val": 3555, "test": 3545}
    assert official_of("ferplus-probability") is None
    assert official_of("ferplus").counts
    for name, message in {
        "ferplus-": "'ferplus-' is unknown; did you mean 'ferplus'",
        "ferplus-majorty": "unknown; ",
        "ckplus48-fold3": "unknown; did you mean 'ckplus48'",
        "ferpluss": "did you mean 'ferplus'",
    }.items():
        with pytest.raises(UserError, match=message):
            load_dataset(name)


def test_sets_in_a_folder_of_stores(tmp_path, miniature):
    samples = {"image": [0], "label": [0], "subject": "", "clip": "", "split": "train"}
    for name in ("folder-office", "stranger"):
        table = pd.DataFrame(samples)
        write_store(tmp_path / name, name, ("a", "b"), np.zeros((1, 4, 4), np.uint8), table, {})
    assert added_names(tmp_path) == ("folder-office",)


def test_a_set_of_one_size_takes_no_size(tmp_path, csv_file):
    with pytest.raises(UserError, match="--size 64: fer2013 stores its images as they are"):
        add_dataset("fer2013", csv_file, tmp_path / "stores", size=64)
    assert not (tmp_path / "stores").exists()
