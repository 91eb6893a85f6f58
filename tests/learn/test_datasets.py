"""Public data sets: small files of each form, what is left out, and first stages that have not seen what they score."""

import json
import os
from collections import Counter
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from scipy.sparse import csr_array
from typer.testing import CliRunner

from slatewise import RequestError
from slatewise.cli import app
from slatewise.evaluate.adworld import AdWorld
from slatewise.evaluate.metrics import ndcg
from slatewise.learn import datasets, datasets_movielens
from slatewise.learn.adfeed import movielens, sample
from slatewise.learn.datasets_clicks import avito, ebnerd, kuairand, open_bandit, yandex
from slatewise.learn.datasets_letor import letor
from slatewise.learn.datasets_movielens import movielens_1m, movielens_100k
from slatewise.learn.pages import Pages
from slatewise.learn.ranker import factors, first_stage, neighbours, out_of_fold, ratings

DATA = Path(os.environ.get("SLATEWISE_DATA", "../shared/data"))


def real(place):
    return pytest.mark.skipif(not (DATA / place).exists(), reason=f"no {place} at {DATA}; set SLATEWISE_DATA")


def told(pages, name="click"):
    """Return per list, in the order of slots or of items, (item, slot, feedback)."""
    names = pages.keys["item"]
    rows = zip(pages.slot.tolist(), pages.feedback[name].tolist(), strict=True)
    flat = [(names.name(at), *row) for at, row in enumerate(rows)]
    return [sorted(flat[a:b], key=lambda row: (row[1], row[0])) for a, b in pairwise(pages.starts)]


def test_yandex_reads_every_separator_and_counts_what_it_leaves_out(tmp_path):
    path = tmp_path / "sample"
    path.write_text("98_1\t5,3,8 : 3 , 8; 98_1\t5,3,8 :; 98_1\t3,5,8 :  ;  98_1\t5,3,8 : 5 , 7 , 5;\n7_2\t1,2:2\n")
    found = yandex(path)
    assert told(found.pages) == [
        [("5", 1, 0), ("3", 2, 1), ("8", 3, 1)],
        [("5", 1, 0), ("3", 2, 0), ("8", 3, 0)],
        [("3", 1, 0), ("5", 2, 0), ("8", 3, 0)],
        [("5", 1, 1), ("3", 2, 0), ("8", 3, 0)],
        [("1", 1, 0), ("2", 2, 1)],
    ]
    assert found.dropped["clicks on documents outside the page"] == 1
    assert [found.pages.context["query"].name(row) for row in (0, 4)] == ["98", "7"]
    path.write_text("98_1\t5,3,8 : 3\n98_1 5,3,8 : 3")
    with pytest.raises(RequestError, match=r"yandex\[2\]: must be `QUERY_REGION"):
        yandex(path)


LETOR = "2 qid:a 1:0.5 3:2 # docid = D1 x = 1\n0 qid:a 2:1e-1\n# nothing\n1 qid:b 1:1 2:2 3:3 #docid = D3\n"


