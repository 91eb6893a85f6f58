"""HTTP: bodies, routes, refusals, and the description of all of it."""
