"""Events: what callers tell of pages, by tokens, counted once."""
