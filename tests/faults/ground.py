"""Where a struck program works: a folder, or a small disk that can be filled and write-protected."""

import os
import subprocess
import sys
from contextlib import contextmanager, suppress

SIZE = "96m"
CLOCK = '''
"""A clock that jumps by up to ten years, forth and back, five times a second."""
import random, time

_time, _monotonic = time.time, time.monotonic

def jumping():
    return _time() + random.Random(int(_monotonic() * 5)).uniform(-3e8, 3e8)

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


def jumping_clock(folder):
    """Write the clock into a folder of modules; returns the environment that sets it."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(CLOCK)
    return str(folder)
