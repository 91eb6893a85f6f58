"""Policy: the declarative description of a whole pipeline.

One document (YAML, TOML or JSON, or the same in Python) whose sections are the stages. It is checked as a whole when it
loads: keys and ranges by the stage's own declaration, then lines, columns and context features by name, then the chain
of what stages read and write. Layers run in the order score, blend, compose; stages of a layer in document order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias, cast, final

import msgspec

from slatewise.core.admission import Head, admitted
from slatewise.core.artefact import Artefact
from slatewise.core.caps import misfits
from slatewise.core.columns import Kind
from slatewise.core.document import Document, convert
from slatewise.core.errors import PolicyError, did_you_mean, nearest, shown
from slatewise.core.request import Request, When
from slatewise.core.rules import GIVEN, Rule
from slatewise.core.stage import Controller, Selector, Stage

LAYERS = ("score", "blend", "compose")
FROM = "from"
"""Key of a section that names an artefact whose settings it has."""

StageTable: TypeAlias = Mapping[str, type[Stage]]


@final
class Policy:
    """A checked policy.

    Attributes:
        head: Lines, columns, context and page size.
        stages: The stages in running order.
    """

    def __init__(self, head: Head, stages: Sequence[Stage], *, document: Document | None = None) -> None:
        """Check the pieces against each other.

        Raises:
            PolicyError: Names the field, the rule and the value, and where the document says it.
        """
        self.head = head
        self.stages = tuple(sorted(stages, key=lambda stage: LAYERS.index(stage.section.split(".")[0])))
        self._document = document or Document({}, "", {})
        self._check_head()
        self._check_rules()
        for place, stage in enumerate(self.stages):
            if any(stage.section == other.section for other in self.stages[:place]):
                raise self.error(stage, (), "must stand in a policy once")
            self._check_segments(stage)
            stage.check(self)
        self._check_chain()

    @classmethod
    def load(cls, path: str | Path, table: StageTable) -> Policy:
        """Read a policy file; its ending (.yaml, .yml, .toml, .json) says the format.

        Raises:
            PolicyError: With file and line.
        """
        return cls.parse(Document.read(path), table)

    @classmethod
    def parse(cls, document: Document, table: StageTable) -> Policy:
        """Build a policy from a document.

        Raises:
            PolicyError: With file and line, as far as the document knows them.
        """
        data = document.data
        for key in data:
            if key not in (*Head.__struct_fields__, *LAYERS):
                hint = did_you_mean(key, (*Head.__struct_fields__, *LAYERS))
                raise document.error(PolicyError, (key,), "is no section of a policy", hint=hint)
        head = convert(document, (), {k: v for k, v in data.items() if k not in LAYERS}, Head)
        stages: list[Stage] = []
        for layer in LAYERS:
            for verb, section in _sections(document, layer):
                kind = _stage_class(document, layer, verb, table)
                document, settings = _fitted(document, (layer, verb), section)
                stages.append(convert(document, (layer, verb), settings, kind))
        return cls(head, stages, document=document)

    @classmethod
    def of(cls, *stages: Stage, **head: Any) -> Policy:
        """Build a policy in Python: stages in running order, and the fields of `Head` by name.

        Raises:
            PolicyError: Names the field, the rule and the value.
        """
        nowhere = Document({}, "", {})
        for stage in stages:
            if not isinstance(cast("object", stage), Stage):
                raise PolicyError("policy", "must be made of stages", shown(stage))
        # A struct built in Python was not checked yet: what a file must keep to, it must too.
        checked = [
            convert(nowhere, stage.section.split("."), msgspec.to_builtins(stage), type(stage)) for stage in stages
        ]
        return cls(convert(nowhere, (), {"version": 1, **head}, Head), checked)

    @cached_property
    def hash(self) -> str:
        """Content hash: equal for equal meaning, whatever the format, comments or order of keys."""
        plain = {"head": self.head, "stages": [[stage.section, stage] for stage in self.stages]}
        canonical = msgspec.json.encode(msgspec.to_builtins(plain, order="sorted"), order="sorted")
        return sha256(canonical).hexdigest()[:16]

    def document(self) -> dict[str, Any]:
        """Return the policy as plain data, every default spelled out; loading it gives this policy again."""
        plain = cast("dict[str, Any]", msgspec.to_builtins(self.head))
        for stage in self.stages:
            layer, verb = stage.section.split(".")
            plain.setdefault(layer, {})[verb] = msgspec.to_builtins(stage)
        return plain

    @property
    def source(self) -> Document:
        """The document that it was read from; an empty one if it was built in Python."""
        return self._document

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """The stages that pick rows, in running order."""
        return tuple(stage for stage in self.stages if isinstance(stage, Selector))

    @property
    def controllers(self) -> tuple[Controller, ...]:
        """The stages with feedback, in running order."""
        return tuple(stage for stage in self.stages if isinstance(stage, Controller))

    @cached_property
    def memories(self) -> Mapping[str, type[msgspec.Struct]]:
        """Section of each stage with feedback to the type of what it remembers."""
        return {stage.section: stage.memory for stage in self.controllers}

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Every rule that some stage declares."""
        return tuple(rule for stage in self.stages for rule in stage.hard_rules)

    def error(
        self, stage: Stage, field: Sequence[str | int], rule: str, got: object = ..., hint: str = ""
    ) -> PolicyError:
        """Return a refusal of a stage's field, for `Stage.check`."""
        path = (*stage.section.split("."), *field)
        return self._document.error(PolicyError, path, rule, None if got is ... else shown(got), hint)

    def _field(self, stage: Stage, name: str) -> tuple[str | int, ...]:
        """Return where a stage's section first speaks of `name`, below the section; () if it nowhere does."""
        return self._document.find(stage.section.split("."), name)[2:]

    def admit(self, request: Request) -> Request:
        """Return the request with its page size set and its candidates as the policy declares them.

        Raises:
            RequestError: Names the field, the rule and the value.
        """
        return admitted(request, self.head, self.memories)

    def _check_head(self) -> None:
        head, error = self.head, self._document.error
        for place, line in enumerate(head.lines):
            if line in head.lines[:place]:
                raise error(PolicyError, ("lines", place), "must be named once", shown(line))
        for name in head.columns:
            if name in GIVEN:
                raise error(PolicyError, ("columns", name), "is always there; leave it out")
        for name, feature in head.context.items():
            if isinstance(feature, str) and feature != "any":
                rule = "must be a list of values, or `any`"
                raise error(PolicyError, ("context", name), rule, shown(feature))
        for where, rule, got, hint in misfits(head.serve.caps, head.lines, head.columns):
            raise error(PolicyError, ("serve", "caps", *where), rule, got, hint)

    def _check_rules(self) -> None:
        names: set[str] = set()
        for stage in self.stages:
            for place, rule in enumerate(stage.hard_rules):
                if rule.name in names:
                    field = ("rules", place, "name")
                    raise self.error(stage, field, "must name each rule once in a policy", rule.name)
                names.add(rule.name)
                wanted = rule.group.get("line")
                for line in wanted if isinstance(wanted, list) else [] if wanted is None else [wanted]:
                    self.check_line(stage, self._field(stage, str(line)), line)

    def check_line(self, stage: Stage, field: Sequence[str | int], line: object) -> None:
        """Refuse a line that the policy does not have.

        Raises:
            PolicyError: With the nearest line.
        """
        if line not in self.head.lines:
            hint = did_you_mean(str(line), self.head.lines)
            raise self.error(stage, field, "must be a line of the policy", line, hint)

    def _check_segments(self, stage: Stage) -> None:
        for place, when in enumerate(_whens(stage)):
            for name, wanted in when.items():
                field = ("segments", place, "when", name)
                allowed = self.head.context.get(name)
                if allowed is None:
                    hint = did_you_mean(name, self.head.context) or "declare it under `context`"
                    raise self.error(stage, field, "is no feature of the policy's `context`", hint=hint)
                for value in wanted if isinstance(wanted, list) else [wanted]:
                    if allowed != "any" and value not in allowed:
                        rule = "must be one of " + ", ".join(map(repr, allowed))
                        raise self.error(stage, field, rule, value, nearest(value, allowed))

    def _check_chain(self) -> None:
        if not self.stages or not isinstance(self.stages[-1], Selector):
            rule = "must end with a stage that picks rows, such as `blend.merge` or `compose.solve`"
            where = self.stages[-1].section if self.stages else "policy"
            hint = f"put `{self.selectors[-1].section}` last" if self.selectors else ""
            raise self._document.error(PolicyError, tuple(where.split(".")), rule, hint=hint)
        have: dict[str, Kind] = dict(self.head.columns)
        writers = {name: stage.section for stage in reversed(self.stages) for name in stage.writes}
        for stage in self.stages:
            uses = [use for rule in stage.hard_rules for use in rule.uses]
            for name, kind in (*stage.reads.items(), *uses):
                self._check_read(stage, name, kind, {**have, "item_id": "key", "line": "key"}, writers)
            for name, kind in stage.writes.items():
                if name in self.head.columns:
                    rule = f"writes `{name}`, which `columns` says candidates bring"
                    raise self.error(stage, (), rule, hint="rename the column that candidates bring")
                if name in have and name not in stage.reads:
                    raise self.error(stage, (), f"writes `{name}`, which an earlier stage has written")
                have[name] = kind

    def _check_read(
        self, stage: Stage, name: str, kind: Kind, have: Mapping[str, Kind], writers: Mapping[str, str]
    ) -> None:
        field = self._field(stage, name)
        found = have.get(name)
        if found is None:
            rule = f"reads `{name}`, which neither `columns` nor an earlier stage provides"
            later = f"`{writers[name]}` writes it: put it before" if name in writers else ""
            raise self.error(stage, field, rule, hint=later or did_you_mean(name, have))
        if found.rstrip("?") != kind.rstrip("?"):
            raise self.error(stage, field, f"reads `{name}` as a {kind.rstrip('?')}, but it is a {found.rstrip('?')}")
        if found.endswith("?") and not kind.endswith("?"):
            rule = f"reads `{name}`, which may be missing, and does not say what to do then"
            raise self.error(stage, field, rule, found)


