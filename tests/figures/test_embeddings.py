import numpy as np
import pytest
from sklearn.decomposition import PCA

from fer_repro.figures.answer_figures import embedding_map, principal_plane
from fer_repro.figures.style import png_bytes

pytestmark = pytest.mark.filterwarnings("error")


def test_plane_is_that_of_scikit_learn_up_to_signs():
    vectors = np.random.default_rng(0).normal(size=(40, 6)) * np.array([5, 3, 1, 1, 1, 1])
    points, shares = principal_plane(vectors)
    oracle = PCA(2).fit(vectors)
    np.testing.assert_allclose(np.abs(points), np.abs(oracle.transform(vectors)), atol=1e-9)
    assert shares == pytest.approx(oracle.explained_variance_ratio_)
    again, _ = principal_plane(-vectors)
    assert np.abs(again).max(axis=0) == pytest.approx(again.max(axis=0))


def test_half_precision_embeddings_are_summed_in_full():
    vectors = np.full((5000, 4), 60.0, np.float16)
    vectors[0, 0] = 70
    assert np.isfinite(principal_plane(vectors)[0]).all()


def test_few_groups_have_a_legend_and_many_a_name_on_the_map():
    points = np.random.default_rng(0).normal(size=(60, 2))
    people = [f"s{i % 12}$" for i in range(60)]
    figure = embedding_map(points, {"person": people, "expression": ["a", "b", "c"] * 20}, (0.5, 0.25))
    left, right = figure.axes
    assert left.get_legend() is None
    assert sorted(text.get_text() for text in left.texts) == sorted({p.replace("$", r"\$") for p in people})
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["a", "b", "c"]
    assert [len(part.get_offsets()) for part in right.collections] == [20, 20, 20]
    assert "50%" in left.get_xlabel()
    assert png_bytes(figure)


def test_groups_differ_in_colour_or_marker():
    points = np.zeros((20, 2))
    axes = embedding_map(points, {"person": [f"{i:02d}" for i in range(20)]}).axes[0]
    looks = {
        (tuple(part.get_facecolor()[0]), part.get_paths()[0].vertices.tobytes()) for part in axes.collections
    }
    assert len(looks) == 20
