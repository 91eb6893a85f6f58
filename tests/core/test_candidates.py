"""Candidates: columns checked once, at the edge."""

import numpy as np
import polars
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slatewise import Candidates, Embedding, EmbeddingTable, RequestError
from slatewise.core.columns import KeyLists, Keys, absent
from slatewise.core.raw import guess

RAW = {
    "item_id": ["a", "b", "c"],
    "line": ["posts", "ads", "posts"],
    "score": [0.5, 1.0, 2.0],
    "author": ["x", "y", "x"],
    "local": [True, False, True],
}
KINDS = {"score": "number", "author": "key", "local": "flag"}


def content(candidates):
    keys = {name: [candidates.key(name).name(row) for row in range(3)] for name in ("line", "author")}
    return {
        "item_id": candidates.item_id,
        "score": candidates.number("score").tolist(),
        "local": candidates.flag("local").tolist(),
        **keys,
    }


@pytest.mark.parametrize(
    "data",
    [
        RAW,
        {name: np.array(values) for name, values in RAW.items()},
        {**RAW, "author": np.array(RAW["author"], dtype=object)},
        pyarrow.table(RAW),
        pyarrow.table({**RAW, "author": pyarrow.array(RAW["author"]).dictionary_encode()}),
        pyarrow.record_batch(RAW),
        polars.DataFrame(RAW),
        polars.DataFrame(RAW).with_columns(polars.col("author").cast(polars.Categorical)),
    ],
    ids=["lists", "numpy", "objects", "arrow", "arrow dictionary", "arrow batch", "polars", "polars categorical"],
)
@pytest.mark.parametrize("kinds", [None, KINDS], ids=["guessed", "declared"])
def test_every_source_gives_the_same_columns(data, kinds):
    assert content(Candidates.of(data, kinds=kinds)) == RAW


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"score": [1.0]}, r"candidates.score: must have 2 rows like item_id, got 1"),
        ({"score": [1.0, float("inf")]}, r"candidates.score\[1\]: must be finite, at most 1e\+30 in size, got inf"),
        (
            {"score": np.array([np.nan, np.inf])},
            r"candidates.score\[1\]: must be finite, at most 1e\+30 in size, got inf",
        ),
        ({"score": [1.0, None]}, r"candidates.score\[1\]: must have a value, got none; declare .* \('number\?'\)"),
        ({"score": [1.0, "2"]}, r"candidates.score\[1\]: must be a number, got '2'"),
        ({"score": [1.0, True]}, r"candidates.score\[1\]: must be a number, got True"),
        ({"author": ["x", None]}, r"candidates.author\[1\]: must have a value"),
        ({"author": ["x", 0.5]}, r"candidates.author\[1\]: must be text or a whole number to be a key, got 0.5"),
        ({"local": [True, 1]}, r"candidates.local\[1\]: must be true or false, got 1"),
        ({"item_id": ["a", "a"]}, r"candidates.item_id\[1\]: must be distinct within line 'posts', got 'a' again"),
        ({"item_id": ["a", 1]}, r"candidates.item_id: must be all text or all whole numbers"),
        ({"score": 1.0}, r"candidates.score: must be one value per row, got 1.0"),
        ({"item_id": ["a", None]}, r"candidates.item_id\[1\]: must be text or a whole number, got None"),
        ({"line": ["posts", "add"]}, r"candidates.line\[1\]: must be a line of the policy, got 'add'; .* 'ads'"),
        ({"line": ["posts", None]}, r"candidates.line\[1\]: must have a value"),
        ({"tags": [["x"], []]}, r"candidates.tags\[1\]: must have at least one key, got none; .* \('keys\?'\)"),
        ({"tags": [["x"], None]}, r"candidates.tags\[1\]: must have at least one key"),
        ({"tags": [["x"], ["y", None]]}, r"candidates.tags\[1\]\[1\]: must be text or a whole number, got none"),
        ({"tags": [["x"], ["y", True]]}, r"candidates.tags\[1\]\[1\]: must be text or a whole number, got True"),
        ({"tags": [["x"], ["y", 0.5]]}, r"candidates.tags\[1\]\[1\]: must be text or a whole number to be a key"),
        ({"tags": ["xy", ["x"]]}, r"candidates.tags\[0\]: must be a list of text or whole numbers, got 'xy'"),
        ({"tags": Keys.of(["x", "y"])}, r"candidates.tags\[0\]: must be a list of text or whole numbers, got 'x'"),
        ({"tags": KeyLists.of([["x"]])}, r"candidates.tags: must have 2 rows like item_id, got 1"),
        (
            {"tags": KeyLists.of([["x"], ["y"]])._replace(names=("x",))},
            r"tags: must have codes from 0 to 0, got 0 to 1",
        ),
        ({"tags": KeyLists.of([["x"], ["y"]])._replace(starts=[0, 3, 2])}, r"tags: must have starts that rise from 0"),
        ({"tags": KeyLists.of([["x"], ["y"]])._replace(starts=[1, 1, 2])}, r"tags: must have starts that rise from 0"),
        ({"author": KeyLists.of([["x"], ["y"]])}, r"author: must be one value per row, got a column of kind 'keys'"),
        ({"score": KeyLists.of([["x"], ["y"]])}, r"score: must be numbers, got a column of kind 'keys'"),
        ({"local": KeyLists.of([["x"], ["y"]])}, r"local: must be true or false, got a column of kind 'keys'"),
        ({"taste": KeyLists.of([["x"], ["y"]])}, r"taste: must be vectors of numbers, got a column of kind 'keys'"),
        ({"taste": [[1.0, 0.0], [1.0]]}, r"candidates.taste\[1\]: must have the shape of the first vector"),
        ({"taste": [[1.0, 0.0], [1.0, float("nan")]]}, r"embedding table\[1\]\[1\]: must be finite, .*, got nan"),
        (
            {"taste": [[1.0, 1e39], [1.0, 0.0]]},
            r"table\[0\]\[1\]: must be finite, at most 3.4e\+38 in size, got 1e\+39",
        ),
        ({"taste": [[1.0, 0.0], None]}, r"candidates.taste\[1\]: must have a value, got none; .* \('embedding\?'\)"),
        (
            {"taste": [[1.0, 0.0], [0, 0]]},
            r"candidates.taste\[1\]: must have a direction, got zeros; .* \('embedding\?'\)",
        ),
        ({"taste": Embedding(EmbeddingTable(np.eye(2)), np.array([0, 2]))}, r"taste\[1\]: must be a row of its table"),
    ],
)
def test_refuses(columns, message):
    good = {
        "item_id": ["a", "b"],
        "line": ["posts", "posts"],
        "score": [1.0, 2.0],
        "author": ["x", "y"],
        "local": [True, False],
        "taste": [[1.0, 0.0], [0.0, 1.0]],
        "tags": [["x", 1], ["y"]],
    }
    kinds = {**KINDS, "taste": "embedding", "tags": "keys"}
    Candidates.of(good, kinds=kinds).conform(kinds, ["posts", "ads"])
    with pytest.raises(RequestError, match=message):
        Candidates.of({**good, **columns}, kinds=kinds).conform(kinds, ["posts", "ads"])


