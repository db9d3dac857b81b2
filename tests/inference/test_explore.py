"""Explorers without a browser: what they show follows the factors, and their words say the same."""

import io
import itertools
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit

from fer_repro.datasets.store import open_store
from fer_repro.errors import UserError
from fer_repro.evaluation.frame_weights import look_at_clips
from fer_repro.figures.style import new_figure, png_bytes
from fer_repro.inference import explore_widgets, own_face
from fer_repro.inference.explore import (
    NOWHERE,
    Choice,
    Explorer,
    OwnFaces,
    SeenFace,
    Slider,
    explore_frames,
    explore_masks,
    explore_regions,
    people_of,
)
from fer_repro.inference.explore_scores import STRENGTHS, ensemble, explore_angles, explore_forgeries
from fer_repro.inference.explore_widgets import is_live, show_explorer
from fer_repro.inference.faces_in import FaceFormat
from fer_repro.inference.moved_faces import look_at_images, render_like, with_expression, with_occluder
from fer_repro.inference.own_face import Photograph, cut_faces, read_photograph
from fer_repro.runs.loaded_run import load_run, look
from fer_repro.synthetic.clips import PASSING
from fer_repro.training.loop import logits_of

FORGERS = ("plain", "attention")
FACE = Path(__file__).parents[2] / "docs/face.png"
FACE_BYTES = FACE.read_bytes()


def trained_on(stills, run):
    """A copy of a run that says it was trained on these stills; those of ``project`` have seen noise."""
    copy = stills.folder.parent / run.name
    shutil.copytree(run, copy, dirs_exist_ok=True)
    config = json.loads((copy / "config.json").read_text()) | {"data_sha256": stills.digests}
    (copy / "config.json").write_text(json.dumps(config))
    return copy


def explorer_of(project, stills, method):
    runs = project / "runs"
    if method == "rmn":
        return explore_masks(trained_on(stills, runs / "synthetic/rmn/0/masked"), stills)
    if method == "ran":
        return explore_regions(trained_on(stills, runs / "synthetic/ran/0/softmax_weights"), stills)
    if method == "fan":
        clips = open_store(project / "prepared/synthetic_clips")
        return explore_frames(runs / "synthetic_clips/fan/0/self_relation", clips)
    if method == "efficientnet":
        folders = {arm: runs / f"synthetic_forgeries/efficientnet/0/{arm}" for arm in FORGERS}
        return explore_forgeries(folders, "attention", open_store(project / "prepared/synthetic_forgeries"))
    arm = {"adacos": "dynamic", "p2sgrad": "p2sgrad"}[method]
    pairs = open_store(project / "prepared/synthetic_pairs")
    return explore_angles(runs / f"synthetic_pairs/{method}/0/{arm}", pairs)


METHODS = ("rmn", "ran", "fan", "adacos", "p2sgrad", "efficientnet")


@pytest.mark.parametrize("method", METHODS)
def test_the_same_factors_give_the_same_figure_and_others_another(project, stills, method):
    explorer = explorer_of(project, stills, method)
    moved = {"apex": 1} if method == "fan" else {"strength": 0.3} if method == "efficientnet" else {"yaw": 30}
    first, again, other = explorer.at(), explorer.at(), explorer.at(**moved)
    assert png_bytes(first.figure) == png_bytes(again.figure)
    assert png_bytes(first.figure) != png_bytes(other.figure)
    assert first.words == again.words != other.words


@pytest.mark.parametrize("method", METHODS)
def test_every_network_looks_at_the_readers_face(project, stills, method):
    """Cut as in training: the face's own pixels in the figure, not the whole photograph."""
    explorer, photograph = explorer_of(project, stills, method), read_photograph(FACE_BYTES, "me.png")
    seen = explorer.of([photograph])
    assert seen.words.startswith("me.png: ")
    assert png_bytes(seen.figure) == png_bytes(explorer.of([photograph]).figure)
    drawn = next(axes.images[0] for axes in seen.figure.axes if axes.images)
    size = explorer.own.form.face_size
    cut = cut_faces([photograph], explorer.own.form)[0]
    assert cut.shape == ((size, size) if explorer.own.form.colour == "grey" else (size, size, 3))
    np.testing.assert_array_equal(np.asarray(drawn.get_array()), cut)


