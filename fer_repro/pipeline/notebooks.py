"""Run one notebook through papermill: typed parameters, visible progress, and the same bytes every time.

The stages in dvc.yaml call it as ``python -m fer_repro.pipeline.notebooks run train -p method=rmn -p
dataset=synthetic -p seed=0 --from inputs/notebooks``, where inputs.py has put copies without outputs.
While a notebook runs, and after it has failed, its cells are in ``executed/<name>.failed.ipynb``; the final
name appears only when all cells have succeeded.
"""

import argparse
import ast
import hashlib
import json
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from fer_repro.errors import UserError, nearest, print_error
from fer_repro.files import atomic_write, parse_pairs
from fer_repro.pipeline.inputs import NOTEBOOKS, check_code
from fer_repro.pipeline.preload import run_preloaded

EXECUTED = Path("executed")
KERNEL_SECONDS = 600  # a busy machine needs more than the usual minute to start a kernel
DURATIONS = Path("timings/stages")
EXPERIMENTS = Path(".dvc/tmp/exps")
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_NO_ROOM = re.compile(r"No space left|Read-only file system|file write failed|requested and \d+ written")
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")  # default reprs quote a memory address
_SHELLS = ("sh", "dash", "bash", "zsh", "fish", "ksh", "busybox")


class CellError(RuntimeError):
    """A cell raised: what it raised, its traceback as IPython prints it, and where the notebook was kept."""

    def __init__(self, name: str, number: int, kind: str, message: str, traceback: str, kept: Path) -> None:
        place = f"cell {number} raised" if number else "the kernel stopped,"
        super().__init__(f"{name}: {place} {kind}: {message}")
        self.number, self.kind, self.message, self.traceback, self.kept = (
            number,
            kind,
            message,
            traceback,
            kept,
        )


class _Stopped(SystemExit):
    """A signal asks for a stop; asyncio passes on only SystemExit, KeyboardInterrupt and their subclasses."""


