"""MovieLens as lists of candidates.

**1M**, who rated what. This copy has neither ratings nor times, so that a list can only say which movies a user rated.
A user's movies are drawn into five folds. A first stage that knows all but one fold (of users to learn from), or all
but the first fold (of users to judge by), ranks the movies that it has not seen her rate; a list is the first 30, and
those of the fold among them are `rated`. None is put there because of its label, so that what the first stage misses
is missed. So scores are out of fold, and no list of one user says anything of what another's asks for.

**100K**, who rated what when and how. A list is up to 20 movies that a user rated in a row; those rated 4 or 5 are
`liked`. Parts are 80, 10 and 10 % of the time; users and movies of the later parts are those of the first. Users and
movies with fewer than five likes are left out. These are the lists on which ReChorus compares rerankers on the 1M data,
with times that our copy of that has not; figures of the two do not compare. A first stage predicts ratings, those of
lists to learn from out of fold.

Cost: a minute for 1M, seconds for 100K.

References:
    Harper & Konstan (2015), "The MovieLens Datasets: History and Context", ACM TiiS 5(4).
    Li et al. (2024), "ReChorus2.0: A Modular and Task-Flexible Recommendation Library", RecSys: lists of 20, labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from slatewise.core.columns import Flags, Numbers
from slatewise.learn.datasets_files import Reading, column, in_a_row, lines, table
from slatewise.learn.pages import Pages
from slatewise.learn.pages_columns import LONGEST_HISTORY
from slatewise.learn.ranker import Sparse, factors, folds_of, neighbours, ratings

FOLDS, CANDIDATES = 5, 30
FIRST_STAGE = ("score", "neighbours", "popularity", "experience")
"""Columns of 1M that the first stage of the fold knows: how many rated the movie, and how many the user has rated."""
PARTS = (("train", 0.6), ("valid", 0.2), ("test", 0.2))
"""Parts of the users of 1M."""
LIKED, LEAST_LIKES, LONGEST_LIST = 4.0, 5, 20
TIMES = (("train", 0.8), ("valid", 0.9), ("test", np.inf))
"""Parts of 100K, and up to which share of the days they reach."""
DAY_S = 86_400


def movielens_1m(folder: str | Path, *, candidates: int = CANDIDATES, seed: int = 0) -> Reading:
    """Read MovieLens-1M: `ml1m_interactions.parquet`, `ml1m_movies.dat` and `ml1m_users.dat`.

    Args:
        folder: Has the three files.
        candidates: Movies of a list.
        seed: Root of the folds, and of which users are to learn from.
    """
    pairs = _pairs(Path(folder))
    fold = _own_folds(pairs.user, seed)
    part = _part_of_users(pairs.users, seed)
    found = [_ranked(pairs, fold, part, number, candidates) for number in range(FOLDS)]
    lists = np.concatenate([one.own for one in found])
    columns = {
        name: np.concatenate([getattr(one, name) for one in found]) for name in (*FIRST_STAGE, "movies", "rated")
    }
    films = _films(Path(folder), pairs.movies, columns["movies"].ravel())
    people = {row[0]: row for row in _split(Path(folder) / "ml1m_users.dat")}
    who = [people[name] for name in pairs.users[lists].tolist()]
    pages = Pages.of(
        request=[f"{pairs.users[user]}-{at}" for at, one in enumerate(found) for user in one.own.tolist()],
        user=pairs.users[lists],
        lists=np.repeat(np.arange(len(lists)), candidates),
        keys={"item": pairs.movies[columns["movies"].ravel()], **films.keys},
        numbers={"year": films.year, **{name: columns[name].ravel() for name in FIRST_STAGE}},
        feedback={"rated": columns["rated"].ravel()},
        context={
            "part": [PARTS[one][0] for one in part[lists].tolist()],
            "gender": [row[1] for row in who],
            "age": [row[2] for row in who],
            "occupation": [row[3] for row in who],
        },
        histories={"item": [[pairs.movies[at] for at in past] for one in found for past in one.history]},
    )
    held = np.concatenate([one.held for one in found])
    got = columns["rated"].sum(axis=1)
    notes = {"lists without a movie of the fold": float(np.mean(got == 0))}
    for place, (name, _) in enumerate(PARTS):
        own = part[lists] == place
        notes[f"recall, {name}"] = float(got[own].sum() / max(held[own].sum(), 1))
    return Reading(pages, {}, notes)


def movielens_100k(path: str | Path, *, seed: int = 0) -> Reading:
    """Read MovieLens-100K: `user,item,rating,time` without a line of names.

    Args:
        path: The CSV file.
        seed: Root of the folds.
    """
    log = table(Path(path), "user", "item", "rating", "time")
    rating, time = (np.array(column(log, name), np.float64) for name in ("rating", "time"))
    named = [np.array(column(log, name)) for name in ("user", "item")]
    kept = _with_likes(named[0], named[1], rating >= LIKED)
    days = (time[kept] // DAY_S) - time[kept].min() // DAY_S
    part = np.searchsorted([edge * days.max() for _, edge in TIMES], days)
    old = np.isin(named[0][kept], named[0][kept][part == 0]) & np.isin(named[1][kept], named[1][kept][part == 0])
    dropped = {
        "ratings of users or movies with fewer than 5 likes": int((~kept).sum()),
        "ratings of users or movies that are new after the first part": int((~old).sum()),
    }
    rows = np.flatnonzero(kept)[old]
    part = part[old]
    order = np.lexsort((named[1][rows], time[rows], named[0][rows]))
    rows, part = rows[order], part[order]
    users, user = np.unique(named[0][rows], return_inverse=True)
    items, item = np.unique(named[1][rows], return_inverse=True)
    new = np.concatenate([[True], (np.diff(user) != 0) | (np.diff(part) != 0)])
    lists = in_a_row(new, LONGEST_LIST)
    starts = np.flatnonzero(np.concatenate([[True], np.diff(lists) > 0]))
    known = _predicted(user, item, rating[rows], lists, part, (len(users), len(items)), seed)
    past = list(_liked_before(user, item, time[rows], rating[rows] >= LIKED, starts))
    started = time[rows][starts]
    pages = Pages.of(
        request=[f"{users[user[start]]}-{place}" for place, start in enumerate(starts.tolist())],
        user=users[user[starts]].astype(str),
        time=started,
        lists=lists,
        keys={"item": items[item].astype(str)},
        numbers=known,
        feedback={"liked": (rating[rows] >= LIKED).astype(np.float64), "rating": rating[rows]},
        context={
            "part": [TIMES[one][0] for one in part[starts].tolist()],
            "hour": (started // 3600 % 24).astype(int).astype(str),
            "weekday": (started // DAY_S % 7).astype(int).astype(str),
        },
        histories={"item": [[str(items[one]) for one in history] for history in past]},
    )
    return Reading(pages, dropped, {})


def pairs_of(folder: str | Path) -> tuple[Sparse, NDArray[np.object_]]:
    """Return who rated what in MovieLens-1M, as ones, and the first genre of each movie.

    Args:
        folder: Has `ml1m_interactions.parquet` and `ml1m_movies.dat`.
    """
    pairs = _pairs(Path(folder))
    films = _films(Path(folder), pairs.movies, np.arange(len(pairs.movies)))
    return pairs.taken(np.ones(len(pairs.user), np.bool_)), films.keys["genre"]


class _Pairs(NamedTuple):
    """Who rated what: names, and for each row of the file the places of user and movie among them."""

    users: NDArray[np.object_]
    movies: NDArray[np.object_]
    user: NDArray[np.int64]
    movie: NDArray[np.int64]

    def taken(self, rows: Flags) -> Sparse:
        """Return (users, movies) ones where some rows say so."""
        shape = (len(self.users), len(self.movies))
        return csr_array((np.ones(rows.sum()), (self.user[rows], self.movie[rows])), shape=shape)


class _Films(NamedTuple):
    """Columns of movies."""

    keys: dict[str, NDArray[np.object_]]
    year: Numbers


class _Candidates(NamedTuple):
    """What a first stage made of users: (b, candidates) each; who they are, how many were held back, their history."""

    own: NDArray[np.int64]
    movies: NDArray[np.int64]
    score: Numbers
    neighbours: Numbers
    popularity: Numbers
    experience: Numbers
    rated: Flags
    held: Numbers
    history: list[list[int]]


def _pairs(folder: Path) -> _Pairs:
    rows = table(folder / "ml1m_interactions.parquet")
    users, user = np.unique(np.array(column(rows, "userID"), object), return_inverse=True)
    movies, movie = np.unique(np.array(column(rows, "movieID"), object), return_inverse=True)
    return _Pairs(users, movies, user, movie)


def _films(folder: Path, movies: NDArray[np.object_], chosen: NDArray[np.int64]) -> _Films:
    known = {row[0]: row for row in _split(folder / "ml1m_movies.dat")}
    rows = [known[name] for name in movies.tolist()]
    years = np.array([_year(row[1]) for row in rows])
    genres = np.array([row[2] for row in rows], object)
    first = np.array([row[2].split("|")[0] for row in rows], object)
    decade = np.array([None if np.isnan(year) else str(int(year) // 10 * 10) for year in years], object)
    return _Films({"genre": first[chosen], "genres": genres[chosen], "decade": decade[chosen]}, years[chosen])


def _ranked(
    pairs: _Pairs, fold: NDArray[np.int64], part: NDArray[np.int64], number: int, candidates: int
) -> _Candidates:
    """Return the candidates of those who are asked in a fold, by a first stage that does not know it."""
    held = fold == np.where(part[pairs.user] > 0, 0, number)
    own = np.flatnonzero((part == 0) | (number == 0))
    seen = pairs.taken(~held)
    model = factors(seen, seed=number)
    scores = model.users[own] @ model.items.T
    taken = seen[own].toarray() > 0
    scores[taken] = -np.inf
    top = np.argpartition(-scores, candidates, axis=1)[:, :candidates]
    asked = pairs.taken(held)[own].toarray() > 0
    history: list[list[int]] = [[] for _ in pairs.users]
    for user, movie in zip(pairs.user[~held].tolist(), pairs.movie[~held].tolist(), strict=True):
        history[user].append(movie)
    return _Candidates(
        own=own,
        movies=top,
        score=np.take_along_axis(scores, top, axis=1),
        neighbours=np.take_along_axis(neighbours(seen)[own], top, axis=1),
        popularity=np.log1p(np.asarray(seen.sum(axis=0)).ravel())[top],
        experience=np.repeat(np.log1p(taken.sum(axis=1))[:, None], candidates, axis=1),
        rated=np.take_along_axis(asked, top, axis=1),
        held=asked.sum(axis=1),
        history=[history[user][: -LONGEST_HISTORY - 1 : -1] for user in own.tolist()],
    )


def _own_folds(user: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return the fold of each row, such that those of each user are equally large."""
    rng = np.random.default_rng([seed, 1])
    order = np.lexsort((rng.random(len(user)), user))
    first = np.searchsorted(user[order], user[order])
    found = np.empty(len(user), np.int64)
    found[order] = (np.arange(len(user)) - first + rng.integers(FOLDS, size=user.max() + 1)[user[order]]) % FOLDS
    return found


