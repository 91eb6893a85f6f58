"""Process: a service from its settings to its end, in one process or several."""
