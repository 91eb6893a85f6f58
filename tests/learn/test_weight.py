"""`fit weight`, observed over expected: what rankers missed, against an anchor, and as far as evidence goes."""

import numpy as np
import pytest

from slatewise import Policy, RequestError, Solve
from slatewise.learn.weight import fit_observed


def log_of(factors, *, rows=40_000, worth=1.0, seed=0):
    """Return showings of lines in scenes whose value is so many times what was expected."""
    rng = np.random.default_rng(seed)
    line = rng.choice(["ads", "posts"], rows).astype(object)
    scene = rng.choice(["day", "night"], rows).astype(object)
    expected = rng.random(rows) / 5
    factor = np.array([factors[one] for one in zip(line, scene, strict=True)])
    observed = (rng.random(rows) < expected * factor) * worth
    return {"line": line, "scene": scene, "expected": expected * worth, "observed": observed}


FACTORS = {("ads", "day"): 0.6, ("ads", "night"): 1.2, ("posts", "day"): 1.0, ("posts", "night"): 2.0}


def weights_of(stage):
    return {(line, one.when["scene"]): weight for one in stage.segments for line, weight in one.lines.items()}


@pytest.mark.parametrize("worth", [1.0, 30.0])
def test_weights_are_what_was_missed(worth):
    found = fit_observed(log_of(FACTORS, worth=worth), segments=["scene"])
    assert weights_of(found.stage) == pytest.approx(FACTORS, rel=0.12)


def test_the_anchor_is_1_in_every_segment():
    found = fit_observed(log_of(FACTORS), segments=["scene"], anchor="posts")
    assert weights_of(found.stage) == pytest.approx({("ads", "day"): 0.6, ("ads", "night"): 0.6}, rel=0.15)
    assert found.stage.lines.keys() == {"ads"}
    assert {cell.weight for cell in found.cells if cell.line == "posts"} == {1.0}
    Policy.of(found.stage, Solve(), lines=["ads", "posts"], columns={"value": "number"},
              context={"scene": ["day", "night"]})  # fmt: skip


def test_segments_without_evidence_have_the_lines_weight():
    even = dict.fromkeys(FACTORS, 1.0) | {("ads", "day"): 0.5, ("ads", "night"): 0.5}
    found = fit_observed(log_of(even, rows=2_000), segments=["scene"])
    plain = {(cell.line, cell.when["scene"]): cell for cell in found.cells}
    for place in even:
        gap = abs(plain[place].weight - found.stage.lines[place[0]])
        assert gap <= abs(plain[place].ratio - found.stage.lines[place[0]])
    assert found.stage.lines == pytest.approx({"ads": 0.5, "posts": 1.0}, abs=0.12)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"anchor": "post"}, "anchor: must be a line of the log, got 'post'; did you mean 'posts'"),
        ({"observed": np.full(2_000, -1.0)}, {}, r"log.observed\[1\]: must be >= 0, got -1.0"),
        ({"expected": np.zeros(2_000)}, {}, "log.observed of ads: must be > 0 in sum, and so must be `expected`"),
    ],
)
def test_refuses(change, options, message):
    with pytest.raises(RequestError, match=message):
        fit_observed(log_of(FACTORS, rows=2_000) | change, **options)