def test_letor_reads_queries_features_and_documents(tmp_path):
    (tmp_path / "one.txt").write_text(LETOR)
    (tmp_path / "two").write_text("4 7:1\n0 1:1\n3 2:5\n")
    (tmp_path / "two.query").write_text("2\n1\n")
    pages = letor(tmp_path / "one.txt", tmp_path / "two", parts=("train", "test")).pages
    assert pages.request.tolist() == ["train-a", "train-b", "test-1", "test-2"]
    rows = {pages.keys["item"].name(row): row for row in range(6)}
    assert set(rows) == {"D1", "train-a-1", "D3", "test-1-0", "test-1-1", "test-2-0"}
    features = [
        [pages.numbers[f"feature_{f}"][rows[item]] for f in (1, 2, 3, 7)] for item in ("D1", "train-a-1", "test-1-0")
    ]
    assert features == [[0.5, 0, 2, 0], [0, 0.1, 0, 0], [0, 0, 0, 1]]
    assert [pages.labels("label")[rows[item]] for item in ("D1", "train-a-1", "D3", "test-1-0")] == [2, 0, 1, 4]
    assert pages.where("part", "test").request.tolist() == ["test-1", "test-2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5 qid:a 1:1\n", "letor f.txt[1].label: must be a grade from 0 to 4, got 5.0"),
        ("1 qid:a 1:1\n1 qid:a 1:x\n", "letor f.txt[2]: must be LABEL FEATURE:VALUE ..., got '1 1:x'"),
        ("1 qid:a 1:1\n1 qid:a 1\n", "letor f.txt[2]: must be LABEL FEATURE:VALUE"),
        ("1 qid:a 1:1\n1 1:1\n", "letor f.txt[2]: must have `qid:`, got '1 1:1'"),
        ("# nothing\n", "letor f.txt: must have lines"),
        ("1 qid:a 1:1\n1 qid:b 1:1\n1 qid:a 1:1\n", "letor f.txt: must have the lines of a query together"),
    ],
)
def test_letor_refuses_with_file_and_line(tmp_path, text, message):
    (tmp_path / "f.txt").write_text(text)
    with pytest.raises(RequestError) as caught:
        letor(tmp_path / "f.txt")
    assert str(caught.value).startswith(message)


def test_open_bandit_has_all_items_as_candidates_and_one_that_was_shown(tmp_path):
    (tmp_path / "item_context.csv").write_text(
        ",item_id,item_feature_0,item_feature_1,item_feature_2,item_feature_3\n0,1,0.5,p,q,r\n1,0,-0.5,s,q,t\n"
    )
    features = ",".join(f"user_feature_{place}" for place in range(4))
    (tmp_path / "all.csv").write_text(
        f",timestamp,item_id,position,click,propensity_score,{features},user-item_affinity_0,user-item_affinity_1\n"
        "0,1970-01-01 00:01:00.000000+00:00,1,3,1,0.25,a,b,c,d,0.0,2.0\n"
        "1,1970-01-01 00:02:00.500000+00:00,0,1,0,0.75,a,b,c,e,1.0,0.0\n"
    )
    pages = open_bandit(tmp_path / "all.csv").pages
    assert told(pages)[0][1] == ("1", 3, 1)
    assert told(pages)[1][1] == ("0", 1, 0)
    assert np.isnan(pages.feedback["click"]).sum() == 2
    assert pages.time.tolist() == [60, 120.5]
    assert [pages.keys["item"].name(row) for row in range(4)] == ["1", "0", "0", "1"]  # by affinity
    assert pages.numbers["item_feature_0"].tolist() == [0.5, -0.5, -0.5, 0.5]
    assert [pages.keys["item_feature_1"].name(row) for row in range(2)] == ["p", "s"]
    assert pages.propensity[pages.slot > 0].tolist() == [0.25, 0.75]


def test_ebnerd_leaves_out_who_people_are(tmp_path):
    times = [datetime(2023, 2, 2, 7), datetime(2023, 2, 2, 9)]
    history = {"user_id": [5], "impression_time_fixed": [times], "article_id_fixed": [[70, 71]]}
    parquet.write_table(pa.table(history), tmp_path / "history.parquet")
    behaviours = {
        "impression_id": [9, 10],
        "article_id": pa.array([None, 3], pa.int32()),
        "impression_time": [datetime(2023, 2, 3), datetime(2023, 2, 4)],
        "device_type": [2, 1],
        "article_ids_inview": [[1, 2, 3], [4, 4, 5]],
        "article_ids_clicked": [[2], [6]],
        "user_id": [5, 6],
        "gender": [1, 0],
        "age": [30, 40],
        "postcode": [1, 1],
        "next_read_time": [8.0, 3.0],
    }
    parquet.write_table(pa.table(behaviours), tmp_path / "behaviors.parquet")
    found = ebnerd(tmp_path)
    assert told(found.pages) == [[("1", 0, 0), ("2", 0, 1), ("3", 0, 0)], [("4", 0, 0), ("5", 0, 0)]]
    assert list(found.dropped.values()) == [1, 1]
    assert set(found.pages.context) == {"device", "place"}
    assert [found.pages.histories["item"].row(row) for row in (0, 1)] == [("71", "70"), ()]
    assert found.pages.labels("read_time").sum() == 8
    assert found.pages.time[0] == 1675382400


