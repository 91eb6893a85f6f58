"""Hypothesis strategies: policies, requests that fit them, and bodies as they come over the wire."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from slatewise.blend.calibrate import Calibrate, Ratio
from slatewise.blend.layout import Layout
from slatewise.blend.merge import Merge
from slatewise.blend.weight import Weight, WeightSegment
from slatewise.compose.constrain import Constrain
from slatewise.compose.solve import Solve
from slatewise.core.policy import Policy
from slatewise.core.stage import Stage
from slatewise.score.fuse import Fuse
from slatewise.testing.instances import KINDS, LINES, instance

positive = st.floats(0.01, 100.0)
by_line = st.dictionaries(st.sampled_from(LINES), positive)
tags = st.lists(st.sampled_from(["quiz", "live"]) | st.integers(0, 2), max_size=3)
layouts = st.builds(
    Layout,
    first_slot=st.integers(1, 4),
    min_gap=st.integers(0, 3),
    page_cap=st.none() | st.integers(0, 4),
)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Draw a policy over the columns of `instances` and lists of tags, with any of the stages there are."""
    rules = instance(np.random.default_rng(draw(st.integers(0, 2**32))), most_rules=5).rules
    segments = st.builds(
        WeightSegment, when=st.just({"tenure": "new"}), lines=st.dictionaries(st.sampled_from(LINES), positive)
    )
    stages: list[Stage] = []
    stages += [
        Fuse(terms={"seen": draw(st.floats(-1, 1)), "size": draw(st.floats(-1, 1))}),
        Calibrate(lines={line: Ratio(factor=factor) for line, factor in draw(by_line).items()}),
        Weight(lines=draw(by_line), segments=tuple(draw(st.lists(segments, max_size=2)))),
    ]
    merging, solving = draw(st.sampled_from([(True, False), (False, True), (True, True)]))
    if merging:
        stages.append(Merge(layout=draw(st.dictionaries(st.sampled_from(LINES), layouts))))
    if solving and rules:
        stages.append(Constrain(rules=rules))
    if solving:
        stages.append(Solve())
    columns = {**{name: kind for name, kind in KINDS.items() if name != "utility"}, "tags": "keys?"}
    context = {"tenure": ["new", "old"]}
    return Policy.of(*stages, lines=list(LINES), columns=columns, context=context, slots=draw(st.integers(1, 8)))


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a body, its candidates in rows or in columns, that fits any of `policies`."""
    data = instance(np.random.default_rng(draw(st.integers(0, 2**32)))).data
    columns: dict[str, list[Any]] = {
        name: values.tolist() if isinstance(values, np.ndarray) else values
        for name, values in data.items()
        if name != "utility"
    }
    count = len(columns["item_id"])
    columns["tags"] = draw(st.lists(tags, min_size=count, max_size=count))
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return {
        "request_id": draw(st.text(max_size=8)),
        "seed": draw(st.integers(-5, 5)),
        "history": draw(st.sampled_from([{}, {"author": {"a0": 2.5}, "tags": {"quiz": 1, "0": 3}}])),
        "context": draw(st.sampled_from([{}, {"tenure": "new"}, {"tenure": "old"}])),
        "candidates": draw(st.sampled_from([rows, columns])),
    }
