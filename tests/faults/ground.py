"""Where a struck program works: a folder, or a small disk that can be filled and write-protected."""

import os
import subprocess
import sys
from contextlib import contextmanager, suppress

SIZE = "96m"
CLOCK = '''
"""A clock that is set at one moment: the environment says when, and by how many seconds."""
import os, time

_time, _monotonic = time.time, time.monotonic
_moment, _jump = map(float, os.environ["FER_REPRO_JUMP"].split())

def jumping():
    return _time() + (_jump if _monotonic() > _moment else 0.0)

time.time, time.time_ns = jumping, lambda: int(jumping() * 1e9)
'''


class Ground:
    """A folder ``place`` to work in.

    ``disk`` tells whether it is a disk of its own, which only root can make; else ``fill`` limits the size
    of files, and ``protect`` takes the permission to write.
    """

    def __init__(self, place, disk):
        self.place, self.disk = place, disk

    def fill(self):
        """Leave no byte free."""
        with suppress(OSError), (self.place / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))

    def protect(self):
        """Make it read-only as soon as no file is open for writing; tells whether it is."""
        return mount("-o", "remount,ro", str(self.place))

    def free(self):
        """Undo both."""
        mount("-o", "remount,rw", str(self.place))
        (self.place / "filler").unlink(missing_ok=True)


def mount(*words):
    return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0


@contextmanager
def ground(place, wants_disk):
    """Make the folder ``place``; on a small disk of its own where that is wanted and possible."""
    place.mkdir()
    can = wants_disk and sys.platform == "linux" and os.geteuid() == 0
    disk = can and mount("-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place))
    try:
        yield Ground(place, disk)
    finally:
        if disk:
            subprocess.run(["umount", "--lazy", str(place)], check=True)


def jumping_clock(folder, moment, seconds, modules):
    """Write the clock into a folder of modules; returns the environment that sets it.

    ``moment`` is one of ``time.monotonic``, which all processes share.
    """
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(CLOCK)
    return {"PYTHONPATH": f"{folder}{os.pathsep}{modules}", "FER_REPRO_JUMP": f"{moment} {seconds}"}
