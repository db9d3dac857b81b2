import numpy as np
import pytest
from PIL import Image

from fer_repro.datasets.adding import add_dataset
from fer_repro.errors import UserError
from fer_repro.measures.identification import distractor_rates

PROBES = [
    "Ann_A/Ann_A_1.png",
    "Ann_A/Ann_A_7.png",
    "Bob B/Bob B_2.png",
    "Bob B/Bob B_3.png",
    "Cy_C/Cy_C_1.png",
]
OTHERS = [f"{number}/{number}@N/{number}_0.jpg" for number in range(6)]


@pytest.fixture
def raw(tmp_path):
    root = tmp_path / "raw"
    rng = np.random.default_rng(0)
    for folder, names in {"facescrub": PROBES, "megaface": OTHERS}.items():
        for name in names:
            file = root / f"{folder}_images" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(file)
    (root / "facescrub_lst").write_text("".join(f"./facescrub_images/{name}\n" for name in PROBES))
    (root / "megaface_lst").write_text("".join(f"{name}\n" for name in OTHERS))
    (root / "facescrub_noises.txt").write_text("# wrong ones\nBob B_3.png\n")
    (root / "megaface_noises.txt").write_text("#\n1\t2/2@N/2_0.jpg\n4/4@N/4_0.jpg\n")
    return root


def add(path, tmp_path, name="megaface", **settings):
    return add_dataset(name, path, tmp_path / "stores", **settings)


def test_wrong_images_are_left_out(tmp_path, raw):
    store = add(raw, tmp_path)
    samples = store.samples
    assert store.classes == ("probe", "distractor")
    assert samples["subject"].tolist() == ["Ann_A", "Ann_A", "Bob B", "Cy_C", "", "", "", ""]
    assert samples["label"].tolist() == [0] * 4 + [1] * 4
    kept = ["0/0@N/0_0.jpg", "1/1@N/1_0.jpg", "3/3@N/3_0.jpg", "5/5@N/5_0.jpg"]
    assert samples["file"].tolist()[4:] == [f"megaface_images/{name}" for name in kept]
    assert "MegaFace, refined, 1 + 2 left out: 4 probes of 3 people, 4 distractors." in store.manifest.note


def test_the_original_protocol_keeps_them(tmp_path, raw):
    for name in ("facescrub", "megaface"):
        (raw / f"{name}_noises.txt").unlink()
    store = add(raw, tmp_path, "megaface-original", size=8)
    assert store.images.shape == (11, 8, 8, 3)
    assert "MegaFace, original: 5 probes of 3 people, 6 distractors." in store.manifest.note
    with pytest.raises(UserError, match=r"facescrub_noises\.txt: no such file"):
        add(raw, tmp_path)


def test_rates_count_every_ordered_pair(tmp_path, raw):
    samples = add(raw, tmp_path, "megaface-original").samples
    rows = np.random.default_rng(1).normal(size=(11, 3))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    order = np.random.default_rng(0).permutation(np.arange(5, 11))
    found = distractor_rates(rows, samples, (2, 6), (1, 2))
    for size in (2, 6):
        for rank in (1, 2):
            hits = [
                sum(rows[i] @ rows[d] > rows[i] @ rows[j] for d in order[:size]) < rank
                for i, j in ((0, 1), (1, 0), (2, 3), (3, 2))
            ]
            assert found[size][rank] == np.mean(hits)


BAD = {
    "short": (
        lambda root: (root / "megaface_lst").write_text("a/b.jpg\n"),
        "'a/b.jpg': expected a path",
    ),
    "empty": (lambda root: (root / "facescrub_lst").write_text("\n"), "facescrub_lst: no images"),
    "no list": (
        lambda root: (root / "megaface_lst").unlink(),
        "megaface_lst: no such file; exp",
    ),
    "no image": (
        lambda root: (root / "megaface_images" / OTHERS[1]).unlink(),
        "1_0.jpg: no such file, expected for .*_lst",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_folders_are_one_clear_error_and_write_nothing(tmp_path, raw, case):
    BAD[case][0](raw)
    with pytest.raises(UserError, match=BAD[case][1]) as caught:
        add(raw, tmp_path)
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "stores").rglob("*"))