def test_kuairand_makes_lists_of_what_came_in_a_row(tmp_path):
    names = "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,is_hate,long_view"
    names += ",play_time_ms,duration_ms,profile_stay_time,comment_stay_time,is_profile_enter,is_rand,tab"
    rows = [(1, 50, 1000, 1, 0), (1, 51, 2000, 0, 0), (1, 50, 3000, 1, 0)]  # user, video, time_ms, click, tab
    rows += [(1, 52, 603_000, 0, 0), (1, 53, 1_203_001, 1, 0), (1, 54, 1500, 1, 1), (2, 50, 1500, 0, 0)]
    rows += [(3, 100 + place, 1000 * place, place % 2, 0) for place in range(23)]
    lines = [f"{u},{v},20220421,400,{t},{c},0,0,0,0,0,0,500,7000,0,0,0,1,{tab}" for u, v, t, c, tab in reversed(rows)]
    (tmp_path / "log.csv").write_text("\n".join([names, *lines]))
    found = kuairand(tmp_path / "log.csv")
    assert told(found.pages)[:4] == [
        [("50", 1, 1), ("51", 2, 0), ("52", 3, 0)],
        [("53", 1, 1)],
        [("54", 1, 1)],
        [("50", 1, 0)],
    ]
    assert found.pages.lengths[4:].tolist() == [20, 3]
    assert list(found.dropped.values()) == [1]
    assert found.pages.context["tab"].name(2) == "1"
    assert found.pages.numbers["duration_s"][0] == 7


def test_avito_keeps_context_ads(tmp_path):
    (tmp_path / "SearchInfo.tsv").write_text(
        "SearchID\tSearchDate\tIPID\tUserID\tIsUserLoggedOn\tSearchQuery\tLocationID\tCategoryID\tSearchParams\n"
        '2\t1970-01-01 00:01:00.0\t1\t77\t0\ta "b\t3\t4\t{5:"x"}\n'
    )
    (tmp_path / "trainSearchStream.tsv").write_text(
        "SearchID\tAdID\tPosition\tObjectType\tHistCTR\tIsClick\n2\t11\t1\t3\t0.001\t0\n2\t12\t2\t2\t\t\n"
        "2\t13\t7\t3\t0.02\t1\n9\t14\t1\t3\t0.1\t0\n"
    )
    found = avito(tmp_path)
    assert told(found.pages) == [[("11", 1, 0), ("13", 7, 1)]]
    assert found.dropped == {"ads of other kinds": 1, "ads of searches of which nothing is known": 1}
    assert found.pages.numbers["score"].tolist() == [0.02, 0.001]
    assert (found.pages.user[0], found.pages.time[0], found.pages.context["category"].name(0)) == ("77", 60, "4")


@pytest.fixture
def movies(tmp_path):
    """Sixty users with two tastes, 40 movies; users 1 to 60 rate 15 of their own taste."""
    rng = np.random.default_rng(0)
    rows = [(user, movie) for user in range(1, 61) for movie in user % 2 * 20 + rng.permutation(20)[:15] + 1]
    columns = {"userID": [str(user) for user, _ in rows], "movieID": [str(movie) for _, movie in rows]}
    parquet.write_table(pa.table(columns), tmp_path / "ml1m_interactions.parquet")
    films = "\n".join(f"{movie}::Film\xe9 {movie} ({1900 + movie})::Drama|War" for movie in range(1, 41))
    (tmp_path / "ml1m_movies.dat").write_text(films, encoding="latin-1")
    people = "\n".join(f"{user}::F::25::{user % 3}::00000" for user in range(1, 61))
    (tmp_path / "ml1m_users.dat").write_text(people)
    return tmp_path, {user: {movie for one, movie in rows if one == user} for user in range(1, 61)}


