"""LambdaMART: boosted trees on the slopes of LambdaRank, and the same trees as ONNX.

A tree sees a row and none of the others: its numbers, and whether its keys are this name or that, for columns of few
names. Trees are LightGBM's, on one thread and in one order, so that a fit repeats to the bit.

A split of LightGBM is `x <= t`, t in double precision; one of ONNX has t in single. Rounded down, it sends every single
x the same way. What is missing goes the way that LightGBM found to be better. Cost: O(rounds * N * f) to fit, and
O(rounds * depth) a row to serve.

References:
    Burges (2010), "From RankNet to LambdaRank to LambdaMART: an overview", section 7.
    Ke et al. (2017), "LightGBM: a highly efficient gradient boosting decision tree", NeurIPS.
    The ONNX specification, ai.onnx.ml: TreeEnsembleRegressor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, final

import lightgbm
import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper

from slatewise.core.columns import Flags, Numbers
from slatewise.core.errors import RequestError, shown

HIGHEST = 30
"""Largest label, whose gain is 2^30 - 1."""
LEVELS = 64
"""Names up to which a column of keys is read."""
VERSION, OPERATORS, TREE_OPERATORS = 9, 17, 3
"""Versions of ONNX that are written."""


@final
class Boosting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How trees are fitted.

    Attributes:
        rate: Share of each tree that counts, > 0.
        rounds: Trees, at most, >= 1.
        leaves: Leaves of a tree, >= 2.
        least: Rows of a leaf, at least, >= 1.
        ridge: How much leaves are held at 0, >= 0.
        cut: Slots whose order counts, >= 1.
        patience: Rounds without gain on other lists after which it ends, >= 1.
        seed: Of whatever is drawn.
    """

    rate: Annotated[float, Meta(gt=0)] = 0.05
    rounds: Annotated[int, Meta(ge=1)] = 500
    leaves: Annotated[int, Meta(ge=2)] = 31
    least: Annotated[int, Meta(ge=1)] = 20
    ridge: Annotated[float, Meta(ge=0)] = 0.0
    cut: Annotated[int, Meta(ge=1)] = 10
    patience: Annotated[int, Meta(ge=1)] = 50
    seed: Annotated[int, Meta(ge=0)] = 0


class Examples(NamedTuple):
    """Lists, padded.

    Attributes:
        numbers: (b, l, f) float32, NaN where missing.
        keys: (b, l, m) codes, 0 where not known.
        labels: (b, l) whole numbers from 0 to 30.
        observed: (b, l) rows that there are, and whose label is known.
    """

    numbers: NDArray[np.float32]
    keys: NDArray[np.int64]
    labels: Numbers
    observed: Flags


@final
class Trees:
    """Trees that were fitted.

    Attributes:
        booster: LightGBM's.
        numbers: Columns of numbers.
        codes: Codes of each column of keys, 0 included.
    """

    def __init__(self, booster: lightgbm.Booster, numbers: int, codes: Sequence[int]) -> None:
        self.booster, self.numbers, self.codes = booster, numbers, tuple(codes)

    @property
    def rounds(self) -> int:
        """How many trees there are."""
        return self.booster.num_trees()

    def scores(self, numbers: NDArray[np.float32], keys: NDArray[np.int64]) -> Numbers:
        """Return (b, l) scores, by LightGBM itself."""
        rows = _columns(numbers, keys, self.codes)
        found = self.booster.predict(rows.reshape(-1, rows.shape[2]), num_threads=1)
        return np.asarray(found, np.float64).reshape(rows.shape[:2])

    def graph(self) -> bytes:
        """Return ONNX that gives (b, l) `scores` of `numbers` (b, l, f) and `keys` (b, l, m)."""
        trees = self.booster.dump_model()["tree_info"]
        nodes, parts = [], ["numbers"] if self.numbers else []
        constants = {"two": np.array([0, 1]), "flat": np.array([-1, _width(self.numbers, self.codes)])}
        for place, codes in _read(self.codes):
            constants |= {f"place {place}": np.array([place]), f"codes {place}": np.arange(1, codes)}
            nodes += [
                helper.make_node("Gather", ["keys", f"place {place}"], [f"key {place}"], axis=2),
                helper.make_node("Equal", [f"key {place}", f"codes {place}"], [f"is {place}"]),
                helper.make_node("Cast", [f"is {place}"], [f"hot {place}"], to=TensorProto.FLOAT),
            ]
            parts.append(f"hot {place}")
        nodes += [
            helper.make_node("Concat", parts, ["rows"], axis=2),
            helper.make_node("Reshape", ["rows", "flat"], ["table"]),
            helper.make_node(
                "TreeEnsembleRegressor", ["table"], ["sums"], domain="ai.onnx.ml", n_targets=1, **_attributes(trees)
            ),
            helper.make_node("Shape", ["rows"], ["shape"]),
            helper.make_node("Gather", ["shape", "two"], ["lists"], axis=0),
            helper.make_node("Reshape", ["sums", "lists"], ["scores"]),
        ]
        used = {name for node in nodes for name in node.input}
        taken = [("numbers", TensorProto.FLOAT, self.numbers), ("keys", TensorProto.INT64, len(self.codes))]
        graph = helper.make_graph(
            nodes,
            "lambdamart",
            [
                helper.make_tensor_value_info(name, kind, ["lists", "rows", width])
                for name, kind, width in taken
                if name in used
            ],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["lists", "rows"])],
            [numpy_helper.from_array(value.astype(np.int64), name) for name, value in constants.items()],
        )
        versions = [helper.make_opsetid("", OPERATORS), helper.make_opsetid("ai.onnx.ml", TREE_OPERATORS)]
        model = helper.make_model(graph, opset_imports=versions, ir_version=VERSION, producer_name="slatewise")
        checker.check_model(model)
        return model.SerializeToString(deterministic=True)