def _part_of_users(users: NDArray[Any], seed: int) -> NDArray[np.int64]:
    edges = np.cumsum([share for _, share in PARTS])[:-1]
    place = folds_of(users, folds=len(users), seed=seed) / len(users)
    return np.searchsorted(edges, place, side="right")


def _with_likes(user: NDArray[Any], item: NDArray[Any], liked: Flags) -> Flags:
    """Return which rows are left when users and items with too few likes are taken out, until none is."""
    kept = np.ones(len(user), np.bool_)
    while True:
        before = kept.sum()
        for side in (user, item):
            names, times = np.unique(side[kept & liked], return_counts=True)
            kept &= np.isin(side, names[times >= LEAST_LIKES])
        if kept.sum() == before:
            return kept


def _predicted(
    user: NDArray[np.int64],
    item: NDArray[np.int64],
    rating: Numbers,
    lists: NDArray[np.int64],
    part: NDArray[np.int64],
    shape: tuple[int, int],
    seed: int,
) -> dict[str, Numbers]:
    """Return columns of a first stage that has not seen the list: its rating, the item's mean like and popularity."""
    fold = folds_of(np.arange(lists[-1] + 1).astype(str), folds=FOLDS, seed=seed)[lists]
    found = {name: np.zeros(len(user)) for name in ("score", "liking", "popularity")}
    for number in range(FOLDS + 1):
        to_judge = number == FOLDS
        rows = np.flatnonzero(part > 0 if to_judge else (part == 0) & (fold == number))
        of = np.flatnonzero((part == 0) & (to_judge | (fold != number)))
        given = csr_array((rating[of], (user[of], item[of])), shape=shape)
        found["score"][rows] = ratings(given, seed=seed)[user[rows], item[rows]]
        often = np.bincount(item[of], minlength=shape[1])
        likes = np.bincount(item[of], rating[of] >= LIKED, shape[1])
        found["liking"][rows] = ((likes + 5.0) / (often + 10.0))[item[rows]]
        found["popularity"][rows] = np.log1p(often)[item[rows]]
    return found


def _liked_before(
    user: NDArray[np.int64], item: NDArray[np.int64], time: Numbers, liked: Flags, starts: NDArray[np.int64]
) -> Iterator[list[int]]:
    """Yield, list by list, what its user liked before it began, most recent first."""
    order = np.flatnonzero(liked)[np.argsort(time[liked], kind="stable")]
    for start in starts.tolist():
        own = order[(user[order] == user[start]) & (time[order] < time[start])]
        yield item[own[: -LONGEST_HISTORY - 1 : -1]].tolist()


def _split(path: Path) -> Iterator[list[str]]:
    return (line.split("::") for line in lines(path, encoding="latin-1"))


def _year(title: str) -> float:
    found = re.search(r"\((\d{4})\)\s*$", title)
    return float(found.group(1)) if found else np.nan
