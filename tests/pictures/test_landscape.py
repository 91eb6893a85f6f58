"""The picture of a landscape: whole, for light and dark, the same every time."""

from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from slatewise.evaluate.landscape import Outcomes, report
from slatewise.pictures.landscape import Curves, picture


def test_it_names_its_curves_and_says_where_nothing_was_seen():
    scores = np.linspace(1.0, 90.0, 90)
    known = Outcomes(np.full(50, 30.0), np.arange(50) < 20, np.where(np.arange(50) < 20, 10.0, 40.0))
    found = report(known, lambda asked: np.clip(asked / 100, 0, 1), limit=60)
    curves = Curves("ads", scores, {"all": scores / 100, "evening": scores / 101}, 60.0)
    svg = picture(curves, found)
    nodes = list(ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"))
    assert {"ads: win probability", "all", "evening", "beyond 60: not seen"} <= {node.text for node in nodes}
    heights = [
        float(node.get("y") or node.get("transform").split()[1].rstrip(")"))
        for node in nodes
        if node.text in ("all", "evening")
    ]
    assert abs(heights[0] - heights[1]) > 9
    assert svg == picture(curves, found)
    assert "prefers-color-scheme: dark" in svg
    assert "#0000" not in svg
