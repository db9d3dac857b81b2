"""Which measured rows differ from those in git, and by how much."""

import subprocess
from pathlib import Path

import pytest
from scipy import stats

from fer_repro.pipeline import check_results

HEADER = "method,arm,dataset,protocol,split,metric,unit,value,pretraining,tta,seed,deviation,runs\n"
SEEDS = "".join(
    f"rmn,masked,synthetic,official,test,accuracy,%,{value},none,none,{seed},,1\n"
    for seed, value in enumerate((70.0, 72.0, 74.0))
)
TABLE = HEADER + SEEDS + "rmn,masked,synthetic,official,test,accuracy,%,72.0,none,none,,2.0,3\n"


def test_the_same_rows_in_another_order_are_the_same():
    lines = TABLE.splitlines(keepends=True)
    assert check_results.compare_rows(lines[0] + "".join(reversed(lines[1:])), TABLE) == []


def test_a_row_may_differ_by_what_other_seeds_explain():
    """Three seeds, deviation 2, four rows: t of 4 degrees at 0.001 / 4 is 12.3."""
    limit = stats.t.ppf(1 - 0.001 / 4 / 2, 4) * 2
    for old, scale in (("74.0", 2**0.5), ("72.0,none,none,,2.0,3", (2 / 3) ** 0.5)):
        value = float(old[:4])
        for share, within in ((0.99, True), (1.01, False)):
            moved = value - share * scale * limit
            (found,) = check_results.compare_rows(TABLE.replace(old, old.replace(old[:4], f"{moved}")), TABLE)
            assert found.is_within == within
    assert "MORE than the 20.1 that other seeds explain" in str(found)


def test_without_a_deviation_nothing_may_differ():
    alone = HEADER + SEEDS.splitlines(keepends=True)[0]
    (found,) = check_results.compare_rows(alone.replace(".0,none", ".5,none"), alone)
    assert not found.is_within


def test_a_row_that_came_or_went_is_named():
    first = SEEDS.splitlines(keepends=True)[0]
    (gone,) = check_results.compare_rows(TABLE.replace(first, ""), TABLE)
    (new,) = check_results.compare_rows(TABLE, TABLE.replace(first, ""))
    assert "in git, not here" in str(gone)
    assert "here, not in git" in str(new)
    assert not gone.is_within
    assert not new.is_within


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check_results, "outdated_stages", list)
    path = Path("results/measured/synthetic/rmn/rows.csv")
    path.parent.mkdir(parents=True)
    path.write_text(TABLE)
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    for command in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-qm", "x")):
        subprocess.run(["git", *command], check=True)
    return path


def test_committed_results_verify(project, capsys):
    assert check_results.main([]) == 0
    assert "4 rows, 0 differ" in capsys.readouterr().out


def test_a_result_that_moved_too_far_fails(project, capsys):
    project.write_text(TABLE.replace("72.0,none,none,,", "95.0,none,none,,"))
    assert check_results.main([]) == 1
    assert "95 here, 72 in git: +23" in capsys.readouterr().out


def test_a_missing_table_and_an_outdated_stage_fail(project, capsys, monkeypatch):
    project.unlink()
    monkeypatch.setattr(check_results, "outdated_stages", lambda: ["compare"])
    assert check_results.main([]) == 1
    shown = capsys.readouterr().out
    assert "missing here" in shown
    assert "stage compare" in shown


def test_without_a_commit_nothing_is_verified(project, capsys, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # as on a shared drive or in a container
    assert check_results.main([]) == 2
    said = capsys.readouterr()
    assert "verified" not in said.out
    assert "nothing is verified" in said.err
    assert "dubious ownership" in said.err
    monkeypatch.delenv("GIT_TEST_ASSUME_DIFFERENT_OWNER")
    subprocess.run(["rm", "-rf", ".git"], check=True)
    assert check_results.main([]) == 2
    assert "not a git repository" in capsys.readouterr().err
    subprocess.run(["git", "init", "-q"], check=True)
    assert check_results.main([]) == 2
    assert "no commit yet" in capsys.readouterr().err


def test_tables_that_git_does_not_know_verify_nothing(project, capsys):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    for command in (("rm", "-rq", "--cached", "results"), (*identity, "commit", "-qm", "y")):
        subprocess.run(["git", *command], check=True)
    assert check_results.main([]) == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("NOT verified: nothing was compared")


def test_the_summary_is_the_ledger_and_says_where_the_report_is(project, capsys):
    row = {
        "claim": "rmn-masks", "method": "rmn", "kind": "difference", "statement": "Masks help.",
        "arm": "masked", "against": "no_mask", "dataset": "synthetic", "data": "synthetic faces",
        "protocol": "official", "metric": "accuracy", "augmented": "False",
        "condition": "synthetic faces, width 1/8", "unit": "points", "published": "",
        "published_source": "", "measured": "72", "difference": "1.5", "low": "0.5", "high": "2.5",
        "confidence": "0.95", "seeds": "3", "more_seeds": "", "verdict": "direction reproduced", "rule": "11",
        "as_published": "False",
        "reason": "the sign is certain", "access": "make reproduce",
    }  # fmt: skip
    ledger = Path("results/comparison/ledger.csv")
    ledger.parent.mkdir()
    ledger.write_text(",".join(row) + "\n" + ",".join(f'"{cell}"' for cell in row.values()) + "\n")
    assert check_results.main(["summary"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "rmn on synthetic faces, width 1/8; 3 seeds"
    assert lines[1].startswith("  direction reproduced  Masks help.  ")
    assert lines[1].endswith("  measured: +1.50 points")
    assert "claims: 1 direction reproduced" in lines
    assert lines[-1] == "no report: reports/index.html is missing"
    ledger.unlink()
    assert check_results.main(["summary"]) == 0
    assert "no claim has been judged: results/comparison/ledger.csv is missing" in capsys.readouterr().out
    ledger.write_text("claim\n")
    assert check_results.main(["summary"]) == 2
    assert "column 'method' is missing" in capsys.readouterr().err
