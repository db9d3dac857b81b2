"""Pages that are made while the documentation is built, so that none of them can be out of date.

``index.md`` is README, ``contributing.md`` and ``changelog.md`` are the files of these names, ``commands.md``
is the help of ``fer-repro``, and ``results.md`` comes from the tables in results/.
"""

import re
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click

from fer_repro.cli import app
from fer_repro.report.results_page import results_page

ROOT = Path(__file__).parents[1]
_MOVED = {"](docs/": "](", "](CONTRIBUTING.md": "](contributing.md", "](CHANGELOG.md": "](changelog.md"}
_KEPT_LINES = re.compile("\b\n(.+?)\n\n", re.DOTALL)  # click's mark of a paragraph whose lines stay
_COMMANDS = "# Commands\n\nWhat `fer-repro COMMAND --help` says, on one page.\n\n"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Link the benchmarks where ``make bench`` has written them."""
    if (ROOT / "docs/benchmarks.md").is_file():
        config.nav[-1]["Reference"].insert(-1, "benchmarks.md")
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the made pages to those of ``docs/``."""
    pages = {
        "index.md": _moved("README.md"),
        "contributing.md": _moved("CONTRIBUTING.md"),
        "changelog.md": _moved("CHANGELOG.md"),
        "commands.md": _COMMANDS + commands(),
        "results.md": results_page(ROOT),
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def commands() -> str:
    """Write the help of every command as Markdown, examples as code."""
    command = typer.main.get_command(app)
    text = get_docs_for_click(
        obj=command, ctx=typer.Context(command, info_name="fer-repro"), name="fer-repro"
    )
    text = _KEPT_LINES.sub("```text\n\\1\n```\n\n", text)
    _, heading, rest = text.partition("\n## ")
    parts: dict[str, Any] = vars(command)["commands"]
    listed = "\n".join(
        f"- [`{name}`](#fer-repro-{name}): {_first(part.help)}" for name, part in parts.items()
    )
    return f"{listed}\n" + "\n".join(map(_line, (heading + rest).splitlines())) + "\n"


def _first(message: str) -> str:
    """The first paragraph of a help text, on one line."""
    return " ".join(message.partition("\n\n")[0].split())


def _line(line: str) -> str:
    start = "Example: "
    return f"{start}`{line.removeprefix(start)}`" if line.startswith(start) else line


def _moved(name: str) -> str:
    """Read a file of the top folder, with its links as they are seen from ``docs/``."""
    text = (ROOT / name).read_text(encoding="utf-8")
    for old, new in _MOVED.items():
        text = text.replace(old, new)
    return text
