"""The twin of `compose.spread` itself, against closed forms: it imports nothing from the package, nor does this."""

from itertools import product
from math import log, log2, sqrt

import numpy as np
import pytest

from instances_spread import COSINE, EVERYTHING, SHIFTED, TERMS, exact, only, rough, unseen
from oracles_spread import Twin, shortfalls, spread


def policy(**term):
    return {"strength": 0.5, "terms": [{"name": "one", "similar": COSINE, **term}]}


def units(columns, negative="keep"):
    vectors = np.array(columns["vector"], dtype=np.float64)
    vectors /= np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    return np.column_stack([vectors, np.ones(len(vectors))]) / sqrt(2) if negative == "shift" else vectors


def steps(one, columns, slots):
    """Yield the twin before each slot of a page."""
    twin = Twin(one, columns)
    for _ in range(slots):
        yield twin
        twin.place(twin.best())


def redundancies(twin, n):
    return [twin.redundancy(0, row) for row in range(n)]


def left_by_lstsq(vectors, window):
    """What is left of each vector after its projection on some of them, squared."""
    if not window:
        return (vectors**2).sum(axis=1)
    basis = vectors[window].T
    return ((vectors.T - basis @ np.linalg.lstsq(basis, vectors.T)[0]) ** 2).sum(axis=0)


def test_the_largest_likeness_counts_and_not_the_last():
    """A, B, C, then a near copy of A: still charged for A, two slots above, though B and C are nothing like it."""
    columns = {"item_id": ["a", "b", "c", "d"], "utility": [1.0] * 4, "vector": [(1, 0), (0, 1), (0, 2), (1, 0.01)]}
    twin = Twin(policy(variant="mmr"), columns)
    for row in (0, 1, 2):
        twin.place(row)
    assert twin.redundancy(0, 3) == pytest.approx(1 / sqrt(1.0001))
    assert Twin(policy(variant="mmr"), columns).redundancy(0, 3) == 0


def test_negative_likeness_is_a_bonus_unless_clipped():
    columns = {"item_id": ["a", "b"], "utility": [1.0, 1.0], "vector": [(1, 0), (-1, 0)]}
    for how, expected in {"keep": -1.0, "clip": 0.0, "shift": 0.0}.items():
        twin = Twin(policy(variant="mmr", similar=[{"cosine": "vector", "negative": how}]), columns)
        twin.place(0)
        assert twin.redundancy(0, 1) == expected


@pytest.mark.parametrize("window", [None, 1, 3, 50])
def test_dpp_is_the_ratio_of_determinants(window):
    columns = rough(3, 12, d=9)
    vectors = units(columns)
    for twin in steps(policy(variant="dpp", window=window), columns, 7):
        last = twin.page if window is None else twin.page[-window:]
        below = np.linalg.det((vectors @ vectors.T)[np.ix_(last, last)])
        for row in twin.free():
            more = [*last, row]
            ratio = np.linalg.det((vectors @ vectors.T)[np.ix_(more, more)]) / below
            assert twin.redundancy(0, row) == pytest.approx(-0.5 * log(ratio), abs=1e-9)


@pytest.mark.parametrize("window", [None, 2, 4])
def test_given_items_is_the_distance_to_the_span_of_the_window(window):
    columns = rough(4, 12, d=5)
    vectors = units(columns, "shift")
    for twin in steps(policy(variant="projection", similar=SHIFTED, given="items", window=window), columns, 9):
        last = twin.page if window is None else twin.page[-window:]
        expected = 1 - left_by_lstsq(vectors, last)
        assert redundancies(twin, 12) == pytest.approx(expected.tolist(), abs=1e-9)