def test_a_feed_with_ads_may_have_the_readers_and_posts_of_movielens(movies):
    folder, rated = movies
    world = AdWorld(ads=10, competing=6, seed=2)
    stock = movielens(world, folder)
    posts = len(stock.bid) - world.ads
    assert (len(stock.users), posts, set(stock.topic.tolist())) == (60, 40, {0})
    affinity = stock.users @ stock.items[:posts].T
    assert np.mean(affinity**2) == pytest.approx(1.0)
    films = sorted(range(1, 41), key=str)
    own = np.array([[film in rated[user] for film in films] for user in sorted(rated, key=str)])
    assert affinity[own].mean() > affinity[~own].mean() + 0.5
    assert len(sample(3, world=world, stock=stock, seed=0)) == 3


def test_movielens_1m_puts_no_movie_on_a_list_because_of_its_label(movies, monkeypatch):
    folder, rated = movies
    known = []
    whole = datasets_movielens.factors
    monkeypatch.setattr(datasets_movielens, "factors", lambda seen, **how: known.append(seen) or whole(seen, **how))
    found = movielens_1m(folder, candidates=8, seed=1)
    pages = found.pages
    users = sorted(rated, key=str)  # as text
    held_by = {}
    for at, name in enumerate(pages.request.tolist()):
        user, fold = map(int, name.split("-"))
        seen = known[fold].toarray()[users.index(user)]
        films = sorted(range(1, 41), key=str)
        taken = {films[place] for place in np.flatnonzero(seen)}
        held = rated[user] - taken
        on_list = {int(pages.keys["item"].name(row)): pages.labels("rated")[row] for row in pages.rows([at])}
        assert len(on_list) == 8
        assert not set(on_list) & taken  # the first stage does not know what is asked
        assert {film for film, label in on_list.items() if label} == set(on_list) & held
        assert set(map(int, pages.histories["item"].row(at))) <= taken
        assert len(held) == 3
        held_by.setdefault(user, []).append(held)
        if pages.context["part"].name(at) != "train":  # and what judges is in no model
            assert all(not held & {films[p] for p in np.flatnonzero(one.toarray()[users.index(user)])} for one in known)
    assert sorted(map(len, held_by.values())) == [1] * 24 + [5] * 36
    assert all(set.union(*folds) == rated[user] for user, folds in held_by.items() if len(folds) == 5)
    assert found.notes["recall, test"] > 0.6  # by chance 0.29
    assert pages.keys["decade"].names[0] == "1900"


@pytest.fixture
def rated(tmp_path):
    """Thirty users who rate 25 movies in a row, three times within 100 days; one who comes once, on the last."""
    day, rng = 86_400, np.random.default_rng(0)
    rows = [
        (user, item, int(rng.integers(1, 6)), day * start + minute * 60)
        for user in range(30)
        for start in (user % 8, 85 if user % 3 else 50, 95)
        for minute, item in enumerate(rng.permutation(40)[:25])
    ]

    def read(rows):
        (tmp_path / "ratings.csv").write_text(
            "\n".join(f"{u},{i},{r}.0,{t}" for u, i, r, t in [*rows, (99, 1, 5, 100 * day)])
        )
        return movielens_100k(tmp_path / "ratings.csv")

    return rows, read


