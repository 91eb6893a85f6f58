"""Learning to rank from features: LibSVM text, as Yahoo, MSLR-WEB, Istella and LightGBM's sample have it.

    LABEL [qid:QUERY] FEATURE:VALUE FEATURE:VALUE ... [# docid = NAME ...]

Features that a line does not name are 0. Without `qid`, a file of the same name that ends in `.query` says how many
lines each query has. Labels are grades 0 to 4. A query is a list; there are no users and no times.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from slatewise.core.errors import RequestError, shown
from slatewise.learn.datasets_files import Reading, lines
from slatewise.learn.pages import Pages

_DOCUMENT = re.compile(r"docid\s*=\s*(\S+)")
_QUERY = re.compile(r"\bqid:(\S+)\s*")


def letor(*paths: str | Path, parts: tuple[str, ...] = ("train", "valid", "test")) -> Reading:
    """Read files that belong together; they have the same features.

    Args:
        paths: The files, as many as there are parts, or fewer.
        parts: What each is called, as `part` of the context of its lists.

    Raises:
        RequestError: Names the file, the line and what is wrong with it.
    """
    if len(paths) > len(parts):
        raise RequestError("letor", f"must be at most {len(parts)} files", shown(len(paths)))
    files = [_read(Path(path), called) for path, called in zip(paths, parts, strict=False)]
    sizes = np.concatenate([one.sizes for one in files])
    pages = Pages.of(
        request=[query for one in files for query in one.queries],
        lists=np.repeat(np.arange(len(sizes)), sizes),
        keys={"item": [name for one in files for name in one.documents]},
        numbers=_dense(files),
        feedback={"label": np.concatenate([one.labels for one in files])},
        context={"part": [called for one, called in zip(files, parts, strict=False) for _ in one.queries]},
    )
    return Reading(pages, {}, {})


class _Part(NamedTuple):
    """A file: names of its queries and how many lines each has; names and labels of lines; features, line by line."""

    queries: list[str]
    sizes: NDArray[np.int64]
    documents: list[str]
    labels: NDArray[np.float64]
    features: NDArray[np.int64]
    values: NDArray[np.float64]
    counts: NDArray[np.int64]


def _read(path: Path, called: str) -> _Part:
    """Return a file; `called` comes before the names of its queries."""
    rows = [row for row in lines(path) if row.split("#")[0].strip()]
    if not rows:
        raise RequestError(f"letor {path.name}", "must have lines")
    asked = _queries(path, rows)
    starts = np.flatnonzero(np.concatenate([[True], asked[1:] != asked[:-1]]))
    if len(starts) != len(set(asked.tolist())):
        raise RequestError(f"letor {path.name}", "must have the lines of a query together")
    sizes = np.diff(np.append(starts, len(rows)))
    places = np.arange(len(rows)) - np.repeat(starts, sizes)
    documents = [
        found.group(1) if (found := _DOCUMENT.search(row)) else f"{called}-{query}-{place}"
        for row, query, place in zip(rows, asked.tolist(), places.tolist(), strict=True)
    ]
    return _Part([f"{called}-{query}" for query in asked[starts].tolist()], sizes, documents, *_numbers(path, rows))


def _queries(path: Path, rows: list[str]) -> NDArray[np.object_]:
    """Return the query of each line."""
    beside = path.with_name(path.name + ".query")
    if beside.is_file():
        counts = np.array([int(row) if row.strip().isdecimal() else 0 for row in lines(beside)], np.int64)
        if counts.sum() != len(rows) or not counts.all():
            rule = f"must count the {len(rows)} lines of {path.name}, >= 1 for each query"
            raise RequestError(f"letor {beside.name}", rule, shown(int(counts.sum())))
        return np.repeat(np.arange(1, len(counts) + 1), counts).astype(str).astype(object)
    found = np.empty(len(rows), object)
    for place, row in enumerate(rows):
        query = _QUERY.search(row)
        if query is None:
            raise RequestError(f"letor {path.name}[{place + 1}]", "must have `qid:`", shown(row))
        found[place] = query.group(1)
    return found


def _numbers(
    path: Path, rows: list[str]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Return labels, features and values of all lines after another, and how many features each line has."""
    texts = [_QUERY.sub("", row.split("#")[0]) for row in rows]
    counts = np.array([text.count(":") for text in texts], np.int64)
    try:
        flat = np.array(" ".join(texts).replace(":", " ").split(), np.float64)
    except ValueError:
        flat = np.zeros(0)
    if flat.size != (2 * counts + 1).sum():
        _refuse_line(path, texts)
    at = np.concatenate([[0], np.cumsum(2 * counts + 1)])[:-1]
    labels = flat[at]
    pairs = np.delete(flat, at).reshape(-1, 2)
    wrong = np.flatnonzero(~np.isin(labels, np.arange(5)))
    if len(wrong):
        where = f"letor {path.name}[{wrong[0] + 1}].label"
        raise RequestError(where, "must be a grade from 0 to 4", shown(float(labels[wrong[0]])))
    return labels, pairs[:, 0].astype(np.int64), pairs[:, 1], counts


def _refuse_line(path: Path, texts: list[str]) -> None:
    """Refuse the first line that is not of the form."""
    form = re.compile(r"\s*\S+(\s+\d+:\S+)*\s*")
    for place, text in enumerate(texts):
        try:
            right = bool(form.fullmatch(text)) and bool(len([float(one) for one in text.replace(":", " ").split()]))
        except ValueError:
            right = False
        if not right:
            raise RequestError(f"letor {path.name}[{place + 1}]", "must be LABEL FEATURE:VALUE ...", shown(text))


def _dense(files: list[_Part]) -> dict[str, NDArray[np.float64]]:
    """Return features that any line has as columns, 0 where a line does not name them."""
    used = np.unique(np.concatenate([one.features for one in files]))
    matrix = np.zeros((len(used), sum(len(one.counts) for one in files)))
    before = 0
    for one in files:
        rows = before + np.repeat(np.arange(len(one.counts)), one.counts)
        matrix[np.searchsorted(used, one.features), rows] = one.values
        before += len(one.counts)
    return {f"feature_{feature}": matrix[place] for place, feature in enumerate(used.tolist())}
