"""Policies: one document, checked as a whole when it loads."""

import csv
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from jsonschema import Draft7Validator

from slatewise import Candidates, Feed, Policy, PolicyError, Request, RequestError, Solve
from slatewise.core.admission import Head
from slatewise.core.document import Document
from slatewise.core.problem import Solution
from slatewise.schema import attributes, policy_schema
from slatewise.stages import STAGES

GOLDEN = Path(__file__).parent.parent / "golden"
YAML = (GOLDEN / "policy.yaml").read_text()
TOML = (GOLDEN / "policy.toml").read_text()


def parsed(text, form="yaml"):
    return Policy.parse(Document.parse(text, form, f"policy.{form}"), STAGES)


def test_yaml_toml_json_and_python_say_the_same():
    policy = parsed(YAML)
    assert parsed(TOML, "toml").hash == policy.hash
    assert parsed(json.dumps(Document.parse(YAML, "yaml").data), "json").hash == policy.hash
    assert Policy.of(*policy.stages, **msgspec.to_builtins(policy.head)).hash == policy.hash


def test_the_hash_is_of_the_meaning():
    policy = parsed(YAML)
    assert parsed(YAML.replace("slots: 10", "slots:   10   # as before")).hash == policy.hash
    assert parsed(YAML.replace("p_click: 1.0, p_share: 4.0", "p_share: 4.0, p_click: 1.0")).hash == policy.hash
    assert parsed(YAML.replace("slots: 10", "slots: 11")).hash != policy.hash


@pytest.mark.parametrize("row", list(csv.DictReader((GOLDEN / "refusals.csv").read_text().splitlines())), ids=str)
def test_refuses_with_line_path_rule_and_value(row):
    assert row["text"] in YAML
    with pytest.raises(PolicyError) as caught:
        parsed(YAML.replace(row["text"], row["instead"].replace("\\n", "\n"), 1))
    assert str(caught.value) == f"policy.yaml:{row['line']}: {row['message']}"


def test_toml_and_json_errors_have_lines_too():
    with pytest.raises(PolicyError, match=r"policy.toml:\d+: blend.weight.lines.adz: must be a line"):
        parsed(TOML.replace("ads = 0.9", "adz = 0.9"), "toml")
    text = json.dumps(Document.parse(YAML, "yaml").data, indent=2)
    with pytest.raises(PolicyError, match=r"policy.json:\d+: score.fuse.trms: is not known here"):
        parsed(text.replace('"terms"', '"trms"', 1), "json")


@pytest.mark.parametrize(
    "text",
    [
        "1: x",
        "null: x",
        "blend: {1: {}}",
        "? [a, b]\n: c",
        "",
        "3",
        "- a",
        "a: *b",
        "a: !!python/object:x {}",
        "a: &a [*a]",
        "{",
        "\x00",
        "version: 1",
    ],
)
def test_refuses_what_is_no_policy(text):
    with pytest.raises(PolicyError):
        parsed(text)


def test_yaml_is_1_2():
    assert Document.parse("a: no\nb: 12:30\nc: on\nd: 010", "yaml").data == {
        "a": "no",
        "b": "12:30",
        "c": "on",
        "d": 10,
    }


@pytest.mark.parametrize(
    ("history", "message"),
    [
        (None, "history: must be a mapping, got None"),
        ({"author": ["x"]}, "history.author: must be a mapping of values to numbers, got ['x']"),
        ({"p_click": {"x": 1}}, "history.p_click: must be a column of kind key or keys, got 'number?'"),
        ({"authr": {"x": 1}}, "history.authr: is no column of the policy; did you mean 'author'?"),
        ({"zz": {"x": 1}}, "history.zz: is no column of the policy; valid names: 'author', 'item_id', 'line', 'tags'"),
        ({"author": {True: 1}}, "history.author: must have text or whole numbers as values, got True"),
        ({"author": {None: 1}}, "history.author: must have text or whole numbers as values, got None"),
        ({"author": {"x": -1}}, "history.author.x: must be >= 0, got -1"),
        ({"tags": {3: "2"}}, "history.tags.3: must be a number, got '2'"),
        ({"tags": {3: True}}, "history.tags.3: must be a number, got True"),
        ({"line": {"ads": float("nan")}}, "history.line.ads: must be finite, at most 1e+30, got nan"),
        ({"line": {"ads": 10**400}}, "history.line.ads: must be finite, at most 1e+30, got 1000"),
    ],
)
def test_history_is_of_columns_of_keys_and_counts_what_is_not_negative(history, message):
    columns = {"utility": "number", "author": "key?", "tags": "keys?", "p_click": "number?"}
    policy = Policy.of(Solve(), lines=["posts", "ads"], columns=columns)
    items = Candidates.of(utility=[1.0], line=["posts"])
    good = {"author": {"x": 0, 7: np.float32(2)}, "tags": {np.int64(3): 1e30}, "line": {"ads": 1}, "item_id": {"p": 2}}
    assert policy.admit(Request(candidates=items, history=good)).history == good
    with pytest.raises(RequestError) as caught:
        policy.admit(Request(candidates=items, history=history))
    assert str(caught.value).startswith(message)


