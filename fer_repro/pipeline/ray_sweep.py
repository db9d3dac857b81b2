"""Workers of a Ray cluster, or of a Ray on this machine: each stage's own command becomes one task.

Only the controlling process calls DVC: it resolves a stage, hands its command to Ray with the CPUs and
the share of a GPU it needs, and records what the task has written. Workers never call DVC, whose locks hold
on one machine only. All machines must see the project's folder at the same path, on a shared file system,
with the same environment.

A task whose worker or machine is lost starts again elsewhere and continues from the stage's checkpoint; a
stage that fails by itself is named and not repeated. What ran while parameters or code changed is not
recorded.
"""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from fer_repro.errors import UserError
from fer_repro.params import RuntimeConfig
from fer_repro.pipeline import stage_task
from fer_repro.pipeline.dvc_stages import Stage, record, stage_to_run

RETRIES = 2  # of a task after its worker or machine was lost
TRIES = 2  # starts of an own Ray: on a busy machine its processes may time out
LOCAL = "local"
_STORE = 80_000_000  # bytes of shared memory for a Ray of our own: tasks exchange files


class Undone(NamedTuple):
    """Stages of a group that are not done."""

    failed: tuple[str, ...]  # by themselves, or because worker after worker was lost
    stale: tuple[str, ...]  # finished, but their inputs had changed meanwhile; the next call runs them anew


@dataclass(frozen=True)
class RayWorkers:
    """A connection to Ray, and what one stage needs there.

    Attributes:
        ray: the module.
        cpus: of a stage.
        gpus: of a training stage; 0 for none.
        limit: stages at once; 0 leaves it to the cluster.
    """

    ray: Any
    cpus: int
    gpus: float
    limit: int

    def run_stages(self, names: Sequence[str]) -> Undone:
        """Run stages whose inputs are up to date, and record each that succeeds.

        Args:
            names: such as ``train-faces@synthetic-rmn-0``.

        Raises:
            UserError: DVC cannot resolve or record a stage.
        """
        waiting, running = list(names), dict[Any, Stage]()
        failed, stale = list[str](), list[str]()
        if names:
            print(f"{len(names)} stages on Ray: {', '.join(names)}", flush=True)
        while waiting or running:
            while waiting and len(running) < (self.limit or len(names)):
                name = waiting.pop(0)
                if stage := stage_to_run(name):
                    running[self._submit(stage)] = stage
                else:
                    print(f"{name}: restored from DVC's cache", flush=True)
            finished, _ = self.ray.wait(list(running), timeout=1.0) if running else ([], [])
            for task in finished:
                stage = running.pop(task)
                if not self._succeeded(stage.name, task):
                    failed.append(stage.name)
                elif not _recorded(stage):
                    stale.append(stage.name)
        return Undone(tuple(failed), tuple(stale))

    def _submit(self, stage: Stage) -> Any:  # noqa: ANN401 - a reference of Ray's
        task = self.ray.remote(stage_task.run_commands).options(
            name=stage.name,
            num_cpus=self.cpus,
            num_gpus=self.gpus if stage.name.startswith("train") else 0,
            max_retries=RETRIES,
        )
        outs = [str(out) for out in stage.outs]
        return task.remote(stage.name, stage.commands, str(stage.folder), outs)

    def _succeeded(self, name: str, task: Any) -> bool:  # noqa: ANN401 - a reference of Ray's
        try:
            code, tail, machine, seconds = self.ray.get(task)
        except self.ray.exceptions.RayError as error:
            _say(f"{name}: failed: its worker was lost {RETRIES + 1} times: {_first_line(error)}")
            return False
        if code:
            _say(f"{name}: failed on {machine} with exit code {code}; its last output:\n{tail.rstrip()}")
            return False
        print(f"{name}: done in {seconds:.0f} s on {machine}", flush=True)
        return True


@contextmanager
def ray_workers(address: str, runtime: RuntimeConfig, limit: int, gpus: float) -> Iterator[RayWorkers]:
    """Connect to a Ray cluster, or start a Ray on this machine, and disconnect at the end.

    Args:
        address: of a cluster's head, e.g. ``10.0.0.1:6379`` or ``auto``; ``local`` starts one here.
        runtime: of the runs; ``threads`` are the CPUs of a stage.
        limit: stages at once; 0 leaves it to the cluster, or to the cores of this machine.
        gpus: of a training stage where ``runtime.device`` asks for one: 1, 2, ... or a share below 1.

    Raises:
        UserError: Ray is not installed, no cluster answers, or ``gpus`` is no share.
    """
    ray = import_ray(gpus)
    _connect(ray, address, runtime.threads, limit)
    try:
        found = ray.cluster_resources().get("GPU", 0)
        wanted = runtime.device == "cuda" or (runtime.device == "auto" and found)
        yield RayWorkers(ray, runtime.threads, gpus if wanted else 0, limit)
    finally:
        ray.shutdown()


def import_ray(gpus: float) -> Any:  # noqa: ANN401 - a module
    """Import Ray, which few need.

    Raises:
        UserError: Ray is not installed, or supports no such share of GPUs for a training stage.
    """
    if not (0 < gpus <= 1 or (gpus > 1 and gpus.is_integer())):
        raise UserError(f"--gpus is {gpus:g}: expected a share above 0 and below 1, or a whole number from 1")
    try:
        import ray
    except ImportError:
        raise UserError("--ray needs Ray, which is not installed: pip install 'fer-repro[ray]'") from None
    ray.cloudpickle.register_pickle_by_value(stage_task)
    return ray


def _connect(ray: Any, address: str, threads: int, limit: int) -> None:  # noqa: ANN401 - a module
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"logging_level": "ERROR"}
    if address == LOCAL:
        cpus = max(limit, 1) * threads if limit else max(threads, os.cpu_count() or 1)
        options |= {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": _STORE}
    before = signal.getsignal(signal.SIGTERM)
    try:
        for trial in reversed(range(TRIES if address == LOCAL else 1)):
            try:
                ray.init(address=address, **options)
                return
            except Exception as error:  # Ray raises many kinds, plain exceptions among them
                ray.shutdown()
                if trial == 0:
                    reason = _first_line(error)
                    if "AuthToken" in str(error.__cause__):
                        reason += "; it requires a token: set RAY_AUTH_MODE and RAY_AUTH_TOKEN as there"
                    raise UserError(f"--ray {address}: no usable Ray there: {reason}") from None
    finally:
        signal.signal(signal.SIGTERM, before)  # Ray sets its own handler


def _recorded(stage: Stage) -> bool:
    missing = [out for out in stage.outs if not out.exists()]
    if missing:
        place = str(missing[0]).removeprefix(f"{Path.cwd()}{os.sep}")
        raise UserError(f"{stage.name}: {place} was written, but not here: do all machines share the folder?")
    if record(stage):
        return True
    _say(f"{stage.name}: its inputs changed while it ran; not recorded")
    return False


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
