"""Mutation testing: changes evaluation, protocols and losses line by line and asks whether a test notices.

``python tests/mutants/try_mutants.py`` from the repository's root, or ``make mutants``: mutmut tries the
mutants in ``mutants/``. A second call goes on where the first stopped.
"""

import argparse
import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # before torch is imported: mutants are tried side by side

import mutmut.__main__ as program  # noqa: E402
from mutant_files import choose_mutants  # noqa: E402
from mutmut.runners.harness import PytestRunner  # noqa: E402
from mutmut.workers import isolation  # noqa: E402

FEW = 25  # tests that are asked first: most mutants are killed by them, and looking up hundreds takes seconds


class FewFirst(PytestRunner):
    """Asks the quickest tests of a mutant before it looks the others up."""

    def run_tests(self, *, mutant_name: str | None, tests: Iterable[str]) -> int:
        """Return pytest's exit code; 0 where the mutant survives all tests, which come quickest first."""
        names = list(tests)
        first = names[:FEW] if mutant_name else names
        code = super().run_tests(mutant_name=mutant_name, tests=first)
        if code or len(first) == len(names):
            return code
        return super().run_tests(mutant_name=mutant_name, tests=names[FEW:])


def main() -> None:
    """Try the mutants for as long as allowed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of each file's mutants, drawn by the seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0, help="then it stops; call it again to go on")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    given = parser.parse_args()
    signal.signal(signal.SIGALRM, signal.default_int_handler)  # mutmut stops as if by Ctrl+C
    signal.setitimer(signal.ITIMER_REAL, 60 * given.minutes)
    gather = program.collect_source_file_mutation_data

    def gather_drawn(**names: Any) -> Any:
        drawn = choose_mutants(given.share, given.seed)
        Path("mutants/seed").write_text(str(given.seed), encoding="utf-8")
        program.estimated_worst_case_time = lambda name: drawn.get(name, 1.0)  # the order it tries them in
        return gather(**names)

    program.collect_source_file_mutation_data = gather_drawn  # mutmut itself draws none
    isolation.PytestRunner = FewFirst
    program._run((), given.processes)


if __name__ == "__main__":
    main()
