"""The picture of deflation: whole, legible by machines, the same every time."""

from xml.etree import ElementTree

import pytest

pytest.importorskip("matplotlib")

from slatewise.evaluate.deflation import drawn, responses
from slatewise.pictures.deflation import picture


def test_every_arm_is_named_with_what_became_of_its_scores():
    values = drawn([[1.0] * 100] * 3, pages=500, seed=0)
    arms = {"cured": responses(values, accounting="displacement"), "ill": responses(values, accounting="own")}
    svg = picture(arms)
    told = [node.text for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert "cured (scores ±0 %)" in told
    assert f"ill (scores −{-100 * arms['ill'].drift:.0f} %)" in told
    assert "top score below 60, % of pages" in told
    assert svg == picture(arms)
    assert "prefers-color-scheme: dark" in svg
    assert "#0000" not in svg
