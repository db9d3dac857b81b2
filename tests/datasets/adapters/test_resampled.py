import io

import numpy as np
import pytest
from miniature_sets import resampled
from PIL import Image

from fer_repro.datasets.adding import add_dataset, examine
from fer_repro.datasets.protocols import check_subjects
from fer_repro.datasets.store import open_store, write_store
from fer_repro.errors import UserError
from fer_repro.synthetic.resampled import halve


@pytest.fixture
def faces(tmp_path):
    resampled(tmp_path / "identities-mine")
    return tmp_path / "identities-mine"


def jpeg(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=90)
    return np.asarray(Image.open(buffer))


def test_the_first_image_of_each_person_comes_twice(tmp_path, faces):
    store, whole = add_dataset("resampled", faces, tmp_path / "stores"), open_store(faces)
    assert store.classes == ("real", "manipulated")
    assert len(store.samples) == 40
    for person, pair in store.samples.groupby("subject"):
        assert pair["label"].tolist() == [0, 1]
        assert pair["forgery"].tolist() == ["none", "halved"]
        assert pair["split"].nunique() == 1
        first = whole.images[whole.samples["image"][whole.samples["subject"] == person].iloc[0]]
        assert np.array_equal(store.images[pair["image"].iloc[0]], jpeg(first))
        assert np.array_equal(store.images[pair["image"].iloc[1]], jpeg(halve(first)))
    check_subjects(store.samples, "resampled")
    assert {"train", "val", "test"} == set(store.samples["split"])
    assert "first image of each person of identities-mine" in store.manifest.note
    examine(store)


def test_unknown_people_are_one_for_each_image(tmp_path, faces):
    known = open_store(faces)
    table = known.samples.assign(subject="")
    write_store(tmp_path / "bare", "folder", known.classes, np.array(known.images), table, {})
    store = add_dataset("resampled", tmp_path / "bare", tmp_path / "stores")
    assert store.samples["subject"].nunique() == 40
    assert len(store.samples) == 80


def test_only_a_set_of_real_faces_is_taken(tmp_path, faces):
    with pytest.raises(
        UserError, match="no folder of a data set: expected one that was added, such as stores/lfw"
    ):
        add_dataset("resampled", tmp_path, tmp_path / "stores")
    store = add_dataset("resampled", faces, tmp_path / "stores")
    with pytest.raises(UserError, match="has real and manipulated faces already"):
        add_dataset("resampled", store.folder, tmp_path / "again")


def test_halving_keeps_means_and_loses_detail():
    checks = (np.indices((16, 16)).sum(axis=0) % 2 * 200).astype(np.uint8)
    assert np.ptp(halve(checks)[2:-2, 2:-2]) <= 2  # the finest pattern is gone
    ramp = np.tile(np.arange(0, 160, 10, dtype=np.uint8), (16, 1))
    assert np.abs(halve(ramp).astype(int)[:, 3:-3] - ramp[:, 3:-3]).max() <= 2
    colour = np.stack([checks] * 3, axis=2)
    assert np.array_equal(halve(colour)[..., 1], halve(checks))
