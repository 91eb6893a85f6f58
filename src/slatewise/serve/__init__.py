"""The service: wire formats, limits and the HTTP application."""
