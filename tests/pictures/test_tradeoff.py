"""The picture of a trade-off: whole, legible by machines, the same every time."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

pytest.importorskip("matplotlib")

from slatewise.evaluate.intervals import Interval
from slatewise.evaluate.tradeoff import Arm, Point, Tradeoff, Within
from slatewise.pictures.tradeoff import LINES, Outcomes, picture

SVG = "{http://www.w3.org/2000/svg}"
STRENGTHS = (0.0, 0.1, 0.5, 1.0)


def arm(name, slope, columns=("vector", "topic"), kept=(1.0, 0.99, 0.9, 0.5)):
    measures = {"vector": "ild", "topic": "entropy"}
    points = tuple(
        Point(strength, share, share, share, {one: {measures[one]: slope * strength} for one in columns}, 0.1, 0.5)
        for strength, share in zip(STRENGTHS, kept, strict=True)
    )
    return Arm(name, points, (Within(0.01, 0.1), Within(0.02, 0.1), Within(0.05, None)))


def texts(svg):
    root = ElementTree.fromstring(svg)
    return [node.text for node in root.iter(f"{SVG}text")]


def heights(svg, names):
    """Return how far down the names of the first panel stand, from above."""
    nodes = {node.text: node for node in reversed([*ElementTree.fromstring(svg).iter(f"{SVG}text")])}
    return sorted(float(nodes[name].get("y") or re.split(r"[ ()]", nodes[name].get("transform"))[2]) for name in names)


def test_every_policy_is_named_and_names_do_not_meet():
    names = [f"policy {place}" for place in range(len(LINES) + 2)]
    svg = picture(Tradeoff(1, 1, 0, {}, tuple(arm(name, 1 + place / 1e6) for place, name in enumerate(names))))
    assert {*names, "vector: mean distance of two items", "topic: entropy, nats"} <= {*texts(svg)}
    assert min(below - above for above, below in pairwise(heights(svg, names))) > 13


def test_it_serves_light_and_dark_and_is_the_same_every_time():
    found = Tradeoff(1, 1, 0, {}, (arm("mmr", 1.0),))
    svg = picture(found)
    assert svg == picture(found)
    assert "prefers-color-scheme: dark" in svg
    assert "var(--line-0)" in svg
    assert "#0000" not in svg
    assert "strength 0" in texts(svg)


def test_what_has_no_value_is_left_out():
    nan = float("nan")
    told = texts(picture(Tradeoff(1, 1, 0, {}, (arm("mmr", nan, ("topic",)), arm("dpp", nan, ("topic",), (nan,) * 4)))))
    assert "share of items shown" in told
    assert {"mmr", "dpp"} <= {*told}


def test_outcomes_are_drawn_below():
    change = [[Interval(-strength, -strength - 0.1, -strength + 0.1, 0.95, 9) for strength in STRENGTHS]] * 2
    found = Tradeoff(1, 1, 0, {}, (arm("mmr", 1.0), arm("dpp", 2.0)))
    assert "recall over strength (0.250 at strength 0)" in texts(picture(found, Outcomes("recall", 0.25, change)))
