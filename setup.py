"""Put the files of a project into the wheel: a wheel alone then trains, predicts and makes projects.

Everything else is in pyproject.toml. Git keeps one copy of each file; the build writes those of the wheel.
"""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))  # the package as it lies here: it is not installed yet
from fer_repro.project_files import IN_WHEEL, lay_out, project_sources  # noqa: E402


class BuildWithProject(build_py):
    """Build the package, and the project's files within it."""

    def run(self) -> None:
        """Write both below ``build_lib``; an editable install uses the clone's own files."""
        super().run()
        if not self.editable_mode:
            lay_out(ROOT, Path(self.build_lib) / "fer_repro" / IN_WHEEL)

    def get_source_files(self) -> list[str]:
        """List what a source archive must hold, so that a wheel can be built from it."""
        return [*super().get_source_files(), *(str(path.relative_to(ROOT)) for path in project_sources(ROOT))]


setup(cmdclass={"build_py": BuildWithProject})
