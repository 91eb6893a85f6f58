"""The lines against a slow twin that reads the raw log, and the promise that nobody looks ahead."""

from collections import Counter
from math import sqrt

import msgspec
import numpy as np
import pytest

from slatewise.demo import replay as replaying
from slatewise.demo.interests import Interests
from slatewise.demo.lines import LINES, nominate
from slatewise.demo.records import Visit, shipped_histories, shipped_visits
from slatewise.demo.replay import Replay
from slatewise.demo.site import Site

VISITS = list(shipped_visits())
HISTORIES = list(shipped_histories())
HOUR_S = 3600


def site_at(number):
    """Return the site as it stands when a visit begins."""
    site = Site(HISTORIES)
    for visit in VISITS[:number]:
        site.begin(visit)
        site.end(visit)
    site.begin(VISITS[number])
    return site


def expected(number):
    """Return, from the raw log, line to {article: score} of all articles about, and what the reader opened."""
    visit = VISITS[number]
    seen = [(at, one) for history in HISTORIES for at, one in zip(history.times, history.articles, strict=True)]
    seen += [(past.time, one) for past in VISITS[:number] for one in past.shown]
    last, first = {}, {}
    for at, one in seen:
        last[one], first[one] = max(at, last.get(one, at)), min(at, first.get(one, at))
    about = {one for one, at in last.items() if at > visit.time - 12 * HOUR_S}
    opened = {history.reader: list(dict.fromkeys(history.articles)) for history in HISTORIES}
    heat = Counter()
    for past in VISITS[: number + 1]:
        if past.reading is not None and past.reading not in opened[past.reader]:
            opened[past.reader].append(past.reading)
        if past is visit:
            break
        opened[past.reader] += [one for one in past.clicked if one not in opened[past.reader]]
        fade = 0.5 ** ((visit.time - past.time) / (2 * HOUR_S))
        for one in past.shown:
            heat[one] += (0.1 + (one in past.clicked)) * fade
    mine = opened[visit.reader]
    readers = {}
    for reader, articles in opened.items():
        for one in articles:
            readers.setdefault(one, set()).add(reader)
    similarity = {one: similar(one, mine[-20:], readers) for one in about - set(mine)}
    fresh = {one: 1 / (1 + (visit.time - first[one]) / HOUR_S) for one in about}
    return {"for_you": similarity, "trending": {one: heat[one] for one in about}, "fresh": fresh}, set(mine)


def similar(one, profile, readers):
    """Cosine of an article to the sum of the profile's unit vectors, shrunk by how few have read it."""
    if one not in readers:
        return 0.0

    def dot(i, j):
        return len(readers[i] & readers[j]) / sqrt(len(readers[i]) * len(readers[j]))

    length = sqrt(sum(dot(i, j) for i in profile for j in profile))
    return sum(dot(one, i) for i in profile) / length * len(readers[one]) / (len(readers[one]) + 1)


@pytest.mark.parametrize("number", [0, 1, 40, 333, 700, 1045])
def test_nominations_against_the_raw_log(number):
    scores, mine = expected(number)
    nominations = nominate(site_at(number), VISITS[number])
    candidates = nominations.candidates
    assert set(nominations.about.tolist()) == set(scores["fresh"])
    lines = candidates.key("line")
    for code, line in enumerate(LINES):
        rows = np.flatnonzero(lines.codes == code).tolist()
        ranked = sorted((score for score in scores[line].values() if score > 1e-6), reverse=True)[:60]
        assert len(rows) == len(ranked)
        np.testing.assert_allclose(candidates.number("score")[rows], ranked, rtol=1e-4)
        for row in rows:
            assert candidates.number("score")[row] == pytest.approx(scores[line][candidates.item_id[row]], rel=1e-4)
    assert candidates.flag("opened").tolist() == [one in mine for one in candidates.item_id]


def replayed(log, monkeypatch):
    """Return what a replay saw and made, visit by visit."""
    seen = []

    def spy(site, visit):
        nominations = nominate(site, visit)
        candidates = nominations.candidates
        clusters = candidates.key("cluster")
        seen.append((candidates.item_id, candidates.number("score").tolist(), clusters.codes.tolist()))
        return nominations

    with monkeypatch.context() as patch:
        patch.setattr(replaying, "nominate", spy)
        done = Replay(Site(HISTORIES))
        done.run(log)
    return seen, {maker: values.tolist() for maker, values in done.values.items()}, done.arms.mornings.maps


@pytest.mark.parametrize("cut", [1, 137, 150])
def test_nothing_is_known_of_a_visit_before_it_is_over(cut, monkeypatch):
    rng = np.random.default_rng(cut)
    log = VISITS[: cut + 20]
    altered = log[:cut] + [scrambled(visit, rng) for visit in log[cut:]]
    seen, values, factors = replayed(log, monkeypatch)
    others, other_values, other_factors = replayed(altered, monkeypatch)
    assert others[: cut + 1] == seen[: cut + 1]
    assert others[cut + 1 :] != seen[cut + 1 :]
    for maker, worth in values.items():
        assert other_values[maker][: cut + 1] == worth[: cut + 1]
    until = log[cut].time // 86_400
    assert {day: by_line for day, by_line in other_factors.items() if day <= until} == {
        day: by_line for day, by_line in factors.items() if day <= until
    }


def scrambled(visit, rng):
    """Return the visit with another outcome: other articles shown, new and old, and others clicked."""
    shown = (*rng.integers(1, 1000, 6).tolist(), *rng.permutation(VISITS[0].shown).tolist())
    return msgspec.structs.replace(visit, shown=tuple(map(int, shown)), clicked=(int(shown[0]), int(shown[-1])))


def test_beyond_as_many_readers_as_axes_similarity_is_right_on_average():
    rng = np.random.default_rng(0)
    interests = Interests()
    tastes = rng.integers(0, 2, 4000)
    for reader, taste in enumerate(tastes.tolist()):
        interests.open(reader, np.array([taste, 2 + taste, 4 + int(rng.integers(0, 2))]))
    own, other, mixed = (interests.vectors[one] / np.linalg.norm(interests.vectors[one]) for one in (0, 1, 4))
    assert own @ interests.vectors[2] / np.linalg.norm(interests.vectors[2]) == pytest.approx(1)
    assert abs(own @ other) < 0.25
    assert own @ mixed == pytest.approx(sqrt(0.25), abs=0.25)


def test_a_site_without_a_past_nominates_nothing():
    visit = Visit(id=1, time=1000, reader=1, shown=(5,), clicked=(5,))
    site = Site()
    site.begin(visit)
    assert len(nominate(site, visit).candidates) == 0
    site.end(visit)
    later = Visit(id=2, time=1000 + HOUR_S, reader=2, shown=(), clicked=())
    site.begin(later)
    found = nominate(site, later).candidates
    assert found.item_id == [5, 5]
    assert found.number("score").tolist() == pytest.approx([1.1 * 0.5**0.5, 1 / 2])