def test_missing_values_are_kept_where_they_are_declared():
    kinds = {"score": "number?", "author": "key?", "taste": "embedding?", "tags": "keys?"}
    data = {"score": [1.0, None], "author": [None, "x"], "taste": [None, [1.0, 2.0]], "tags": [[], ["x"]]}
    items = Candidates.of(data, kinds=kinds).conform(kinds, ["all"])
    assert items.key_lists("tags").starts.tolist() == [0, 0, 1]
    assert np.isnan(items.number("score")).tolist() == [False, True]
    assert items.key("author").codes.tolist() == [-1, 0]
    assert items.embedding("taste").rows.tolist() == [-1, 0]


@pytest.mark.parametrize("source", [list, np.array, pyarrow.array, polars.Series])
def test_large_whole_numbers_are_ids_and_keep_every_digit(source):
    authors = [2**60, 2**60 + 1, 2**60 + 2]
    data = {"item_id": ["a", "b", "c"], "author": source(authors)}
    data = (
        pyarrow.table(data) if source is pyarrow.array else polars.DataFrame(data) if source is polars.Series else data
    )
    items = Candidates.of(data).conform({"author": "key"}, ["all"])
    assert [items.key("author").name(row) for row in range(3)] == authors


def test_optional_columns_may_be_absent_and_no_candidates_need_none():
    kinds = {"score": "number", "author": "key?", "rating": "number?", "taste": "embedding?", "tags": "keys?"}
    items = Candidates.of(item_id=["a"], score=[1.0]).conform(kinds, ["all"])
    assert (items.key("author").codes.tolist(), items.embedding("taste").rows.tolist()) == ([-1], [-1])
    assert np.isnan(items.number("rating")).all()
    assert items.key_lists("tags").starts.tolist() == [0, 0]
    assert len(Candidates.of(item_id=[]).conform(kinds, ["all"])) == 0


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (np.arange(4.0), "score: must have 2 rows like item_id, got 4"),
        ([1.0, 2.0], "score: must be a float64 or bool array"),
        (np.arange(2, dtype=np.float32), "array, keys, lists of keys or an embedding, got float32"),
        (KeyLists.of([["a"]]), "score: must have 2 rows like item_id, got 1"),
    ],
)
def test_what_a_stage_adds_must_be_a_column(column, message):
    with pytest.raises(RequestError, match=message):
        Candidates.of(item_id=["a", "b"]).with_columns({"score": column})