@pytest.mark.parametrize(("negative", "window"), [*product(["keep", "shift"], [1, 3, 5])])
def test_given_bases_is_the_matrix_of_residuals(negative, window):
    """Every row's residual is kept as a vector; what a base took out is put back when it leaves the window."""
    columns = rough(5, 14, d=5)
    rest = units(columns, negative)
    similar, held = [{"cosine": "vector", "negative": negative}], []
    for twin in steps(policy(variant="projection", similar=similar, window=window), columns, 11):
        if twin.page:
            new = rest[twin.page[-1]].copy()
            if len(held) == window:
                base, taken = held.pop(0)
                rest = rest + np.outer(taken, base)
            squared = new @ new
            held.append((new, rest @ new / squared if squared > 1e-6 else np.zeros(len(rest))))
            rest = rest - np.outer(held[-1][1], new)
        assert redundancies(twin, 14) == pytest.approx((1 - (rest**2).sum(axis=1)).tolist(), abs=1e-9)


def test_bases_and_items_are_the_same_as_long_as_nothing_leaves_the_window():
    columns = rough(6, 12, d=8)
    pair = [Twin(policy(variant="projection", given=given), columns) for given in ("bases", "items")]
    for row in range(6):
        assert redundancies(pair[0], 12) == pytest.approx(redundancies(pair[1], 12), abs=1e-9)
        for twin in pair:
            twin.place(row)
    pair = [Twin(policy(variant="projection", given=given, window=2), columns) for given in ("bases", "items")]
    for row in range(6):
        for twin in pair:
            twin.place(row)
    assert redundancies(pair[0], 12) != pytest.approx(redundancies(pair[1], 12), abs=1e-3)


def test_the_volume_is_that_of_the_items_placed():
    columns = rough(7, 12, d=8)
    vectors = units(columns, "shift")
    for twin in steps(policy(variant="ssd_volume", similar=SHIFTED), columns, 8):
        gram = (vectors @ vectors.T)[np.ix_(twin.page, twin.page)]
        assert twin.volumes[0] == pytest.approx(sqrt(np.linalg.det(gram)))
        left = left_by_lstsq(vectors, twin.page)
        expected = twin.volumes[0] * (1 - np.sqrt(np.maximum(left, 0)))
        for row in twin.free():
            assert twin.redundancy(0, row) == pytest.approx(expected[row], abs=1e-7)


def test_spectrum_without_ridge_or_fading_is_the_projection_and_fading_makes_it_less():
    columns = rough(8, 12, d=9)
    for twin in steps(policy(variant="spectrum", fade="flat", ridge=1e-12), columns, 7):
        expected = 1 - left_by_lstsq(units(columns), twin.page)
        assert redundancies(twin, 12) == pytest.approx(expected.tolist(), abs=1e-6)
        faded = Twin(policy(variant="spectrum", ridge=1e-12), columns)
        ridged = Twin(policy(variant="spectrum", fade="halving", ridge=0.5), columns)
        for row in twin.page:
            faded.place(row)
            ridged.place(row)
        assert redundancies(faded, 12) == pytest.approx(expected.tolist(), abs=1e-6)  # without ridge, no scale matters
        assert all(0 <= one <= two + 1e-9 for one, two in zip(redundancies(ridged, 12), expected, strict=True))


def test_spectrum_of_one_item_in_closed_form():
    columns = {"item_id": ["a", "b"], "utility": [1.0, 1.0], "vector": [(1, 0, 0, 0), (1, 1, 1, 1)]}
    twin = Twin(policy(variant="spectrum", ridge=0.25), columns)
    twin.place(0)
    assert twin.redundancy(0, 1) == 0.5**2 / 1.25


def test_pairwise_sums_in_closed_form():
    columns = {"item_id": list("abc"), "utility": [1.0] * 3, "vector": [(1, 0, 0, 0), (1, 1, 1, 1), (0, 1, 0, 0)]}
    for variant, expected in {"msd_sum": -1.5, "msd_mean": -0.75, "gap": 0.5, "mmr": 0.5}.items():
        twin = Twin(policy(variant=variant), columns)
        twin.place(0)
        twin.place(1)
        assert twin.redundancy(0, 2) == expected
    twin = Twin(policy(variant="gap", fade=[0.25, 4.0]), columns)
    twin.place(1)
    twin.place(0)
    assert twin.redundancy(0, 2) == 0.5 * 4.0


