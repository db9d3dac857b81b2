import pandas as pd
import pytest

from fer_repro.errors import UserError
from fer_repro.pipeline.own_runs import keep_results

HEAD = (
    "method,arm,paper,table,dataset,protocol,split,metric,unit,value,pretraining,tta,source,note,seed,"
    "deviation,runs"
)


def rows_of(*runs):
    """A mean over all, and a row of each (arm, seed)."""
    line = "rmn,{},p,,synthetic,official,test,accuracy,%,50,none,none,measured,n,{},,1"
    return "\n".join([HEAD, line.format("masked", ""), *(line.format(*run) for run in runs)]) + "\n"


def table_of(*runs):
    arms, seeds = zip(("masked", ""), *runs, strict=True)
    return pd.DataFrame({"arm": arms, "seed": seeds})


@pytest.fixture
def results(tmp_path):
    (tmp_path / "rows.csv").write_text(rows_of(("masked", 0), ("masked", 1), ("no_mask", 0)))
    return tmp_path


def test_more_runs_and_the_same_runs_may_be_written(results):
    keep_results(results, table_of(("masked", 0), ("masked", 1), ("no_mask", 0)))
    keep_results(results, table_of(("masked", 0), ("masked", 1), ("no_mask", 0), ("no_mask", 1)))


def test_where_nothing_is_nothing_is_kept(tmp_path):
    keep_results(tmp_path, table_of(("masked", 0)))


def test_results_of_runs_that_are_gone_stay(results):
    with pytest.raises(
        UserError, match=r"rows\.csv has results of arm 'masked', seed 1, .*nothing was changed"
    ):
        keep_results(results, table_of(("masked", 0), ("no_mask", 0)))
    keep_results(results, table_of(("masked", 0), ("no_mask", 0)), force=True)


def test_a_file_that_is_no_table_of_rows_stays(results):
    (results / "rows.csv").write_text("notes of mine\n")
    with pytest.raises(UserError, match="column 'method' is missing"):
        keep_results(results, table_of(("masked", 0)))
