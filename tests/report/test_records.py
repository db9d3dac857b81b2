import json
import shutil

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from finished_project import make_record

from fer_repro.errors import UserError
from fer_repro.figures.result_files import read_rows
from fer_repro.report.records import read_records, rows_with_records, spell_machine
from fer_repro.stage_code import TRAINING, code_digests


@pytest.fixture
def records(tmp_path):
    make_record(tmp_path)
    return tmp_path


def table(record, number):
    body = BeautifulSoup(record.html, "html.parser").find_all("table")[number]
    return [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in body.tbody.find_all("tr")]


def test_each_arm_protocol_and_use_of_tta_has_its_row(records, published):
    [record] = read_records(records, published, 0.95)
    assert record.title == "rmn on fer2013"
    assert table(record, 0) == [
        ["masked", "official", "yes", "81.00", "78.52 to 83.48", "81.00", "3", "74.14", "+6.86"],
        ["no_mask", "official", "yes", "80.00", "78.76 to 81.24", "80.00", "3", "72.42", "+7.58"],
        ["masked", "official", "no", "81.00", "78.52 to 83.48", "–", "3", "–", "–"],
        ["no_mask", "official", "no", "80.00", "78.76 to 81.24", "–", "3", "–", "–"],
        ["masked", "clean", "yes", "79.00", "76.52 to 81.48", "–", "3", "–", "–"],
        ["no_mask", "clean", "yes", "78.00", "76.76 to 79.24", "–", "3", "–", "–"],
    ]


def test_the_difference_and_the_way_it_was_made_are_told(records, published):
    [record] = read_records(records, published, 0.95)
    assert table(record, 1) == [  # over seeds and samples, as verdicts have it
        ["masked − no_mask", "official", "no", "+1.00", "−2.73 to +4.73", "3"],
        ["masked − no_mask", "clean", "yes", "−1.00", "−2.00 to +0.50", "3"],
    ]
    how = dict(table(record, 2))
    assert how["note"] == "<i>ours</i>"
    assert how["recipe"] == "fer2013: CPU budget"
    assert how["arms"] == "masked (1,234 parameters), no_mask (1,234 parameters)"
    assert how["training time"] == "2 h 5 min for 6 runs"
    assert how["machine"] == "A processor, 2 cores, no GPU used, torch 2.0"
    assert how["commit"] == "0" * 40


def test_uncommitted_changes_are_told(tmp_path, published):
    make_record(tmp_path, changed=["params.yaml"])
    [record] = read_records(tmp_path, published, 0.95)
    assert dict(table(record, 2))["commit"].endswith("with 1 file changed since")


def test_seeds_of_a_record_are_never_averaged_with_those_of_another_table(tmp_path):
    """Two tables of one method, arm and data set may stand for two recipes: the first one is taken whole."""
    make_record(tmp_path)
    rows = read_rows(next(tmp_path.glob("*/rows.csv")))
    ours = rows[rows["seed"] == "0"].assign(value=10.0)
    both = rows_with_records(ours, tmp_path)
    assert set(both["seed"]) <= {"0"} | set(both.loc[~both["arm"].isin(ours["arm"]), "seed"])
    assert (both["value"] == 10).sum() == len(ours)
    assert len(rows_with_records(ours.iloc[:0], tmp_path)) == len(rows)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (lambda now: {"code_sha256": now}, "Made by the current code."),
        (
            lambda now: {"code_sha256": {**now, "layers/resnet.py": "0", "gone.py": "1"}},
            "Made by an earlier version of the code; changed since: gone.py, layers/resnet.py.",
        ),
        (lambda now: {}, "which files have changed since was not recorded"),
    ],
)
def test_a_record_of_other_code_is_marked(tmp_path, published, code, said):
    make_record(tmp_path, **code(code_digests(TRAINING, "rmn")))
    [record] = read_records(tmp_path, published, 0.95)
    assert said in record.html


@pytest.mark.parametrize(
    ("metric", "words"), [("pair_accuracy", "Pair accuracy"), ("frame_auc", "Frame AUC")]
)
def test_a_record_shows_the_metric_of_its_task(tmp_path, published, metric, words):
    make_record(tmp_path)
    path = tmp_path / "one/rows.csv"
    rows = read_rows(path)
    accuracies = rows[rows["metric"] == "accuracy"]
    pd.concat([rows, accuracies.assign(metric=metric)]).to_csv(path, index=False)
    [record] = read_records(tmp_path, published, 0.95)
    assert f"{words} of rmn on fer2013 in percent" in record.html
    assert len(table(record, 0)) == 6


def test_a_record_without_a_commit_says_so(tmp_path, published):
    make_record(tmp_path, commit="", no_commit="git: the repository has no commit yet")
    [record] = read_records(tmp_path, published, 0.95)
    assert dict(table(record, 2))["commit"] == "none: git: the repository has no commit yet"


def test_no_records_are_no_error(tmp_path, published):
    assert read_records(tmp_path / "nowhere", published, 0.95) == []


def test_the_verdict_is_that_of_the_ledger(records, published):
    [record] = read_records(records, published, 0.95)
    said = BeautifulSoup(record.html, "html.parser").p.get_text()
    assert said == (
        "Reproduced: It reaches 74.14 %. Measured 74.24 % (73.64 to 74.84, 3 seeds); published 74.14 %. "
        "Reached."
    )
    assert record.verdicts == ("reproduced",)


def test_a_record_that_answers_no_claim_has_no_verdict(records, published):
    (records / "one/ledger.csv").unlink()
    [record] = read_records(records, published, 0.95)
    assert record.verdicts == ()
    assert "Reproduced" not in record.html


def test_one_arm_alone_has_no_difference(records, published):
    rows = pd.read_csv(records / "one/rows.csv", dtype={"seed": str})
    rows[rows["arm"] == "masked"].to_csv(records / "one/rows.csv", index=False)
    [record] = read_records(records, published, 0.95)
    assert record.html.count("<table") == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not readable as JSON"),
        ("[]", "'commit' is missing"),
        ('{"commit": 1}', "'commit' is missing or no str"),
    ],
)
def test_damaged_records_are_one_clear_error(records, published, text, message):
    (records / "one/record.json").write_text(text)
    with pytest.raises(UserError, match=f"record.json: .*{message}|record.json: {message}"):
        read_records(records, published, 0.95)


@pytest.mark.parametrize("gone", ["record.json", "rows.csv"])
def test_half_a_record_is_one_clear_error(records, published, gone):
    (records / "one" / gone).unlink()
    with pytest.raises(UserError, match=f"{gone}: no such file"):
        read_records(records, published, 0.95)


def test_a_key_of_the_wrong_kind_is_named(records, published):
    record = json.loads((records / "one/record.json").read_text())
    (records / "one/record.json").write_text(json.dumps(record | {"runs": {}}))
    with pytest.raises(UserError, match="'runs' is missing or no list"):
        read_records(records, published, 0.95)
    shutil.rmtree(records / "one")


def test_a_gpu_is_named():
    assert spell_machine({"accelerator": "A GPU", "device": "cuda", "cores": 16}) == "A GPU, 16 cores"
    assert spell_machine({}) == ""
