"""Ways to solve a page problem: one contract, `PageProblem -> Solution`, one file per method."""
