"""Import the large libraries once per sweep: stages and kernels are forked from a process that holds them.

Importing torch, pandas and papermill takes each notebook stage many seconds. ``preloaded`` starts a server
that imports them and names its socket in ``FER_REPRO_PRELOADED``. A stage (notebooks.py) that finds it there
hands over its arguments, its environment and its open files; the server forks a runner, which forks its
kernel before it has any thread, and the stage waits for the exit code. No module of this package that a stage
uses is imported before the fork: code that was edited meanwhile is the code that runs. Where forking is
unsafe (everything but Linux), or where the server has gone or belongs to another environment, a stage imports
everything itself.
"""

import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, NoReturn

from jupyter_client.provisioning.factory import KernelProvisionerFactory
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from fer_repro.pipeline.project_lock import end_with_parent

ADDRESS = "FER_REPRO_PRELOADED"
# The imports that take most of the start of a notebook stage. The threads that some of them start (OpenBLAS,
# jemalloc) are started anew by those libraries after a fork.
LIBRARIES = (
    "torch", "torchvision", "torchmetrics", "lightning.fabric", "pandas", "scipy.stats", "sklearn.metrics",
    "seaborn", "cv2", "safetensors.torch", "bs4", "tqdm.auto", "pydantic", "papermill", "nbclient",
    "jupyter_client.provisioning", "psutil", "ipykernel.kernelapp", "timm.models",
)  # fmt: skip
# read by libraries while they are imported: where a stage has other values, it imports by itself
_READ_AT_IMPORT = ("OMP_", "MKL_", "OPENBLAS_", "KMP_", "ONEDNN_", "DNNL_", "TORCH", "CUDA", "LD_", "PYTHON")
_OURS = {"PYTHONHASHSEED": "0", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
_USUAL = {"OMP_NUM_THREADS": "1"}  # of a kernel, as is the hash seed; see notebooks.py
_FILES = 3  # standard input, output and error
_LARGEST = 1 << 20  # bytes of a request
_SECONDS_TO_END = 10.0  # of a runner that is asked to stop


@contextmanager
def preloaded() -> Iterator[None]:
    """Fork the stages that are started within from a process with the libraries, where the system can."""
    if sys.platform != "linux":
        yield
        return
    with tempfile.TemporaryDirectory(prefix="fer-", ignore_cleanup_errors=True) as folder:
        address = f"{folder}/libraries"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(address)
            listener.listen(64)  # requests wait while the server starts
            server = subprocess.Popen(
                [sys.executable, "-m", "fer_repro.pipeline.preload", str(listener.fileno())],
                stdin=subprocess.PIPE,  # its end is the server's
                env={**_USUAL, **os.environ, **_OURS},
                preexec_fn=end_with_parent,
                pass_fds=[listener.fileno()],
                start_new_session=True,  # Ctrl-C of a terminal reaches the stages, which pass it on
            )
        before, os.environ[ADDRESS] = os.environ.get(ADDRESS, ""), address
        try:
            yield
        finally:
            os.environ[ADDRESS] = before
            server.terminate()
            server.communicate()


def run_preloaded(arguments: Sequence[str]) -> int | None:
    """Let the server run a notebook in this process's place.

    When an exception, such as one that a signal raises, ends this call, the runner and its kernel are ended.

    Args:
        arguments: of ``python -m fer_repro.pipeline.notebooks``.

    Returns:
        The exit code, or None where there is no server for this environment; nothing was started then.
    """
    address = os.environ.get(ADDRESS, "")
    if not address or not hasattr(socket, "send_fds"):
        return None
    environment = {key: value for key, value in os.environ.items() if key != ADDRESS}
    request = {"arguments": [*arguments], "folder": str(Path.cwd()), "environment": environment, **_here()}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
        try:
            line.connect(address)
            socket.send_fds(line, [json.dumps(request).encode()], range(_FILES))
            if line.recv(1) != b"+":
                return None
        except OSError:
            return None
        try:
            return int(line.recv(16) or 1)
        finally:
            with suppress(OSError):
                line.shutdown(socket.SHUT_WR)
                line.settimeout(_SECONDS_TO_END)
                while line.recv(16):
                    pass


def _here() -> dict[str, Any]:
    """What server and stage must agree in."""
    read = {key: value for key, value in os.environ.items() if key.startswith(_READ_AT_IMPORT)}
    return {"read": {**_USUAL, **read, "PYTHONHASHSEED": "0"}, "python": sys.executable, "package": __file__}


def _serve(listening: int) -> None:
    """Import the libraries, then fork a runner for each request until standard input ends."""
    with socket.socket(fileno=listening) as listener:
        here, before = _here(), dict(os.environ)
        for name in LIBRARIES:
            importlib.import_module(name)
        added = {key: value for key, value in os.environ.items() if key not in before}  # torch does
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for runners: they report by themselves
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            line, _ = listener.accept()
            with line:
                text, files, _, _ = socket.recv_fds(line, _LARGEST, _FILES)
                request = json.loads(text or b"{}")
                if all(request.get(key) == value for key, value in here.items()) and not os.fork():
                    listener.close()
                    request["environment"] = {**added, **request["environment"]}
                    _run(request, files, line)
                for file in files:
                    os.close(file)


def _run(request: dict[str, Any], files: Sequence[int], line: socket.socket) -> NoReturn:
    """Become the runner of one stage: its files, folder and environment, and a kernel that waits."""
    code = 1
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        sys.argv[1:] = request["arguments"]
        from fer_repro.pipeline.preload import fork_kernel

        fork_kernel(line)
        line.sendall(b"+")
        threading.Thread(target=_end_with, args=(line,), daemon=True).start()
        from fer_repro.pipeline.notebooks import main

        code = main(request["arguments"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    with suppress(BaseException):
        sys.stdout.flush()
        sys.stderr.flush()
        line.sendall(str(code).encode())
    os._exit(code)


def _end_with(line: socket.socket) -> None:
    """End this runner and its kernel when the stage that waits for it has ended."""
    import psutil

    line.recv(1)
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            child.kill()
            child.wait(_SECONDS_TO_END)
    os._exit(1)


_waiting: "list[ForkedKernel]" = []


class ForkedKernel:
    """A process that waits for the command of the kernel to become; it has the parts of ``Popen`` in use."""

    stdin = stdout = stderr = None

    def __init__(self, line: socket.socket) -> None:
        asked, self._ask = os.pipe()
        self._code: int | None = None
        self.pid = os.fork()
        if not self.pid:
            os.close(self._ask)
            line.close()  # the runner's own: its end must be noticed
            _become_kernel(asked)
        os.close(asked)

    def begin(self, command: list[str], environment: dict[str, str], folder: str | None) -> None:
        """Send it what ``command`` would run."""
        request = {"command": command, "environment": environment, "folder": folder or str(Path.cwd())}
        with os.fdopen(self._ask, "w", encoding="utf-8") as ask:
            json.dump(request, ask)

    def poll(self) -> int | None:
        """Return its exit code, None while it runs."""
        return self._wait(os.WNOHANG)

    def wait(self) -> int | None:
        """Return its exit code when it has ended."""
        return self._wait(0)

    def send_signal(self, number: int) -> None:
        """Send a signal unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def _wait(self, how: int) -> int | None:
        if self._code is None:
            try:
                pid, status = os.waitpid(self.pid, how)
            except ChildProcessError:  # somebody else waited for it
                pid, status = self.pid, 0
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code


class ForkedProvisioner(LocalProvisioner):
    """Uses the kernel that waits; a second kernel of the same runner is started in the usual way."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:  # noqa: ANN401 - jupyter_client's
        """Let the waiting process become the kernel."""
        if not _waiting:
            return await super().launch_kernel(cmd, **kwargs)
        process = _waiting.pop()
        # ipykernel reads the environment variable for it when it is imported, which was too early
        command = [*cmd, f"--IPKernelApp.parent_handle={os.getpid()}"]
        process.begin(command, kwargs.get("env") or dict(os.environ), kwargs.get("cwd"))
        self.process = process  # type: ignore[assignment]
        self.pid = self.pgid = process.pid
        return self.connection_info


def fork_kernel(line: socket.socket) -> None:
    """Fork a kernel that waits, and let jupyter_client use it; call it before this process has threads.

    Args:
        line: of this process to the one it works for; the kernel is not to keep it open.
    """
    _waiting.append(ForkedKernel(line))
    factory = KernelProvisionerFactory.instance()
    name = ForkedProvisioner.__name__
    value = f"{__name__}:{name}"
    factory.provisioners[name] = EntryPoint(name, value, KernelProvisionerFactory.GROUP_NAME)
    factory.default_provisioner_name = name


def _become_kernel(asked: int) -> NoReturn:
    os.setsid()  # as a kernel has it: an interrupt is for all it has started
    with os.fdopen(asked, encoding="utf-8") as text:
        said = text.read()
    if not said:
        os._exit(0)  # the runner ended without a kernel
    request = json.loads(said)
    code = 0
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.chdir(request["folder"])
        # as ``python -m ipykernel_launcher`` is started: python, -m, module, arguments
        _, _, module, *sys.argv[1:] = [part for part in request["command"] if not part.startswith("-X")]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
