"""A loaded model computes what the evaluation of its run computed, from whatever a face comes in."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from videos import write_video

import fer_repro
from fer_repro.datasets.store import open_store
from fer_repro.errors import UserError
from fer_repro.inference.prediction_rows import output_columns
from fer_repro.inference.sources import video_frames
from fer_repro.runs.predictions import read_predictions


def probabilities(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def columns(table, model):
    return table[[f"p_{name}" for name in model.spec.classes]].to_numpy()


@pytest.mark.parametrize("method", ["rmn", "ran", "efficientnet"])
def test_whole_images_get_the_numbers_of_the_evaluation(project, run_of, method):
    run = run_of(method)
    written = read_predictions(run / "predictions.csv")
    model = fer_repro.load(run)
    store = open_store(project / "prepared" / model.spec.dataset)
    images = store.images[store.samples["image"].to_numpy()[written.samples]]
    table = model.predict(np.asarray(images), detector="none")
    assert np.abs(columns(table, model) - probabilities(written.logits)).max() < 1e-6
    best = [model.spec.classes[k] for k in written.logits.argmax(1)]
    assert table["prediction"].tolist() == best
    assert np.allclose(table["confidence"], columns(table, model).max(1))
    if method == "efficientnet":
        assert np.allclose(table["forgery_logit"], written.logits[:, 1] - written.logits[:, 0], atol=1e-5)
        assert np.allclose(table["forgery_score"], 1 / (1 + np.exp(-table["forgery_logit"])))
    if method == "ran":
        weights = table.filter(like="weight_")
        assert list(weights)[-1] == "weight_whole_face"
        assert np.allclose(weights.sum(axis=1), 1, atol=1e-6)


def test_a_clip_gets_the_numbers_of_the_evaluation_and_shares_of_its_frames(project, run_of):
    run = run_of("fan")
    written, model = read_predictions(run / "predictions.csv"), fer_repro.load(run)
    store = open_store(project / "prepared" / "synthetic_clips")
    with np.load(run / "explained.npz") as explained:
        rows, weights = explained["rows"], explained["weights"]
    for item, first in enumerate(written.samples[written.splits == "test"][: len(rows)]):
        frames = rows[item][rows[item] >= 0]
        assert frames[0] == first
        table = model.predict(store.images[store.samples["image"].to_numpy()[frames]], detector="none")
        expected = probabilities(written.logits[written.samples == first])
        assert np.abs(columns(table, model) - expected).max() < 1e-6
        assert np.allclose(table["frame_weight"], weights[item][: len(frames)], atol=1e-3)  # kept as float16
        assert table["frame_weight"].sum() == pytest.approx(1)
        assert table["clip"].nunique() == 1


def test_embeddings_give_the_scores_of_the_evaluation(project, run_of):
    run = run_of("adacos")
    pairs, model = pd.read_csv(run / "pairs.csv"), fer_repro.load(run)
    store = open_store(project / "prepared" / "synthetic_pairs")
    chosen = store.samples["image"].to_numpy()
    for _, pair in pairs.groupby("list").head(3).iterrows():
        first, second = (np.asarray(store.images[chosen[pair[name]]]) for name in ("first", "second"))
        found = model.verify(first, second, detector="none")
        assert found.score == pytest.approx(pair["score"], abs=1e-5)
        assert found.same == (found.score >= found.threshold)
    val = pairs[pairs["list"] == "val"]
    right = {t: ((val["score"] >= t) == (val["same"] == 1)).sum() for t in val["score"]}
    assert right[model.spec.threshold] == max(right.values())  # as good as any threshold there is
    a, b = model.embed(np.asarray(store.images[:2]), detector="none")
    naive = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    naive /= sum(float(x) ** 2 for x in a) ** 0.5 * sum(float(y) ** 2 for y in b) ** 0.5
    assert model.verify(a, b).score == pytest.approx(naive, abs=1e-6)
    assert fer_repro.verify(a, b, model).score == pytest.approx(naive, abs=1e-6)


def test_one_image_a_batch_a_folder_a_glob_and_a_video_give_the_same_numbers(rmn, faces, tmp_path):
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (5, 90, 120, 3), np.uint8)
    images[:, 20:68, 30:78] = faces[:5, :, :, None]
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    whole = write_video(tmp_path / "video.avi", images)
    for (at, frame), image in zip(video_frames(whole), images, strict=True):
        assert np.array_equal(frame, image), at  # the video is lossless
    looking = {"detector": "30,20,78,68"}
    alone = pd.concat([rmn.predict(image, **looking) for image in images])
    ways = [
        images,
        list(images),
        [str(tmp_path / f"{number}.png") for number in range(5)],
        str(tmp_path / "*.png"),
        whole,
        Image.fromarray(images[0]),
    ]
    for way in ways:
        table = rmn.predict(way, **looking)
        expected = columns(alone, rmn)[: len(table)]
        assert len(table) in (5, 1)
        assert np.abs(columns(table, rmn) - expected).max() < 1e-6
        assert table["left"].tolist() == [30.0] * len(table)
    by_one = rmn.predict(images, **looking, batch_size=1)
    assert np.abs(columns(by_one, rmn) - columns(alone, rmn)).max() < 1e-6
    folder = rmn.predict(tmp_path, **looking)  # images and the video
    assert folder["source"].tolist()[:5] == [f"{tmp_path}/{number}.png" for number in range(5)]
    assert folder["frame"].tolist()[5:] == [0, 1, 2, 3, 4]
    again = rmn.predict(tmp_path, boxes=folder.assign(left=folder["left"] + 1), **looking)
    assert set(again["left"]) == {31.0}  # known boxes are taken, no detector looks


def test_a_long_video_is_looked_at_frame_by_frame_as_asked(rmn, faces, tmp_path):
    images = np.repeat(faces[:13, :, :, None], 3, axis=3)
    path = write_video(tmp_path / "video.avi", images)
    assert rmn.predict(path, detector="none", every=4)["frame"].tolist() == [0, 4, 8, 12]
    assert rmn.predict(path, detector="none", frames=4)["frame"].tolist() == [0, 4, 8, 12]
    assert rmn.predict(path, detector="none", frames=3)["frame"].tolist() == [0, 6, 12]


def test_a_long_clip_is_cut_into_windows(run_of, faces, tmp_path):
    model = fer_repro.load(run_of("fan"))
    images = np.repeat(faces[:10, :, :, None], 3, axis=3)
    path = write_video(tmp_path / "video.avi", images)
    table = model.predict(path, detector="none", window=4)
    assert table["clip"].tolist() == [f"{path} from {n}" for n in (0, 0, 0, 0, 4, 4, 4, 4, 8, 8)]
    last = model.predict(images[8:], detector="none")
    assert np.allclose(columns(table[8:], model), columns(last, model), atol=1e-6)
    assert table.groupby("clip")["frame_weight"].sum().tolist() == pytest.approx([1, 1, 1])


def test_wrong_models_are_told(project, run_of, tmp_path):
    with pytest.raises(UserError, match="no such model"):
        fer_repro.load(tmp_path / "absent")
    with pytest.raises(UserError, match="holds no weights"):
        fer_repro.load(tmp_path)
    with pytest.raises(UserError, match="runtime is 'tensorflow'"):
        fer_repro.load(run_of("rmn"), runtime="tensorflow")
    with pytest.raises(UserError, match="device 'gpu3' cannot be used"):
        fer_repro.load(run_of("rmn"), device="gpu3")
    with pytest.raises(UserError, match=r"weights_fold2.safetensors; did you mean"):
        fer_repro.load(run_of("rmn"), fold=2)
    with pytest.raises(UserError, match="has no embeddings"):
        fer_repro.load(run_of("rmn")).embed(np.zeros((48, 48), np.uint8), detector="none")


def test_a_run_without_its_data_asks_how_they_looked(run_of, tmp_path, monkeypatch, faces):
    import shutil

    run = shutil.copytree(run_of("rmn"), tmp_path / "a" / "b" / "c" / "d" / "e" / "run")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"give colour and face_size \(--colour grey --face-size 48\)"):
        fer_repro.load(run)
    model = fer_repro.load(run, colour="grey", face_size=48)
    known = fer_repro.load(run_of("rmn"))
    assert model.spec == known.spec
    table, expected = (each.predict(faces[:5], detector="none") for each in (model, known))
    pd.testing.assert_frame_equal(table, expected)


def test_a_batch_that_does_not_fit_the_device_is_halved(run_of, faces, monkeypatch):
    model = fer_repro.load(run_of("rmn"))
    expected = model.predict(faces[:9], detector="none")
    forward, sizes = model.backend._forward, []

    def scarce(pixels):
        sizes.append(len(pixels))
        if len(pixels) > 3:
            raise torch.OutOfMemoryError("no room")
        return forward(pixels)

    monkeypatch.setattr(model.backend, "_forward", scarce)
    table = model.predict(faces[:9], detector="none")
    assert np.allclose(columns(table, model), columns(expected, model), atol=1e-6)
    assert all(after <= before for before, after in pairwise([n for n in sizes if n > 3]))
    assert model.backend.batch <= 3


def test_import_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys, time\n"
        "begin = time.perf_counter()\n"
        "import fer_repro\n"
        "spent = time.perf_counter() - begin\n"
        "heavy = {'torch', 'pandas', 'numpy', 'cv2', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert {'load', 'verify', 'detect_manipulation'} <= set(dir(fer_repro))\n"
        "print(spent)"
    )
    spent = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(spent) < 0.2
    with pytest.raises(AttributeError, match="has no attribute 'train'"):
        fer_repro.train  # noqa: B018


@pytest.mark.parametrize("arm", ["published_order", "network"])
def test_what_reads_traces_is_not_run_on_cut_faces(run_of, arm):
    """Cutting and resizing would remove what it reads: an answer would be wrong in silence."""
    with pytest.raises(UserError, match="benford reads traces in pixels as they are stored"):
        fer_repro.load(run_of("benford", arm))


def test_what_reads_traces_is_never_chosen(project, run_of):
    from fer_repro.inference.choosing import choose_models

    assert "benford" not in choose_models("manipulation", project).text()


def test_a_network_that_weighs_no_regions_has_no_columns_of_them(run_of):
    spec = fer_repro.load(run_of("ran")).spec
    assert spec.regions
    assert not [name for name in output_columns(spec, ["logits"]) if name.startswith("weight_")]