def test_a_column_put_in_later_may_not_lack_what_it_must_have():
    items = Candidates.of(item_id=["a", "b"], score=[1.0, 2.0]).conform({"score": "number"}, ["all"])
    with pytest.raises(RequestError, match=r"candidates.score\[1\]: must have a value"):
        items.with_columns({"score": np.array([1.0, np.nan])}).conform({"score": "number"}, ["all"])


def test_a_mask_takes_the_rows_where_it_is_true():
    items = Candidates.of(item_id=["a", "b", "c"])
    assert items.take(np.array([False, True, True])).item_id == ["b", "c"]


def test_an_absent_column_is_refused_with_the_nearest_name():
    with pytest.raises(RequestError, match=r"candidates.author: must be given, got nothing; did you mean 'auther'"):
        Candidates.of(auther=["x"]).conform({"author": "key"}, ["all"])


GENRES = [["drama", "crime"], ["drama"], ["crime", "drama", "crime"]]
TOKENS = [[7, 1], [7, 2], [2**60, 1]]


def listed(candidates, name="tags"):
    return [list(candidates.key_lists(name).row(row)) for row in range(len(candidates))]


@pytest.mark.parametrize("given", [GENRES, TOKENS], ids=["text", "whole numbers"])
@pytest.mark.parametrize(
    "source",
    [
        list,
        lambda lists: tuple(map(tuple, lists)),
        lambda lists: [np.array(keys) for keys in lists],
        lambda lists: np.array([None, *lists], dtype=object)[1:],
        lambda lists: np.array(lists) if lists is TOKENS else lists,
        pyarrow.array,
        lambda lists: pyarrow.array(lists, pyarrow.large_list(pyarrow.array(lists).type.value_type)),
        lambda lists: pyarrow.ListArray.from_arrays(
            pyarrow.array(np.cumsum([0, *map(len, lists)]), pyarrow.int32()),
            pyarrow.array([key for keys in lists for key in keys]).dictionary_encode(),
        ),
        lambda lists: pyarrow.DictionaryArray.from_arrays(pyarrow.array([0, 1, 2]), pyarrow.array(lists)),
        polars.Series,
    ],
    ids=["lists", "tuples", "arrays", "objects", "matrix", "arrow", "large", "encoded", "encoded lists", "polars"],
)
def test_lists_of_keys_come_from_every_source(given, source):
    tags = source(given)
    data = {"item_id": ["a", "b", "c"], "tags": tags}
    if isinstance(tags, pyarrow.Array | pyarrow.ChunkedArray):
        data = pyarrow.table(data)
    elif isinstance(tags, polars.Series):
        data = polars.DataFrame(data)
    assert listed(Candidates.of(data, kinds={"tags": "keys"})) == given
    if given is GENRES:
        guessed = Candidates.of(data)
        assert repr(guessed) == "Candidates(3 rows; tags: keys, line: key)"
        assert listed(guessed.conform({"tags": "keys"}, ["all"])) == given


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([[], None, ["a"]], "keys"),
        ([[1, "a"]], "keys"),
        ([(), []], "keys"),
        ([[1, 2]], "embedding"),
        ([[], [1.0]], "embedding"),
        (np.array([["a"], ["b"]]), "keys"),
        (np.array([[1], [2]]), "embedding"),
    ],
)
def test_nested_text_is_lists_of_keys_and_nested_numbers_an_embedding(values, kind):
    assert guess(values) == kind