def test_movielens_100k_makes_lists_in_time_and_cuts_between_parts(rated):
    rows, read = rated
    pages, dropped, _ = read(rows)
    lists = {5: 20, 10: 10, 20: 40}, {5: 20, 20: 20}, {5: 30, 20: 30}
    edges = {"train": (0, 80), "valid": (80, 90), "test": (90, 101)}
    for (name, (start, end)), wanted in zip(edges.items(), lists, strict=True):
        part = pages.where("part", name)
        assert start * 86_400 <= part.time.min() <= part.time.max() < end * 86_400
        assert Counter(part.lengths.tolist()) == wanted
    assert list(dropped.values()) == [1, 0]  # who comes once has too few likes
    assert np.array_equal(pages.labels("liked"), pages.labels("rating") >= 4)
    at = int(np.flatnonzero(pages.context["part"].codes == pages.context["part"].names.index("test"))[0])
    earlier = pages.take((pages.user == pages.user[at]) & (pages.time < pages.time[at]))
    liked = {earlier.keys["item"].name(row) for row in np.flatnonzero(earlier.labels("liked"))}
    assert pages.histories["item"].row(at)
    assert set(pages.histories["item"].row(at)) <= liked


def test_movielens_100k_scores_no_list_by_its_own_ratings(rated):
    rows, read = rated
    pages = read(rows).pages
    start = rows[0][3]
    own = [
        (user, item, 4 if rating == 5 and time < start + 1200 and user == 0 else rating, time)
        for user, item, rating, time in rows
    ]
    assert own != rows
    changed = read(own).pages
    first = int(np.flatnonzero((pages.user == "0") & (pages.time == start))[0])
    for name in ("score", "liking", "popularity"):
        before, after = (dict(zip(*scored(one, name), strict=True)) for one in (pages, changed))
        mine = {(first, pages.keys["item"].name(row)) for row in pages.rows([first])}
        assert all(before[key] == after[key] for key in mine)
        assert name != "score" or any(before[key] != after[key] for key in set(before) - mine)


def scored(pages, name):
    """Return (list, item) of each row, and a column."""
    items = [pages.keys["item"].name(row) for row in range(len(pages.slot))]
    return zip(pages.lists.tolist(), items, strict=True), pages.numbers[name].tolist()


def test_scores_are_out_of_fold():
    pages = Pages.of(
        request=[f"r{place}" for place in range(20)],
        lists=np.repeat(np.arange(20), 2),
        keys={"item": [f"i{row}" for row in range(40)]},
        context={"part": ["train"] * 15 + ["test"] * 5},
    )

    def memory(seen):
        known = set(seen.request.tolist())
        return lambda others: np.repeat([float(name in known) for name in others.request], others.lengths)

    assert not out_of_fold(pages, memory, folds=4, seed=0).any()
    assert not first_stage(pages, memory, folds=3).numbers["score"].any()


def test_factors_solve_their_own_equations():
    rng = np.random.default_rng(0)
    taken = csr_array((rng.random((9, 7)) < 0.4) * rng.uniform(0.5, 2.0, (9, 7)))
    rest, damping = 0.3, 0.02
    found = factors(taken, dims=3, rest=rest, damping=damping, rounds=400)
    dense, here = taken.toarray(), taken.toarray() != 0
    error = found.users @ found.items.T
    slope = 2 * (np.where(here, error - dense, 0.0) + rest * error)
    of_users = here.sum(axis=1) + rest * 7
    of_items = here.sum(axis=0) + rest * 9
    np.testing.assert_allclose(slope @ found.items + 2 * damping * of_users[:, None] * found.users, 0, atol=1e-6)
    np.testing.assert_allclose(slope.T @ found.users + 2 * damping * of_items[:, None] * found.items, 0, atol=1e-6)


def test_neighbours_are_cosines_of_who_took_what():
    taken = csr_array(np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1.0]]))
    found = neighbours(taken, damping=0.0)
    alike = 1 / np.sqrt(2 * 1)
    np.testing.assert_allclose(found, [[alike, alike, 0], [0, alike, 0], [0, 0, 0]], rtol=1e-6)


