"""The real training stage, killed at any moment and started again, ends with the bytes of an undisturbed one.

The moments are drawn anew each time; the environment variable FER_REPRO_STRIKES repeats a draw that failed.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from small_pipeline import pipeline_of

from fer_repro.datasets.prepare import prepare_dataset
from fer_repro.files import read_yaml
from fer_repro.synthetic.stills import write_stills

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups")

ROOT = Path(__file__).resolve().parents[2]
RUNNER = "-m fer_repro.pipeline.notebooks run train -p dataset=synthetic -p method=rmn -p seed=0 -p out=runs"
STAGE = "-m dvc repro --single-item train-faces@synthetic-rmn-0"
RUN = Path("synthetic/rmn/0")
EXECUTED = "executed/train-synthetic-rmn-0.ipynb"
RECIPE = (4, {"train": 45, "val": 6, "test": 6})  # epochs, subjects: about ten seconds of training
LIMIT = 900.0  # seconds until a stage counts as stuck, on a busy machine, too


class Project:
    """A copy of what one training stage needs, with a small recipe."""

    def __init__(self, folder, epochs, subjects):
        self.folder, self.log = folder, folder.parent / f"{folder.name}.log"
        folder.mkdir()
        self.log.touch()
        for name in ("fer_repro", "notebooks"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
            shutil.copy(ROOT / name, folder)
        shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache"))
        params = read_yaml(ROOT / "params.yaml")
        params["pipeline"] = pipeline_of("faces", ["rmn"], synthetic="data/synthetic/manifest.json")
        params["seeds"], params["further_seeds"] = [0], [0]
        params["runtime"].update(checkpoint_seconds=0.2, threads=1, device="cpu")
        recipe = params["methods"]["rmn"]["recipes"]["synthetic"]
        recipe.update(epochs=epochs, batch_size=16, tta_copies=2)
        recipe["model"]["width"] = 4
        self.params = folder / "params.yaml"
        self.params.write_text(yaml.safe_dump(params), encoding="utf-8")
        write_stills(folder / "data/synthetic", subjects=subjects, faces_per_class=1)
        prepare_dataset("synthetic", folder / "data/synthetic/manifest.json", folder / "prepared/synthetic")
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder),
            "DVC_SITE_CACHE_DIR": str(folder.parent / "site"),
        }
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)

    def start(self, command):
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *command.split()],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def finish(self, command):
        """Let the command run to its end; returns its seconds."""
        begin = time.monotonic()
        code = self.start(command).wait(LIMIT)
        assert code == 0, self.said()
        return time.monotonic() - begin

    def said(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def epochs(self):
        """The epochs that have ended so far."""
        return set(re.findall(r"^(\S+  epoch \d+)/", self.said(), re.MULTILINE))

    def products(self):
        """Path -> bytes of every file below runs/ and executed/ that bears a final name."""
        found = {}
        for path in sorted(self.folder.glob("runs/**/*")) + sorted(self.folder.glob("executed/*")):
            name = path.relative_to(self.folder)
            is_temporary = any(part.endswith((".tmp", ".old")) for part in name.parts)
            if path.is_file() and not is_temporary and path.suffixes != [".failed", ".ipynb"]:
                found[name.as_posix()] = path.read_bytes()
        return found


@dataclass
class Strike:
    """When to kill: ``delay`` seconds after ``sign`` appeared anew, or in training after so many epochs."""

    name: str
    delay: float = 0.0
    sign: str = ""
    epochs: int = 0

    def wait(self, project, process):
        """Wait for the moment; returns the stage's processes."""
        before, limit = self._seen(project), time.monotonic() + LIMIT
        family, looked = [], 0.0
        while not self._has_come(project, before):
            assert process.poll() is None, f"{self.name}: the stage ended before\n{project.said()}"
            assert time.monotonic() < limit, f"{self.name}: never came"
            if time.monotonic() > looked + 0.3:
                family, looked = family_of(process), time.monotonic()
            time.sleep(0.0005)
        if self.delay:
            time.sleep(self.delay)
            family = family_of(process)
        return family

    def _seen(self, project):
        pattern = self.sign or f"ckpt/{RUN}/*/state.pt"
        return {path: path.stat().st_ctime_ns for path in project.folder.glob(pattern)}

    def _has_come(self, project, before):
        return self._seen(project).items() - before.items() and len(project.epochs()) >= self.epochs


