"""The picture of reliability: every line is named, with what it rests on; whole, and the same every time."""

from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from slatewise.pictures.reliability import Reliability, picture

SVG = "{http://www.w3.org/2000/svg}"


def made_up(n, factor=1.0, seed=0):
    rng = np.random.default_rng(seed)
    score = rng.beta(1, 30, n)
    return Reliability(score, np.minimum(score * factor, 1), (rng.random(n) < score * factor).astype(float))


def texts(svg):
    return [node.text for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_every_line_is_named_with_what_it_rests_on():
    lines = {"ads": made_up(4000), "posts": made_up(4000, 0.5, seed=1), "live": made_up(300, seed=2)}
    told = texts(picture(lines))
    for name, line in lines.items():
        assert name in told
        assert any(
            text.startswith(f"{line.outcome.sum():,.0f} events of {len(line.outcome):,} showings") for text in told
        )


@pytest.mark.parametrize(
    "line",
    [
        made_up(30),
        made_up(4000)._replace(before=None),
        made_up(4000)._replace(outcome=np.append(np.zeros(3999), 1.0)),
        Reliability(None, np.full(50, 0.5), np.tile([0.0, 1.0], 25)),
        Reliability(None, np.geomspace(1e-12, 0.9, 500), np.tile([0.0, 1.0], 250)),
    ],
)
def test_draws_what_is_rare_small_or_all_the_same(line):
    svg = picture({"ads": line})
    assert "nan" not in svg
    assert "inf" not in svg.replace("infinite", "")
    for node in ElementTree.fromstring(svg).iter(f"{SVG}use"):
        assert -2 <= float(node.get("x")) <= 400


def test_it_serves_light_and_dark_and_is_the_same_every_time():
    svg = picture({"ads": made_up(1000)})
    assert svg == picture({"ads": made_up(1000)})
    assert "prefers-color-scheme: dark" in svg
    assert "var(--after)" in svg
