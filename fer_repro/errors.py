"""What the user reads about a mistake: one message, with the place and the nearest valid choice."""

import difflib
import sys
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

LONGEST = 2000  # characters of a message
_SHOWN = 24  # valid choices that are listed


class UserError(ValueError):
    """A mistake in what the user gave: one line that names file, place and the nearest valid choice."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))

    def _render_traceback_(self) -> list[str]:
        """Give what IPython prints in a notebook: the message without the calls that led to it."""
        return [f"fer-repro: {self}"]


def print_error(error: Exception | str) -> None:
    """Print what ended a command, on stderr: one line, and everywhere the same prefix."""
    print(f"fer-repro: {one_line(str(error))}", file=sys.stderr)


def exit_code(work: Callable[..., int | None], *arguments: Any) -> int:  # noqa: ANN401 - of any work
    """Do a command's work: its exit code, or 0; 2 where a mistake ended it, which is printed as one line."""
    try:
        return work(*arguments) or 0
    except (UserError, OSError) as error:  # an OSError: no permission, no space
        print_error(error)
        return 2


def one_line(message: str) -> str:
    """Spell out line ends and terminal codes, and end somewhere: a message quotes what may hold anything."""
    half = LONGEST // 2
    short = message if len(message) <= LONGEST else f"{message[:half]} ... {message[-half:]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)


def nearest(name: str, choices: Iterable[str]) -> str:
    """Name the valid choice nearest to ``name``: "did you mean 'x'?" or the list of all."""
    options = sorted(choices)
    more = f" and {len(options) - _SHOWN} more" if len(options) > _SHOWN else ""
    return did_you_mean(name, options) or f"valid: {', '.join(options[:_SHOWN]) or 'none'}{more}"


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Name the nearest choice, whatever its capitals: "did you mean 'x'?", or "" if none does."""
    options = {_plain(choice): choice for choice in choices}
    close = difflib.get_close_matches(_plain(name), options, n=1, cutoff=0.5)
    if not close:
        return ""
    found = options[close[0]]
    same = found != name and unicodedata.normalize("NFC", found) == unicodedata.normalize("NFC", name)
    form = f" It looks the same and has another Unicode form: {found!a}, not {name!a}" if same else ""
    return f"did you mean '{found}'?{form}"


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
