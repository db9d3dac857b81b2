"""Sweeps on a Ray with two workers, in the small project with stubs; what we ask of Ray, with a stand-in."""

import json
import secrets
import shutil
import signal
import sys
from types import SimpleNamespace

import psutil
import pytest
from stub_project import Project
from sweep_project import stages_in_lock, start, sweep, training, wait_for, wait_for_quiet

from fer_repro.errors import UserError
from fer_repro.pipeline import ray_sweep
from fer_repro.pipeline.dvc_stages import changed_stages
from fer_repro.pipeline.ray_sweep import RayWorkers, import_ray, ray_workers
from fer_repro.pipeline.sweep import _sweep_on


@pytest.fixture(scope="module")
def cluster():
    """A Ray on this machine with two CPUs, that other processes may join: its address."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        ray = import_ray(1.0)  # reads them
        try:
            ray_sweep._connect(ray, "local", threads=1, limit=2)
        except UserError as error:
            if "timed out during startup" not in str(error):
                raise
            pytest.skip(f"this machine is too busy for Ray's own processes: {error}")
        yield ray.get_runtime_context().gcs_address
        ray.shutdown()


@pytest.fixture(scope="module")
def with_data(pristine, tmp_path_factory):
    """A clone whose data set is prepared, so that training may begin; nobody changes it."""
    made = Project(shutil.copytree(pristine.folder, tmp_path_factory.mktemp("prepared") / "clone"))
    made.dvc("repro", "-q", "--single-item", "inputs", "prepare@synthetic")
    return made


@pytest.fixture
def prepared(cluster, with_data, tmp_path, monkeypatch):
    """The working folder: a copy of that clone."""
    made = Project(shutil.copytree(with_data.folder, tmp_path / "clone"))
    monkeypatch.chdir(made.folder)
    for name in ("PATH", "DVC_SITE_CACHE_DIR"):
        monkeypatch.setenv(name, made.environment[name])
    return made


@pytest.fixture
def workers(cluster):
    return RayWorkers(import_ray(1.0), cpus=1, gpus=0, limit=0)


@pytest.mark.slow
def test_a_stopped_sweep_ends_its_tasks_and_the_next_one_leaves_nothing_to_do(cluster, clone):
    recorded = stages_in_lock(clone)
    (clone.folder / "dvc.lock").unlink()
    once = 'started = Path("started")'
    training(clone, f"{once}; started.exists() or started.touch() or __import__('time').sleep(600)")
    process = start(clone, "--ray", cluster)
    wait_for(clone.folder / "started", process)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "stopped; the same command continues" in said
    wait_for_quiet(clone.folder)

    code, said = sweep(clone, "--ray", cluster)
    assert code == 0, said
    assert said.count(": done in") == 4 + 2  # trained and evaluated; the set was prepared before the stop
    assert "Running stage 'compare'" in said
    for step in ("prepare", "train", "evaluate"):
        assert f"Running stage '{step}" not in said  # DVC has run none of these
    assert json.loads(clone.dvc("status", "--json")) == {}
    assert stages_in_lock(clone) == recorded  # as `dvc repro` wrote it
    for made in ("runs", "executed", "prepared"):
        shutil.rmtree(clone.folder / made)
    clone.dvc("checkout")
    assert json.loads(clone.dvc("status", "--json")) == {}


def is_running(pid):
    """Whoever takes over a killed process may be slow to collect it: a zombie is gone."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_task_whose_worker_is_killed_begins_again_without_its_former_self(prepared, workers):
    first = (
        'import os, time, psutil; mine = Path("pid"); again = mine.exists() or values["seed"] != "1";'
        " again or (mine.write_text(str(os.getpid())),"
        ' next(one for one in psutil.Process().parents() if one.name().startswith("ray::")).kill(),'
        " time.sleep(600))"
    )
    training(prepared, first)
    assert "train-faces@synthetic-rmn-1" in changed_stages("train-faces")
    assert workers.run_stages(["train-faces@synthetic-rmn-1"]) == ray_sweep.Undone((), ())
    assert "train-faces@synthetic-rmn-1" not in changed_stages("train-faces")
    assert not is_running(int((prepared.folder / "pid").read_text()))


def test_a_failing_stage_is_named_and_tried_once_while_others_finish(prepared, workers, capsys):
    count = 'Path("tries").open("a").write("x")'
    training(
        prepared,
        f'if values["method"] + values["seed"] == "rmn1": {count}; sys.exit("no such face in MaskingBlock")',
    )
    assert _sweep_on(workers) == 1
    said = capsys.readouterr()
    assert "train-faces@synthetic-rmn-1: failed on " in said.err
    assert "exit code 1; its last output:\nno such face in MaskingBlock\n" in said.err
    assert "failed: train-faces@synthetic-rmn-1; the same command repeats" in said.err
    assert said.out.count(": done in") == 3  # and nothing is evaluated
    assert (prepared.folder / "tries").read_text() == "x"
    assert changed_stages("train-faces") == ["train-faces@synthetic-rmn-1"]


