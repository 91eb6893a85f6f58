"""Rewards by slots: each page there is has its number in both panels, and each that was served its line below."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("torch")

from slatewise.learn.adfeed_pages import Landscape
from slatewise.pictures.rewards import picture

NAN = np.nan
FOUND = Landscape(
    slots=(2, 3),
    predicted=np.array([[1.11, 2.22], [NAN, 3.33]]),
    true=np.array([[4.44, 5.55], [NAN, 6.66]]),
    without=(0.123, 0.456),
    marks={"best of all": ((3,), 3.3, 6.66), "exact": ((3,), 3.33, 6.6), "staged": ((), 0.123, 0.456)},
)


def test_every_page_has_its_number_and_every_mark_its_line():
    drawn = picture(FOUND)
    for number in ("1.11", "2.22", "3.33", "4.44", "5.55", "6.66"):
        assert f">{number}</text>" in drawn
    for told in ("best of all", "exact", "staged", "no ads", "none", "0.123", "6.600"):
        assert f">{told}</text>" in drawn
    assert ">nan</text>" not in drawn
    assert "prefers-color-scheme: dark" in drawn
    assert drawn == picture(FOUND)