def test_lists_that_were_taken_for_an_embedding_are_refused_with_what_to_do():
    items = Candidates.of(tags=[[1, 2], [1, 3]])
    with pytest.raises(
        RequestError, match=r"candidates.tags: must be lists of keys, got .* unless `kinds` says 'keys'"
    ):
        items.conform({"tags": "keys"}, ["all"])


@pytest.mark.parametrize("seed", range(20))
def test_lists_of_keys_are_taken_row_by_row(seed):
    rng = np.random.default_rng(seed)
    lists = [rng.choice(["a", "b", 3], rng.integers(0, 4)).tolist() for _ in range(rng.integers(1, 6))]
    items = Candidates.of({"item_id": range(len(lists)), "tags": lists}, kinds={"tags": "keys?"})
    rows = rng.integers(0, len(lists), rng.integers(0, 8))
    taken = items.take(rows)
    assert listed(taken) == [lists[row] for row in rows]
    for column in (items.key_lists("tags"), taken.key_lists("tags")):
        assert not column.codes.flags.writeable
        assert not column.starts.flags.writeable
        assert (column.codes.dtype, column.starts.dtype) == (np.int32, np.int32)


@pytest.mark.parametrize("ids", [[3, 1, 2], [1, 3, 1], [2, 2, 1]])
def test_ids_are_alike_as_an_array_and_as_a_list(ids):
    lines = ["x", "y", "z"]
    one, other = Candidates.of(item_id=ids, line=lines), Candidates.of(item_id=np.array(ids), line=lines)
    assert (one.item_id, one.items.tolist(), one.repeats) == (other.item_id, other.items.tolist(), other.repeats)
    assert set(map(type, other.item_id)) == {int}
    assert one.repeats == (len(set(ids)) < 3)
    with pytest.raises(RequestError, match=r"item_id\[2\]: must be distinct within line 'all', got 1 again"):
        Candidates.of(item_id=np.array([1, 2, 1]))


def test_rows_are_numbered_whatever_the_first_column_is():
    vectors = Embedding(EmbeddingTable(np.eye(3)), np.arange(3))
    for first in (vectors, KeyLists.of([["a"], ["b"], ["c"]]), Keys.of(["a", "b", "c"]), [1.0, 2.0, 3.0]):
        assert Candidates.of(first=first).item_id == [0, 1, 2]


