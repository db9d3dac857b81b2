"""``fer-repro`` again and again in one environment: processes forked from one with the libraries."""

import json
import subprocess
import sys

LIBRARIES = ("cv2", "pandas", "torch", "torchvision", "safetensors.torch", "typer", "rich.table")
SERVER = """
import importlib, json, os, sys, traceback
for name in sys.argv[1:]:
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
            sys.argv = ["fer-repro", *request["arguments"]]
            from fer_repro.cli import main
            main()
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


class WarmCli:
    """Its processes share the environment and so the terminal's encoding, which Python sets at its start."""

    def __init__(self, place, environment):
        self.place = place
        place.mkdir()
        self.server = subprocess.Popen(
            [sys.executable, "-c", SERVER, *LIBRARIES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def call(self, folder, *arguments):
        """Run the command in the folder, as ``subprocess.run`` does."""
        files = [self.place / "stdout", self.place / "stderr"]
        for file in files:
            file.write_bytes(b"")
        request = {"files": [*map(str, files)], "folder": str(folder), "arguments": arguments}
        self.server.stdin.write(json.dumps(request).encode() + b"\n")
        self.server.stdin.flush()
        code = int(self.server.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, *(file.read_bytes() for file in files))

    def end(self):
        """End the process with the libraries; it has nothing to tidy up."""
        self.server.kill()
        self.server.communicate()