def check_parameters(notebook: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Compare parameters with the names and the types of the defaults in the notebook's parameters cell.

    Returns:
        The parameters; whole numbers become floats where the default is one.

    Raises:
        UserError: the notebook has no parameters cell, or a name or type is not one of its own.
    """
    import papermill

    known = papermill.inspect_notebook(str(notebook))
    checked = {}
    for key, value in parameters.items():
        if not known:
            raise UserError(f"{notebook}: takes no parameters (no cell tagged 'parameters'), given: {key}")
        if key not in known:
            raise UserError(f"{notebook}: unknown parameter '{key}'; {nearest(key, known)}")
        checked[key] = _as_default(f"{notebook}: parameter '{key}'", value, known[key]["default"])
    return checked


def _as_default(where: str, value: object, source: str) -> object:
    try:
        default = ast.literal_eval(source)
    except (ValueError, SyntaxError):
        return value  # computed in the cell: any type
    kind = type(default)
    if default is None or type(value) is kind:
        return value
    if kind is float and type(value) is int:
        return float(value)
    hint = f"; write {where.split()[-1][1:-1]}='\"{value}\"' for a text" if kind is str else ""
    found = f"{value!r} ({type(value).__name__})"
    raise UserError(f"{where} is {found}: expected {kind.__name__}, as its default {default!r}{hint}")


def default_out(name: str, parameters: Mapping[str, Any]) -> Path:
    """``executed/<name>[-<dataset>][-<method>][-<seed>].ipynb``, so that no two runs share a file."""
    parts = [str(parameters[key]) for key in ("dataset", "method", "seed") if key in parameters]
    return EXECUTED / ("-".join([name, *parts]) + ".ipynb")


def reach_stores(folder: Path) -> None:
    """Link the added sets of a project into the copy of it that ``dvc exp run --temp`` or ``--queue`` made.

    The copy lies below the project's ``.dvc/tmp/exps`` and has what git and DVC track, so no stores/.

    Args:
        folder: where stages run: the project, or such a copy.
    """
    for project in folder.absolute().parents:
        if folder.absolute().is_relative_to(project / EXPERIMENTS) and (project / "stores").is_dir():
            with suppress(FileExistsError):
                (folder / "stores").symlink_to(project / "stores", target_is_directory=True)


def run_notebook(
    name: str, parameters: Mapping[str, Any], out: Path | None = None, source: Path = NOTEBOOKS
) -> Path:
    """Execute ``<source>/<name>.ipynb`` in a fresh kernel and write the executed copy atomically.

    Args:
        name: of the notebook, without folder and ending.
        parameters: for its parameters cell.
        out: the executed copy; by default ``default_out(name, parameters)``.
        source: the notebook's folder.

    Returns:
        The path of the executed copy.

    Raises:
        UserError: unknown notebook or parameter, or a parameter of the wrong type; nothing was started. Or
            the stage's code is not, or was not to the end, the one it depends on (inputs.py).
        CellError: a cell raised; the notebook up to there is kept beside ``out`` as ``<stem>.failed.ipynb``.
    """
    notebook = source / f"{name}.ipynb"
    if not notebook.is_file():
        found = [path.stem for path in source.glob("*.ipynb")]
        where = "" if found else " (is this the project's root?)"
        raise UserError(f"{notebook}: no such notebook{where}; {nearest(name, found)}")
    checked = check_parameters(notebook, parameters)
    out = out or default_out(name, parameters)
    if out.suffix != ".ipynb" or out.resolve() == notebook.resolve():
        raise UserError(f"--out {out}: expected an .ipynb file other than the notebook itself")
    kept = out.with_name(f"{out.stem}.failed.ipynb")
    out.parent.mkdir(parents=True, exist_ok=True)
    kept.unlink(missing_ok=True)
    begin, method = time.monotonic(), str(parameters.get("method", ""))
    check_code(source, name, method)
    executed = _execute(notebook, kept, checked)
    check_code(source, name, method)
    with atomic_write(out) as temporary:
        temporary.write_text(stable_json(executed), encoding="utf-8")
    kept.unlink(missing_ok=True)
    if out.parent == EXECUTED:
        _keep_duration(out.stem, time.monotonic() - begin)
    return out


def _keep_duration(stage: str, seconds: float) -> None:
    """Keep how long a stage took, outside of its outputs, which are the same bytes every time."""
    DURATIONS.mkdir(parents=True, exist_ok=True)
    with atomic_write(DURATIONS / f"{stage}.json") as temporary:
        temporary.write_text(json.dumps({"seconds": round(seconds, 1)}) + "\n", encoding="utf-8")


def _execute(notebook: Path, working: Path, parameters: dict[str, Any]) -> dict[str, Any]:
    """Run all cells, streaming what they print; ``working`` holds the cells run so far."""
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    with _private_folder() as folder:
        # sockets in a folder of our own: no network interface is needed, and no port can clash
        kernel = {"transport": "ipc", "ip": f"{folder}/k"} if os.name == "posix" else {}
        try:
            run = partial(
                papermill.execute_notebook,
                str(notebook),
                str(working),
                parameters,
                kernel_name="python3",
                progress_bar=False,
                stdout_file=sys.stdout,
                stderr_file=sys.stderr,
                start_timeout=KERNEL_SECONDS,
                record_timing=False,
                config=Config({"KernelManager": kernel}),
            )
            executed = _despite_the_clock(run)
        except PapermillExecutionError as error:
            raise CellError(
                str(notebook),
                error.exec_count,
                error.ename,
                error.evalue,
                "\n".join(error.traceback),
                working,
            ) from None
        except DeadKernelError:
            died = "its process ended; usually the memory was full"
            raise CellError(str(notebook), 0, "DeadKernelError", died, "", working) from None
    return dict(executed)


def _despite_the_clock(run: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Call ``run`` again where its kernel seemed late only because the clock was set forward meanwhile."""
    begin = time.monotonic()
    try:
        return run()
    except RuntimeError as error:
        if "Kernel didn't respond" not in str(error) or time.monotonic() - begin > KERNEL_SECONDS:
            raise
    return run()


@contextmanager
def _private_folder() -> Iterator[str]:
    """Keep the kernel away from the user's IPython startup files, history, kernels and hash seed.

    Libraries compute on one thread unless the user says otherwise: two kernels at once would compete for the
    cores, and numbers would depend on how many there are. Training has ``runtime.threads``.
    """
    with tempfile.TemporaryDirectory(prefix="fer-", ignore_cleanup_errors=True) as folder:
        private = {
            "IPYTHONDIR": f"{folder}/ipython",
            "JUPYTER_RUNTIME_DIR": folder,
            "JUPYTER_PREFER_ENV_PATH": "1",
            "PYTHONHASHSEED": "0",
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        }
        before = {key: os.environ.get(key) for key in private}
        os.environ.update(private)
        try:
            yield folder
        finally:
            for key, value in before.items():
                os.environ.pop(key) if value is None else os.environ.update({key: value})


def stable_json(notebook: Mapping[str, Any]) -> str:
    """An executed notebook as text without what differs from run to run.

    Times, random cell ids, papermill's notes, standard error (progress bars, warnings) and memory addresses
    are removed; neighbouring pieces of standard output become one, since their cuts depend on timing.
    """
    stable = json.loads(json.dumps(notebook))
    stable["metadata"].pop("papermill", None)
    for index, cell in enumerate(stable["cells"]):
        for key in ("papermill", "execution"):
            cell["metadata"].pop(key, None)
        source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
        cell["id"] = hashlib.sha256(f"{index}\n{source}".encode()).hexdigest()[:12]
        if "outputs" in cell:
            cell["outputs"] = _stable_outputs(cell["outputs"])
    return json.dumps(stable, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _stable_outputs(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    for output in outputs:
        if output["output_type"] != "stream":
            data = output.get("data", {})
            for kind in ("text/plain", "text/html"):
                if kind in data:
                    data[kind] = _ADDRESS.sub("at 0x0", "".join(data[kind]))
            kept.append(output)
        elif output["name"] == "stdout":
            text = "".join(output["text"])
            if kept and kept[-1]["output_type"] == "stream":
                kept[-1]["text"] += text
            else:
                kept.append({**output, "text": text})
    for output in kept:
        if output["output_type"] == "stream":
            lines = output["text"].replace("\r\n", "\n").split("\n")
            final = [
                line.rstrip("\r").rpartition("\r")[2] for line in lines
            ]  # as a terminal shows it in the end
            output["text"] = _ADDRESS.sub("at 0x0", "\n".join(final))
    return kept


def _stop_with_the_kernel() -> list[int]:
    """End the kernel with this process, whatever stops it, and stop as well when DVC has ended.

    The kernel is killed rather than asked: a training cell answers late or never, and its files stay intact.
    When this process is killed outright, the kernel notices by itself within a second.

    Returns:
        A list that gets the number of each signal that came.
    """
    import psutil

    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
        raise _Stopped(number)

    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, stop)
    if "DVC_STAGE" in os.environ:
        # dvc starts a stage through a shell; a shell outlives a dvc that was terminated, and so would we
        ancestors = psutil.Process().parents()
        starter = next((one for one in ancestors if one.name().removeprefix("-") not in _SHELLS), None)
        if starter is not None and starter.pid > 1:
            threading.Thread(target=_follow, args=(starter,), daemon=True).start()
    return received


def _follow(starter: Any) -> None:  # noqa: ANN401 - psutil.Process, imported late
    with suppress(Exception):
        starter.wait()
    os.kill(os.getpid(), signal.SIGTERM)


def _report(error: CellError, plain: bool) -> None:
    """Print what a failing cell raised: a user's mistake in one line, anything else with its traceback."""
    if error.kind == "UserError":
        print_error(error.message)
        return
    if _NO_ROOM.search(error.message):  # messages of the libraries; their tracebacks do not help
        what = f"cell {error.number}: {error.kind}: {' '.join(error.message.split())}"
        print_error(f"{what} (is the disk full, or protected?)")
        print(f"the cells run so far: {error.kept}", file=sys.stderr)
        return
    traceback = _ANSI.sub("", error.traceback) if plain else error.traceback
    print(f"\n{traceback}\n", file=sys.stderr)
    print(f"{error.args[0]}\nthe cells run so far: {error.kept}", file=sys.stderr)


def _say_stopped(number: int) -> int:
    print(f"stopped by {signal.Signals(number).name}; the same command continues", file=sys.stderr)
    return 128 + number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fer_repro.pipeline.notebooks", description="Run one notebook."
    )
    run = parser.add_subparsers(required=True, metavar="run").add_parser(
        "run", help="execute a notebook of notebooks/"
    )
    run.add_argument("name", help="file name without .ipynb, such as train")
    run.add_argument(
        "-p", dest="pairs", metavar="KEY=VALUE", action="append", default=[], help="a parameter (YAML)"
    )
    run.add_argument(
        "--from", dest="source", type=Path, default=NOTEBOOKS, metavar="FOLDER", help="folder of the notebook"
    )
    run.add_argument("--out", type=Path, help="the executed copy; default executed/<name>-<parameters>.ipynb")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line.

    Returns:
        0; 1 when a cell raised or nothing could be written, 2 when nothing was started, 128 + number when
        stopped by a signal.
    """
    chosen = _parser().parse_args(arguments)
    received = _stop_with_the_kernel()
    try:
        code = run_preloaded(sys.argv[1:] if arguments is None else arguments)
        if code is not None:
            return code
        reach_stores(Path.cwd())
        out = run_notebook(chosen.name, parse_pairs(chosen.pairs, "-p"), chosen.out, chosen.source)
    except UserError as error:
        print_error(error)
        return 2
    except OSError as error:  # disk full, no permission: nothing to repair here
        print_error(error)
        return 1
    except _Stopped:
        return _say_stopped(received[0])
    except CellError as error:
        if received:  # the dead kernel was noticed before the signal
            return _say_stopped(received[0])
        _report(error, plain="NO_COLOR" in os.environ or not sys.stderr.isatty())
        return 1
    print(f"wrote {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
