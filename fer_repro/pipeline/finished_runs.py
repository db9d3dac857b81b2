"""What ``fer-repro`` must not write over: finished runs, results of runs that are gone, foreign folders."""

from pathlib import Path

import pandas as pd

from fer_repro.config import RunConfig, run_folder
from fer_repro.datasets.store import MANIFEST
from fer_repro.errors import UserError
from fer_repro.figures.result_files import read_rows


def keep_run(config: RunConfig, out: Path, ckpt: Path, force: bool = False) -> None:
    """Refuse to train over an arm that is there, unless a killed call of this very configuration made it.

    Args:
        config: of the arm.
        out: where runs live.
        ckpt: where the resume state of killed calls lives.
        force: the user wants it anew.

    Raises:
        UserError: naming the folder.
    """
    place = (config.dataset, config.method, config.seed)
    folder = run_folder(out, *place, config.arm)
    if force or not folder.exists():
        return
    if not (config.is_in(folder / "config.json") and run_folder(ckpt, *place).is_dir()):
        raise UserError(
            f"{folder} exists already; nothing was changed (--force trains it anew, --out writes elsewhere)"
        )


def keep_folder(prepared: Path) -> None:
    """Refuse to prepare a data set where another folder stands.

    Raises:
        UserError: the folder holds something else.
    """
    if prepared.exists() and not (prepared / MANIFEST).is_file():
        raise UserError(
            f"{prepared} exists already and holds no prepared data set; nothing was changed "
            "(--out DIR/runs prepares beside DIR/runs)"
        )


def keep_results(folder: Path, rows: pd.DataFrame, force: bool = False) -> None:
    """Refuse results that lack runs which those in place have: they could not be computed again.

    Args:
        folder: ``results/<data set>/<method>``.
        rows: of the new evaluation.
        force: the user wants them to go.

    Raises:
        UserError: naming the first run that would go, or the file where it is not a table of rows.
    """
    file = folder / "rows.csv"
    if force or not file.exists():
        return
    for arm, seed in sorted(_runs_of(read_rows(file)) - _runs_of(rows)):
        raise UserError(
            f"{file} has results of arm '{arm}', seed {seed}, which is not among the runs now; nothing was "
            "changed (--force writes without them)"
        )


def _runs_of(rows: pd.DataFrame) -> set[tuple[str, str]]:
    own = rows[rows["seed"].fillna("") != ""]  # the others are means over seeds
    return set(zip(own["arm"].astype(str), own["seed"].astype(str), strict=True))
