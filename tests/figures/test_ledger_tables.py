import pandas as pd
import pytest
from finished_project import ledger_rows, result_rows

from fer_repro.errors import UserError
from fer_repro.figures.claim_figures import claim_plot
from fer_repro.figures.ledger_tables import (
    answer_sentence,
    as_text,
    best_answer,
    count_verdicts,
    in_words,
    ledger_parts,
    read_ledger,
    show_ledger,
    show_verdicts,
)
from fer_repro.figures.style import png_bytes
from fer_repro.report.glance import gauge, glance


@pytest.fixture
def ledger():
    return ledger_rows()


def test_published_and_measured_in_words(ledger):
    words = in_words(ledger)
    assert words["was"].tolist() == ["+1.72 points", "+1.72 points on FER2013", "74.14 %"]
    assert words["was_source"].tolist() == ["74.14 over 72.42", "74.14 over 72.42", "Table III"]
    assert words["now"].tolist() == ["", "+1.00 points", "74.24 %"]
    assert words["interval"].tolist() == ["", "−2.73 to +4.73", "73.64 to 74.84"]
    assert words["missing"].tolist() == ["", "12 more seeds", ""]
    assert words["tested"].tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        (1, "1 more seed"),
        (30, "30 more seeds"),
        (31, "not with these data: more than 30 seeds"),
        (None, "more test samples"),
    ],
)
def test_what_lacks(ledger, seeds, said):
    assert in_words(ledger.assign(more_seeds=seeds))["missing"][1] == said


def test_errors_are_lower_or_higher(ledger):
    """Above 0 is the claim's side in the ledger; a sign would be read the other way round."""
    changes = {"metric": "mse", "unit": "MSE", "difference": 134.5, "low": 122.0, "high": 145.0}
    words = in_words(ledger.assign(**changes)).iloc[1]
    assert words["now"] == "134.50 MSE lower"
    assert words["interval"] == "122.00 to 145.00 lower"
    words = in_words(ledger.assign(**changes | {"difference": -0.5, "low": -2.0, "high": 1.0})).iloc[1]
    assert (words["now"], words["interval"]) == ("0.5000 MSE higher", "2.0000 higher to 1.0000 lower")


def test_one_seed_lacks_two_others(ledger):
    """And the interval, which may leave 0 out, is not given as the reason."""
    words = in_words(ledger.assign(seeds=1.0, rule=3, more_seeds=2))
    assert words["missing"][1] == "2 more seeds"
    said = answer_sentence(words.iloc[1])
    assert said.startswith("Not decided, there are fewer than three seeds: ")
    assert "; 1 seed, " in said


def test_the_best_answer_is_decided_and_on_real_data(ledger):
    words = in_words(ledger)
    assert best_answer(words)["claim"] == "rmn-accuracy"
    assert best_answer(words.iloc[:2])["verdict"] == "inconclusive"
    assert best_answer(words.iloc[:1]) is None
    both = pd.concat([words.iloc[1:2], words.iloc[1:2].assign(dataset="ferplus", seeds=9)])
    assert best_answer(both)["dataset"] == "ferplus"


def test_an_answer_names_comparison_size_data_and_budget(ledger):
    row = in_words(ledger).iloc[1]
    assert answer_sentence(row) == (
        "Not decided, the interval allows both answers: masked against no mask, +1.00 points (−2.73 to "
        "+4.73) by accuracy on synthetic faces; 3 seeds, reduced budget, 6 epochs. Published: +1.72 points "
        "on FER2013."
    )
    many = row.copy()
    many["arm"], many["against"], many["protocol"] = "a+b+c", "a | b | c", "pose_30"
    many["kind"] = "ensemble"
    many["was"], many["verdict"] = "no verified size", "direction reproduced"
    assert answer_sentence(many).startswith(
        "The direction holds: 3 networks together against the one that validation chose, +1.00"
    )
    assert "on synthetic faces, pose 30; 3 seeds" in answer_sentence(many)
    assert answer_sentence(many).endswith("The paper gives no verified size.")
    many["claims"], many["decided"] = 4, 1
    assert answer_sentence(many).endswith("size. Of 4 claims tested 1 is decided.")


def test_the_best_answer_counts_the_claims_that_are_decided(ledger):
    words = in_words(ledger)
    counted = best_answer(words)
    tested = words[words["tested"]]
    assert (counted["claims"], counted["decided"]) == (tested["claim"].nunique(), 1)
    assert best_answer(words.iloc[:2])["decided"] == 0


def test_losses_are_in_nats(ledger):
    rows = ledger.assign(unit="nats", difference=0.0123, low=-0.001, high=0.02, published=float("nan"))
    words = in_words(rows.iloc[1:2])
    assert words.iloc[0][["now", "interval", "was"]].tolist() == [
        "+0.0123 nats", "−0.0010 to +0.0200", "no verified size",
    ]  # fmt: skip


def test_the_file_is_read_back_and_checked(tmp_path, ledger):
    ledger.to_csv(tmp_path / "ledger.csv", index=False)
    pd.testing.assert_frame_equal(
        in_words(read_ledger(tmp_path / "ledger.csv")), in_words(ledger), check_dtype=False
    )
    ledger.drop(columns="reason").to_csv(tmp_path / "ledger.csv", index=False)
    with pytest.raises(UserError, match="column 'reason' is missing"):
        read_ledger(tmp_path / "ledger.csv")
    with pytest.raises(UserError, match="the compare stage writes it"):
        read_ledger(tmp_path / "none.csv")