@pytest.mark.parametrize("variant", ["dpp", "projection", "ssd_star", "ssd_volume"])
def test_a_page_longer_than_the_rank_goes_on(variant):
    columns = rough(9, 15, d=3)
    page, _ = spread(policy(variant=variant), columns, 15)
    assert sorted(page) == list(range(15))
    twin = Twin(policy(variant=variant), columns)
    for row in page[:10]:
        twin.place(row)
    worst = {"dpp": -0.5 * log(1e-6), "ssd_volume": twin.volumes[0]}.get(variant, 1.0)
    assert redundancies(twin, 15) == pytest.approx([worst] * 15, abs=1e-5)


def test_copies_in_the_window_count_once():
    columns = {"item_id": list("abcd"), "utility": [1.0] * 4, "vector": [(1, 0), (1, 0), (2, 0), (1, 1)]}
    for variant, given in product(["projection", "dpp"], ["bases", "items"]):
        twin = Twin(policy(variant=variant, given=given, similar=COSINE), columns)
        for row in (0, 1, 2):
            twin.place(row)
        assert twin.left(0, 3) == pytest.approx(0.5)


def test_the_other_parts_in_closed_form():
    columns = {
        "item_id": list("abcd"),
        "line": ["ads", "posts", "ads", "ads"],
        "utility": [0.0] * 4,
        "risk": [0.75, 0.25, 0.5, 1.0],
        "made": [100.0, 90.0, 80.0, 120.0],
        "known": [0.5, 0.25, 1.0, 0.125],
        "tags": [["x"], ["x", "y"], ["y"], []],
    }
    spacings = [{"group": {"line": "ads"}, "within": 2, "weight": 2.0}, {"by": "risk", "above": 0.25, "weight": 4.0}]
    fresh, novel = [{"by": "made", "half_life_s": 10.0, "weight": 3.0}], [{"by": "known", "weight": 0.5}]
    balance = [{"column": "tags", "weight": 1.0, "mixing": 0.5, "target": {"x": 0.25, "y": 0.75}}]
    twin = Twin(
        {"strength": 1.0, "spacing": spacings, "fresh": fresh, "novel": novel, "balance": balance}, columns, time=100.0
    )
    for row in (0, 1):
        twin.place(row)
    parts = twin.parts(2)
    assert parts["spacing"] == -(2.0 * 0.5 + 4.0 * 0.5 * 0.75 * 0.5)
    assert (parts["fresh"], parts["novel"]) == (3.0 * 0.25, 0.0)
    assert (twin.parts(3)["fresh"], twin.parts(3)["novel"]) == (3.0, 1.5)
    before = 0.5 * 0.5 / 3 + 0.5 * 0.75
    assert parts["balance"] == pytest.approx(0.75 * log((before + 0.5 / 3) / before))
    assert twin.parts(3)["balance"] == 0
    assert Twin({"balance": [{"column": "tags", "weight": 1.0}]}, columns).parts(0)["balance"] == 0
    liked = {"tags": {"x": 3, "y": 1}}
    first = Twin({"balance": [{"column": "tags", "weight": 1.0}]}, columns, history=liked).parts(0)["balance"]
    assert first == pytest.approx(0.75 * log((0.99 + 0.0075) / 0.0075))


def test_missing_values_are_charged_and_alike_to_nothing():
    columns = {
        "item_id": list("abc"),
        "utility": [1.0] * 3,
        "vector": [(1, 0), None, (0, 0)],
        "author": ["x", "x", None],
    }
    similar = [{"cosine": "vector", "missing": 0.5}, {"same": "author", "missing": 0.25, "weight": 3.0}]
    twin = Twin(policy(variant="mmr", similar=similar, weight=2.0), columns)
    assert [twin.parts(row)["missing"] for row in range(3)] == [0.0, -0.5 * 2 * 0.125, -0.5 * 2 * (0.125 + 0.1875)]
    twin.place(0)
    assert redundancies(twin, 3) == [1.0, 0.75, 0.0]