def test_what_ran_while_its_parameters_changed_is_not_recorded(prepared, workers, capsys):
    lock = prepared.folder / "dvc.lock"
    before = lock.read_bytes()
    path = 'Path("inputs/recipes/synthetic/twin.json")'
    change = f'{path}.write_text({path}.read_text().replace("\\"epochs\\": 2", "\\"epochs\\": 3"))'
    training(prepared, f'if values["seed"] == "1": {change}')
    name = "train-faces@synthetic-twin-1"
    assert workers.run_stages([name]) == ray_sweep.Undone((), (name,))
    assert lock.read_bytes() == before
    assert f"{name}: its inputs changed while it ran; not recorded\n" in capsys.readouterr().err
    assert name in changed_stages("train-faces")


def test_outputs_that_do_not_arrive_say_that_the_folder_is_not_shared(prepared, workers):
    training(prepared, "sys.exit()")
    with pytest.raises(UserError, match=r"rmn-0: (runs|executed)/\S+ was written, but not here"):
        workers.run_stages(["train-faces@synthetic-rmn-0"])


def test_without_ray_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"^--ray needs Ray, .*: pip install 'fer-repro\[ray\]'$"):
        import_ray(1.0)


@pytest.mark.parametrize("gpus", [0.0, -1.0, 1.5, float("nan"), float("inf")])
def test_what_is_no_share_of_a_gpu_is_said(gpus):
    with pytest.raises(UserError, match=f"^--gpus is {gpus:g}: expected a share"):
        import_ray(gpus)


class StandIn:
    """Ray as far as a connection needs it, with so many GPUs."""

    def __init__(self, gpus=0.0, error=None):
        self.gpus, self.error, self.options = gpus, error, []
        self.cloudpickle = SimpleNamespace(register_pickle_by_value=lambda module: None)

    def init(self, **options):
        if self.error:
            raise self.error
        self.options.append(options)

    def cluster_resources(self):
        return {"CPU": 8.0} | ({"GPU": self.gpus} if self.gpus else {})

    def shutdown(self):
        self.options.append("shut down")


def runtime(device="cpu", threads=2):
    return SimpleNamespace(device=device, threads=threads)


@pytest.mark.parametrize(
    ("device", "there", "asked", "needed"),
    [
        ("cpu", 4.0, 1.0, 0),
        ("auto", 0.0, 0.5, 0),
        ("auto", 4.0, 0.5, 0.5),
        ("cuda", 4.0, 2.0, 2.0),
        ("cuda", 0.0, 1.0, 1.0),  # a cluster may grow one
    ],
)
def test_training_asks_for_gpus_where_the_runs_use_them(monkeypatch, device, there, asked, needed):
    ray = StandIn(there)
    monkeypatch.setitem(sys.modules, "ray", ray)
    with ray_workers("auto", runtime(device), 3, asked) as found:
        assert (found.cpus, found.gpus, found.limit) == (2, needed, 3)
    assert ray.options == [{"address": "auto", "logging_level": "ERROR"}, "shut down"]


def test_only_training_tasks_take_a_gpu():
    taken = []
    task = SimpleNamespace(options=lambda **needs: taken.append(needs) or task, remote=lambda *_: "reference")
    workers = RayWorkers(SimpleNamespace(remote=lambda function: task), cpus=3, gpus=0.25, limit=0)
    for name in ("prepare@a", "train-clips@a-fan-0", "evaluate-clips@a-fan"):
        workers._submit(SimpleNamespace(name=name, commands=(), folder="", outs=()))
    assert [(one["num_cpus"], one["num_gpus"]) for one in taken] == [(3, 0), (3, 0.25), (3, 0)]
    assert all(one["max_retries"] > 0 for one in taken)


@pytest.mark.parametrize(("workers", "cpus"), [(3, 6), (0, 8)])
def test_a_ray_of_our_own_holds_the_workers_asked_for_or_all_cores(monkeypatch, workers, cpus):
    ray = StandIn()
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(ray_sweep.os, "cpu_count", lambda: 8)
    with ray_workers("local", runtime(), workers, 1.0):
        assert ray.options[0]["num_cpus"] == cpus


def test_a_cluster_that_does_not_answer_is_one_sentence(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setitem(sys.modules, "ray", StandIn(error=ConnectionError("Failed to connect.\nMore.")))
    expected = r"^--ray 10\.0\.0\.1:6379: no usable Ray there: Failed to connect\.$"
    with pytest.raises(UserError, match=expected), ray_workers("10.0.0.1:6379", runtime(), 0, 1.0):
        pass
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_cluster_that_wants_a_token_says_so(monkeypatch):
    error = ConnectionError("Failed to connect")
    error.__cause__ = RuntimeError("AuthenticationError: InvalidAuthToken: it is missing")
    monkeypatch.setitem(sys.modules, "ray", StandIn(error=error))
    with pytest.raises(UserError, match=r"requires a token: set RAY_AUTH_MODE and RAY_AUTH_TOKEN as there$"):
        ray_workers("10.0.0.1:6379", runtime(), 0, 1.0).__enter__()


def test_a_ray_of_our_own_that_gives_itself_up_is_started_again(monkeypatch):
    ray = StandIn(error=Exception("The current node timed out during startup."))
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(
        UserError,
        match=r"^--ray local: no usable Ray there: The current node timed out during startup\.$",
    ):
        ray_workers("local", runtime(), 2, 1.0).__enter__()
    assert ray.options == ["shut down"] * ray_sweep.TRIES
