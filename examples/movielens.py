"""What variety costs on MovieLens-1M: a factor model, the pages of 200 users, and every variant of `compose.spread`.

`make tradeoff` runs it, and leaves the picture in out/. The data is no part of this repository: GroupLens' MovieLens-1M
is looked for in `SLATEWISE_DATA`/movielens, as `ml1m_interactions.parquet` (who rated what) and `ml1m_movies.dat`.

    model      truncated SVD of the users' ratings as ones and zeros
    utility    probability that a movie is among those held out: a logistic curve of the root of the model's score,
               fitted on 200 other users
    vector     the movie's factors, with half of the weight that the model gives each
    genres     as the movies have them; a user's history is those of what is not held out
    pool       the 200 movies that the user has not rated yet and the model scores highest, for a page of 20

Reference:
    Cremonesi, Koren & Turrin (2010), "Performance of recommender algorithms on top-N recommendation tasks", RecSys:
    the model, PureSVD.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pyarrow import parquet
from scipy.sparse import csr_array
from scipy.sparse.linalg import svds
from scipy.special import expit

from slatewise import Candidates, Policy, Request
from slatewise.compose.spread import Spread
from slatewise.compose.terms import Similar, Term
from slatewise.core.columns import Embedding, EmbeddingTable, Kind
from slatewise.core.variety import VARIANTS
from slatewise.evaluate.intervals import difference_by_cluster
from slatewise.evaluate.metrics import hit_rate, recall
from slatewise.evaluate.tradeoff import Arm, Tally, Tradeoff, compared, trials
from slatewise.pictures.tradeoff import Outcomes, picture
from slatewise.render import progress, tradeoff_tables

USERS, FACTORS, POOL, SLOTS, HELD_OUT = 200, 64, 200, 20, 0.2
STRENGTHS = (0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
COLUMNS: dict[str, Kind] = {"utility": "number", "vector": "embedding", "genres": "keys"}


class Ratings(NamedTuple):
    """Who rated what, in two parts; and what the movies are.

    Attributes:
        train: (users, movies) 1 where the model may look.
        held: (users, movies) 1 where it may not.
        users: Users of whom something is held out, the first half to be measured, the second to calibrate with.
        genres: Of each movie.
    """

    train: csr_array
    held: csr_array
    users: NDArray[np.int64]
    genres: Sequence[Sequence[str]]


class Model(NamedTuple):
    """What the model says of the users of whom something is held out.

    Attributes:
        movies: (u, pool) their movies, best first.
        scores: (u, pool)
        vectors: (movies, factors)
    """

    movies: NDArray[np.int64]
    scores: NDArray[np.float64]
    vectors: NDArray[np.float32]


def read(folder: Path) -> Ratings:
    """Read the ratings, and hold a part of some users' back."""
    table = parquet.read_table(folder / "ml1m_interactions.parquet", columns=["userID", "movieID"])
    names, users = np.unique(table["userID"].to_pylist(), return_inverse=True)
    titles, movies = np.unique(table["movieID"].to_pylist(), return_inverse=True)
    lines = (folder / "ml1m_movies.dat").read_text(encoding="latin-1").splitlines()
    genres = {movie: kinds.split("|") for movie, _, kinds in (line.split("::") for line in lines)}
    draws = np.random.default_rng(0)
    some = draws.permutation(len(names))[: 2 * USERS]
    held = np.isin(users, some) & (draws.random(len(users)) < HELD_OUT)
    shape = len(names), len(titles)
    train, test = (csr_array((np.ones(part.sum()), (users[part], movies[part])), shape=shape) for part in (~held, held))
    return Ratings(train, test, some, [genres[title] for title in titles])


def fitted(ratings: Ratings) -> Model:
    """Return the model."""
    left, weights, right = svds(ratings.train, k=FACTORS, v0=np.ones(min(ratings.train.shape)))
    scores = (left[ratings.users] * weights) @ right
    scores[ratings.train[ratings.users].toarray() > 0] = -np.inf
    movies = np.argsort(-scores, axis=1, kind="stable")[:, :POOL]
    vectors = (right.T * np.sqrt(weights)).astype(np.float32)
    return Model(movies, np.take_along_axis(scores, movies, axis=1), vectors)