def family_of(process):
    """The process and all that it started, however far."""
    with suppress(psutil.NoSuchProcess):
        return [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    return []


def kill(process, family, whole):
    """Kill the process group; ``whole``: the kernel's, too, which otherwise has to notice by itself."""
    for one in reversed(family if whole else []):
        with suppress(psutil.NoSuchProcess):
            one.kill()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _, left = psutil.wait_procs(family, timeout=10)
    assert not left, f"lives on: {left}"


def strike_and_resume(project, command, strikes, reference):
    """Start the command and kill it, strike after strike, then let it end; returns one line per start."""
    message = []
    for strike in strikes:
        begin = time.monotonic()
        process = project.start(command)
        family = strike.wait(project, process)
        at = time.monotonic() - begin
        assert process.poll() is None, f"{strike.name}: the stage ended before\n{project.said()}"
        kill(process, family, whole=bool(strike.sign))
        half = {name for name, data in project.products().items() if data != reference.get(name)}
        assert not half, f"{strike.name}: half-written {half}"
        left = sorted(
            path.relative_to(project.folder).as_posix()
            for folder in ("ckpt", "runs")
            for path in (project.folder / folder).glob("*/*/*/*")
        )
        done = f"{len(project.epochs())} epochs done"
        message.append(f"{strike.name}: killed {at:.1f} s after its start; {done}; {' '.join(left)}")
        print(message[-1], flush=True)
    message.append(f"undisturbed end after {project.finish(command):.1f} s")
    print(message[-1], flush=True)
    assert project.products() == reference
    assert not (project.folder / "ckpt" / RUN).exists()
    assert "cannot be read" not in project.said()
    assert "belongs to other" not in project.said()
    return message


@pytest.fixture
def rng():
    seed = os.environ.get("FER_REPRO_STRIKES") or str(time.time_ns() % 1_000_000)
    print(f"FER_REPRO_STRIKES={seed}", flush=True)
    return random.Random(seed)


@pytest.fixture
def restored_determinism():
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.mark.slow  # the strikes of tests/faults kill a runner in every run of the tests
@pytest.mark.usefixtures("restored_determinism")
def test_a_killed_stage_continues_and_ends_with_the_same_bytes(tmp_path, rng, monkeypatch):
    from fer_repro.pipeline.run import train_run

    project = Project(tmp_path / "struck", 2, {"train": 12, "val": 3, "test": 3})
    monkeypatch.chdir(project.folder)
    train_run(project.params, "rmn", "synthetic", 0, "whole/runs", "whole/ckpt", "whole/timings")
    files = sorted(path for path in (project.folder / "whole/runs").rglob("*") if path.is_file())
    reference = {path.relative_to(project.folder / "whole").as_posix(): path.read_bytes() for path in files}
    shutil.rmtree(project.folder / "whole")
    process = project.start(RUNNER)
    family = Strike("training", rng.uniform(0.0, 0.5)).wait(project, process)
    kill(process, family, whole=False)
    assert {name: reference[name] for name in project.products()} == project.products()
    shutil.rmtree(project.folder / "runs", ignore_errors=True)  # as DVC does before it runs a stage again
    project.finish(RUNNER)
    found = project.products()
    assert found.pop(EXECUTED)
    assert found == reference
    assert not (project.folder / "ckpt" / RUN).exists()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A stage that ran without a strike: its products, dvc.lock, and how long its training took."""
    project = Project(tmp_path_factory.mktemp("undisturbed") / "project", *RECIPE)
    process = project.start(STAGE)
    Strike("begin").wait(project, process)
    begin = time.monotonic()
    while (project.folder / "ckpt" / RUN).exists():
        assert process.poll() is None or process.returncode == 0, project.said()
        time.sleep(0.01)
    span = time.monotonic() - begin
    assert process.wait(LIMIT) == 0, project.said()
    return project.products(), (project.folder / "dvc.lock").read_bytes(), span


@pytest.mark.slow
def test_five_random_moments_of_training(tmp_path, rng, undisturbed):
    """In five of the epochs of both arms, drawn anew."""
    reference, lock, span = undisturbed
    print(f"an undisturbed training takes {span:.1f} s", flush=True)
    project = Project(tmp_path / "struck", *RECIPE)
    epochs = sorted(rng.sample(range(2 * RECIPE[0]), 5))
    strikes = [Strike(f"in epoch {done + 1}", rng.uniform(0, span / 16), epochs=done) for done in epochs]
    strike_and_resume(project, STAGE, strikes, reference)
    assert (project.folder / "dvc.lock").read_bytes() == lock


@pytest.mark.slow
def test_the_moments_between_and_after_training(tmp_path, rng, undisturbed):
    """While an arm's files are gathered, between the arms, while they are published, and in the figures."""
    reference, lock, _ = undisturbed
    project = Project(tmp_path / "struck", *RECIPE)
    strikes = [
        Strike("first arm predicts", rng.uniform(0, 0.1), f"ckpt/{RUN}/masked/.finished.tmp"),
        Strike("first arm is published", 0.0, f"runs/{RUN}/.masked.tmp"),
        Strike("between the arms", rng.uniform(0, 0.3), f"runs/{RUN}/masked"),
        Strike("second arm predicts", rng.uniform(0, 0.1), f"ckpt/{RUN}/no_mask/.finished.tmp"),
        Strike("second arm is published", 0.0, f"runs/{RUN}/.no_mask.tmp"),
        Strike("figures", rng.uniform(0.1, 1.0), f"runs/{RUN}/no_mask"),
    ]
    strike_and_resume(project, STAGE, strikes, reference)
    assert (project.folder / "dvc.lock").read_bytes() == lock
