"""Faces that are rendered again: against the set's own images, and networks against their evaluation."""

import numpy as np
import pytest

from fer_repro.datasets.store import open_store
from fer_repro.errors import UserError
from fer_repro.inference.moved_faces import (
    OCCLUDERS,
    can_render_again,
    course,
    look_at_images,
    render_like,
    with_expression,
    with_occluder,
    with_yaw,
)
from fer_repro.measures.classification import softmax
from fer_repro.runs.loaded_run import load_run, look
from fer_repro.synthetic.factors import ACTION_COLUMNS
from fer_repro.training.loop import logits_of


def rows_of(store, chosen):
    return store.samples.iloc[chosen].to_dict("records")


def test_a_row_draws_the_image_of_the_set(stills):
    rendered = render_like(rows_of(stills, [0, 5, 9]), stills)
    np.testing.assert_array_equal(rendered.images, stills.images[stills.samples["image"].iloc[[0, 5, 9]]])


def test_sets_that_are_not_drawn_are_told_apart(project, stills):
    assert can_render_again(stills)
    assert not can_render_again(open_store(project / "prepared/synthetic"))


def test_an_expression_changes_actions_and_nothing_else(stills):
    row = rows_of(stills, [0])[0]
    moved = with_expression(row, "happy", 0.5)
    assert {name for name in row if moved[name] != row[name]} <= set(ACTION_COLUMNS)
    assert (moved["corner_pull"], moved["cheek_raise"]) == (0.5, 0.4)  # half of 1 and of 0.8
    assert not any(with_expression(row, "happy", 0)[name] for name in ACTION_COLUMNS)


@pytest.mark.parametrize("occluder", list(OCCLUDERS))
def test_a_cover_hides_pixels_and_none_hides_nothing(stills, occluder):
    rendered = render_like([with_occluder(rows_of(stills, [0])[0], occluder)], stills)
    assert rendered.occluded.any() == (occluder != "none")


def test_an_unknown_cover_is_refused(stills):
    with pytest.raises(UserError, match=r"occluder is 'hands'.*'hand'"):
        with_occluder(rows_of(stills, [0])[0], "hands")


def test_a_turned_head_looks_the_other_way(stills):
    row = with_occluder(with_expression(rows_of(stills, [0])[0], "neutral", 0), "none")
    left, right = render_like([with_yaw(row, -40), with_yaw(row, 40)], stills).images.astype(float)
    assert np.abs(left - right).mean() > 5
    assert np.abs(left - right[:, ::-1]).mean() < np.abs(left - right).mean()  # nearly mirrored


def test_the_course_rises_to_its_apex_and_falls():
    found = course(8, 4)
    expected = []
    for frame in range(8):
        near = max(0.0, 1 - abs(frame - 4) / 3)
        expected.append(0.95 * near**2 * (3 - 2 * near))
    assert found == pytest.approx(expected)
    assert found.argmax() == 4
    assert course(8, 0)[3:].max() == 0


@pytest.mark.parametrize(
    ("run", "name"),
    [
        ("synthetic/rmn/0/masked", "mask1"),
        ("synthetic/ran/0/softmax_weights", "weights"),
        ("synthetic_pairs/adacos/0/dynamic", "cosines"),
        ("synthetic_forgeries/efficientnet/0/attention", "attention"),
    ],
)
def test_networks_are_shown_images_as_in_their_evaluation(project, run, name):
    store = open_store(project / "prepared" / run.split("/")[0])
    opened, rows = load_run(project / "runs" / run, store), np.array([1, 4, 6])
    photos = np.asarray(store.images[store.samples["image"].iloc[rows]])
    found = look_at_images(opened, photos)
    np.testing.assert_allclose(found[name], look(opened, rows)[name], atol=1e-6)
    logits = look(opened, rows, lambda network, images: {"logits": logits_of(network(images))})["logits"]
    np.testing.assert_allclose(found["probabilities"], softmax(logits), atol=1e-6)