def calibrated(model: Model, right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (users, pool) utilities: how probable it is that a movie was held out, learned from the other users.

    Args:
        model: The model.
        right: (u, pool) 1 where it was.
    """
    roots = np.sqrt(np.maximum(model.scores, 0))
    inputs = np.stack([np.ones(roots[USERS:].size), roots[USERS:].ravel()], axis=1)
    curve = np.zeros(2)
    for _ in range(20):  # Newton's steps
        likely = expit(inputs @ curve)
        curvature = inputs.T @ (inputs * (likely * (1 - likely))[:, None])
        curve += np.linalg.solve(curvature, inputs.T @ (right[USERS:].ravel() - likely))
    return expit(curve[0] + curve[1] * roots[:USERS])


def requests_of(ratings: Ratings, model: Model, utilities: NDArray[np.float64]) -> list[Request]:
    """Return a request for each user to be measured."""
    table = EmbeddingTable(model.vectors)
    requests: list[Request] = []
    for user, movies, utility in zip(ratings.users, model.movies, utilities, strict=False):
        candidates = Candidates.of(
            item_id=movies,
            utility=utility,
            vector=Embedding(table, movies.astype(np.int32)),
            genres=[ratings.genres[movie] for movie in movies],
            kinds=COLUMNS,
        )
        liked = Counter(genre for movie in ratings.train[[user]].indices for genre in ratings.genres[movie])
        requests.append(Request(candidates=candidates, user=str(user), history={"genres": liked}))
    return requests


def policies() -> dict[str, Policy]:
    """Return a policy for each variant."""
    term = Term(name="look-alikes", variant="mmr", similar=(Similar(cosine="vector"),))
    policy = Policy.of(Spread(terms=(term,)), lines=["movies"], columns=COLUMNS, slots=SLOTS)
    return compared([("movies", policy)], variants=VARIANTS)


def run(folder: Path) -> tuple[Tradeoff, dict[str, Outcomes]]:
    """Return the trade-off, and what the pages found of what was held out."""
    ratings = read(folder)
    model = fitted(ratings)
    held = ratings.held[ratings.users].toarray()
    right = np.take_along_axis(held, model.movies, axis=1)
    arms = policies()
    tally = Tally(arms, strengths=STRENGTHS, columns=["genres"])
    found: dict[str, list[NDArray[np.float64]]] = {"recall": [], "hit rate": []}
    requests = requests_of(ratings, model, calibrated(model, right))
    for user, trial in enumerate(progress(trials(arms, requests, strengths=STRENGTHS), len(requests))):
        tally.add(trial)
        pages = np.array([right[user][page.slate.rows] for row in trial.pages for page in row])
        pool = np.broadcast_to(held[user], (len(pages), held.shape[1]))
        for name, metric in (("recall", recall), ("hit rate", hit_rate)):
            found[name].append(metric(pages, pool, SLOTS).reshape(len(arms), -1))
    return tally.tradeoff(), {name: _outcomes(name, np.array(values)) for name, values in found.items()}


def _outcomes(name: str, values: NDArray[np.float64]) -> Outcomes:
    """Return outcomes of (users, arms, strengths) values."""
    users = np.arange(len(values))
    changes = [
        [difference_by_cluster(at, arm[:, 0], users, resamples=999) for at in arm.T] for arm in values.swapaxes(0, 1)
    ]
    return Outcomes(f"held-out {name} at {SLOTS}", float(np.nanmean(values[:, 0, 0])), changes)


def main(out: Path) -> None:
    """Print what came out, and leave the picture."""
    folder = Path(os.environ.get("SLATEWISE_DATA", "../shared/data")) / "movielens"
    if not (folder / "ml1m_interactions.parquet").is_file():
        print(f"no MovieLens-1M in {folder}: set SLATEWISE_DATA to a folder that has movielens/", file=sys.stderr)
        return
    found, outcomes = run(folder)
    print_tables(found, outcomes)
    out.mkdir(parents=True, exist_ok=True)
    path = out / "tradeoff.svg"
    path.write_text(picture(found, outcomes["recall"]), encoding="utf-8")
    print(f"picture: {path}")


def print_tables(found: Tradeoff, outcomes: dict[str, Outcomes]) -> None:
    """Print the curves, and the outcomes where 1, 2 and 5 % of value are given up."""
    from rich.console import Console

    console = Console(width=160, highlight=False)
    console.print(tradeoff_tables(found))
    console.print(
        "mean distance, least distance and entropy of genres where 2 and 5 % are given up, read off the lines"
    )
    for arm in found.arms:
        console.print(f"  {arm.name:12}" + "   ".join(map(arm_at(arm), (0.02, 0.05))))
    for outcome in outcomes.values():
        console.print(f"{outcome.label}: {outcome.start:.3f} at strength 0; change at the strengths above")
        for arm, changes in zip(found.arms, outcome.changes, strict=True):
            strengths = [point.strength for point in arm.points]
            at = [changes[strengths.index(one.strength or 0.0)] for one in arm.within]
            told = "   ".join(f"{one.estimate:+.3f} [{one.low:+.3f}, {one.high:+.3f}]" for one in at)
            console.print(f"  {arm.name:12}{told}")


def arm_at(arm: Arm) -> Callable[[float], str]:
    """Return what says how varied the pages are where so much is given up."""
    given = [1 - point.kept for point in arm.points]

    def told(share: float) -> str:
        measures = (("vector", "ild"), ("vector", "ilmd"), ("genres", "entropy"))
        lines = ([point.columns[column][measure] for point in arm.points] for column, measure in measures)
        return " ".join(f"{np.interp(share, given, line):.3f}" for line in lines)

    return told


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out"))
