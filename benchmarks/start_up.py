"""How long until the command answers, and the package is imported?"""

import subprocess
import sys
import time

from benchmarks.tables import ROOT, Settings, Spread, Table

AIMS = {"fer-repro --help": 0.5, "import fer_repro": 0.2}
BARE = "python -c pass"
PROGRAMS = {
    BARE: "pass",
    "import fer_repro": "import fer_repro",
    "fer-repro --help": "import sys; from fer_repro.cli import main; sys.argv[1:] = ['--help']; main()",
}


def measure(settings: Settings) -> Table:
    """Start each program alternately, beside Python alone."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in PROGRAMS}
    for counted in range(-1, 1 if settings.quick else 11):
        for name, program in PROGRAMS.items():
            found = started(program)
            if counted >= 0:
                spent[name].append(found)
    rows = []
    for name, values in spent.items():
        wall, processor = (Spread(column) for column in zip(*values, strict=True))
        rows.append([name, wall.shown(), processor.shown(), str(AIMS.get(name, ""))])
    return Table(
        "Start-up",
        "Seconds of a fresh process: wall-clock time, and processor time.",
        ("program", "wall", "processor", "aim"),
        rows,
    )


def started(program: str) -> tuple[float, float]:
    """Run a program in a fresh Python; returns seconds of wall-clock and of processor time."""
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
