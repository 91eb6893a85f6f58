"""Decoded columns: what a decoder has checked gives the candidates that `Candidates.of` gives, and its refusals."""

import numpy as np
import pytest

from slatewise import Candidates, RequestError
from slatewise.core.columns import Embedding, KeyLists, Keys, absent
from slatewise.core.decoded import candidates_of

LINES = ("posts", "ads", "live")
KINDS = {
    "score": "number",
    "age": "number?",
    "author": "key",
    "cluster": "key?",
    "genres": "keys",
    "tags": "keys?",
    "local": "flag",
    "taste": "embedding",
    "look": "embedding?",
}


def drawn(rng, n):
    """Draw what a decoder hands over."""

    def maybe(values):
        return tuple(None if rng.random() < 0.2 else value for value in values)

    lists = [[f"g{one}" for one in rng.integers(0, 5, int(rng.integers(1, 4)))] for _ in range(n)]
    data = {
        "item_id": tuple(f"i{item}" for item in range(n)) if rng.random() < 0.5 else tuple(range(n)),
        "line": tuple(rng.choice(LINES, n).tolist()),
        "score": tuple(rng.normal(size=n).tolist()),
        "age": maybe(rng.normal(size=n).tolist()),
        "author": tuple(f"a{one}" for one in rng.integers(0, 9, n)),
        "cluster": maybe(rng.integers(0, 9, n).tolist()),
        "genres": tuple(lists),
        "tags": maybe([*lists[1:], []] if n else []),
        "local": tuple((rng.random(n) < 0.5).tolist()),
        "taste": tuple((rng.random((n, 3)) + 0.1).tolist()),
        "look": maybe((rng.random((n, 3)) + 0.1).tolist()),
    }
    if rng.random() < 0.5 and n > 3:  # two lines nominate an item
        ids, lines = list(data["item_id"]), list(data["line"])
        ids[1], lines[0], lines[1] = ids[0], "posts", "ads"
        data["item_id"], data["line"] = tuple(ids), tuple(lines)
    return {
        name: values for name, values in data.items() if not KINDS.get(name, "").endswith("?") or rng.random() < 0.8
    }


def content(candidates):
    """Return all that stages can see, but for the numbers that stand for keys."""
    columns = {}
    for name, column in sorted(candidates.columns.items()):
        match column:
            case Keys():
                columns[name] = [column.name(row) for row in range(len(candidates))]
            case KeyLists():
                columns[name] = [column.row(row) for row in range(len(candidates))]
            case Embedding():
                gone = absent(column)
                columns[name] = [
                    None if no else column.table.matrix[row].tolist() for no, row in zip(gone, column.rows, strict=True)
                ]
            case _:
                columns[name] = (column.dtype, [None if value != value else value for value in column.tolist()])
    ids = list(candidates.item_id)
    same = (candidates.items[:, None] == candidates.items[None, :]).tolist()
    return ids, columns, same, candidates.repeats, candidates.key("line").names


@pytest.mark.parametrize("seed", range(40))
def test_they_are_the_candidates_of_any_other_way_in(seed):
    rng = np.random.default_rng(seed)
    data = drawn(rng, int(rng.integers(0, 30)))
    typed = candidates_of(data, KINDS, LINES)
    assert content(typed) == content(Candidates.of(data, kinds=KINDS).conform(KINDS, LINES))
    assert not len(typed) or typed.gaps == {name for name, column in typed.columns.items() if absent(column).any()}
    assert not len(typed) or typed.conform(KINDS, LINES) is typed
    for column in typed.columns.values():
        arrays = (
            column[:-1] if isinstance(column, Keys | KeyLists) else [column] if isinstance(column, np.ndarray) else []
        )
        assert not any(array.flags.writeable for array in arrays if len(array))


@pytest.mark.parametrize(
    "wrong",
    [
        {"score": (1.0, 1e31, 2.0)},
        {"age": (1.0, None)},
        {"line": ("posts", "adz", "ads")},
        {"line": ("posts", "ads")},
        {"item_id": ("a", 1, "b")},
        {"item_id": ("a", "b", "a"), "line": ("ads", "ads", "ads")},
        {"genres": (["g"], [], ["g"])},
        {"taste": ([1.0], [0.0], [1.0])},
        {"taste": ([1.0], [1.0, 2.0], [1.0])},
    ],
)
def test_what_only_whole_columns_show_is_refused_as_anywhere(wrong):
    data = {
        "item_id": ("a", "b", "c"), "line": ("posts", "ads", "posts"), "score": (1.0, 2.0, 3.0),
        "author": ("x", "y", "z"), "genres": (["g"], ["h"], ["g"]), "local": (True, False, True),
        "taste": ([1.0], [2.0], [3.0]), **wrong,
    }  # fmt: skip
    with pytest.raises(RequestError) as refused:
        candidates_of(data, KINDS, LINES)
    with pytest.raises(RequestError) as elsewhere:
        Candidates.of(data, kinds=KINDS).conform(KINDS, LINES)
    assert str(refused.value) == str(elsewhere.value)
