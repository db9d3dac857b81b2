"""Records answer claims that no run of the pipeline answers."""

import pandas as pd
import pytest

from fer_repro.errors import UserError
from fer_repro.evaluation.claims import read_claims
from fer_repro.evaluation.ledger import (
    NOT_ATTEMPTED,
    attempted,
    judge,
    read_tested,
    with_records,
    write_ledger,
)

PLACE = ["claim", "dataset", "protocol", "metric"]


@pytest.fixture
def ledger():
    return judge(read_claims(), [], 0.95)


def record(folder, rows, **changes):
    folder.mkdir(parents=True)
    write_ledger(rows.assign(**{"seeds": 3, "difference": 1.5, "condition": "a test", **changes}), folder)
    return folder.parent


def test_a_record_takes_the_place_that_was_not_attempted(ledger, tmp_path):
    row = ledger[(ledger["claim"] == "rmn-masks") & (ledger["dataset"] == "fer2013")].head(1)
    whole = with_records(ledger, record(tmp_path / "a", row))
    assert len(whole) == len(ledger)
    found = attempted(whole)
    assert found[PLACE].to_numpy().tolist() == row[PLACE].to_numpy().tolist()
    assert found["difference"].tolist() == [1.5]
    assert found["record"].tolist() == ["a"]
    assert (whole.drop(index=found.index)["record"] == "").all()
    assert found.index.tolist() == row.index.tolist()
    assert (whole["verdict"] == NOT_ATTEMPTED).sum() == len(ledger) - 1
    assert whole.groupby("claim", sort=False).size().index.tolist() == list(dict.fromkeys(ledger["claim"]))


def test_another_place_joins_its_claim(ledger, tmp_path):
    row = ledger[ledger["claim"] == "rmn-masks"].head(1)
    whole = with_records(ledger, record(tmp_path / "a", row, dataset="elsewhere"))
    assert len(whole) == len(ledger) + 1
    members = whole.index[whole["claim"] == "rmn-masks"]
    assert members.tolist() == list(range(members[0], members[0] + len(members)))


@pytest.mark.parametrize(
    ("ours", "theirs", "used"),
    [
        ({"seeds": 3}, {"seeds": 3}, 7.0),
        ({"seeds": 3, "epochs": 9}, {"seeds": 3, "epochs": 4}, 7.0),
        ({"seeds": 3, "epochs": 4}, {"seeds": 3, "epochs": 9}, 1.5),
        ({"seeds": 3, "epochs": 9}, {"seeds": 5, "epochs": 4}, 1.5),
        ({"seeds": 3, "as_published": True}, {"seeds": 5, "as_published": False}, 7.0),
    ],
)
def test_the_best_grounded_result_leads(ledger, tmp_path, ours, theirs, used):
    first = ledger.index[0]
    tested = ledger.astype({"as_published": object})
    for name, value in {"difference": 7.0, **ours}.items():
        tested.loc[first, name] = value
    whole = with_records(tested, record(tmp_path / "a", ledger.loc[[first]], **theirs))
    assert len(whole) == len(ledger)
    assert whole.loc[first, "difference"] == used
    assert whole.loc[first, "record"] == ("" if used == 7.0 else "a")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"claim": "rmn-mask"},
            r"a/ledger.csv: row 1: claim 'rmn-mask' does not exist; did you mean 'rmn-masks'",
        ),
        ({"arm": "no_mask"}, "claim 'rmn-masks' was judged with arm 'no_mask', it has 'masked' now"),
        ({"published": 1.5}, r"judged with published '1.5', it has '1.72\d*' now"),
    ],
)
def test_a_verdict_on_another_claim_of_that_name_is_refused(ledger, tmp_path, changes, said):
    row = ledger[(ledger["claim"] == "rmn-masks") & (ledger["dataset"] == "fer2013")].head(1)
    with pytest.raises(UserError, match=said):
        with_records(ledger, record(tmp_path / "a", row, **changes))


def test_records_without_verdicts_change_nothing(ledger, tmp_path):
    (tmp_path / "a").mkdir()
    pd.testing.assert_frame_equal(with_records(ledger, tmp_path), ledger)


def test_a_record_reads_back_what_was_written(ledger, tmp_path):
    row = ledger.head(1)
    root = record(tmp_path / "a", row)
    assert read_tested(root / "a" / "ledger.csv")["statement"].tolist() == row["statement"].tolist()
