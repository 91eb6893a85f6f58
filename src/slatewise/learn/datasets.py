"""Data sets by name: what `slatewise data` reads, and where it looks for them.

| name | below the folder of data sets |
|---|---|
| `ml1m` | `movielens/` |
| `ml100k` | `movielens/ml100k_ratings.csv` |
| `ltr` | `ltr/`, with `rank.train` and `rank.test` |
| `yandex` | `yandex_lists/trainSample` |
| `ebnerd` | `ebnerd/` |
| `obd` | `open_bandit/random/all/all.csv` |
| `kuairand` | `kuairand/log_standard_4_22_to_5_08_1k.csv` |
| `avito` | `avito_clicks/` |
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from slatewise.core.columns import Keys
from slatewise.core.errors import RequestError, did_you_mean, shown
from slatewise.learn.datasets_clicks import avito, ebnerd, kuairand, open_bandit, yandex
from slatewise.learn.datasets_files import Reading
from slatewise.learn.datasets_letor import letor
from slatewise.learn.datasets_movielens import movielens_1m, movielens_100k
from slatewise.learn.ranker import first_stage, folds_of, trees

FOLDER = "SLATEWISE_DATA"
"""The variable of the environment that says where data sets are."""
WHOLE, SAMPLE = ("train.txt", "vali.txt", "test.txt"), ("rank.train", "rank.test")
"""Files of features: of Yahoo and MSLR, and of LightGBM's sample."""
FOLDS = 5


def learning_to_rank(source: str | Path, *, seed: int = 0) -> Reading:
    """Read files of features, in the order of trees that are fitted on the lists to learn from.

    Args:
        source: A folder with `train.txt`, `vali.txt` and `test.txt`, or with `rank.train` and `rank.test`; of the
            latter, a fifth of the lists to learn from is drawn, to validate with.
        seed: Root of the folds, of the trees, and of that draw.
    """
    source = Path(source)
    if all((source / name).is_file() for name in WHOLE):
        pages = letor(*(source / name for name in WHOLE)).pages
    elif all((source / name).is_file() for name in SAMPLE):
        pages = letor(*(source / name for name in SAMPLE), parts=("train", "test")).pages
        part = np.array([pages.context["part"].name(row) for row in range(len(pages))], object)
        learns = np.flatnonzero(part == "train")
        part[learns[folds_of(pages.request[learns], folds=FOLDS, seed=seed) == 0]] = "valid"
        pages = replace(pages, context={"part": Keys.of(part)})
    else:
        rule = f"must be a folder with {', '.join(WHOLE)}, or with {', '.join(SAMPLE)}"
        raise RequestError("data", rule, shown(str(source)))
    return Reading(first_stage(pages, partial(trees, seed=seed), folds=FOLDS, seed=seed), {}, {})


READERS: dict[str, tuple[str, Callable[..., Reading]]] = {
    "ml1m": ("movielens", movielens_1m),
    "ml100k": ("movielens/ml100k_ratings.csv", movielens_100k),
    "ltr": ("ltr", learning_to_rank),
    "yandex": ("yandex_lists/trainSample", yandex),
    "ebnerd": ("ebnerd", ebnerd),
    "obd": ("open_bandit/random/all/all.csv", open_bandit),
    "kuairand": ("kuairand/log_standard_4_22_to_5_08_1k.csv", kuairand),
    "avito": ("avito_clicks", avito),
}
"""Where each is looked for, and what reads it."""
SEEDED = ("ml1m", "ml100k", "ltr")
"""Those in which something is drawn."""


def read(name: str, source: str | Path | None = None, *, seed: int = 0) -> Reading:
    """Return a data set as pages.

    Args:
        name: One of `READERS`.
        source: The file or folder; by default where it is looked for.
        seed: Root of what is drawn.

    Raises:
        RequestError: There is no such data set, or it is not there.
    """
    if name not in READERS:
        raise RequestError("data", "must be a data set", shown(name), did_you_mean(name, READERS))
    place, reader = READERS[name]
    if source is None and FOLDER not in os.environ:
        raise RequestError("data", f"must be somewhere: say where, or set {FOLDER}", shown(name))
    found = Path(os.environ[FOLDER]) / place if source is None else Path(source)
    return reader(found, **({"seed": seed} if name in SEEDED else {}))
