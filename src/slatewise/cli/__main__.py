"""`python -m slatewise.cli` is `slatewise`."""

from slatewise.cli import app

if __name__ == "__main__":
    app()
