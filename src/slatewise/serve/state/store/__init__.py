"""Stores: where what must be remembered between pages is kept."""