def test_prefixes_count_level_by_level_and_links_in_both_directions():
    columns = {"item_id": list("abc"), "utility": [1.0] * 3, "path": [["p", "q", "r"], ["p", "q"], ["p"]]}
    for levels, expected in {(4, 2, 2): [1.0, 0.75, 0.5], None: [1.0, 2 / 3, 1 / 3], (1,): [1.0, 1.0, 1.0]}.items():
        twin = Twin(policy(variant="mmr", similar=[{"prefix": "path", "levels": levels and list(levels)}]), columns)
        twin.place(0)
        assert redundancies(twin, 3) == pytest.approx(expected)
    columns = {"item_id": list("abc"), "utility": [1.0] * 3, "links": [["b"], ["c"], ["z"]]}
    twin = Twin(policy(variant="mmr", similar=[{"linked": "links"}]), columns)
    twin.place(1)
    assert [twin.redundancy(0, row) for row in (0, 2)] == [1.0, 1.0]


def test_scales_in_closed_form():
    columns = {"item_id": list("abcd"), "utility": [0.75, 0.25, 0.25, 0.75]}
    for scale, expected in {
        "none": [0.75, 0.25],
        "zscore": [1.0, -1.0],
        "minmax": [1.0, 0.0],
        "rank": [1.0, 0.5],
        "logit": [log(3), -log(3)],
    }.items():
        assert Twin({"scale": scale}, columns).relevance[:2] == pytest.approx(expected)
    level = {"item_id": list("ab"), "utility": [0.5, 0.5]}
    assert [Twin({"scale": scale}, level).relevance for scale in ("zscore", "minmax", "rank")] == [
        [0, 0],
        [0, 0],
        [1, 1],
    ]


@pytest.mark.parametrize("scale", ["none", "zscore", "minmax", "rank"])
@pytest.mark.parametrize("name", [*TERMS, "everything"])
def test_pages_of_a_session_are_one_page(name, scale):
    one = {**(EVERYTHING if name == "everything" else only(name)), "scale": scale}
    columns = rough(10, 14)
    whole, _ = spread(one, columns, 9)
    shown, memory = [], None
    for slots in (2, 4, 3):
        rest = unseen(columns, shown)
        page, memory = spread(one, rest, slots, memory=memory)
        shown += [rest["item_id"][row] for row in page]
    assert shown == [columns["item_id"][row] for row in whole]


@pytest.mark.parametrize("name", TERMS)
def test_every_slot_takes_the_best_row_there_is(name):
    columns = exact(11, 10)
    page, _ = spread(only(name), columns, 6)
    assert shortfalls(only(name), columns, page) == [0.0] * 6
    worse = [*page[:2], page[3], page[2]]
    assert max(shortfalls(only(name), columns, worse)) >= 0
    twin = Twin(only(name), columns)
    for row in page[:3]:
        twin.place(row)
    best = max(twin.worth(row) for row in twin.free())
    ties = [row for row in twin.free() if twin.worth(row) == best]
    ties = [row for row in ties if twin.relevance[row] == max(twin.relevance[one] for one in ties)]
    assert page[3] == min(ties, key=columns["item_id"].__getitem__)


def test_masks_and_segments():
    columns = {"item_id": list("abc"), "utility": [3.0, 2.0, 1.0]}
    assert spread({"strength": 0.0}, columns, 3, mask=lambda row, page, past: row != 0)[0] == [1, 2]
    segments = [{"when": {"u": ["new"]}, "strength": 1.0}, {"when": {"u": "new"}, "strength": 0.5}]
    assert [Twin({"segments": segments}, columns, context={"u": u}).strength for u in ("new", "old")] == [1.0, 0.3]
    assert -log2(0.25) == 2
