"""Log: decisions written beside the requests, and composed again."""