@pytest.mark.parametrize(
    "vectors",
    [
        [[1.0, 0.0], [0.0, 2.0]],
        np.array([[1.0, 0.0], [0.0, 2.0]]),
        pyarrow.array([[1.0, 0.0], [0.0, 2.0]], pyarrow.list_(pyarrow.float32(), 2)),
        polars.Series([[1.0, 0.0], [0.0, 2.0]], dtype=polars.Array(polars.Float32, 2)),
    ],
    ids=["lists", "numpy", "arrow", "polars"],
)
def test_embeddings_come_from_every_source(vectors):
    data = {"item_id": ["a", "b"], "taste": vectors}
    if isinstance(vectors, pyarrow.Array):
        data = pyarrow.table(data)
    elif isinstance(vectors, polars.Series):
        data = polars.DataFrame(data)
    taste = Candidates.of(data).embedding("taste")
    assert taste.table.matrix[taste.rows].tolist() == [[1.0, 0.0], [0.0, 2.0]]


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e20])
@pytest.mark.parametrize("shape", [(3, 70_000), (2_000, 100), (1, 1), (0, 4), (2, 0)])
def test_a_table_knows_the_length_of_its_rows(size, shape):
    matrix = (np.random.default_rng(1).normal(size=shape) * size).astype(np.float32)
    matrix[1::7] = 0
    table = EmbeddingTable(matrix)
    zeros = ~matrix.any(axis=1)
    assert table.inverse.shape == shape[:1]
    assert not table.inverse.flags.writeable
    assert (table.inverse[zeros] == 0).all()
    assert table.inverse[~zeros] * np.linalg.norm(matrix[~zeros].astype(float), axis=1) == pytest.approx(1, rel=1e-12)


def test_a_row_of_zeros_counts_as_missing():
    table = EmbeddingTable([[0.0, 2.0], [0.0, 0.0]])
    items = Candidates.of(taste=Embedding(table, np.array([0, 1, -1])))
    assert absent(items.embedding("taste")).tolist() == [False, True, True]
    assert items.conform({"taste": "embedding?"}, ["all"]).embedding("taste").table is table
    with pytest.raises(RequestError, match=r"candidates.taste\[1\]: must have a direction, got zeros"):
        items.conform({"taste": "embedding"}, ["all"])
    assert absent(Embedding(EmbeddingTable(np.zeros((0, 2))), np.array([-1]))).tolist() == [True]


def test_a_shared_table_is_never_copied():
    table = EmbeddingTable(np.eye(4, dtype=np.float32))
    items = Candidates.of(item_id=["a", "b"], taste=Embedding(table, np.array([3, 1])))
    assert items.embedding("taste").table is table
    assert items.take(np.array([1])).embedding("taste").table is table


def test_columns_cannot_be_written_and_the_callers_arrays_still_can():
    score = np.array([1.0, 2.0])
    items = Candidates.of(score=score)
    for rows in (items, items.take([0, 1])):
        with pytest.raises(ValueError, match="read-only"):
            rows.number("score")[0] = 5.0
        with pytest.raises(ValueError, match="read-only"):
            rows.key("line").codes[0] = 5
    score[0] = 3.0


def test_ties_go_to_the_smaller_item_and_line_in_any_order():
    ids, lines = ["b", "a", "a", "c"], ["x", "y", "x", "x"]
    names = []
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        items = Candidates.of(item_id=[ids[one] for one in order], line=[lines[one] for one in order])
        ranked = items.descending(np.array([1.0, 1.0, 1.0, 1.0]))
        names.append([(items.item_id[row], items.key("line").name(row)) for row in ranked])
    assert names == [[("a", "x"), ("a", "y"), ("b", "x"), ("c", "x")]] * 3


@given(st.integers(0, 2**32), st.sampled_from([1, 3, 30, 300]), st.sampled_from([0, 1, 10**18]), st.booleans())
def test_ties_are_decided_by_what_is_given_then_by_item_and_line(seed, values, scale, given_ties):
    rng = np.random.default_rng(seed)
    pairs = {(int(item), f"l{line}") for item, line in rng.integers(0, [60, rng.integers(1, 5)], (100, 2))}
    pairs = rng.permutation(np.array([*pairs], "O")).tolist()  # ids: texts, whole numbers, and some of 65 bits
    pairs = [(item * scale if scale else f"i{item}", line) for item, line in pairs]
    items = Candidates.of(item_id=[one for one, _ in pairs], line=[one for _, one in pairs])
    worth, drawn = rng.integers(0, values, (2, len(pairs))).astype(float)
    wanted = sorted(range(len(pairs)), key=lambda row: (-worth[row], drawn[row] * given_ties, *pairs[row]))
    assert items.descending(worth, (lambda: drawn) if given_ties else None).tolist() == wanted
    assert items.rank[sorted(range(len(pairs)), key=pairs.__getitem__)].tolist() == list(range(len(pairs)))
