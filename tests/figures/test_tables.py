import numpy as np
import pandas as pd
import pytest
from finished_project import NOTE, result_rows
from matplotlib.figure import Figure

from fer_repro.errors import UserError
from fer_repro.figures.display import say, show_figure
from fer_repro.figures.exports import as_latex
from fer_repro.figures.tables import (
    RESULTS,
    Column,
    accuracy_labels,
    as_html,
    as_markdown,
    beside_published,
    columns_of,
    for_people,
    in_percent,
    metric_words,
    print_column,
    print_value,
    result_columns,
    spell,
    spell_range,
    uses_tta,
)


def test_other_data_is_never_compared(measured, published):
    table = beside_published(measured, published)
    assert table["published"].isna().all()
    assert table["gap"].isna().all()
    assert set(table["note"]) == {NOTE}
    assert list(table["runs"]) == [3, 3]


def test_the_gap_on_the_same_data(published):
    table = beside_published(result_rows("fer2013", tta="random, 8 copies"), published)
    assert table.set_index("arm")["gap"].round(2).to_dict() == {"masked": 6.86, "no_mask": 7.58}
    assert table["source"].iloc[0] == "2603.05937, Table III"


@pytest.mark.parametrize(
    "change", [{"tta": "none"}, {"protocol": "clean"}, {"metric": "uar"}, {"arm": "other"}]
)
def test_another_setting_is_not_compared(published, change):
    rows = result_rows("fer2013", tta="random, 8 copies").assign(**change)
    assert beside_published(rows, published)["gap"].isna().all()


def test_a_paper_silent_about_tta_stands_beside_both(published):
    rows = pd.concat([result_rows("fer2013"), result_rows("fer2013", tta="random")])
    assert beside_published(rows, published.assign(tta=""))["gap"].notna().all()


def test_fractions_become_percent(published):
    rows = result_rows("fer2013", tta="yes")
    numbers = {name: rows[name] / 100 for name in ("value", "deviation", "low", "high")}
    scaled = rows.assign(unit="fraction", **numbers)
    first, second = (beside_published(r, published) for r in (rows, scaled))
    np.testing.assert_allclose(first["gap"], second["gap"])
    np.testing.assert_allclose(first["low"], second["low"])


def test_shares_become_percent_and_losses_stay(measured):
    rows = measured.head(4).assign(unit=["fraction", "%", "points", "nats"], value=0.5)
    found = in_percent(rows)
    assert found["value"].tolist() == [50.0, 0.5, 0.5, 0.5]
    assert found["unit"].tolist() == ["%", "%", "points", "nats"]


def test_unknown_units_and_missing_columns_are_named(measured, published):
    with pytest.raises(UserError, match="unit 'permille'"):
        beside_published(measured.assign(unit="permille"), published)
    with pytest.raises(UserError, match="'metric' is missing"):
        beside_published(measured.drop(columns="metric"), published)


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (81.0, "percent", "81.00"), (-1.5, "points", "−1.50"), (0.734, "points", "+0.73"), (3, "count", "3"),
        (np.nan, "percent", "–"), ("", "text", "–"), (None, "points", "–"), (28709, "count", "28,709"),
    ],
)  # fmt: skip
def test_printing(value, kind, text):
    assert print_value(value, kind) == text


def test_every_format_prints_the_same_numbers(published):
    table = beside_published(result_rows("fer2013", tta="random"), published)
    texts = [as_html(table, RESULTS), as_markdown(table, RESULTS), as_latex(table, RESULTS)]
    for number in ("81.00", "78.52 to 83.48", "74.14"):
        assert all(number in text for text in texts)
    assert "+6.86" in texts[0]


def test_losses_are_printed_in_nats_beside_their_published_ones(published):
    known = published.assign(metric="frame_log_loss", unit="nats", value=[0.3294, 0.3843], tta="none")
    rows = result_rows("fer2013", metric="frame_log_loss").assign(
        unit="nats", **{name: lambda table, name=name: table[name] / 200 for name in ("value", "low", "high")}
    )
    table = beside_published(rows, known)
    first = table.iloc[0]
    assert (first["words"], first["measured"], first["printed"]) == (
        "frame log loss (nats)",
        "0.4050",
        "0.3294",
    )
    assert first["distance"] == "+0.0756"
    assert first["gap"] == pytest.approx(0.405 - 0.3294)


def test_differences_of_arms_are_no_results(measured, published):
    gap = measured.head(1).assign(arm="masked - no_mask", unit="nats", value=0.1, seed="")
    assert set(beside_published(pd.concat([measured, gap]), published)["arm"]) == {"masked", "no_mask"}


