"""The page under rules: how good, how surely and how fast, beside HiGHS, CP-SAT and every page there is.

Run with `make bench-rules`, or some parts alone: `python benchmarks/rules.py gap pairs`. Instances are drawn from fixed
seeds; tests use others.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing import Pool

import numpy as np

import peers
from house import SLOTS, columns, policy
from report import Row, fastest, publish, show
from slatewise import Candidates, Solve
from slatewise.compose.solve import METHODS
from slatewise.core.constraints import Constraints
from slatewise.core.problem import TOLERANCE, PageProblem, Solution
from slatewise.kernels import audit
from slatewise.testing.families import FAMILIES, FEED_RULES, draw
from slatewise.testing.planted import feasible, infeasible

SEED = 20_000
PROCESSES = 2
FEASIBLE, INFEASIBLE, FEEDS, TIMED, MIXED, RACED, PAIRED = 100_000, 2_000, 200, 500, 40, 40, 1_000
BUDGET_S = 90.0
"""Longest that one method may take over the feasible instances, in each process."""
PATIENCE_MS = 1_000.0
"""Work allowed where it is the answer that counts."""
TIMED_MS = 50.0
"""Work allowed where it is the time that counts: longer than the longest time asked for."""


def measured(problem: PageProblem, solution: Solution) -> tuple[int, ...]:
    """Return (minus the length, then what is broken tier by tier): smaller is better."""
    arrays = problem.constraints.arrays
    cost = np.zeros(arrays.tier.max(initial=0) + 1, np.int64)
    np.add.at(cost, arrays.tier, audit.broken(solution.rows, arrays))
    return -len(solution.rows), *cost.tolist()


def clocked(solve: Callable[[PageProblem], Solution], problem: PageProblem, calls: int = 3) -> tuple[Solution, float]:
    """Return the solution, and the seconds of the fastest of some calls; what takes a tenth of one is called once."""
    best = np.inf
    for _ in range(calls):
        start = time.perf_counter()
        solution = solve(problem)
        best = min(best, time.perf_counter() - start)
        if best > 0.1:
            break
    return solution, best


def over_processes(part: Callable[[int], Counter[str]]) -> Counter[str]:
    """Return what the parts counted, summed."""
    with Pool(PROCESSES) as pool:
        return sum(pool.map(part, range(PROCESSES)), Counter[str]())


def violations() -> list[Row]:
    """Count broken rules and missing rows where all rules can hold."""
    found = over_processes(_violations)
    told = ", ".join(f"{name} {found[f'{name} broken']} of {found[name]:,}" for name in METHODS)
    by_worth = found["by worth"] / found["drawn"]
    broken = sum(found[f"{name} broken"] for name in METHODS)
    return [
        Row(
            f"pages that break a rule, {FEASIBLE:,} random feasible instances, or as many as fit into {BUDGET_S:.0f} s",
            "0",
            told,
            f"rows by worth alone: {by_worth:.0%} of pages",
            broken == 0,
        )
    ]


def _violations(part: int) -> Counter[str]:
    found: Counter[str] = Counter()
    spent = dict.fromkeys(METHODS, 0.0)
    for seed in range(part, FEASIBLE, PROCESSES):
        one = feasible(np.random.default_rng([SEED, seed]))
        problem = one.problem()
        arrays = problem.constraints.arrays
        found["drawn"] += 1
        _, first = np.unique(arrays.items[problem.order], return_index=True)
        found["by worth"] += bool(audit.broken(problem.order[np.sort(first)][: one.slots], arrays).any())
        for name, solve in METHODS.items():
            if spent[name] > BUDGET_S:
                continue
            start = time.perf_counter()
            rows = solve(problem).rows
            spent[name] += time.perf_counter() - start
            found[name] += 1
            found[f"{name} broken"] += len(rows) < len(one.planted or ()) or bool(audit.broken(rows, arrays).any())
    return found


def relaxations() -> list[Row]:
    """Compare what is broken with the least that must be, on instances whose rules cannot all hold."""
    found = over_processes(_relaxations)
    rows = []
    for names, most in ((("exact", "ilp"), 0.0), (("greedy", "swap"), 0.02)):
        told = ", ".join(f"{name} {found[name] / INFEASIBLE:.2%}" for name in names)
        rows.append(
            Row(
                f"pages that break more than the least, {INFEASIBLE:,} infeasible instances: {', '.join(names)}",
                "0" if not most else f"<= {most:.0%}",
                told,
                f"HiGHS tier by tier; every page in NumPy contradicts it {found['contradicted']} times",
                all(found[name] <= most * INFEASIBLE for name in names) and not found["contradicted"],
            )
        )
    return rows


def _relaxations(part: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for seed in range(part, INFEASIBLE, PROCESSES):
        one = infeasible(np.random.default_rng([SEED, 1, seed]))
        patient, usual = one.problem(PATIENCE_MS), one.problem()
        least = measured(patient, METHODS["ilp"](patient))
        tried = peers.best_page(patient)[0]
        found["contradicted"] += least != tried
        found["ilp"] += least > tried
        found["exact"] += measured(patient, METHODS["exact"](patient)) > least
        for name in ("greedy", "swap"):
            found[name] += measured(usual, METHODS[name](usual)) > least
    return found


def gap() -> list[Row]:
    """Compare the value of `swap`, which starts from the greedy page, with the optimum of the integer program."""
    with Pool(PROCESSES) as pool:
        missing = np.array(pool.map(_gaps, range(FEEDS), chunksize=10))
    swap, greedy = missing.T
    return [
        Row(
            f"greedy + swap below the optimum, {FEEDS} feeds of n = 200, k = 20, six rules, by position",
            "mean <= 0.3 %, worst <= 3 %",
            f"mean {swap.mean():.3%}, worst {swap.max():.2%}",
            f"HiGHS: 0; greedy alone: mean {greedy.mean():.3%}, worst {greedy.max():.2%}",
            swap.mean() <= 0.003 and swap.max() <= 0.03,
        )
    ]


def _gaps(seed: int) -> tuple[float, float]:
    problem = draw("feed", SEED + seed).problem()
    optimum = peers.highs(peers.program(problem), 0.0)
    assert optimum.proven, f"HiGHS did not solve feed {SEED + seed} in time"
    values = (METHODS[name](problem).value for name in ("swap", "greedy"))
    return tuple(1 - value / optimum.value for value in values)


def proofs() -> list[Row]:
    """Count the instances that `exact` solves with proof in time: feeds, and all families."""
    feeds = [draw("feed", SEED + seed).problem(TIMED_MS) for seed in range(TIMED)]
    mixed = [draw(name, SEED + seed).problem(TIMED_MS) for name in FAMILIES for seed in range(MIXED)]
    return [
        _proven(f"exact, proven, {TIMED} feeds of n = 200, k = 20, six rules", feeds),
        _proven(f"exact, proven, {len(mixed)} instances of {len(FAMILIES)} families", mixed),
    ]


def _proven(target: str, problems: list[PageProblem]) -> Row:
    METHODS["exact"](problems[0])
    answers = [clocked(METHODS["exact"], problem) for problem in problems]
    seconds = np.array([took if solution.is_proven else np.inf for solution, took in answers])
    soon, later = (seconds <= 5e-3).mean(), (seconds <= 20e-3).mean()
    bounds = [METHODS["greedy"](problem).is_proven for problem in problems]
    return Row(
        target,
        ">= 95 % in 5 ms, 99 % in 20 ms",
        f"{soon:.1%} in 5 ms, {later:.1%} in 20 ms, median {np.median(seconds) * 1e3:.2f} ms",
        f"proven by the greedy page's own bound: {np.mean(bounds):.1%}",
        bool(soon >= 0.95 and later >= 0.99),
    )


def race() -> list[Row]:
    """Measure the time to a proven page, and to the greedy page, beside that of the solvers."""
    times: dict[str, list[float]] = {"exact": [], "greedy": [], "HiGHS": [], "CP-SAT": []}
    agreed = 0
    for seed in range(RACED):
        problem = draw("feed", SEED + 1_000 + seed).problem(PATIENCE_MS)
        written = peers.program(problem)
        by_highs = min((peers.highs(written, 1e-4) for _ in range(2)), key=lambda answer: answer.seconds)
        by_cp_sat = peers.cp_sat(written)
        solution, seconds = clocked(METHODS["exact"], problem)
        agreed += solution.is_proven and abs(solution.value - by_highs.value) <= 1e-4 * abs(solution.value)
        times["exact"].append(seconds if solution.is_proven else np.inf)
        times["greedy"].append(clocked(METHODS["greedy"], problem)[1])
        times["HiGHS"].append(by_highs.seconds)
        times["CP-SAT"].append(by_cp_sat.seconds)
    highs, cp_sat = np.array(times["HiGHS"]), np.array(times["CP-SAT"])
    peer = f"HiGHS {np.median(highs) * 1e3:.0f} ms, CP-SAT {np.median(cp_sat) * 1e3:.0f} ms, models built beforehand"
    rows = []
    for name, least in (("exact", 100), ("greedy", 1_000)):
        own = np.array(times[name])
        ratios = np.median(highs / own), np.median(cp_sat / own)
        what = f"to proof, {agreed} of {RACED} values agree" if name == "exact" else "to a page"
        rows.append(
            Row(
                f"{name} beside solvers' proofs, median of {RACED} feeds of n = 200, k = 20",
                f">= {least:,}x",
                f"{ratios[0]:,.0f}x and {ratios[1]:,.0f}x: {np.median(own) * 1e3:.3f} ms {what}",
                peer,
                min(ratios) >= least and (name != "exact" or agreed == RACED),
            )
        )
    return rows


def greedy_time() -> list[Row]:
    """Measure the method, from problem to solution, on the page of `house`."""
    items = Candidates.of(columns(), kinds=policy().head.columns)
    problem = Solve(by="p_click").problem(items, Constraints(FEED_RULES, items, SLOTS))
    values = items.number("p_click")
    ours, sort = fastest(lambda: METHODS["greedy"](problem), lambda: np.argsort(-values)[:SLOTS])
    return [
        Row(
            f"greedy, problem to solution, n = {len(items)}, k = {SLOTS}, six rules",
            "<= 60 µs",
            f"{ours:.0f} µs",
            f"one argsort in NumPy, no rules: {sort:.0f} µs",
            ours <= 60,
        )
    ]


def pairs() -> list[Row]:
    """Compare the page of `swap` with every page there is, where rows add to each other or take away."""
    found = over_processes(_pairs)
    swap, greedy = (found[name] / PAIRED for name in ("swap", "greedy"))
    return [
        Row(
            f"swap with pairs finds the best page, {PAIRED:,} instances of n = 9, k = 5",
            ">= 95 %",
            f"{swap:.1%}",
            f"every page in NumPy: 100 %; greedy: {greedy:.1%}",
            swap >= 0.95,
        )
    ]


def _pairs(part: int) -> Counter[str]:
    found: Counter[str] = Counter()
    for seed in range(part, PAIRED, PROCESSES):
        problem = draw("pairs", SEED + seed, n=9, k=5).problem()
        least, most = peers.best_page(problem)
        for name in ("swap", "greedy"):
            solution = METHODS[name](problem)
            short = most - solution.value
            found[name] += measured(problem, solution) == least and short <= TOLERANCE * max(1.0, abs(most))
    return found


PARTS = {part.__name__: part for part in (violations, relaxations, gap, proofs, race, greedy_time, pairs)}

if __name__ == "__main__":
    if sys.argv[1:]:
        show([row for name in sys.argv[1:] for row in PARTS[name]()])
    else:
        publish("rules", [row for part in PARTS.values() for row in part()])
