"""Declare the hard rules of a page.

Every hard rule is a bound on how many rows of some group stand in some window of slots; `core.rules` has the one type
they all share. The rules bind every selector from here on, together with those of earlier stages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, final

from msgspec import Meta

from slatewise.core.columns import Kind
from slatewise.core.rules import Rule
from slatewise.core.stage import Stage


@final
class Constrain(Stage, frozen=True, kw_only=True):
    """Hard rules.

    Attributes:
        rules: The rules.

    Reads:
        the columns that the rules name: `flag`, `key`, `key?` or `number`, as each use asks.

    Examples:
        >>> apart = Rule(name="authors apart", per="author", every=4, at_most=1)
        >>> Constrain(rules=[apart]).reads
        {'author': 'key?'}
    """

    section: ClassVar[str] = "compose.constrain"

    rules: Annotated[tuple[Rule, ...], Meta(min_length=1)]

    @property
    def reads(self) -> Mapping[str, Kind]:
        """The columns that the rules name."""
        return {name: kind for rule in self.rules for name, kind in rule.reads.items()}

    @property
    def hard_rules(self) -> tuple[Rule, ...]:
        """The rules."""
        return self.rules
