"""Errors of the people who use slatewise: what is wrong, where, and what to do.

Every message begins with a path and reads `where: rule, got value; hint`. Mistakes of the operator (a policy)
raise when the policy loads; mistakes of the caller (a request) raise at the edge, before any work.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, final

LONGEST_VALUE = 80
"""Characters of an offending value that a message shows."""


class SlatewiseError(ValueError):
    """A refusal.

    Attributes:
        where: Path of the field, such as `blend.merge.layout.ads.min_gap` or `candidates.score[3]`.
        rule: What would have been right, such as `must be >= 1`.
        got: The offending value, shortened; None where there is none to show.
        hint: What to do, or the nearest valid name; empty where nothing helps.
        source: `file:line` of a policy document; empty for anything else.
    """

    def __init__(self, where: str, rule: str, got: str | None = None, hint: str = "", source: str = "") -> None:
        self.where, self.rule, self.got, self.hint, self.source = where, rule, got, hint, source
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """The whole sentence, as people read it."""
        origin = f"{self.source}: " if self.source else ""
        value = "" if self.got is None else f", got {self.got}"
        hint = f"; {self.hint}" if self.hint else ""
        return f"{origin}{self.where}: {self.rule}{value}{hint}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the way between processes."""
        return type(self), (self.where, self.rule, self.got, self.hint, self.source)


@final
class PolicyError(SlatewiseError):
    """The policy document is wrong; raised when it loads."""


@final
class RequestError(SlatewiseError):
    """The request or its candidates are wrong; raised before any work."""


def shown(value: object) -> str:
    """Return `value` as a message shows it: its repr, at most `LONGEST_VALUE` characters.

    >>> shown(0.5), shown("x" * 200)[-4:]
    ('0.5', 'x...')
    """
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 3] + "..."


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return a hint with the nearest valid name, nothing where none is near.

    >>> nearest("auther", ["author", "line"]), nearest("zzz", ["author", "line"])
    ("did you mean 'author'?", '')
    """
    near = get_close_matches(name, sorted(valid), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else ""


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Return a hint with the nearest valid name, or the list of them where nothing is near.

    >>> did_you_mean("auther", ["author", "line"])
    "did you mean 'author'?"
    >>> did_you_mean("zzz", ["author", "line"])
    "valid names: 'author', 'line'"
    """
    names = sorted(valid)
    return nearest(name, names) or ("valid names: " + ", ".join(map(repr, names)) if names else "")
