import shutil

import numpy as np
import pytest
from PIL import Image

from fer_repro.datasets.adding import add_dataset, examine
from fer_repro.datasets.templates import PLACES, open_template_pairs
from fer_repro.errors import UserError
from fer_repro.measures.identification import template_scores
from fer_repro.measures.verification import unit

FACES = "1.jpg 1 10\n2.jpg 1 10\n3.jpg 1 11\n4.jpg 5 12\n5.jpg 7 13\n6.jpg 7 14\n"
PAIRS = "1 5 1\n1 7 0\n5 7 0\n"


@pytest.fixture
def raw(tmp_path):
    """Six images of other sizes, in which red dots mark the five points."""
    root = tmp_path / "raw" / "IJBC"
    (root / "meta").mkdir(parents=True)
    (root / "loose_crop").mkdir()
    lines = []
    for number in range(1, 7):
        photo = np.full((60 + number, 80, 3), 100, np.uint8)
        points = PLACES * 0.4 + (number, 5)
        for x, y in points:
            photo[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2] = (250, 10, 10)
        Image.fromarray(photo).save(root / "loose_crop" / f"{number}.jpg", quality=100, subsampling=0)
        places = " ".join(f"{value:.3f}" for value in points.ravel())
        lines.append(f"{number}.jpg {places} {1 - number / 10:.3f}\n")
    (root / "meta" / "ijbc_face_tid_mid.txt").write_text(FACES)
    (root / "meta" / "ijbc_template_pair_label.txt").write_text(PAIRS)
    (root / "meta" / "ijbc_name_5pts_score.txt").write_text("".join(lines))
    return root


def add(path, tmp_path, name="ijb", **settings):
    return add_dataset(name, path, tmp_path / "stores", **settings)


def test_images_are_aligned_and_lists_kept(tmp_path, raw):
    store = add(raw, tmp_path)
    assert store.images.shape == (6, 112, 112, 3)
    samples = store.samples
    assert samples["template"].tolist() == [1, 1, 1, 5, 7, 7]
    assert samples["medium"].tolist() == [10, 10, 11, 12, 13, 14]
    assert samples["quality"].tolist() == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    assert set(samples["split"]) == {"test"}
    assert open_template_pairs(store).tolist() == [[1, 5, 1], [1, 7, 0], [5, 7, 0]]
    for image in store.images:
        for x, y in PLACES:
            red, green, _ = image[round(y), round(x)].astype(int)
            assert red - green > 100
    assert "IJB-C: 3 templates, 1 same and 2 different pairs." in store.manifest.note
    assert "template: 3, official 23124 (-23121)" in examine(add(raw, tmp_path, "ijb-c")).text()


def test_found_from_the_folder_above_and_at_another_size(tmp_path, raw):
    store = add(raw.parent, tmp_path, "ijb-c", size=56)
    assert store.images.shape == (6, 56, 56, 3)
    with pytest.raises(UserError, match="found neither: expected one, ijb-b or ijb-c"):
        add(raw.parent, tmp_path, "ijb-b")


@pytest.mark.parametrize("weighted", [True, False])
def test_templates_are_scored_as_the_protocol_says(tmp_path, raw, weighted):
    """Mean within a medium, sum over media, unit length: written out for the six images."""
    store = add(raw, tmp_path)
    rows = np.random.default_rng(0).normal(size=(6, 8))
    features = unit(rows) * (store.samples["quality"].to_numpy()[:, None] if weighted else 1)
    merged = {
        1: (features[0] + features[1]) / 2 + features[2],
        5: features[3],
        7: features[4] + features[5],
    }
    expected = [
        merged[a] @ merged[b] / np.linalg.norm(merged[a]) / np.linalg.norm(merged[b])
        for a, b in ((1, 5), (1, 7), (5, 7))
    ]
    pairs = open_template_pairs(store)
    np.testing.assert_allclose(template_scores(rows, store.samples, pairs, weighted), expected, rtol=1e-12)
    with pytest.raises(UserError, match="template 6 of a pair has no images among 3 templates"):
        template_scores(rows, store.samples, np.array([[1, 6, 0]]), weighted)


def rewrite(name, text):
    return lambda root: (root / "meta" / f"ijbc_{name}.txt").write_text(text)


BAD = {
    "unknown template": (
        rewrite("template_pair_label", "1 5 1\n1 6 0\n"),
        r"line 2: \[1, 6, 0\]: expected t",
    ),
    "label": (rewrite("template_pair_label", "1 5 1\n1 7 2\n"), r"line 2: \[1, 7, 2\]: expected same 0 or 1"),
    "one kind": (rewrite("template_pair_label", "1 5 1\n1 7 1\n"), "all 2 pairs are of one kind"),
    "columns": (rewrite("template_pair_label", "1 5\n"), "line 1: 2 columns: expected lines of template"),
    "number": (rewrite("template_pair_label", "1 5 x\n"), "label.txt: not readable: .*expected lines of"),
    "short line": (rewrite("face_tid_mid", "1.jpg 1 2\n2.jpg 1\n"), "mid.txt: "),
    "empty": (rewrite("face_tid_mid", ""), "mid.txt: line 1: 0 columns"),
    "other order": (
        rewrite("face_tid_mid", FACES.replace("2.jpg", "9.jpg")),
        "score.txt: line 2: image '2.jpg': ijbc_face_tid_mid.txt has '9.jpg'",
    ),
    "other count": (rewrite("face_tid_mid", FACES[:11]), "6 lines, and 1 in ijbc_face_tid_mid.txt"),
    "no list": (
        lambda root: (root / "meta" / "ijbc_name_5pts_score.txt").unlink(),
        "score.txt: no such file; expected lines of file x1 y1",
    ),
    "no image": (
        lambda root: (root / "loose_crop" / "4.jpg").unlink(),
        "4.jpg: no such file, expected for .*face_tid_mid",
    ),
    "unreadable image": (
        lambda root: (root / "loose_crop" / "4.jpg").write_text("x"),
        "4.jpg: not readable as an image",
    ),
    "two benchmarks": (
        lambda root: shutil.copy(root / "meta/ijbc_face_tid_mid.txt", root / "meta/ijbb_face_tid_mid.txt"),
        "found IJB-B and IJB-C: expected one",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_folders_are_one_clear_error_and_write_nothing(tmp_path, raw, case):
    BAD[case][0](raw)
    with pytest.raises(UserError, match=BAD[case][1]) as caught:
        add(raw, tmp_path)
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "stores").rglob("*"))
