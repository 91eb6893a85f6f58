"""Artefacts: fitted settings in a file, which a section of a policy takes."""

import json

import pytest
from jsonschema import Draft7Validator

from slatewise import Policy, PolicyError
from slatewise.core.artefact import Artefact
from slatewise.schema import policy_schema
from slatewise.stages import STAGES

HEAD = {"version": 1, "lines": ["posts", "ads"], "columns": {"score": "number"}}
MAPS = {"ads": {"map": "ratio", "factor": 0.5}, "posts": {"map": "ratio", "factor": 1.0}}


def policy(folder, calibrate):
    blend = {"calibrate": calibrate, "merge": {"by": "value"}}
    path = folder / "policy.json"
    path.write_text(json.dumps({**HEAD, "blend": blend}, indent=1))
    return path


@pytest.fixture
def fitted(tmp_path):
    artefact = Artefact(section="blend.calibrate", settings={"lines": MAPS}, report={"rows": 3})
    artefact.write(tmp_path / "fitted.json")
    return tmp_path


def test_a_section_takes_the_settings_of_an_artefact(fitted):
    taken = Policy.load(policy(fitted, {"from": "fitted.json"}), STAGES)
    assert taken.hash == Policy.load(policy(fitted, {"lines": MAPS}), STAGES).hash
    Draft7Validator(policy_schema(STAGES)).validate(json.loads((fitted / "policy.json").read_text()))


def test_its_own_keys_come_first(fitted):
    own = {"lines": {"ads": {"map": "ratio", "factor": 3.0}}}
    taken = Policy.load(policy(fitted, {"from": "fitted.json", **own}), STAGES)
    assert taken.hash == Policy.load(policy(fitted, own), STAGES).hash


def test_reads_what_it_has_written(fitted):
    again = Artefact.read(fitted / "fitted.json")
    assert (again.section, again.settings, again.report) == ("blend.calibrate", {"lines": MAPS}, {"rows": 3})
    assert [path.name for path in fitted.iterdir()] == ["fitted.json"]
    with pytest.raises(PolicyError, match="out: must be a file that can be written"):
        again.write(fitted / "nowhere" / "fitted.json")
    with pytest.raises(PolicyError, match="out: must be a file that can be written"):
        again.write(fitted / "fitted.json" / "inside.json")


def test_mistakes_name_the_file_that_made_them(fitted):
    Artefact(section="blend.calibrate", settings={"lines": {"adz": MAPS["ads"]}}).write(fitted / "wrong.json")
    with pytest.raises(PolicyError) as caught:
        Policy.load(policy(fitted, {"from": "wrong.json"}), STAGES)
    place = fitted / "wrong.json"
    assert str(caught.value) == f"{place}: blend.calibrate.lines.adz: must be a line of the policy, got 'adz'; " + (
        "did you mean 'ads'?"
    )


@pytest.mark.parametrize(
    ("named", "rule"),
    [
        ("none.json", "must be a readable artefact"),
        ("policy.json", "is no artefact"),
        ("other.json", "must be an artefact for blend.calibrate, got blend.weight"),
        (7, "must be the name of a file, got 7"),
    ],
)
def test_refuses_what_is_no_artefact_for_the_section(fitted, named, rule):
    Artefact(section="blend.weight", settings={}).write(fitted / "other.json")
    with pytest.raises(PolicyError) as caught:
        Policy.load(policy(fitted, {"from": named}), STAGES)
    assert str(caught.value).startswith(f"{fitted / 'policy.json'}:")
    assert f"blend.calibrate.from: {rule}" in str(caught.value)
