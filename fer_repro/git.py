"""What git reports about the project: its commit, what has changed since, files as they were committed."""

import subprocess
from pathlib import Path

from fer_repro.errors import UserError

PATIENCE = 30  # seconds; a repository on a drive that is gone never answers


def ask_git(root: Path | str, *command: str) -> str:
    """Run git in a folder; returns what it printed, without the last line end.

    Raises:
        UserError: it failed; the message is git's own first line.
    """
    try:
        done = subprocess.run(
            ["git", "-c", "core.quotePath=false", "-C", str(root), *command],
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"git {command[0]}: {error}") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise UserError(f"git {command[0]}: {lines[0].removeprefix('fatal: ')}")
    return done.stdout.removesuffix("\n")


def head_commit(root: Path | str) -> tuple[str, str]:
    """Name the commit that is checked out.

    Returns:
        The commit, 40 hexadecimal digits, and an empty text; without one an empty text, and why: no
        repository, one of another owner, no commit yet.
    """
    try:
        ask_git(root, "rev-parse", "--git-dir")
    except UserError as error:
        return "", str(error)
    try:
        return ask_git(root, "rev-parse", "--verify", "HEAD"), ""
    except UserError:
        return "", "git: the repository has no commit yet"


def changed_files(root: Path | str) -> list[str]:
    """List the tracked files that differ from the commit, sorted."""
    return sorted(line[3:] for line in ask_git(root, "status", "--porcelain", "-uno").splitlines())


def hidden_files(folder: Path | str) -> list[str]:
    """List the files below a folder that ignore rules keep out of git, sorted; none outside a repository.

    The user's own rules count, too: of ``.git/info/exclude`` or of the whole machine.
    """
    if not head_commit(folder)[0]:
        return []
    return sorted(ask_git(folder, "ls-files", "--others", "--ignored", "--exclude-standard").splitlines())
