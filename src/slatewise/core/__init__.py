"""The vocabulary: requests, candidates, policies, rules, pages, as values."""
