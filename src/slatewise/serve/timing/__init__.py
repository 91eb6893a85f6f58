"""Timing: since when a request has waited, who is let in, and which rung serves it."""