def test_tables_separate_what_was_not_attempted(ledger):
    tested, missing = ledger_parts(ledger)
    assert tested.frame["verdict"].tolist() == ["inconclusive", "reproduced"]
    assert missing.frame["access"].tolist() == ["free: somewhere"]
    assert count_verdicts(ledger) == [("reproduced", 1), ("inconclusive", 1), ("not attempted", 1)]
    markup = show_ledger(ledger).markup
    assert "<summary>1 not attempted</summary>" in markup
    assert "Masks &lt;help&gt;." in markup
    assert "There is no claim." in show_ledger(ledger.head(0)).markup


@pytest.mark.parametrize("width", [80, 100])
def test_the_terminal_shows_the_verdict_first_and_never_wraps(ledger, width):
    long = ledger.assign(statement="Weighing the frames of a clip by self-attention " * 4, data="D, e")
    lines = as_text(long, width).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0] == "rmn on synthetic faces, width 1/8; 3 seeds"
    assert lines[1].startswith("  inconclusive          Weighing")
    text = "\n".join(lines)
    for piece in ("measured: +1.00 points", "−2.73 to +4.73", "missing: 12 more seeds", "  reproduced  "):
        assert piece in text
    assert "not attempted, 1 claims, on D, e." in text.replace("\n ", "")
    assert as_text(ledger.head(0)) == ""


def test_each_claim_leads_to_its_seeds_runs_and_command(ledger):
    papers = {"rmn": {"title": "Masks", "authors": ["A", "B"], "venue": "ICPR", "arxiv": "2603.05937"}}
    noise = [result_rows("fer2013"), result_rows(tta="random, 8 copies"), result_rows(metric="ece")]
    rows = pd.concat([result_rows(), *(part.assign(value=0.0) for part in noise)])
    recorded = {"one": result_rows("fer2013")}
    (paper,) = glance(ledger, rows, papers, {("synthetic", "rmn"): "faces"}, recorded)
    assert (paper.rest, paper.link) == ("A, B. ICPR. arXiv:2603.05937", "https://arxiv.org/abs/2603.05937")
    claim, reached = paper.tested
    assert claim["seed_names"] == ["0", "1", "2"]
    assert claim["seed_values"] == [
        ("masked", ["81.00", "80.00", "82.00"]),
        ("no_mask", ["80.00", "80.50", "79.50"]),
    ]
    assert claim["runs"] == "runs/synthetic/rmn"
    assert claim["command"] == "dvc repro evaluate-faces@synthetic-rmn"
    assert (reached["command"], reached["gauge"]) == ("", {})  # of a record; no difference
    assert len(paper.missing) == 1
    (unknown,) = glance(ledger, rows.head(0), {}, {}, recorded)
    assert (unknown.title, unknown.link) == ("rmn", "")


def test_a_claim_that_rests_on_a_record_shows_its_numbers(ledger):
    recorded = result_rows().assign(value=lambda rows: rows["value"] + 10)
    places = {"tasks": {("synthetic", "rmn"): "faces"}, "records": {"long-rmn": recorded}}
    (paper,) = glance(ledger.assign(record="long-rmn"), result_rows(), {}, **places)
    claim = paper.tested[0]
    assert claim["seed_values"] == [
        ("masked", ["91.00", "90.00", "92.00"]),
        ("no_mask", ["90.00", "90.50", "89.50"]),
    ]
    folder = "results/records/long-rmn"
    assert (claim["runs"], claim["rows"], claim["command"]) == (folder, f"{folder}/rows.csv", "")
    with pytest.raises(UserError, match="the record 'long-rnm', which is not there"):
        glance(ledger.assign(record="long-rnm"), result_rows(), {}, **places)
    (paper,) = glance(
        ledger.assign(record=""), result_rows(), {}, **places
    )  # the same runs without a record: the pipeline's
    assert paper.tested[0]["seed_values"][0] == ("masked", ["81.00", "80.00", "82.00"])


def test_the_drawing_keeps_everything_on_the_line(ledger):
    places = gauge(ledger.iloc[1])
    assert 0 < places["low"] < 50 < places["difference"] < places["high"] < 100
    assert "published" not in places
    assert places["difference"] < gauge(ledger.assign(published=9.0).iloc[1])["published"] < 100


def test_the_figure_has_a_panel_per_unit(ledger):
    losses = ledger.iloc[1:2].assign(unit="nats", difference=0.01, low=0.0, high=0.02)
    figure = claim_plot(pd.concat([ledger, losses], ignore_index=True))
    points, nats = figure.axes
    assert len(points.get_yticklabels()) == len(nats.get_yticklabels()) == 1  # the value to reach is none
    diamonds = [line for line in points.lines if line.get_marker() == "D"]
    assert [line.get_xdata()[0] for line in diamonds] == [1.72]
    assert png_bytes(figure)
    assert png_bytes(claim_plot(ledger.head(1)))


def test_a_story_shows_the_claims_of_its_data(ledger):
    shown = show_verdicts(ledger, "rmn", "synthetic").markup
    for text in (
        "Masks &lt;help&gt;.",
        ">accuracy<",
        "+1.00 points",
        "−2.73 to +4.73",
        "1.72 points on FER2013",
    ):
        assert text in shown
    assert "the sign is not certain; synthetic faces, width 1/8" in shown
    assert "It reaches 74.14" not in shown
    assert "95 % interval of each difference" in shown
    assert "No claim of rmn can be tested on lfw." in show_verdicts(ledger, "rmn", "lfw").markup
