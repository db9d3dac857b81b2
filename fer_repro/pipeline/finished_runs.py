"""What ``fer-repro train`` must not write over: finished runs, and folders that are none of its own."""

from pathlib import Path

from fer_repro.config import RunConfig, run_folder
from fer_repro.data.store import MANIFEST
from fer_repro.errors import UserError


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
    found = folder / "config.json"
    is_ours = found.is_file() and found.read_text(encoding="utf-8") == config.as_json()
    if not (is_ours and run_folder(ckpt, *place).is_dir()):
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
