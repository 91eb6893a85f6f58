"""Logs of pages: the order of the first stage and nothing else, files that say the same, parts that share nothing."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from slatewise import RequestError
from slatewise.learn.pages import Pages

NAN = np.nan


def logged(**changed):
    """Two lists of two and three rows, with a column of every kind."""
    columns = {
        "request": ["r1", "r2"],
        "user": ["ida", "omar"],
        "time": [20.0, 10.0],
        "lists": [0, 0, 1, 1, 1],
        "keys": {
            "item": ["a", "b", "a", "c", "d"],
            "line": ["posts", "ads", "posts", "posts", "ads"],
            "topic": ["x", None, "x", "y", None],
        },
        "numbers": {"score": [0.1, 0.9, 3.0, 1.0, 2.0], "bid": [NAN, 2.0, 0.0, 0.0, 1.5]},
        "slot": [1, 2, 0, 1, 2],
        "feedback": {"click": [1.0, 0.0, NAN, 0.0, 1.0]},
        "propensity": [0.5, 0.25, NAN, 1.0, 0.125],
        "context": {"device": ["phone", None]},
        "histories": {"item": [["z", "a"], []]},
    }
    return Pages.of(**{**columns, **changed})


def items(pages):
    return [pages.keys["item"].name(row) for row in range(len(pages.slot))]


def test_rows_stand_in_the_order_of_the_first_stage_and_take_their_columns_along():
    pages = logged()
    assert items(pages) == ["b", "a", "a", "d", "c"]
    assert pages.slot.tolist() == [2, 1, 0, 2, 1]
    assert pages.labels("click").tolist() == [0, 1, 0, 1, 0]
    assert [pages.keys["topic"].name(row) for row in range(5)] == [None, "x", "x", None, "y"]
    assert pages.starts.tolist() == [0, 2, 5]


def test_where_scores_tie_the_order_says_nothing_of_what_was_shown_or_clicked():
    size, length = 3000, 10
    rng = np.random.default_rng(0)
    slot = np.tile(np.arange(1, length + 1), size)
    item = np.concatenate([rng.permutation(500)[:length] for _ in range(size)])
    columns = {
        "request": [f"r{number}" for number in range(size)],
        "lists": np.repeat(np.arange(size), length),
        "keys": {"item": [f"i{number}" for number in item]},
        "slot": slot,
        "feedback": {"click": (rng.random(size * length) < 1 / (1 + slot)).astype(float)},
    }
    pages = Pages.of(**columns)
    clicks = pages.padded(pages.labels("click"), length).mean(axis=0)
    spread = np.sqrt(clicks.mean() * (1 - clicks.mean()) / size)
    assert np.abs(clicks - clicks.mean()).max() < 4 * spread
    assert np.abs(pages.padded(pages.slot, length).mean(axis=0) - 5.5).max() < 4 * np.sqrt(99 / 12 / size)
    order = rng.permutation(len(slot))  # nor does the order in which the log came
    shuffled = {name: [columns["keys"]["item"][row] for row in order] for name in ("item",)}
    again = Pages.of(
        request=columns["request"],
        lists=columns["lists"][order],
        keys=shuffled,
        slot=slot[order],
        feedback={"click": columns["feedback"]["click"][order]},
    )
    assert again.digest == pages.digest


def test_a_file_says_the_same_in_whatever_order_its_rows_are(tmp_path):
    pages = logged()
    pages.write(tmp_path / "pages.parquet")
    assert Pages.read(tmp_path / "pages.parquet").digest == pages.digest
    table = parquet.read_table(tmp_path / "pages.parquet")
    columns = ["request", "user", "time", "slot", "propensity", "line", "item", "key.topic", "score", "number.bid"]
    assert set(table.column_names) == {*columns, "feedback.click", "context.device", "history.item"}
    order = [4, 1, 2, 0, 3]
    plain = {name: [table.column(name).to_pylist()[row] for row in order] for name in table.column_names}
    parquet.write_table(pa.table(plain), tmp_path / "shuffled.parquet")
    again = Pages.read(tmp_path / "shuffled.parquet")
    assert sorted(again.request) == ["r1", "r2"]
    back = again.take([again.request.tolist().index(name) for name in pages.request])
    assert back.digest == pages.digest
    assert back.histories["item"].row(0) == ("z", "a")
    assert np.isnan(back.feedback["click"]).tolist() == np.isnan(pages.feedback["click"]).tolist()


def test_a_log_needs_requests_and_items_only(tmp_path):
    parquet.write_table(pa.table({"request": [7, 7], "item": [1, 2]}), tmp_path / "pages.parquet")
    pages = Pages.read(tmp_path / "pages.parquet")
    assert (pages.request.tolist(), sorted(items(pages)), pages.user.tolist()) == (["7"], ["1", "2"], [""])
    assert (pages.keys["line"].names, pages.slot.tolist(), np.isnan(pages.propensity).all()) == (
        ("items",),
        [0, 0],
        True,
    )


def test_a_history_keeps_the_twenty_most_recent():
    pages = logged(histories={"item": [[f"h{place}" for place in range(25)], ["z"]]})
    assert pages.histories["item"].row(0) == tuple(f"h{place}" for place in range(20))
    assert pages.histories["item"].row(1) == ("z",)


def test_lists_are_taken_padded_and_scored_anew():
    pages = logged()
    second = pages.take([1])
    assert (len(second), items(second), second.user.tolist()) == (1, ["a", "d", "c"], ["omar"])
    assert second.context["device"].name(0) is None
    assert pages.take([False, True]).digest == second.digest
    assert pages.where("device", "phone").request.tolist() == ["r1"]
    assert pages.padded(pages.numbers["score"], 3, -1.0).tolist() == [[0.9, 0.1, -1.0], [3.0, 2.0, 1.0]]
    assert pages.padded(pages.numbers["score"], 1).tolist() == [[0.9], [3.0]]
    assert pages.mask(3).tolist() == [[True, True, False], [True, True, True]]
    anew = pages.scored(-pages.numbers["score"], old=pages.numbers["score"])
    assert items(anew) == ["a", "b", "c", "d", "a"]
    assert anew.numbers["old"].tolist() == [0.1, 0.9, 1.0, 2.0, 3.0]
    assert anew.labels("click").tolist() == [1, 0, 0, 1, 0]


def test_a_split_by_time_leaves_lists_of_one_time_together():
    times = [5.0, 1.0, 3.0, 3.0, 3.0, 9.0, 2.0, 8.0, 7.0, 6.0]
    pages = Pages.of(
        request=[f"r{place}" for place in range(10)],
        time=times,
        lists=np.arange(10),
        keys={"item": ["a"] * 10},
    )
    early, middle, late = pages.split_by_time((0.3, 0.4, 0.3))
    assert (sorted(early.time), sorted(middle.time), sorted(late.time)) == ([1, 2], [3, 3, 3, 5, 6], [7, 8, 9])


def test_a_split_by_user_divides_users_as_the_seed_says():
    users = np.repeat([f"u{number}" for number in range(50)], 3)
    pages = Pages.of(
        request=[f"r{place}" for place in range(150)], user=users, lists=np.arange(150), keys={"item": ["a"] * 150}
    )
    parts = [set(part.user) for part in pages.split_by_user((0.6, 0.2, 0.2), seed=1)]
    assert [len(part) for part in parts] == [30, 10, 10]
    assert set.union(*parts) == set(users)
    assert parts == [set(part.user) for part in pages.split_by_user((0.6, 0.2, 0.2), seed=1)]
    assert parts != [set(part.user) for part in pages.split_by_user((0.6, 0.2, 0.2), seed=2)]
    nobody = Pages.of(request=[f"r{place}" for place in range(10)], lists=np.arange(10), keys={"item": ["a"] * 10})
    assert [len(part) for part in nobody.split_by_user((0.6, 0.4), seed=1)] == [6, 4]


def test_the_digest_is_of_what_is_said_and_of_nothing_else():
    pages = logged()
    part = pages.take([0])  # its columns still number names that it does not use
    alone = logged(
        request=["r1"],
        user=["ida"],
        time=[20.0],
        lists=[0, 0],
        keys={"item": ["a", "b"], "line": ["posts", "ads"], "topic": ["x", None]},
        numbers={"score": [0.1, 0.9], "bid": [NAN, 2.0]},
        slot=[1, 2],
        feedback={"click": [1.0, 0.0]},
        propensity=[0.5, 0.25],
        context={"device": ["phone"]},
        histories={"item": [["z", "a"]]},
    )
    assert part.digest == alone.digest
    assert pages.digest != logged(slot=[1, 2, 0, 2, 1]).digest
    assert pages.digest != logged(context={"device": ["phone", "phone"]}).digest
    for histories in ([["a", "z"], []], [["z"], ["a"]]):
        assert pages.digest != logged(histories={"item": histories}).digest


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"request": ["r1", "r1"]}, "pages.request[2]: must be a name of its own, got 'r1'"),
        ({"lists": [0, 0, 0, 0, 2]}, "pages.lists[5]: must be < 2, the number of requests, got 2"),
        ({"lists": [0, 0, 0, 0, 0]}, "pages.request: must have rows, each of them"),
        ({"keys": {"topic": ["x"] * 5}}, "pages.item: must be a column of the log"),
        ({"keys": {"item": ["a", "b", None, "c", "d"]}}, "pages.item[3]: must not be missing"),
        ({"keys": {"item": ["a"]}}, "pages.item: must have 5 values, got (1,)"),
        ({"numbers": {"score": [0, 0, NAN, 0, 0]}}, "pages.score[3]: must be a finite number, got nan"),
        ({"numbers": {"bid": [0, np.inf, 0, 0, 0]}}, "pages.bid[2]: must be a finite number, got inf"),
        ({"slot": [1, 1, 0, 0, 0]}, "pages.slot[2]: must be given to one row of a list, got 1"),
        ({"slot": [1, 2, 0.5, 0, 0]}, "pages.slot[3]: must be a whole number >= 0, got 0.5"),
        ({"propensity": [0.5, 0.0, NAN, 1, 1]}, "pages.propensity[2]: must be in (0, 1], got 0.0"),
        ({"time": [NAN, 0.0]}, "pages.time[1]: must be a finite number, got nan"),
    ],
)
def test_refuses_with_column_row_and_value(changed, message):
    with pytest.raises(RequestError) as caught:
        logged(**changed)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"item": ["a"]}, "pages.request: must be one column of the log, got 0"),
        ({"request": ["r"], "items": ["a"]}, "pages.item: must be a column of the log; did you mean 'items'?"),
        (
            {"request": ["r"], "item": ["a"], "scores": [1]},
            "pages.scores: must be a column that logs have; did you mean",
        ),
        ({"request": ["r", None], "item": ["a", "b"]}, "pages.request[2]: must not be missing"),
        ({"request": ["r"], "item": ["a"], "score": ["high"]}, "pages.score: must hold numbers, got 'string'"),
        ({"request": ["r"], "item": ["a"], "history.item": [1]}, "pages.history.item: must hold lists of text"),
        (
            {"request": ["r", "q", "r"], "item": ["a", "b", "c"], "time": [1, 2, 3]},
            "pages.time[3]: must be the same in all rows of request 'r', got 3.0",
        ),
        ({"request": ["r", "r"], "item": ["a", "b"], "slot": [2, 2]}, "pages.slot[2]: must be given to one row"),
    ],
)
def test_a_file_is_refused_with_its_name(tmp_path, columns, message):
    path = tmp_path / "log.parquet"
    parquet.write_table(pa.table(columns), path)
    with pytest.raises(RequestError) as caught:
        Pages.read(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_what_is_no_file_of_pages_is_refused(tmp_path):
    (tmp_path / "text.parquet").write_text("request,item")
    for name in ("nothing.parquet", "text.parquet"):
        with pytest.raises(RequestError, match=name):
            Pages.read(tmp_path / name)
    with pytest.raises(RequestError, match=r"shares: must be > 0, with a sum of 1, got \[0\.5, 0\.6\]"):
        logged().split_by_time((0.5, 0.6))
    with pytest.raises(
        RequestError, match=r"pages.feedback: must have the column, got 'clicks'; did you mean 'click'\?"
    ):
        logged().labels("clicks")
