"""slatewise: from scored candidates of several business lines to the page that is served.

Names are imported when first used, so that `import slatewise` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slatewise.blend.calibrate import Calibrate, Ratio
    from slatewise.blend.govern import Govern
    from slatewise.blend.layout import Layout
    from slatewise.blend.merge import Merge
    from slatewise.blend.pace import Pace
    from slatewise.blend.shade import Shade
    from slatewise.blend.weight import Weight
    from slatewise.compose.constrain import Constrain
    from slatewise.compose.decode import Decode
    from slatewise.compose.propose import Propose
    from slatewise.compose.rerank import Rerank
    from slatewise.compose.solve import Solve
    from slatewise.compose.spread import Spread
    from slatewise.core.candidates import Candidates
    from slatewise.core.columns import Embedding, EmbeddingTable
    from slatewise.core.control import Control
    from slatewise.core.errors import PolicyError, RequestError, SlatewiseError
    from slatewise.core.page import Page
    from slatewise.core.policy import Policy
    from slatewise.core.request import Request
    from slatewise.core.rules import Rule
    from slatewise.core.state import State
    from slatewise.feed import Feed
    from slatewise.score.fuse import Fuse

__version__ = "0.1.0"

_HOMES = {
    "Calibrate": "blend.calibrate",
    "Candidates": "core.candidates",
    "Constrain": "compose.constrain",
    "Control": "core.control",
    "Decode": "compose.decode",
    "Embedding": "core.columns",
    "EmbeddingTable": "core.columns",
    "Feed": "feed",
    "Fuse": "score.fuse",
    "Govern": "blend.govern",
    "Layout": "blend.layout",
    "Merge": "blend.merge",
    "Pace": "blend.pace",
    "Page": "core.page",
    "Policy": "core.policy",
    "PolicyError": "core.errors",
    "Propose": "compose.propose",
    "Ratio": "blend.calibrate",
    "Request": "core.request",
    "RequestError": "core.errors",
    "Rerank": "compose.rerank",
    "Rule": "core.rules",
    "Shade": "blend.shade",
    "SlatewiseError": "core.errors",
    "Solve": "compose.solve",
    "Spread": "compose.spread",
    "State": "core.state",
    "Weight": "blend.weight",
}

__all__ = [  # noqa: RUF022
    "Feed", "Policy", "Request", "Candidates", "Page", "State", "Control",
    "Fuse", "Calibrate", "Ratio", "Weight", "Pace", "Shade", "Govern", "Merge", "Layout", "Constrain", "Rule",
    "Rerank", "Propose", "Decode", "Solve", "Spread",
    "Embedding", "EmbeddingTable", "SlatewiseError", "PolicyError", "RequestError",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module 'slatewise' has no attribute {name!r}")
    return getattr(import_module(f"slatewise.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
