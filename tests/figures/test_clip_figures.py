import numpy as np
import pandas as pd
import pytest

from fer_repro.evaluation.frame_weights import intensity_correlations, intensity_steps
from fer_repro.figures.clip_figures import (
    Clip,
    choose_clips,
    order_curves,
    weight_against_intensity,
    weight_by_distractor,
    weight_timelines,
)
from fer_repro.figures.style import png_bytes

pytestmark = pytest.mark.filterwarnings("error")
IMAGES = np.arange(7, dtype=np.uint8)[:, None, None] * np.ones((1, 6, 6), np.uint8)
SAMPLES = pd.DataFrame(
    {
        "image": range(7),
        "label": [0, 0, 0, 1, 1, 1, 1],
        "intensity": [0.0, 0.5, 1.0, 0.0, 0.4, 1.0, 0.2],
        "distractor": ["none", "none", "none", "blink", "none", "occluder", "occluder"],
    }
)
EXPLAINED = {
    "rows": np.array([[0, 1, 2, -1], [3, 4, 5, 6]]),
    "alpha": np.array([[0.2, 0.4, 0.6, 0.0], [0.1, 0.5, 0.2, 0.2]]),
    "weights": np.array([[0.1, 0.3, 0.6, 0.0], [0.1, 0.5, 0.2, 0.2]]),
}


def clip(**changes):
    parts = {
        "title": "happy$",
        "frames": IMAGES[:4],
        "alpha": np.array([0.1, 0.1, 0.3, 0.1]),
        "weights": np.array([0.1, 0.1, 0.7, 0.1]),
        "intensity": np.array([0, 0.5, 1, 0.5]),
        "distractors": ["none", "blink", "turned", "turned"],
    }
    return Clip(**(parts | changes))


def test_chosen_clips_drop_padding_and_put_distractors_first():
    first, second = choose_clips(EXPLAINED, IMAGES, SAMPLES, ["angry", "happy"], 2)
    assert (first.title, second.title) == ("happy", "angry")
    assert first.distractors == ["blink", "none", "occluder", "occluder"]
    assert second.frames[:, 0, 0].tolist() == [0, 1, 2]
    assert second.weights.tolist() == [0.1, 0.3, 0.6]
    assert len(choose_clips(EXPLAINED, IMAGES, SAMPLES, ["angry", "happy"], 1)) == 1


def test_timelines_show_frames_weights_intensity_and_words():
    figure = weight_timelines([clip(), clip(frames=IMAGES[:2], alpha=np.ones(2), weights=np.full(2, 0.5),
                                            intensity=np.zeros(2), distractors=["none"] * 2)])  # fmt: skip
    strip, chart, short, _, twin, *_ = figure.axes
    assert strip.get_title("left") == r"happy\$"
    assert [image.get_array()[0, 0] for image in strip.images] == [0, 1, 2, 3]
    assert len(short.images) == 2
    bars = [bar.get_height() for bar in chart.containers[0]]
    assert bars == pytest.approx([2 / 3, 2 / 3, 2, 2 / 3])
    assert chart.lines[0].get_ydata().tolist() == pytest.approx([0.4, 0.4, 2.8, 0.4])
    words = {text.get_text(): text.get_position()[0] for text in chart.texts}
    assert words == {"blink": 1.0, "turned": 2.5}
    outline = twin.collections[0].get_paths()[0].vertices
    assert {(0.0, 0.0), (2.0, 1.0), (3.0, 0.5)} <= {tuple(point) for point in outline.tolist()}
    assert png_bytes(figure)


def test_strip_and_chart_stand_below_one_another():
    figure = weight_timelines([clip()])
    png_bytes(figure)  # lays out
    strip, chart = (axes.get_position() for axes in figure.axes[:2])
    assert (strip.x0, strip.x1) == pytest.approx((chart.x0, chart.x1), abs=2e-3)
    assert strip.y0 > chart.y1


def test_long_clips_show_every_second_frame():
    count = 20
    figure = weight_timelines(
        [clip(frames=np.zeros((count, 4, 4)), alpha=np.ones(count), weights=np.full(count, 1 / count),
              intensity=np.zeros(count), distractors=["none"] * count)]
    )  # fmt: skip
    assert len(figure.axes[0].images) == 10
    assert len(figure.axes[1].containers[0]) == 20


def frames_of(clips, rise, arm="arm"):
    rows = []
    for number in range(clips):
        intensity = np.linspace(0, 1, 6)
        relative = 1 + number / 10 + rise * (intensity - 0.5)
        words = ["none"] * 5 + ["blink"]
        rows.append(pd.DataFrame({"arm": arm, "clip": number, "intensity": intensity, "distractor": words,
                                  "relative": relative}))  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def intensity_figure(frames):
    return weight_against_intensity(frames, intensity_steps(frames), intensity_correlations(frames))


def test_intensity_figure_prints_both_correlations():
    figure = intensity_figure(pd.concat([frames_of(3, 0.1), frames_of(3, -0.1, "other$")]))
    rising, falling = figure.axes
    assert "inside clips +1.00 (mean of 3)" in rising.texts[0].get_text()
    assert "inside clips −1.00 (mean of 3)" in falling.texts[0].get_text()
    assert "all frames +1.00" not in rising.texts[0].get_text()  # clips differ in level
    points = [len(drawn.get_offsets()) for drawn in rising.collections[:2]]
    assert points == [15, 3]
    medians = rising.containers[0].lines[0]
    assert medians.get_xdata().tolist() == pytest.approx(
        [0.1, 0.3, 0.5, 0.7, 0.9][: len(medians.get_xdata())]
    )
    assert png_bytes(figure)


def test_flat_clips_have_no_correlation_inside():
    assert "inside clips –" in intensity_figure(frames_of(1, 0.0)).axes[0].texts[0].get_text()


def test_bars_are_sorted_with_no_distractor_first():
    table = pd.DataFrame({"arm": "a", "distractor": ["blink", "none"], "frames": [3, 2], "mean": [0.7, 1.55],
                          "low": [0.5, np.nan], "high": [0.9, np.nan]})  # fmt: skip
    axes = weight_by_distractor(table).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["none (2 frames)", "blink (3 frames)"]
    assert [text.get_text() for text in axes.texts] == ["1.55", "0.70"]
    assert [patch.get_width() for patch in axes.patches] == pytest.approx([1.55, 0.7])


@pytest.mark.parametrize("orders", [1, 6])
def test_curves_of_orders_have_every_gap_and_interval(legible, orders):
    names = [f"network number {n}, compared" for n in range(orders)]
    table = pd.DataFrame(
        {
            "order": np.repeat(names, 2), "low_gap": [0.05, 0.5] * orders, "high_gap": [0.15, 1.0] * orders,
            "pairs": [79, 852] * orders, "mean": [0.6, 0.9] * orders, "low": [np.nan, 0.8] * orders,
            "high": [np.nan, 0.95] * orders,
        }
    )  # fmt: skip
    figure = order_curves(table)
    words = legible(figure)
    assert {"0.05 to 0.15\n(79 pairs)", "0.5 to 1\n(852 pairs)", *names} <= set(words)
    for bars in figure.axes[0].containers:
        line, (*_, (reach,)) = bars[0], bars[1:]
        assert line.get_ydata().tolist() == [0.6, 0.9]
        assert reach.get_segments()[-1][:, 1].tolist() == pytest.approx([0.8, 0.95])
