"""Which measured rows differ from those in git, and by how much."""

import subprocess
from pathlib import Path

import pytest

from fer_repro.pipeline import verify

HEADER = "method,arm,dataset,protocol,split,metric,unit,value,pretraining,tta,seed,deviation,runs\n"
SEEDS = "".join(
    f"rmn,masked,synthetic,official,test,accuracy,%,{value},none,none,{seed},,1\n"
    for seed, value in enumerate((70.0, 72.0, 74.0))
)
TABLE = HEADER + SEEDS + "rmn,masked,synthetic,official,test,accuracy,%,72.0,none,none,,2.0,3\n"


def test_the_same_rows_in_another_order_are_the_same():
    lines = TABLE.splitlines(keepends=True)
    assert verify.compare_rows(lines[0] + "".join(reversed(lines[1:])), TABLE) == []


def test_a_seed_may_differ_by_the_deviation_between_seeds():
    (near,) = verify.compare_rows(TABLE.replace("74.0", "75.5"), TABLE)
    (far,) = verify.compare_rows(TABLE.replace("74.0", "76.5"), TABLE)
    assert near.is_within
    assert not far.is_within
    assert "76.5 here, 74 in git: +2.5, MORE than the deviation 2" in str(far)


def test_a_row_that_came_or_went_is_named():
    first = SEEDS.splitlines(keepends=True)[0]
    (gone,) = verify.compare_rows(TABLE.replace(first, ""), TABLE)
    (new,) = verify.compare_rows(TABLE, TABLE.replace(first, ""))
    assert "in git, not here" in str(gone)
    assert "here, not in git" in str(new)
    assert not gone.is_within
    assert not new.is_within


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(verify, "outdated_stages", list)
    path = Path("results/synthetic/rmn/rows.csv")
    path.parent.mkdir(parents=True)
    path.write_text(TABLE)
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    for command in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-qm", "x")):
        subprocess.run(["git", *command], check=True)
    return path


def test_committed_results_verify(project, capsys):
    assert verify.main([]) == 0
    assert "4 rows, 0 differ" in capsys.readouterr().out


def test_a_result_that_moved_too_far_fails(project, capsys):
    project.write_text(TABLE.replace("72.0,none,none,,", "75.0,none,none,,"))
    assert verify.main([]) == 1
    assert "75 here, 72 in git: +3" in capsys.readouterr().out


def test_a_missing_table_and_an_outdated_stage_fail(project, capsys, monkeypatch):
    project.unlink()
    monkeypatch.setattr(verify, "outdated_stages", lambda: ["compare"])
    assert verify.main([]) == 1
    shown = capsys.readouterr().out
    assert "missing here" in shown
    assert "stage compare" in shown


def test_the_summary_gives_the_mean_and_says_where_the_report_is(project, capsys):
    assert verify.main(["summary"]) == 0
    shown = capsys.readouterr().out
    assert "\nsynthetic rmn masked: 72 % ± 2 over 3 runs\n" in shown
    assert "no report" in shown
