"""The calls of a sweep to DVC: find changed stages, resolve what they run and read, record their outputs.

DVC keeps a table of locked paths by process number, so all of this belongs to one machine: the one that
controls the sweep.
"""

import json
import logging
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fer_repro.errors import UserError
from fer_repro.pipeline.project_lock import STOPPED, end_with_parent
from fer_repro.project_files import NO_PROJECT

TRIES = 4
T = TypeVar("T")
# what DVC prints while another DVC process runs; a stage's own output does not count
_LOCKED = re.compile(r"^ERROR: .*(Unable to acquire lock|is busy)", re.MULTILINE)
# what DVC prints for every stage and nobody needs
_NOISE = re.compile(
    r"^(Updating lock file|Generating lock file|Use `dvc push`|To track the changes|\s*git add|$)"
)


@dataclass(frozen=True)
class Stage:
    """One stage as DVC resolves it.

    Attributes:
        name: such as ``train-faces@synthetic-rmn-0``.
        commands: one after the other.
        folder: where they run.
        outs: absolute paths of what they write.
        inputs: what dvc.lock would record of command, dependencies (path, hash) and parameters (values) now.
    """

    name: str
    commands: tuple[str, ...]
    folder: Path
    outs: tuple[Path, ...]
    inputs: dict[str, Any]


def find_programs(wanted_by: str = "a sweep") -> None:
    """Let DVC and the stages find the programs next to this Python, even if its environment is not active.

    Args:
        wanted_by: what needs DVC, for the message.

    Raises:
        UserError: DVC is not installed.
    """
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    if not shutil.which("dvc"):
        raise UserError(f"{wanted_by} needs DVC, which is not installed: pip install 'fer-repro[pipeline]'")


def _start_dvc(*command: str, **options: Any) -> subprocess.Popen[str]:  # noqa: ANN401 - Popen's
    """Start ``dvc``; it ends with this process."""
    return subprocess.Popen(["dvc", *command], text=True, preexec_fn=end_with_parent, **options)


def call_dvc(*command: str) -> int:
    """Let DVC write to our output (on a terminal, training shows its bar); returns its exit code."""
    with _start_dvc(*command) as process:
        return process.wait()


def run_stage(stage: str) -> bool:
    """Run one stage alone, with its output on ours, and print how it ended; returns whether it succeeded."""
    for attempt in range(TRIES):
        if STOPPED.is_set():
            return False
        begin = time.monotonic()
        command = ("repro", "--single-item", stage)
        with _start_dvc(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace") as run:
            said = "".join(_echo(line) for line in run.stdout or ())
        if STOPPED.is_set():
            return False
        if run.returncode == 0:
            print(f"{stage}: done in {time.monotonic() - begin:.0f} s", flush=True)
            return True
        # a DVC lock ends it at once, sometimes without a message; a stage that fails prints why
        if run.returncode < 0 or (said.strip() and not _LOCKED.search(said)):
            break
        _pause(attempt)
    print(f"{stage}: failed", file=sys.stderr, flush=True)
    return False


def _echo(line: str) -> str:
    if not _NOISE.match(line):
        print(line, end="", flush=True)
    return line


def _pause(attempt: int) -> None:
    """Wait a random time before DVC is called again, so that two calls that collided do not collide again."""
    time.sleep(random.uniform(0.5, 2.0) * (attempt + 1))


def changed_stages(*groups: str) -> list[str]:
    """Ask DVC which stages of some groups would run, group after group.

    Raises:
        UserError: DVC cannot determine them.
    """
    for attempt in range(TRIES):
        with _start_dvc("status", "--json", *groups, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asked:
            out, error = asked.communicate()
        if asked.returncode == 0:
            found = [stage for stage in json.loads(out or "{}") if stage.partition("@")[0] in groups]
            return sorted(found, key=lambda stage: groups.index(stage.partition("@")[0]))
        if not _LOCKED.search(error):
            break
        _pause(attempt)
    raise UserError(f"dvc status {' '.join(groups)}: {error.strip() or 'failed'}{advice(error)}")


def advice(message: str) -> str:
    """Name the remedy where DVC reports only the error."""
    if "not a git repository" in message:
        return "; run git init here, or: dvc config --local core.no_scm true"
    if "not inside of a DVC repository" in message or "dvc.yaml' does not exist" in message:
        return f"; {NO_PROJECT}"
    return ""


def stage_to_run(name: str) -> Stage | None:
    """Resolve a stage that has changed, or restore it where DVC has seen the same inputs before.

    Returns:
        The stage, or None when DVC's run cache held its outputs: they are in place and recorded.

    Raises:
        UserError: DVC cannot read the stage, or a dependency is missing.
    """
    return _under_lock(name, _resolve)


def record(stage: Stage) -> bool:
    """Record in dvc.lock and DVC's cache what a stage has written, unless its inputs changed meanwhile.

    Args:
        stage: from ``stage_to_run``, called before its commands ran.

    Returns:
        Whether it was recorded; False leaves everything as it is.

    Raises:
        UserError: an output is missing, or DVC cannot record it.
    """
    return _under_lock(stage.name, lambda found: _record(found, stage.inputs))


def _under_lock(name: str, work: Callable[[Any], T]) -> T:
    """Do something with DVC's own stage while no other DVC runs in the project."""
    from dvc.exceptions import DvcException
    from dvc.lock import LockError
    from dvc.repo import Repo, lock_repo

    logging.getLogger("dvc").setLevel(
        logging.ERROR
    )  # the serial end of a sweep warns once, this would each time
    for attempt in range(TRIES):
        try:
            with Repo() as repo, lock_repo(repo):
                (found,) = repo.stage.collect(name)
                return work(found)
        except LockError as error:
            reason = str(error)
            _pause(attempt)
        except (DvcException, OSError) as error:
            raise UserError(f"{name}: {error}") from None
    raise UserError(f"{name}: {reason}")


def _resolve(found: Any) -> Stage | None:  # noqa: ANN401 - DVC's stage
    if _restore(found):
        return None
    found.save_deps()
    lines = found.cmd if isinstance(found.cmd, list) else found.cmd.splitlines()
    outs = tuple(Path(out.fs_path) for out in found.outs)
    return Stage(found.addressing, tuple(lines), Path(found.wdir), outs, _inputs(found))


def _restore(found: Any) -> bool:  # noqa: ANN401 - DVC's stage
    from dvc.exceptions import CheckoutError
    from dvc.stage.cache import RunCacheNotFoundError

    try:
        found.repo.stage_cache.restore(found)
    except (RunCacheNotFoundError, CheckoutError):
        return False
    found.save(run_cache=False)
    found.commit()
    found.dump(update_pipeline=False)
    return True


def _record(found: Any, inputs: dict[str, Any]) -> bool:  # noqa: ANN401 - DVC's stage
    """Do as ``dvc commit --force`` does, but check the very hashes that it is about to write."""
    found.save(run_cache=False)
    if _inputs(found) != inputs:
        return False
    # as `dvc repro` does it: git keeps the other outputs, and no copy of them goes into the cache
    if all(out.use_cache or out.is_metric or out.is_plot for out in found.outs):
        found.repo.stage_cache.save(found)
    found.commit()
    found.dump(update_pipeline=False)
    return True


def _inputs(found: Any) -> dict[str, Any]:  # noqa: ANN401 - DVC's stage
    from dvc.stage.serialize import to_single_stage_lockfile

    recorded = to_single_stage_lockfile(found)
    return {key: value for key, value in recorded.items() if key != "outs"}