def _whens(stage: Stage) -> Iterator[When]:
    for segment in getattr(stage, "segments", ()):
        yield segment.when


def _sections(document: Document, layer: str) -> Iterator[tuple[str, Any]]:
    section: Any = document.data.get(layer)
    section = {} if section is None else section
    if not isinstance(section, dict):
        raise document.error(PolicyError, (layer,), "must be a mapping of stages", shown(section))
    for verb, settings in cast("dict[str, Any]", section).items():
        yield verb, {} if settings is None else settings  # `solve:` with nothing below it takes every default


def _fitted(document: Document, path: tuple[str, str], section: Any) -> tuple[Document, Any]:
    """Put the settings of the artefact that a section is `from` below its own."""
    if not isinstance(section, dict) or FROM not in section:
        return document, cast("Any", section)
    own = cast("dict[str, Any]", section)
    named = own[FROM]
    if not isinstance(named, str) or not named:
        raise document.error(PolicyError, (*path, FROM), "must be the name of a file", shown(named))
    file = Path(document.name).parent / named
    try:
        artefact = Artefact.read(file)
    except PolicyError as error:
        raise document.error(PolicyError, (*path, FROM), error.rule, error.got) from None
    if artefact.section != ".".join(path):
        raise document.error(PolicyError, (*path, FROM), f"must be an artefact for {'.'.join(path)}", artefact.section)
    settings = {**artefact.settings, **{key: value for key, value in own.items() if key != FROM}}
    return document.adopt(path, artefact.settings.keys() - own.keys(), str(file)), settings


def _stage_class(document: Document, layer: str, verb: str, table: StageTable) -> type[Stage]:
    found = table.get(f"{layer}.{verb}")
    if found is None:
        verbs = [section.split(".")[1] for section in table if section.startswith(f"{layer}.")]
        hint = did_you_mean(verb, verbs)
        raise document.error(PolicyError, (layer, verb), "is no stage", hint=hint)
    return found