def test_a_request_must_fit():
    policy = parsed(YAML)
    items = Candidates.of(p_click=[0.1], p_share=[0.1], author=["x"], local=[True], line=["posts"])
    Feed(policy).compose(Request(candidates=items, context={"tenure": "new"}))
    for fields, message in [
        ({"slots": 0}, "slots: must be >= 1, got 0"),
        ({"slots": 2.5}, "slots: must be a whole number, got 2.5"),
        ({"slots": 10**30}, "slots: must be <= 1000"),
        ({"state": "token"}, "state: must be a State, got str; read a token with State.from_token"),
        ({"context": None}, "context: must be a mapping, got None"),
        ({"candidates": [{"item_id": "a"}]}, "candidates: must be Candidates, got list; make them with"),
        ({"context": {"tenur": "new"}}, "context.tenur: is no feature .* did you mean 'tenure'"),
        ({"context": {"tenure": "gnu"}}, "context.tenure: must be one of 'new', 'regular', got 'gnu'"),
    ]:
        with pytest.raises(RequestError, match=message):
            Feed(policy).compose(Request(**{"candidates": items, **fields}))


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([{"group": {"local": "yes"}}, {"group": {"local": True}}], "reads `local` as a key, but it is a flag"),
        ([{"group": {"author": {"at_least": 1}}, "per": "author"}], "reads `author` as a number, but it is a key"),
        ([{"group": {"item_id": True}}], "reads `item_id` as a flag, but it is a key"),
        ([{"per": "tags"}], "reads `tags` as a key, but it is a keys"),
        ([{"group": {"tags": "quiz"}}], "reads `tags` as a key, but it is a keys"),
        ([{"weight": "line"}], "reads `line` as a number, but it is a key"),
        ([{"first": 10**25}], "first: "),
    ],
)
def test_every_use_of_a_column_by_a_rule_is_checked(rules, message):
    document = Document.parse(YAML, "yaml").data
    named = [{"name": f"r{place}", "at_most": 1, **rule} for place, rule in enumerate(rules)]
    document["columns"]["tags"] = "keys?"
    changed = {**document, "compose": {"constrain": {"rules": named}, "solve": None}}
    with pytest.raises(PolicyError, match=message):
        parsed(json.dumps(changed), "json")


@pytest.mark.parametrize(("form", "text"), [("toml", "a = " + "[" * 3000), ("json", '{"slots": ' + "9" * 5000 + "}")])
def test_refuses_what_readers_choke_on(form, text):
    with pytest.raises(PolicyError, match="is not readable"):
        parsed(text, form)


def test_a_section_stands_in_a_policy_once():
    with pytest.raises(PolicyError, match=r"compose.solve: must stand in a policy once"):
        Policy.of(Solve(), Solve(), lines=["a"], columns={"utility": "number"})


def test_a_stage_of_ones_own_plugs_in():
    class Plain(Solve.__mro__[1], frozen=True, kw_only=True):
        section = "compose.plain"

        def select(self, candidates, slots, *, constraints=None, request=None):
            return Solution(candidates.descending(candidates.number(self.by))[:slots], value=0.0)

    policy = Policy.parse(
        Document.parse("{version: 1, lines: [a], columns: {utility: number}, compose: {plain: {}}}", "yaml"),
        {**STAGES, "compose.plain": Plain},
    )
    items = Candidates.of(item_id=["x", "y"], utility=[1.0, 2.0])
    assert Feed(policy).compose(Request(candidates=items)).item_ids == ["y", "x"]


def test_the_schema_accepts_what_loads_and_describes_every_field():
    schema = policy_schema(STAGES)
    Draft7Validator.check_schema(schema)
    validator = Draft7Validator(schema)
    assert validator.is_valid(Document.parse(YAML, "yaml").data)
    for right in ("tags: keys?\n  p_click: number", "tokens: keys\n  p_click: number"):
        assert validator.is_valid(Document.parse(YAML.replace("p_click: number", right, 1), "yaml").data)
    for curve, known in (("halving", True), ("halves", False)):
        compose = {"solve": {"exposure": curve}}
        assert validator.is_valid({**Document.parse(YAML, "yaml").data, "compose": compose}) is known
    for wrong in ("first_slot: 0", "first_slt: 2"):
        assert not validator.is_valid(Document.parse(YAML.replace("first_slot: 2", wrong), "yaml").data)
    structs = [schema, *schema["definitions"].values()]
    undescribed = [
        f"{one.get('title')}.{name}"
        for one in structs
        for name, field in one.get("properties", {}).items()
        if "description" not in field and name not in ("map", "family", "kind")
    ]
    assert undescribed == []
    assert set(attributes(Head)) == set(Head.__struct_fields__)
