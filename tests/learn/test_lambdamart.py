"""LambdaMART: trees that learn, and the same scores from ONNX, whatever is missing."""

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lightgbm")
pytest.importorskip("onnx")

from slatewise import RequestError
from slatewise.evaluate.ranking import ndcg_by_score
from slatewise.learn.lambdamart import LEVELS, Boosting, Examples, Trees, fit_lambdamart

DATA = Path(os.environ.get("SLATEWISE_DATA", "../shared/data")) / "ltr"
QUICK = Boosting(rounds=40, leaves=8, least=5, rate=0.1)


def lists(count=120, length=8, seed=0, missing=0.2):
    """Return lists of which a row is better for a large first number, a small second one, or the second name."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(count, length, 3)).astype(np.float32)
    keys = rng.integers(0, 4, (count, length, 2))
    keys[:, :, 1] = rng.integers(0, LEVELS + 30, (count, length))
    worth = numbers[:, :, 0] - (numbers[:, :, 1] > 0.3) + 2 * (keys[:, :, 0] == 2)
    labels = np.clip(np.round(worth + 0.3 * rng.normal(size=worth.shape)), 0, 4).astype(float)
    numbers[rng.random(numbers.shape) < missing] = np.nan
    observed = np.arange(length) < rng.integers(2, length + 1, (count, 1))
    return Examples(numbers, keys, labels, observed)


CODES = (4, LEVELS + 30)


def served(trees, numbers, keys):
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(trees.graph(), options)
    given = {"numbers": numbers, "keys": keys}
    return session.run(None, {one.name: given[one.name] for one in session.get_inputs()})[0]


def ndcg(lists, scores, k=5):
    there = np.where(lists.observed, scores, np.nan)
    return np.nanmean(ndcg_by_score(np.where(lists.observed, lists.labels, 0), there, k, gain="exp2", ties="average"))


def test_trees_order_lists_that_they_have_not_seen():
    learned, judged, held = (lists(seed=seed) for seed in range(3))
    trees = fit_lambdamart(learned, judged, codes=CODES, boosting=QUICK)
    found = ndcg(held, trees.scores(held.numbers, held.keys))
    blind = fit_lambdamart(learned._replace(keys=0 * learned.keys), judged, codes=CODES, boosting=QUICK)
    assert found > ndcg(held, blind.scores(held.numbers, held.keys)) + 0.05  # names are read
    assert found > ndcg(held, np.zeros_like(held.labels)) + 0.2


def test_a_fit_repeats():
    learned, judged = lists(), lists(seed=1)
    one, other = (fit_lambdamart(learned, judged, codes=CODES, boosting=QUICK) for _ in range(2))
    assert one.graph() == other.graph()


def test_rows_without_a_label_are_not_learned_from():
    learned, judged = lists(), lists(seed=1)
    expected = fit_lambdamart(learned, judged, codes=CODES, boosting=QUICK).graph()
    learned.labels[~learned.observed], learned.numbers[~learned.observed] = 77.5, 1e6
    assert fit_lambdamart(learned, judged, codes=CODES, boosting=QUICK).graph() == expected


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_onnx_gives_the_scores_of_lightgbm(missing):
    trees = fit_lambdamart(lists(missing=missing), lists(seed=1, missing=missing), codes=CODES, boosting=QUICK)
    held = lists(seed=2, missing=0.3)
    assert np.abs(served(trees, held.numbers, held.keys) - trees.scores(held.numbers, held.keys)).max() < 1e-5
    few = served(trees, held.numbers[:1, :2], held.keys[:1, :2])
    assert few == pytest.approx(trees.scores(held.numbers[:1, :2], held.keys[:1, :2]), abs=1e-5)


def test_it_ends_when_other_lists_gain_no_more():
    hasty = Boosting(rounds=60, leaves=31, least=1, rate=0.8, patience=10)
    learned, judged = lists(40), lists(40, seed=1)
    trees = fit_lambdamart(learned, judged, codes=CODES, boosting=hasty)
    assert trees.rounds < 50
    best = ndcg(judged, trees.scores(judged.numbers, judged.keys), k=10)
    for rounds in (1, trees.rounds + 5):
        other = fit_lambdamart(
            learned, learned, codes=CODES, boosting=Boosting(rounds=rounds, leaves=31, least=1, rate=0.8, patience=99)
        )
        assert ndcg(judged, other.scores(judged.numbers, judged.keys), k=10) <= best + 1e-3


def splits_of(trees):
    """Yield the feature and the bound of each split."""
    nodes = [tree["tree_structure"] for tree in trees.booster.dump_model()["tree_info"]]
    while nodes:
        node = nodes.pop()
        if "threshold" in node:
            nodes += [node["left_child"], node["right_child"]]
            yield node["split_feature"], float(node["threshold"])


def test_a_number_at_a_split_goes_the_same_way():
    learned, judged = lists(missing=0.0), lists(seed=1, missing=0.0)
    trees = fit_lambdamart(learned, judged, boosting=QUICK)
    bounds = list(splits_of(trees))
    for place in range(3):
        singles = np.array([bound for feature, bound in bounds if feature == place], np.float32)
        near = np.concatenate([singles, np.nextafter(singles, np.float32(9)), np.nextafter(singles, np.float32(-9))])
        near = near[np.abs(near) > 1e-30]  # LightGBM takes what is next to 0 for 0
        numbers = np.zeros((1, len(near), 3), np.float32)
        numbers[0, :, place] = near
        keys = np.zeros((1, len(near), 0), np.int64)
        assert np.abs(served(trees, numbers, keys) - trees.scores(numbers, keys)).max() < 1e-5


def read(name):
    """Return lists of the sample; a feature that a row does not name is missing."""
    rows = [line.split() for line in (DATA / name).read_text().splitlines()]
    sizes = [int(line) for line in (DATA / f"{name}.query").read_text().split()]
    numbers = np.full((len(sizes), max(sizes), 301), np.nan, np.float32)
    labels, observed = np.zeros(numbers.shape[:2]), np.arange(max(sizes)) < np.array(sizes)[:, None]
    for (at, slot), row in zip(np.argwhere(observed), rows, strict=True):
        labels[at, slot] = float(row[0])
        for told in row[1:]:
            feature, value = told.split(":")
            numbers[at, slot, int(feature)] = float(value)
    return Examples(numbers, np.zeros((*labels.shape, 0), np.int64), labels, observed)


@pytest.mark.skipif(not (DATA / "rank.train").is_file(), reason="needs the learning-to-rank sample (SLATEWISE_DATA)")
def test_onnx_gives_the_scores_of_lightgbm_on_queries_of_people():
    every, held = read("rank.train"), read("rank.test")
    learned, judged = (Examples(*(column[part] for column in every)) for part in (slice(160), slice(160, None)))
    trees = fit_lambdamart(learned, judged)
    assert max(bound for _, bound in splits_of(trees)) >= 1e300  # asks for nothing but whether it is there
    wanted, found = trees.scores(held.numbers, held.keys), served(trees, held.numbers, held.keys)
    assert np.abs(found - wanted)[held.observed].max() < 1e-5
    assert ndcg(held, wanted) > ndcg(held, np.zeros_like(held.labels)) + 0.15


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.full((120, 8), 0.5)}, "learned.labels: must be whole numbers from 0 to 30, got 0.5"),
        ({"labels": np.full((120, 8), 31.0)}, "learned.labels: must be whole numbers from 0 to 30, got 31.0"),
        ({"labels": np.zeros((120, 8))}, "learned.labels: must be above 0 somewhere, got 0 everywhere"),
        ({"observed": np.zeros((120, 8), bool)}, "learned.labels: must be above 0 somewhere, got no rows"),
        (
            {"numbers": np.zeros((120, 8, 0), np.float32)},
            f"inputs: must have numbers, or keys of at most {LEVELS} names, got none",
        ),
    ],
)
def test_what_cannot_be_learned_from_is_refused(change, message):
    with pytest.raises(RequestError) as caught:
        fit_lambdamart(lists()._replace(**change), lists(seed=1), codes=(LEVELS + 2,))
    assert str(caught.value) == message


def test_trees_that_split_in_other_ways_are_refused():
    lightgbm = pytest.importorskip("lightgbm")
    rng = np.random.default_rng(0)
    table = rng.integers(0, 5, (200, 1)).astype(np.float32)
    data = lightgbm.Dataset(table, table[:, 0] % 2, categorical_feature=[0], params={"verbosity": -1})
    booster = lightgbm.train({"verbosity": -1, "min_data_per_group": 1, "num_threads": 1}, data, num_boost_round=2)
    with pytest.raises(RequestError, match="trees: must split numbers, 0 being one, got '=='"):
        Trees(booster, 1, ()).graph()
