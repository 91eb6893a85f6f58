"""Public logs of what people were shown and clicked, as `Pages`: result pages, a shop, a news feed, videos, ads.

| reader | a list | slots | not known |
|---|---|---|---|
| `yandex` | a result page of ten | as displayed | users, times, features, how the order came about |
| `open_bandit` | a showing: one item of all that could have been | its position | what else stood on the page |
| `ebnerd` | articles that came into view | none: the file has them in no order | order, features of articles |
| `kuairand` | consecutive videos of a user in a tab | as they came | other candidates |
| `avito` | the ads of a search | as displayed | clicks on what is not a context ad |

All say what they left out.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np

from slatewise.core.errors import RequestError, shown
from slatewise.learn.datasets_files import Reading, column, in_a_row, lines, seconds, table
from slatewise.learn.pages import Pages
from slatewise.learn.pages_columns import LONGEST_HISTORY

SITTING_S, LONGEST_SITTING = 600.0, 20
"""Seconds without a video after which another list begins, and videos of a list at most."""
CONTEXT_AD = "3"
"""The kind of ads of which clicks are known."""
_SESSION = re.compile(r"\s*(\w+)_(\w+)\t([\d,\s]+?)\s*:\s*([\d,\s]*)")


def yandex(path: str | Path) -> Reading:
    """Read result pages with clicks: `QUERY_REGION<tab>DOCUMENT,... : CLICK , ...`, sessions joined by semicolons.

    Args:
        path: The file, `trainSample`.

    Raises:
        RequestError: A session is of another form.
    """
    asked: list[tuple[str, str]] = []
    shown_pages: list[list[str]] = []
    clicked_pages: list[set[str]] = []
    for number, line in enumerate(lines(path), 1):
        for session in filter(str.strip, line.split(";")):
            found = _SESSION.fullmatch(session)
            if found is None:
                raise RequestError(f"yandex[{number}]", "must be `QUERY_REGION<tab>DOCUMENTS : CLICKS`", shown(session))
            query, region, page, clicks = found.groups()
            asked.append((query, region))
            shown_pages.append([one.strip() for one in page.split(",")])
            clicked_pages.append({one.strip() for one in clicks.split(",") if one.strip()})
    distinct = [list(dict.fromkeys(page)) for page in shown_pages]
    both = list(zip(shown_pages, distinct, clicked_pages, strict=True))
    pages = Pages.of(
        request=[f"page-{place}" for place in range(1, len(asked) + 1)],
        time=np.arange(len(asked)),
        lists=np.repeat(np.arange(len(asked)), [len(own) for own in distinct]),
        keys={"item": [one for own in distinct for one in own]},
        slot=[page.index(one) + 1 for page, own, _ in both for one in own],
        feedback={"click": [float(one in clicked) for _, own, clicked in both for one in own]},
        context={"query": [query for query, _ in asked], "region": [region for _, region in asked]},
    )
    dropped = {
        "clicks on documents outside the page": sum(len(clicked - set(own)) for _, own, clicked in both),
        "documents that stand twice": sum(len(page) - len(own) for page, own, _ in both),
    }
    return Reading(pages, dropped, {})


def open_bandit(path: str | Path) -> Reading:
    """Read a campaign of the Open Bandit Dataset: each showing is a list of all items, of which one was shown.

    Affinities are columns of rows; the other items' are in the same line of the file.

    Args:
        path: The CSV file; `item_context.csv` is looked for beside it.
    """
    path = Path(path)
    log, items = table(path), table(path.with_name("item_context.csv"))
    size, count = log.num_rows, items.num_rows
    order = np.argsort(np.array(column(items, "item_id")))
    affinity = np.column_stack([np.array(column(log, f"user-item_affinity_{item}")) for item in range(count)])
    shown_item = np.array(column(log, "item_id"))
    at = np.arange(size)
    columns: dict[str, Any] = {}
    for name, source in (("slot", "position"), ("click", "click"), ("propensity", "propensity_score")):
        columns[name] = np.full((size, count), 0.0 if name == "slot" else np.nan)
        columns[name][at, shown_item] = np.array(column(log, source))
    words = [f"item_feature_{place}" for place in (1, 2, 3)]
    pages = Pages.of(
        request=[f"showing-{place + 1}" for place in range(size)],
        time=[seconds(str(time)) for time in column(log, "timestamp")],
        lists=np.repeat(at, count),
        keys={
            "item": np.tile(np.arange(count).astype(str), size),
            **{name: np.tile(np.array(column(items, name), object)[order], size) for name in words},
        },
        numbers={
            "score": affinity.ravel(),
            "item_feature_0": np.tile(np.array(column(items, "item_feature_0"))[order], size),
        },
        slot=columns["slot"].ravel(),
        feedback={"click": columns["click"].ravel(), "exposed": np.where(columns["slot"] > 0, 1.0, np.nan).ravel()},
        propensity=columns["propensity"].ravel(),
        context={f"user_feature_{place}": column(log, f"user_feature_{place}") for place in range(4)},
    )
    return Reading(pages, {}, {"clicks": float(np.nansum(columns["click"]))})


def ebnerd(folder: str | Path) -> Reading:
    """Read EB-NeRD: articles in view of a news feed. Gender, age and postcode are left out.

    Args:
        folder: Has `behaviors.parquet` and `history.parquet`.
    """
    folder = Path(folder)
    behaviours = table(folder / "behaviors.parquet").to_pydict()
    past = table(folder / "history.parquet").to_pydict()
    read = {
        str(user): [str(one) for _, one in sorted(zip(times, articles, strict=True), reverse=True)][:LONGEST_HISTORY]
        for user, times, articles in zip(
            past["user_id"], past["impression_time_fixed"], past["article_id_fixed"], strict=True
        )
    }
    shown_lists = [list(dict.fromkeys(shown)) for shown in behaviours["article_ids_inview"]]
    sizes = [len(shown) for shown in shown_lists]
    clicked = [set(clicks) for clicks in behaviours["article_ids_clicked"]]
    dropped = {
        "clicks on articles that were not in view": sum(
            len(c - set(s)) for c, s in zip(clicked, shown_lists, strict=True)
        ),
        "articles in view twice": sum(map(len, behaviours["article_ids_inview"])) - sum(sizes),
    }
    rows = [(at, article) for at, shown in enumerate(shown_lists) for article in shown]
    click = np.array([article in clicked[at] for at, article in rows], np.float64)
    spent = np.array([behaviours["next_read_time"][at] for at, _ in rows], np.float64)
    users = [str(user) for user in behaviours["user_id"]]
    pages = Pages.of(
        request=[str(name) for name in behaviours["impression_id"]],
        user=users,
        time=[time.replace(tzinfo=UTC).timestamp() for time in behaviours["impression_time"]],
        lists=np.repeat(np.arange(len(sizes)), sizes),
        keys={"item": [str(article) for _, article in rows]},
        feedback={"click": click, "exposed": np.ones(len(rows)), "read_time": np.where(click > 0, spent, np.nan)},
        context={
            "device": [str(device) for device in behaviours["device_type"]],
            "place": ["front page" if one is None else "article" for one in behaviours["article_id"]],
        },
        histories={"item": [read.get(user, []) for user in users]},
    )
    return Reading(pages, dropped, {})


def kuairand(path: str | Path) -> Reading:
    """Read a log of KuaiRand, `log_standard_*.csv` or `log_random_*.csv`: videos as they came.

    A list is what a user saw in a tab without ten minutes between, at most 20 videos. A video that comes twice counts
    once. `random` says which videos were put there by chance.
    """
    log = table(Path(path))
    whole = ("user_id", "video_id", "tab", "time_ms", "duration_ms", "is_rand")
    user, video, tab, time, duration, by_chance = (np.array(column(log, name), np.int64) for name in whole)
    order = np.lexsort((time, tab, user))
    after = [np.diff(values[order]) for values in (user, tab, time)]
    new = np.concatenate([[True], (after[0] != 0) | (after[1] != 0) | (after[2] > SITTING_S * 1000)])
    lists = in_a_row(new, LONGEST_SITTING)
    by_video = np.lexsort((np.arange(len(lists)), video[order], lists))
    again = (np.diff(lists[by_video]) == 0) & (np.diff(video[order][by_video]) == 0)
    once = np.ones(len(lists), np.bool_)
    once[by_video[1:][again]] = False
    rows, lists = order[once], lists[once]
    starts = np.flatnonzero(np.concatenate([[True], np.diff(lists) > 0]))
    feedback = ("is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate", "long_view", "play_time_ms")
    pages = Pages.of(
        request=[f"sitting-{place + 1}" for place in range(len(starts))],
        user=user[rows[starts]].astype(str).astype(object),
        time=time[rows[starts]] / 1000,
        lists=lists,
        keys={"item": video[rows].astype(str)},
        numbers={"duration_s": duration[rows] / 1000},
        slot=np.arange(len(rows)) - starts[lists] + 1,
        feedback={
            **{name.removeprefix("is_"): np.array(column(log, name), np.float64)[rows] for name in feedback},
            "random": by_chance[rows],
        },
        context={"tab": tab[rows[starts]].astype(str)},
    )
    return Reading(pages, {"videos that came twice in a list": int(np.sum(~once))}, {})


def avito(folder: str | Path) -> Reading:
    """Read Avito's searches with context ads: `trainSearchStream.tsv` and `SearchInfo.tsv`.

    Ads of other kinds, of which clicks are not told, are left out; slots are numbered as on the page. The first stage's
    score is the click rate that the log comes with.
    """
    folder = Path(folder)
    info = table(folder / "SearchInfo.tsv").to_pydict()
    place = {name: at for at, name in enumerate(info["SearchID"])}
    stream = table(folder / "trainSearchStream.tsv").to_pydict()
    dropped = Counter[str]({"ads of other kinds": 0, "ads of searches of which nothing is known": 0})
    kept: list[int] = []
    for row, kind in enumerate(stream["ObjectType"]):
        if kind != CONTEXT_AD or not stream["IsClick"][row]:
            dropped["ads of other kinds"] += 1
        elif stream["SearchID"][row] not in place:
            dropped["ads of searches of which nothing is known"] += 1
        else:
            kept.append(row)
    searches = list(dict.fromkeys(stream["SearchID"][row] for row in kept))
    at = {name: number for number, name in enumerate(searches)}
    asked = [place[name] for name in searches]
    pages = Pages.of(
        request=searches,
        user=[info["UserID"][one] for one in asked],
        time=[seconds(info["SearchDate"][one]) for one in asked],
        lists=[at[stream["SearchID"][row]] for row in kept],
        keys={"item": [stream["AdID"][row] for row in kept]},
        numbers={"score": [float(stream["HistCTR"][row]) for row in kept]},
        slot=[int(stream["Position"][row]) for row in kept],
        feedback={"click": [float(stream["IsClick"][row]) for row in kept]},
        context={
            "category": [info["CategoryID"][one] for one in asked],
            "location": [info["LocationID"][one] for one in asked],
        },
    )
    return Reading(pages, dict(dropped), {})
