"""Ledgers of a sample of the pages: the newest first, each page counted once, and sums that come out right."""

import time
from itertools import count
from zlib import crc32

import numpy as np
import pytest

from slatewise import Candidates, Request
from slatewise.core.ledger import Entry
from slatewise.ladder import FULL
from slatewise.serve.control.accounting import Accountant, Books, Shown

ITEMS = Candidates.of(item_id=["a"])
SAMPLED = next(name for name in map(str, count()) if crc32(name.encode()) < 2**16)
"""A name that is in every sample."""


def shown(name, *, policy="p", ladder=None):
    return Shown(policy, ladder, Request(candidates=ITEMS, id=name), FULL, name)


def ledger(name, charge=1.0):
    return (Entry(request=name, time=0.0, slot=1, line="ads", item_id="a", value=1.0, score=1.0, charge=charge),)


def pages_of(entered):
    return sum(ledger[0].pages for _, ledger in entered)


def test_the_newest_page_comes_first_and_a_crowd_passes_the_oldest_over():
    books = Books(most=3)
    for name in "abcde":
        books.offer(shown(name))
    assert [books.next().name for _ in range(3)] == ["e", "d", "c"]
    assert books.next() is None
    books.enter(shown("e"), ledger("e"))
    assert pages_of(books.collect("p")) == 3.0  # for a and b, too; c and d are still at work


def test_a_page_that_waits_when_its_window_ends_is_passed_over():
    books = Books()
    for name in "ab":
        books.offer(shown(name))
    books.enter(books.next(), ledger("b"))
    assert pages_of(books.collect("p")) == 2.0
    assert books.next() is None


def test_pages_without_any_ledger_are_counted_with_the_next_one():
    books = Books()
    books.offer(shown("a"))
    assert books.collect("p") == []
    books.offer(shown(SAMPLED))
    books.enter(books.next(), ledger(SAMPLED))
    assert pages_of(books.collect("p")) == 2.0


def test_every_page_counts_once_whatever_is_sampled_and_when():
    rng, books, offered, counted = np.random.default_rng(0), Books(most=8), 0, 0.0
    for _ in range(60):
        for _ in range(rng.integers(0, 40)):
            newest = shown(f"page {offered}")
            if books.offer(newest):  # only then is there work
                assert books._queue[-1] is newest
            else:
                assert newest not in books._queue
            offered += 1
        for _ in range(rng.integers(0, 12)):
            if (page := books.next()) is not None:
                books.enter(page, None if rng.random() < 0.1 else ledger(page.name))
        counted += pages_of(books.collect("p"))
    books.offer(shown(SAMPLED))
    while (page := books.next()) is not None:
        books.enter(page, ledger(page.name))
    assert offered > 1000
    assert counted + pages_of(books.collect("p")) == pytest.approx(offered + 1)


def test_the_sum_of_charges_comes_out_right_of_a_tenth_of_the_pages():
    rng, books, true, told, made = np.random.default_rng(1), Books(most=40), 0.0, 0.0, 0
    for window in range(300):
        charges = dict(zip((f"{window} {place}" for place in range(100)), rng.gamma(0.5, 2.0, 100), strict=True))
        true += sum(charges.values())
        for name in charges:
            books.offer(shown(name))
        for _ in range(10):
            if (page := books.next()) is not None:
                books.enter(page, ledger(page.name, charges.get(page.name, 1.0)))
                made += 1
        told += sum(entries[0].charge * entries[0].pages for _, entries in books.collect("p"))
    assert made < 0.11 * 300 * 100
    assert told == pytest.approx(true, rel=0.05)


def test_policies_share_the_thread_and_nothing_else():
    books = Books()
    books.offer(shown("a", policy="p"))
    books.offer(shown("b", policy="q"))
    books.enter(books.next(), ledger("b"))
    assert not books.collect("p")
    assert pages_of(books.collect("q")) == 1.0


def until(true, seconds=60):
    """Wait for something to be true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never was"
        time.sleep(0.005)


class Works:
    """A ladder whose accounts fail for one page."""

    def account(self, request, under):
        if request.id == "bad":
            raise ZeroDivisionError
        return ledger(request.id)


def test_the_thread_makes_ledgers_and_survives_one_that_cannot_be_made(caplog):
    books = Books()
    accountant = Accountant(books, share=1.0)
    for name in ("good", "bad", "better"):
        books.offer(shown(name, ladder=Works()))
        accountant.call()
    until(lambda: accountant.failed == 1 and len(books._tallies["p"].entered) == 2)
    accountant.close()
    found = books.collect("p")
    assert pages_of(found) == 3.0
    assert {entered.name for entered in found} == {"good", "better"}
    assert accountant.failed == 1
    assert "page bad of policy p has no ledger" in caplog.text
