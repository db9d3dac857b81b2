"""A Python module called again and again in one environment: forked from a process with the libraries."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

SERVER = """
import importlib, json, os, runpy, sys, traceback
module, *libraries = sys.argv[1:]
for name in libraries:
    importlib.import_module(name)
for line in os.fdopen(os.dup(0)):
    request = json.loads(line)
    child = os.fork()
    if not child:
        code = 1
        try:
            for number, path in enumerate((os.devnull, *request["files"])):
                file = os.open(path, os.O_RDWR)
                os.dup2(file, number)
                os.close(file)
            os.chdir(request["folder"])
            os.environ.update(request["environment"])
            sys.argv = [module, *request["arguments"]]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
CLI = ("fer_repro.cli", "cv2", "pandas", "torch", "torchvision", "safetensors.torch", "typer", "rich.table")
TRAINING = ("lightning.fabric", "torchmetrics", "scipy.stats", "sklearn.metrics", "pydantic")
DVC = (
    "dvc", "dvc.cli.parser", "dvc.repo", "dvc.repo.index", "dvc.repo.graph", "dvc.scm", "dvc.lock",
    "dvc.rwlock", "dvc.cachemgr", "dvc.data_cloud", "networkx", "psutil",
)  # fmt: skip


class WarmPython:
    """Its processes share the environment and so the terminal's encoding, which Python sets at its start.

    Args:
        module: to run, as ``python -m`` does, then the libraries that it imports.
        environment: of all calls.
    """

    def __init__(self, module, environment):
        self.place = tempfile.TemporaryDirectory(prefix="warm-")
        self.server = subprocess.Popen(
            [sys.executable, "-c", SERVER, *module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def call(self, folder, *arguments, environment=()):
        """Run the module in the folder, as ``subprocess.run`` does; more of an environment for this call."""
        files = [Path(self.place.name, name) for name in ("stdout", "stderr")]
        for file in files:
            file.write_bytes(b"")
        request = {"files": [*map(str, files)], "folder": str(folder), "arguments": arguments}
        request["environment"] = dict(environment)
        self.server.stdin.write(json.dumps(request).encode() + b"\n")
        self.server.stdin.flush()
        code = int(self.server.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, *(file.read_bytes() for file in files))

    def end(self):
        """End the process with the libraries; it has nothing to tidy up."""
        self.server.kill()
        self.server.communicate()
        self.place.cleanup()
