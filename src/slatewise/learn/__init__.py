"""Fitting, from logs: what stages then read as settings."""
