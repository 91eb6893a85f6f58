"""A model: what a network reads and what it computes, as data that policies carry and pages are made by.

What a network computes is kept as ONNX, so that it is served without what it was fitted with. Its digest is of all that
it consists of, and is looked at whenever it is read: a model of which a byte was changed is refused. Cost: O(bytes) to
read.

References:
    The ONNX specification, onnx.ai; https://github.com/onnx/onnx/blob/main/docs/IR.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Any, TypeAlias, final

import msgspec
from msgspec import Meta

from slatewise.models.inputs import Inputs

Setting: TypeAlias = int | float | str


@final
class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A network that was fitted.

    Attributes:
        kind: What network it is, such as `prm`.
        inputs: What it reads.
        graphs: What it computes: ONNX, by name; in a file, as base64.
        settings: What else has to be known to serve it.
        digest: Sha-256 of all of the above.

    Examples:
        >>> model = Model.of("prm", inputs=Inputs(position=10), graphs={"score": b"..."})
        >>> plain = msgspec.to_builtins(model)
        >>> msgspec.convert(plain, Model) == model
        True
        >>> msgspec.convert({**plain, "kind": "set_transformer"}, Model)
        Traceback (most recent call last):
        msgspec.ValidationError: must have the digest of what it consists of: it was changed after it was fitted
    """

    kind: str
    inputs: Inputs
    graphs: Annotated[dict[str, bytes], Meta(min_length=1)]
    settings: dict[str, Setting] = {}
    digest: str

    def __post_init__(self) -> None:
        """Refuse what is not what was fitted.

        Raises:
            ValueError: The digest is of something else.
        """
        if self.digest != _digest(self.kind, self.inputs, self.graphs, self.settings):
            raise ValueError("must have the digest of what it consists of: it was changed after it was fitted")

    def __repr__(self) -> str:
        """Show what it is; not what it computes."""
        return f"Model({self.kind!r}, digest={self.digest!r})"

    @classmethod
    def of(
        cls, kind: str, *, inputs: Inputs, graphs: Mapping[str, bytes], settings: Mapping[str, Setting] | None = None
    ) -> Model:
        """Return a model with its digest."""
        told = dict(settings or {})
        digest = _digest(kind, inputs, graphs, told)
        return cls(kind=kind, inputs=inputs, graphs=dict(graphs), settings=told, digest=digest)


def _digest(kind: str, inputs: Inputs, graphs: Mapping[str, bytes], settings: Mapping[str, Setting]) -> str:
    parts: list[Any] = [kind, inputs, {name: sha256(graph).hexdigest() for name, graph in graphs.items()}, settings]
    return sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()
