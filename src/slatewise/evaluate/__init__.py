"""Measure what pages do: metrics of lists, intervals, and what rules and lines did in a replay."""
