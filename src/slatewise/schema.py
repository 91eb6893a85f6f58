"""JSON Schema of a policy, generated from the same declarations that check it.

Descriptions come from the docstrings' `Attributes:`, so that an editor shows them beside each key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from inspect import cleandoc
from typing import Any

import msgspec
from msgspec import inspect

from slatewise.core.admission import Head
from slatewise.core.policy import FROM, LAYERS
from slatewise.core.stage import Stage

LAYER_QUESTIONS = {
    "score": "Layer 1: what is showing this item to this user worth?",
    "blend": "Layer 2: which line gets this slot?",
    "compose": "Layer 3: how should the whole page be put together?",
}


def policy_schema(stages: Mapping[str, type[Stage]]) -> dict[str, Any]:
    """Return the JSON Schema (draft-07) of policies over a table of stages."""
    types = (Head, *stages.values())
    references, components = msgspec.json.schema_components(types, ref_template="#/definitions/{name}")
    for struct in _structs(types):
        if struct.__name__ in components:
            _describe(components[struct.__name__], struct)
    for stage in stages.values():
        _let_be_fitted(components[stage.__name__])
    schema = components.pop("Head")
    layers = {
        layer: {
            "type": "object",
            "description": LAYER_QUESTIONS[layer],
            "additionalProperties": False,
            "properties": {
                section.split(".")[1]: reference
                for section, reference in zip(stages, references[1:], strict=True)
                if section.startswith(f"{layer}.")
            },
        }
        for layer in LAYERS
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **schema,
        "title": "slatewise policy",
        "properties": {**schema["properties"], **layers},
        "definitions": components,
    }


def attributes(struct: type) -> dict[str, str]:
    """Return what the `Attributes:` of a docstring say, by name, each in one line.

    >>> attributes(Head)["version"]
    'Version of the policy language; 1.'
    """
    found = re.search(r"^Attributes:\n((?:[ ]+.*\n?|\n)+)", cleandoc(struct.__doc__ or ""), re.MULTILINE)
    entries: dict[str, str] = {}
    name = ""
    for line in found[1].splitlines() if found else []:
        if entry := re.match(r" {4}(\w+): (.*)", line):
            name = entry[1]
            entries[name] = entry[2]
        elif name and line.strip():
            entries[name] += " " + line.strip()
        elif not line.strip():
            name = ""
    return entries


def _let_be_fitted(schema: dict[str, Any]) -> None:
    """Let a section take its settings from an artefact, which then has what the section itself must have otherwise."""
    said = "An artefact with settings for this section, as `slatewise fit` writes it; keys beside it replace its own."
    schema.setdefault("properties", {})[FROM] = {"type": "string", "description": said}
    if required := schema.pop("required", None):
        schema["anyOf"] = [{"required": required}, {"required": [FROM]}]


def _structs(types: tuple[type, ...]) -> set[type]:
    found: set[type] = set()

    def visit(kind: Any) -> None:
        if isinstance(kind, inspect.StructType):
            if kind.cls in found:
                return
            found.add(kind.cls)
            for field in kind.fields:
                visit(field.type)
        for name in ("type", "item_type", "value_type"):
            if isinstance(getattr(kind, name, None), inspect.Type):
                visit(getattr(kind, name))
        for inner in (*getattr(kind, "types", ()), *getattr(kind, "item_types", ())):
            visit(inner)

    for one in types:
        visit(inspect.type_info(one))
    return found


def _describe(schema: dict[str, Any], struct: type) -> None:
    """Put a docstring's first paragraph and its attributes where editors look for them."""
    schema["description"] = cleandoc(struct.__doc__ or "").split("\n\n")[0].replace("\n", " ")
    inherited = {name: text for base in reversed(struct.__mro__) for name, text in attributes(base).items()}
    for name, text in inherited.items():
        if name in schema.get("properties", {}):
            schema["properties"][name]["description"] = text
