"""What the user is told about a mistake: one message, with the place and the nearest valid choice."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in what the user gave: one message that names file, place and the nearest valid choice."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """Say which valid choice comes nearest to ``name``: "did you mean 'x'?" or the list of all."""
    options = sorted(choices)
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"valid: {', '.join(options) or 'none'}"
