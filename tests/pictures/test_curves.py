"""Curves of learning: every phase is named once, and the same bytes come of the same figures."""

import pytest

pytest.importorskip("matplotlib")

from slatewise.pictures.curves import Curve, picture

PHASES = [Curve("ground", [5.0, 4.0], [-5.0, -4.5]), Curve("ground", [3.9], [-4.4]), Curve("all", [3.8], [-4.3])]


def test_phases_are_named_where_they_begin():
    drawn = picture(PHASES, score="likelihood")
    assert drawn.count(">ground</text>") == drawn.count(">all</text>") == 2  # once in each panel
    assert ">likelihood on other lists</text>" in drawn
    assert "prefers-color-scheme: dark" in drawn
    assert drawn == picture(PHASES, score="likelihood")


def test_one_phase_needs_no_name():
    assert ">loss while learning</text>" in picture([Curve("", [1.0], [0.5])])