def test_metrics_in_words():
    assert metric_words("tar_at_far_1e_4", "%") == "TAR at FAR 1e-4"
    assert metric_words("video_auc", "%") == "video AUC"


def test_the_figure_shows_networks_by_the_usual_protocols(published):
    rows = [
        result_rows(), result_rows().assign(arm="majority_class"), result_rows().assign(arm="a+b"),
        result_rows().assign(protocol="occlusion"), result_rows(metric="auc"),
    ]  # fmt: skip
    labels = accuracy_labels(beside_published(pd.concat(rows), published))["label"]
    assert labels.tolist() == ["rmn masked, synthetic", "rmn no_mask, synthetic"]


def test_a_clean_protocol_that_repeats_the_official_one_is_left_out(published):
    rows = pd.concat([result_rows(), result_rows().assign(protocol="clean")], ignore_index=True)
    assert set(beside_published(rows, published)["protocol"]) == {"official"}
    rows.loc[rows.index[-1], "value"] += 1
    assert set(beside_published(rows, published)["protocol"]) == {"official", "clean"}


def test_names_are_escaped():
    frame = pd.DataFrame({"name": ["<b>a|b_c & 5%</b>"]})
    column = [Column("name", "Na<me")]
    assert "&lt;b&gt;a|b_<wbr>c &amp; 5%&lt;/b&gt;" in as_html(frame, column)
    assert "Na&lt;me" in as_html(frame, column)
    assert "a\\|b_c" in as_markdown(frame, column)
    assert r"a|b\_c \& 5\%" in as_latex(frame, column)


def test_what_counts_as_augmentation():
    assert uses_tta("random, 8 copies")
    assert not any(uses_tta(word) for word in ("", "none", "None", "0", "no", np.nan))


def test_mean_class_accuracies_stand_beside_the_accuracies(published):
    means = result_rows(metric="mean_class_accuracy").assign(value=lambda rows: rows["value"] - 10)
    table = for_people(beside_published(pd.concat([result_rows(), means]), published))
    assert table[["arm", "value", "class_mean"]].to_numpy().tolist() == [
        ["masked", 81, 71],
        ["no_mask", 80, 70],
    ]
    headings = [column.heading for column in result_columns(table)]
    assert "Accuracy" in headings
    assert "Metric" not in headings


def test_other_metrics_and_published_class_means_keep_their_rows(published):
    means = result_rows("fer2013", metric="mean_class_accuracy")
    known = published.assign(metric="mean_class_accuracy", tta="none")
    rows = pd.concat([result_rows("fer2013"), means, result_rows("fer2013", metric="rank1")])
    table = for_people(beside_published(rows, known))
    assert table["metric"].value_counts().to_dict() == {"accuracy": 2, "mean_class_accuracy": 2, "rank1": 2}
    assert result_columns(table) == RESULTS


def test_numbers_of_a_column_have_the_same_decimals():
    assert print_column([0.2, 0.22, None, -0.3], "number") == ["0.20", "0.22", "–", "−0.30"]
    assert print_column([1.0, 0.99994, 0.5], "number") == ["1.0000", "0.9999", "0.5000"]
    assert print_column([106.24, 68.6, 0.016], "number") == ["106.24", "68.60", "0.02"]
    assert print_column([1e9, 0.2], "number") == ["1e+09", "0.2"]
    assert print_column([8, 16], "number") == ["8", "16"]


def test_errors_have_as_many_digits_as_their_size():
    assert spell(86.583, "MSE") == "86.58"
    assert spell_range(105.04361, 112.9835, "MSE") == "105.04 to 112.98"
    assert spell(0.04498, "MSE") == "0.0450"
    assert spell(9.576, "MSE", 6.9656, 12.1845) == "9.58"
    assert spell_range(6.9656, 12.1845, "MSE") == "6.97 to 12.18"


def test_sentences_and_cells_have_one_minus():
    shown = [say("moved by -1.90 points").markup, show_figure(Figure(), "by -1.90", "by -1.90").markup]
    frame = pd.DataFrame({"why": ["moved by -1.90, seed-0"]})
    shown += [as_html(frame, columns_of(frame), "from -1 to 2")]
    assert all("−1" in text and "by -1" not in text for text in shown)
    assert "seed-0" in shown[2]


def test_long_names_and_paths_break_between_words():
    frame = pd.DataFrame({"file": ["results/measured/a_b/"], "share": ["width 1/8"]})
    shown = as_html(frame, columns_of(frame))
    assert "results/<wbr>measured/<wbr>a_<wbr>b/<" in shown
    assert "1/8" in shown
