"""A notebook's kernel that was forked before its runner had any thread, instead of a new Python."""

import json
import os
import runpy
import signal
import socket
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, NoReturn

from jupyter_client.provisioning.factory import KernelProvisionerFactory
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

_waiting: "list[ForkedKernel]" = []


class ForkedKernel:
    """A process that waits to be told which kernel to become; with what jupyter_client calls of ``Popen``."""

    stdin = stdout = stderr = None

    def __init__(self, line: socket.socket) -> None:
        asked, self._ask = os.pipe()
        self._code: int | None = None
        self.pid = os.fork()
        if not self.pid:
            os.close(self._ask)
            line.close()  # the runner's own: its end is to be seen
            _become_kernel(asked)
        os.close(asked)

    def begin(self, command: list[str], environment: dict[str, str], folder: str | None) -> None:
        """Tell it what ``command`` would run."""
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
