"""The picture of a day: a panel for each controller, and the same bytes for the same day."""

import pytest

pytest.importorskip("matplotlib")

from slatewise.evaluate.day import made_up, replayed, spread
from slatewise.pictures.pacing import picture

WORTH = made_up(2, requests=2_400, seed=1)


def test_every_controller_and_line_is_named():
    found = replayed(WORTH, {"posts": 0.6, "ads": 0.4}, minutes=60.0)
    drawn = picture(found)
    for name in (*found.lines, *(arm.name for arm in found.arms)):
        assert f">{name}</text>" in drawn
    assert drawn == picture(found)
    assert "prefers-color-scheme: dark" in drawn


def test_a_budget_is_drawn_with_its_multiplier():
    drawn = picture(spread(WORTH[:, 0], WORTH[:, 1], 0.25, minutes=60.0))
    assert ">multiplier</text>" in drawn
    assert ">steep PID</text>" in drawn