def test_a_clip_is_made_of_the_photographs_in_their_order(project, stills):
    explorer, photograph = explorer_of(project, stills, "fan"), read_photograph(FACE_BYTES, "me.png")
    dark = Photograph("dark.png", photograph.pixels // 2)
    shown = [axes.images[0].get_array() for axes in explorer.of([photograph, dark]).figure.axes[:8]]
    assert len(shown) == explorer.own.frames == 8
    assert [float(np.mean(image)) for image in shown] == sorted(map(np.mean, shown), reverse=True)
    assert np.mean(shown[0]) > np.mean(shown[-1]) + 20
    with pytest.raises(UserError, match="no photograph: expected one"):
        explorer.of([])


def test_what_is_not_there_cannot_be_moved(project, stills):
    explorer = explorer_of(project, stills, "rmn")
    with pytest.raises(UserError, match=r"'jaw'.*'yaw'"):
        explorer.at(jaw=3)
    with pytest.raises(UserError, match="yaw is 90; expected -60 to 60"):
        explorer.at(yaw=90)
    with pytest.raises(UserError, match=r"expression is 'hapy'.*'happy'"):
        explorer.at(expression="hapy")


def test_faces_that_are_not_drawn_cannot_be_moved(project):
    noise = open_store(project / "prepared/synthetic")
    assert explore_masks(project / "runs/synthetic/rmn/0/masked", noise) is None
    assert explore_regions(project / "runs/synthetic/ran/0/softmax_weights", noise) is None
    assert explore_forgeries({}, "attention", noise) is None


def test_people_are_shown_from_the_front_with_nothing_before_them(stills):
    people = people_of(stills.samples, "test", count=2)
    assert len(people) == 2
    for name, row in people.items():
        assert (row["subject"], row["split"]) == (name, "test")
        assert (row["yaw"], row["occluder"]) == (0, "none")


def test_the_masks_are_those_of_the_drawn_face(project, stills):
    seen = explorer_of(project, stills, "rmn").at(expression="sad", intensity=0.5, occluder="mask")
    person = next(iter(people_of(stills.samples, "test")))
    row = with_occluder(with_expression(people_of(stills.samples, "test")[person], "sad", 0.5), "mask")
    run = load_run(trained_on(stills, project / "runs/synthetic/rmn/0/masked"), stills)
    found = look_at_images(run, render_like([row], stills).images)
    assert seen.words.startswith(f"Person {person}, sad at 0.50, rotated by 0 degrees, occluder: mask.")
    best = int(found["probabilities"][0].argmax())
    assert seen.words.endswith(f"predicts {run.classes[best]}, {found['probabilities'][0][best]:.0%}.")
    titles = [axes.get_title(loc="center") for axes in seen.figure.axes]
    assert titles[1:5] == [
        f"stage {stage}, at most {1 + found[f'mask{stage}'].max():.2f}" for stage in range(1, 5)
    ]


def test_the_heaviest_region_is_framed(project, stills):
    seen = explorer_of(project, stills, "ran").at(occluder="hand")
    widths = [axes.patches[0].get_linewidth() for axes in seen.figure.axes[:6]]
    names = [axes.get_title(loc="center") for axes in seen.figure.axes[:6]]
    assert f"Heaviest region: {names[int(np.argmax(widths))]}," in seen.words


def test_a_covered_frame_weighs_as_the_network_says(project, stills):
    explorer = explorer_of(project, stills, "fan")
    free, hidden = explorer.at(apex=2), explorer.at(apex=2, occluder="hand", frame="2")
    assert "no occluder" in free.words
    assert "hand in frame 2" in hidden.words
    curves = [seen.figure.axes[8].lines[0].get_ydata() for seen in (free, hidden)]
    assert np.sum(curves[0]) == pytest.approx(8, rel=1e-4)  # shares of sum 1, times 8 frames
    assert not np.allclose(*curves)
    assert set(PASSING) < set(next(c for c in explorer.controls if c.name == "occluder").options)
    assert next(c for c in explorer.controls if c.name == "frame").options[0] == NOWHERE


def test_a_clip_is_shown_to_fan_as_in_its_evaluation(project):
    store = open_store(project / "prepared/synthetic_clips")
    run = load_run(project / "runs/synthetic_clips/fan/0/self_relation", store)
    clip = (
        store.samples[store.samples["split"] == "test"]
        .groupby("clip")
        .get_group(store.samples.loc[store.samples["split"] == "test", "clip"].iloc[0])
    )
    expected = look_at_clips(run, clip.index.to_numpy())
    found = look_at_images(run, np.asarray(store.images[clip["image"].to_numpy()]))
    np.testing.assert_allclose(found["weights"][0], expected["weights"][0][: len(clip)], atol=1e-6)


def test_the_rival_is_the_nearest_other_person(project, stills):
    seen = explorer_of(project, stills, "adacos").at()
    store = open_store(project / "prepared/synthetic_pairs")
    run = load_run(project / "runs/synthetic_pairs/adacos/0/dynamic", store)
    person, row = next(iter(people_of(store.samples, "train").items()))
    image = render_like([with_expression(row, "happy", 0.9)], store).images
    degrees = np.degrees(look_at_images(run, image)["angles"][0])
    others = {name: angle for name, angle in zip(run.classes, degrees, strict=True) if name != person}
    rival = min(others, key=others.get)
    own = degrees[run.classes.index(person)]
    rank = 1 + sum(angle < own for angle in others.values())
    assert (
        f"{own:.0f} degrees from its own class vector, {others[rival]:.0f} from that of {rival}" in seen.words
    )
    assert seen.words.endswith(f"number {rank} of {len(run.classes)}.")


def test_a_blend_goes_from_the_real_frame_to_the_manipulated_one(project, stills):
    explorer = explorer_of(project, stills, "efficientnet")
    store = open_store(project / "prepared/synthetic_forgeries")
    video = explorer.controls[0].value
    fake = store.samples[(store.samples["clip"] == video.split()[1])].iloc[0]
    real = store.samples[
        (store.samples["clip"] == fake["original"]) & (store.samples["frame"] == fake["frame"])
    ].iloc[0]
    run = load_run(project / "runs/synthetic_forgeries/efficientnet/0/plain", store)
    rows = np.array([real.name, fake.name])
    logits = look(run, rows, lambda network, images: {"logits": logits_of(network(images))})["logits"]
    expected = expit(logits[:, 1] - logits[:, 0])
    lines = explorer.at(strength=0.0).figure.axes[4].lines
    curve = lines[0].get_ydata()
    assert (curve[0], curve[-1]) == pytest.approx(expected.tolist(), abs=1e-6)
    np.testing.assert_allclose(lines[0].get_xdata(), STRENGTHS)


def test_the_ensemble_averages_logits():
    one, two = np.array([0.9, 0.5]), np.array([0.2, 0.5])
    by_hand = [1 / (1 + np.exp(-(np.log(9) + np.log(0.25)) / 2)), 0.5]
    assert ensemble([one, two]) == pytest.approx(by_hand)


@pytest.fixture
def explorer():
    def look(size, colour):
        figure = new_figure(2, 2)
        figure.subplots().plot(np.arange(3) * size, color=colour)
        return SeenFace(figure, f"{colour} {size:g}")

    return Explorer(
        (Slider("size", "Size", 0, 4, 1, 1), Choice("colour", "Colour", ("red", "blue"), "red")), look
    )


@pytest.fixture
def nobody(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)


def test_nobody_there_gets_an_image_with_words_and_always_the_same(explorer, nobody):
    shown = show_explorer(explorer, "A line.")
    assert shown.markup == show_explorer(explorer, "A line.").markup
    assert 'alt="red 1"' in shown.markup
    assert "A line. Open the notebook in JupyterLab to change: size, colour." in shown.markup


def test_nothing_to_move_is_said():
    assert "none to change here" in show_explorer(None, "A line.").markup


def test_somebody_is_there_only_in_a_session_with_widgets(monkeypatch, nobody):
    assert not is_live()
    monkeypatch.setenv("JPY_SESSION_NAME", "/notebooks/rmn.ipynb")
    monkeypatch.setattr(explore_widgets, "find_spec", lambda name: object())
    assert is_live()
    monkeypatch.setattr(explore_widgets, "find_spec", lambda name: None)
    assert not is_live()


def test_moving_a_control_changes_the_figure(explorer):
    pytest.importorskip("ipywidgets")
    box = show_explorer(explorer, "A line.", live=True)
    (size, colour), words, image = box.children[0].children, *box.children[1:3]
    before = image.value
    assert 'alt="red 1"' in before
    size.value = 3
    assert "red 3" in words.value
    assert 'alt="red 3"' in image.value
    assert image.value != before
    colour.value = "blue"
    assert "blue 3" in words.value
    size.value, colour.value = 1, "red"
    assert image.value == before


@pytest.fixture
def own(explorer):
    def look(faces):
        figure = new_figure(2, 2)
        figure.subplots().imshow(faces[0])
        return SeenFace(figure, f"{len(faces)} of {faces.shape[1]} pixels")

    return replace(explorer, own=OwnFaces(FaceFormat("scale", 48, "grey"), look))


def row_of(box):
    """The two buttons, what is said, and the figure."""
    (files, camera), words, image = box.children[1].children, *box.children[2:4]
    return files, camera, words, image


def chosen(name, content):
    now = datetime(2020, 1, 1, tzinfo=UTC)
    return [{"name": name, "type": "", "size": len(content), "content": content, "last_modified": now}]


def test_a_photograph_is_shown_and_neither_kept_nor_written(own, monkeypatch):
    pytest.importorskip("ipywidgets")
    files, _, words, image = row_of(show_explorer(own, "A line.", live=True))
    written = []
    monkeypatch.setattr("builtins.open", lambda *given, **_: written.append(given))
    monkeypatch.setattr("io.open", lambda *given, **_: written.append(given))
    files.value = chosen("me.png", FACE_BYTES)
    assert "me.png: 1 of 48 pixels" in words.value
    assert "me.png: 1 of 48 pixels" in image.value
    assert files.value == ()
    assert written == []


@pytest.mark.parametrize(("name", "content", "said"), [
    ("wall.png", None, "wall.png: no face found in 64 x 48 pixels"),
    ("me.heic", b"ftypheic", "me.heic: not readable as an image; expected JPEG"),
])  # fmt: skip
def test_what_shows_no_face_is_said_in_its_place(own, name, content, said):
    pytest.importorskip("ipywidgets")
    files, _, words, image = row_of(show_explorer(own, "A line.", live=True))
    before = image.value
    if content is None:
        wall = io.BytesIO()
        Image.new("RGB", (64, 48)).save(wall, "png")
        content = wall.getvalue()
    files.value = chosen(name, content)
    assert said in words.value
    assert image.value == before


def test_a_camera_gives_the_face_or_the_reason(own, monkeypatch):
    pytest.importorskip("ipywidgets")
    _, camera, words, _ = row_of(show_explorer(own, "A line.", live=True))
    camera.click()
    assert "camera 0 gives no image: it must be connected" in words.value
    frames = itertools.repeat(np.asarray(Image.open(FACE).convert("RGB")))
    monkeypatch.setattr(own_face, "camera_frames", lambda *_: (frame for frame in frames))
    monkeypatch.setattr(own_face, "WARM_UP", 0.0)
    camera.click()
    assert "camera: 1 of 48 pixels" in words.value