def test_ratings_know_users_and_items():
    user, item = np.repeat(np.arange(30), 20), np.tile(np.arange(20), 30)
    rating = 3 + (user % 3 - 1) + 0.5 * (item % 2 - 0.5)
    given = csr_array((rating[::2], (user[::2], item[::2])), shape=(30, 20))
    predicted = ratings(given, shrink=0.1)[user[1::2], item[1::2]]
    assert np.abs(predicted - rating[1::2]).max() < 0.6
    assert np.corrcoef(predicted, rating[1::2])[0, 1] > 0.95


def test_the_command_writes_pages_and_says_what_it_left_out(tmp_path, monkeypatch):
    (tmp_path / "sample").write_text("98_1\t5,3 : 3 , 9; 98_1\t5,3 :")
    out = tmp_path / "pages.parquet"
    done = CliRunner().invoke(app, ["data", "yandex", "--from", str(tmp_path / "sample"), "--out", str(out)])
    assert done.exit_code == 0
    assert "2 lists, 4 rows\nleft out: 1 clicks on documents outside the page" in done.stdout
    done = CliRunner().invoke(app, ["data", "adfeed", "--lists", "3", "--out", str(out), "--json"])
    assert json.loads(done.stdout)["digest"] == Pages.read(out).digest
    with pytest.raises(RequestError, match="data: must be a data set, got 'yandx'; did you mean 'yandex'"):
        datasets.read("yandx")
    monkeypatch.delenv("SLATEWISE_DATA", raising=False)
    done = CliRunner().invoke(app, ["data", "yandex", "--out", str(out)])
    assert (done.exit_code, "set SLATEWISE_DATA" in done.output) == (1, True)


@real("yandex_lists")
def test_the_yandex_sample():
    found = yandex(DATA / "yandex_lists" / "trainSample")
    asked = zip(*(found.pages.context[name].codes.tolist() for name in ("query", "region")), strict=True)
    assert (len(found.pages), set(found.pages.lengths.tolist()), len(set(asked))) == (35_064, {10}, 20)
    assert found.pages.labels("click").mean() == pytest.approx(0.122, abs=5e-4)
    clicks = found.pages.padded(found.pages.labels("click"), 10)
    assert np.mean(clicks.sum(axis=1) == 0) == pytest.approx(0.336, abs=5e-3)
    assert np.ptp(clicks.mean(axis=0)) < 0.006  # places of the list say nothing, slots do
    slots = np.bincount(found.pages.slot, found.pages.labels("click"))[1:] / len(found.pages)
    assert slots[0] > 5 * slots[9]


@real("ltr")
def test_trees_rank_better_than_chance_and_a_constant_does_not():
    pytest.importorskip("lightgbm")
    pages = datasets.read("ltr", DATA / "ltr").pages
    assert [len(pages.where("part", name)) for name in ("train", "valid", "test")] == [161, 40, 50]
    for part in ("train", "valid", "test"):
        own = pages.where("part", part)
        grades = own.padded(own.labels("label"), int(own.lengths.max()))
        ranked = own.scored(np.zeros(len(own.slot)))
        constant = ranked.padded(ranked.labels("label"), grades.shape[1])
        keys = np.where(own.mask(grades.shape[1]), np.random.default_rng(0).random((200, *grades.shape)), 2.0)
        draws = np.take_along_axis(np.broadcast_to(grades, keys.shape), np.argsort(keys, axis=2), axis=2)
        gained = [ndcg(one, grades, 5, gain="exp2", empty="zero") for one in (grades, constant)]
        chance = np.mean([ndcg(one, grades, 5, gain="exp2", empty="zero") for one in draws], axis=0)
        error = gained[1] - chance
        assert abs(error.mean()) < 2.5 * error.std() / np.sqrt(len(own))
        assert gained[0].mean() > chance.mean() + 0.1


@real("ebnerd")
def test_the_ebnerd_sample():
    found = ebnerd(DATA / "ebnerd")
    assert (len(found.pages), len(set(found.pages.user)), found.pages.lengths.max()) == (1046, 38, 81)
    assert found.pages.labels("click").sum() == 1047