def fit_lambdamart(
    learned: Examples, judged: Examples, *, codes: Sequence[int] = (), boosting: Boosting | None = None
) -> Trees:
    """Return the trees whose NDCG is best on other lists.

    Args:
        learned: Lists to learn from.
        judged: Lists that say when to stop.
        codes: Codes of each column of keys, 0 included.
        boosting: How trees are fitted; by default as declared.

    Raises:
        RequestError: There is nothing to read or to learn; or labels are no whole numbers from 0 to 30.
    """
    chosen = boosting or Boosting()
    if not _width(learned.numbers.shape[2], codes):
        raise RequestError("inputs", f"must have numbers, or keys of at most {LEVELS} names", "none")
    for name, lists in (("learned", learned), ("judged", judged)):
        _check(name, lists)
    given = _dataset(learned, codes, None)
    booster = lightgbm.train(
        {
            "objective": "lambdarank",
            "metric": "ndcg",
            "eval_at": [chosen.cut],
            "lambdarank_truncation_level": chosen.cut,
            "label_gain": [2**grade - 1 for grade in range(HIGHEST + 1)],
            "learning_rate": chosen.rate,
            "num_leaves": chosen.leaves,
            "min_data_in_leaf": chosen.least,
            "lambda_l2": chosen.ridge,
            "seed": chosen.seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        },
        given,
        num_boost_round=chosen.rounds,
        valid_sets=[_dataset(judged, codes, given)],
        callbacks=[lightgbm.early_stopping(chosen.patience, verbose=False)],
    )
    return Trees(booster, learned.numbers.shape[2], codes)


def _check(name: str, lists: Examples) -> None:
    labels = lists.labels[lists.observed]
    wrong = (labels < 0) | (labels > HIGHEST) | (labels % 1 != 0)
    if wrong.any():
        rule = f"must be whole numbers from 0 to {HIGHEST}"
        raise RequestError(f"{name}.labels", rule, shown(float(labels[wrong.argmax()])))
    if not (labels > 0).any():
        raise RequestError(f"{name}.labels", "must be above 0 somewhere", "0 everywhere" if len(labels) else "no rows")


def _dataset(lists: Examples, codes: Sequence[int], reference: lightgbm.Dataset | None) -> lightgbm.Dataset:
    rows = _columns(lists.numbers, lists.keys, codes)[lists.observed]
    lengths = lists.observed.sum(axis=1)
    # a column that says little is left to the trees, and so is the same in both sets
    return lightgbm.Dataset(
        rows,
        lists.labels[lists.observed],
        group=lengths[lengths > 0],
        reference=reference,
        params={"feature_pre_filter": False, "verbosity": -1},
    )


def _columns(numbers: NDArray[np.float32], keys: NDArray[np.int64], codes: Sequence[int]) -> NDArray[np.float32]:
    """Return (b, l, d) what trees read."""
    hot = [keys[:, :, [place]] == np.arange(1, size) for place, size in _read(codes)]
    return np.concatenate([numbers, *hot], axis=2).astype(np.float32)


def _read(codes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the columns of keys that are read, and their codes."""
    return ((place, size) for place, size in enumerate(codes) if 2 <= size <= LEVELS + 1)


def _width(numbers: int, codes: Sequence[int]) -> int:
    return numbers + sum(size - 1 for _, size in _read(codes))


def _attributes(trees: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return trees as ONNX has them: columns of nodes, and of leaves."""
    nodes: list[tuple[Any, ...]] = []
    leaves: list[tuple[int, int, float]] = []
    for tree, told in enumerate(trees):
        waiting = [told["tree_structure"]]
        for place, node in enumerate(waiting):  # grows
            if "split_feature" not in node:
                nodes.append((tree, place, "LEAF", 0, 0.0, 0, 0, 0))
                leaves.append((tree, place, float(node["leaf_value"])))
                continue
            below = len(waiting)
            waiting += [node["left_child"], node["right_child"]]
            bound, left = _split(node)
            nodes.append((tree, place, "BRANCH_LEQ", node["split_feature"], bound, below, below + 1, left))
    names = ("treeids", "nodeids", "modes", "featureids", "values", "truenodeids", "falsenodeids")
    columns = zip((*names, "missing_value_tracks_true"), zip(*nodes, strict=True), strict=True)
    targets = zip(("treeids", "nodeids", "weights"), zip(*leaves, strict=True), strict=True)
    return {
        **{f"nodes_{name}": list(column) for name, column in columns},
        **{f"target_{name}": list(column) for name, column in targets},
        "target_ids": [0] * len(leaves),
    }


def _split(node: Mapping[str, Any]) -> tuple[float, int]:
    """Return a split's bound, and 1 if what is missing goes left; where nothing was, that counts as 0."""
    if node["decision_type"] != "<=" or node["missing_type"] == "Zero":
        raise RequestError("trees", "must split numbers, 0 being one", shown(node["decision_type"]))
    bound = _rounded_down(node["threshold"])
    return bound, int(node["default_left"] if node["missing_type"] == "NaN" else bound >= 0.0)


def _rounded_down(threshold: float) -> float:
    """Return the largest number of single precision that is not above one of double.

    >>> _rounded_down(0.1) <= 0.1, _rounded_down(0.5), _rounded_down(1e300), _rounded_down(-1e300)
    (True, 0.5, 3.4028234663852886e+38, -inf)
    """
    most = float(np.finfo(np.float32).max)
    if abs(threshold) > most:
        return most if threshold > 0 else -np.inf
    single = np.float32(threshold)
    return float(single if float(single) <= threshold else np.nextafter(single, np.float32(-np.inf)))
