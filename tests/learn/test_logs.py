"""Logs: columns as they are asked for, or a refusal that says where."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from slatewise import RequestError
from slatewise.learn.logs import read_log

CSV = "line,score,won,price\nads,0.5,1,3\nposts,0.25,0,\n"


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(CSV)
    return path


def test_the_same_from_every_form(csv, tmp_path):
    asked = {"numbers": ("score", "won", "price"), "keys": ("line",), "missing": ("price",)}
    table = {"line": ["ads", "posts"], "score": [0.5, 0.25], "won": [True, False], "price": [3, None]}
    parquet.write_table(pa.table(table), tmp_path / "log.parquet")
    lines = [
        '{"line": "ads", "score": 0.5, "won": true, "price": 3}',
        '{"line": "posts", "score": 0.25, "won": false, "price": null}',
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    for name in ("log.csv", "log.parquet", "log.jsonl"):
        log = read_log(tmp_path / name, **asked)
        assert log["line"].tolist() == ["ads", "posts"]
        assert [log[name].tolist() for name in ("score", "won")] == [[0.5, 0.25], [1.0, 0.0]]
        assert (log["price"][0], np.isnan(log["price"][1])) == (3.0, True)


def test_optional_columns_are_left_out(csv):
    assert set(read_log(csv, numbers=("score", "time"), optional=("time",))) == {"score"}


@pytest.mark.parametrize(
    ("text", "asked", "message"),
    [
        (CSV, {"numbers": ("scores",)}, "log.scores: must be a column of the log"),
        (CSV, {"numbers": ("price",)}, "log.price[2]: must be a finite number, got None"),
        (CSV, {"numbers": ("line",)}, "log.line: must hold numbers, got 'string'"),
        ("line,score\nads,inf\n", {"numbers": ("score",)}, "log.score[1]: must be a finite number, got inf"),
        ("line,score\nads,1\n,2\n", {"keys": ("line",)}, "log.line[2]: must not be missing"),
        ("line,line\nads,ads\n", {"keys": ("line",)}, "log.line: must be one column of the log, got 2 columns"),
        ("line,score\n", {"numbers": ("score",)}, "log: must have rows"),
        ("a,b\n1\n", {"numbers": ("a",)}, "log: is not readable"),
    ],
)
def test_refuses_with_column_row_and_value(tmp_path, text, asked, message):
    path = tmp_path / "log.csv"
    path.write_text(text)
    with pytest.raises(RequestError) as caught:
        read_log(path, **asked)
    assert str(caught.value).startswith(message)


def test_refuses_files_that_are_no_logs(tmp_path):
    with pytest.raises(RequestError, match=r"log: must end in .parquet, .csv, .jsonl"):
        read_log(tmp_path / "log.txt")
    with pytest.raises(RequestError, match="log: must be a readable file"):
        read_log(tmp_path / "log.csv")
