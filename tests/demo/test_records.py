"""The data that the package ships: what it holds, what it must not hold, and where it comes from."""

import gzip
import json
import os
from itertools import islice
from pathlib import Path

import pytest

from slatewise.core.errors import SlatewiseError
from slatewise.demo import convert
from slatewise.demo.records import HISTORIES, SHIPPED, VISITS, History, Visit, shipped_histories, shipped_visits, write

ORIGINALS = Path(os.environ.get("SLATEWISE_DATA", "../shared/data")) / "ebnerd"


def keys(name):
    return {key for line in gzip.open(SHIPPED / name) for key in json.loads(line)}


def test_nothing_personal_is_shipped():
    assert keys(VISITS) == {"id", "time", "reader", "shown", "clicked", "reading"}
    assert keys(HISTORIES) == {"reader", "times", "articles"}
    assert "Ekstra Bladet" in (SHIPPED / "LICENSE.ekstra-bladet-MIT").read_text()


def test_the_sample_is_what_its_description_says():
    visits, histories = list(shipped_visits()), list(shipped_histories())
    assert (len(visits), len({visit.id for visit in visits}), len({visit.reader for visit in visits})) == (
        1046,
        1046,
        38,
    )
    assert [(visit.time, visit.id) for visit in visits] == sorted((visit.time, visit.id) for visit in visits)
    assert all(visit.clicked and set(visit.clicked) <= set(visit.shown) for visit in visits)
    assert sum(visit.reading is None for visit in visits) == 740
    assert {visit.reader for visit in visits} < {history.reader for history in histories}
    assert all(list(history.times) == sorted(history.times) for history in histories)
    assert max(history.times[-1] for history in histories) < visits[0].time


@pytest.mark.skipif(not ORIGINALS.is_dir(), reason=f"the data set is not at {ORIGINALS}; set SLATEWISE_DATA")
def test_the_converter_makes_the_shipped_files(tmp_path):
    pytest.importorskip("pyarrow")
    write(convert.visits(ORIGINALS), tmp_path / VISITS)
    write(convert.histories(ORIGINALS), tmp_path / HISTORIES)
    for name in (VISITS, HISTORIES):  # what is packed: libraries pack alike, but not to the byte
        assert gzip.decompress((tmp_path / name).read_bytes()) == gzip.decompress((SHIPPED / name).read_bytes())


def test_writing_twice_gives_the_same_bytes(tmp_path):
    visit = Visit(id=1, time=2, reader=3, shown=(4, 5), clicked=(5,))
    for name in ("a", "b"):
        write([visit], tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes()[4:8] == bytes(4)  # no time of writing


@pytest.fixture
def directory(tmp_path):
    """A data set of two days in the original's layout, out of order, with columns that must not be read."""
    pa = pytest.importorskip("pyarrow")
    from datetime import datetime

    import pyarrow.parquet as parquet

    times = [datetime(2023, 3, 2, 0, 0, 0), datetime(2023, 3, 1, 23, 59, 59), datetime(2023, 3, 1, 8)]
    columns = {
        "impression_id": pa.array([3, 2, 1], pa.uint32()),
        "article_id": pa.array([None, 40, None], pa.int32()),
        "impression_time": pa.array(times, pa.timestamp("us")),
        "article_ids_inview": pa.array([[10, 11], [11, 12], [12]], pa.list_(pa.int32())),
        "article_ids_clicked": pa.array([[11], [12], [12]], pa.list_(pa.int32())),
        "user_id": pa.array([7, 8, 7], pa.uint32()),
        "age": pa.array([40, 50, 40], pa.int8()),
    }
    parquet.write_table(pa.table(columns), tmp_path / "behaviors.parquet")
    opened = {
        "user_id": pa.array([7, 8], pa.uint32()),
        "impression_time_fixed": pa.array([[datetime(2023, 2, 27)], [datetime(2023, 2, 28)]]),
        "article_id_fixed": pa.array([[10], [11]], pa.list_(pa.int32())),
    }
    parquet.write_table(pa.table(opened), tmp_path / "history.parquet")
    return tmp_path


def test_days_are_read_in_order_of_time(directory):
    visits = list(convert.visits(directory))
    assert [visit.id for visit in visits] == [1, 2, 3]
    assert visits[1] == Visit(id=2, time=1677715199, reader=8, shown=(11, 12), clicked=(12,), reading=40)
    assert [visit.id for visit in convert.visits(directory, 2)] == [1, 2]
    assert list(convert.histories(directory, {8})) == [History(8, (1677542400,), (11,))]


def test_refusals(directory, tmp_path, monkeypatch):
    with pytest.raises(SlatewiseError, match=r"^data: must be a directory with behaviors\.parquet, got "):
        convert.visits(tmp_path / "elsewhere")
    (directory / "behaviors.parquet").write_bytes((directory / "history.parquet").read_bytes())
    with pytest.raises(SlatewiseError, match=r"^data\.behaviors\.parquet: must have the column 'impression_id'"):
        convert.visits(directory)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.dataset", None)
    with pytest.raises(SlatewiseError, match=r"pip install 'slatewise\[parquet\]'"):
        next(islice(convert.histories(directory), 1))
