"""The harness sees what it is there for: halves, orphans, litter, other numbers, and a refusal to go on."""

import os
import random
import sys

import pytest
import strikes
from strikes import Target, strike

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and process groups")

SLOPPY = """
import time
from pathlib import Path
with Path("rows.csv").open("w") as file:
    for part in range(40):
        file.write("x" * 9000)
        file.flush()
        time.sleep(0.02)
"""
ORPHAN = """
import subprocess, sys, time
from pathlib import Path
if not Path("begun").exists():
    Path("begun").touch()
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(5)"], start_new_session=True)
    time.sleep(1)
Path("rows.csv").write_text("whole")
"""
LITTER = """
import time
from pathlib import Path
half = Path(f".{time.time_ns()}.tmp")
half.touch()
time.sleep(0.5)
Path("rows.csv").write_text("whole")
half.unlink()
"""
OTHER = """
import time
from pathlib import Path
Path("begun").open("a").write("+")
time.sleep(0.5)
Path("rows.csv").write_text(Path("begun").read_text())
"""
STUCK = """
import sys, time
from pathlib import Path
lock = Path("lock")
if lock.exists():
    sys.exit("locked")
lock.touch()
time.sleep(0.5)
Path("rows.csv").write_text("whole")
lock.unlink()
"""


@pytest.mark.parametrize(
    ("program", "seen"),
    [
        (SLOPPY, r"half-written: \['rows.csv'\]"),
        (ORPHAN, "lives on"),
        (LITTER, r"left behind: \['\.\d+\.tmp'\]"),
        (OTHER, "SIGKILL after"),
        (STUCK, "then 1\nlocked"),
    ],
)
def test_what_does_not_hold_is_seen(tmp_path, monkeypatch, program, seen):
    monkeypatch.setattr(strikes, "GRACE", 0.3)
    template = tmp_path / "template"
    template.mkdir()
    target = Target("sloppy", [sys.executable, "-c", program], template, ("rows.csv",), {})
    if program is ORPHAN:
        target.reference, target.span = {"rows.csv": b"whole"}, 0.6
    else:
        target.measure(tmp_path / "undisturbed")

    class Middle(random.Random):
        def uniform(self, low, high):
            return (low + high) / 2

    with pytest.raises(AssertionError, match=seen):
        strike(target, "SIGKILL", Middle(), tmp_path / "place")
