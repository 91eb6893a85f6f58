"""The demo: visits to a real news site, replayed, with pages composed for each of them."""
