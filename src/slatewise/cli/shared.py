"""What every command shares: how files are named, refusals are told, and results are printed.

Data goes to standard output and everything else to standard error. Exit codes: 0 done; 1 the policy or a request was
refused; 2 the command was used wrongly; 3 something is not installed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

if TYPE_CHECKING:
    from slatewise.core.page import Page
    from slatewise.feed import Feed

REFUSED, NOT_INSTALLED = 1, 3
PIPED_WIDTH = 160
"""Columns of tables that go to a file or a pipe."""

app = typer.Typer(
    name="slatewise",
    help="From scored candidates of several business lines to the page that is served.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its imports alone take half of what `--help` may
)

PolicyFile = Annotated[Path, typer.Argument(help="Policy file: .yaml, .toml or .json.", show_default=False)]
RequestFile = Annotated[str, typer.Argument(help="Request as JSON; - for standard input.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@contextmanager
def new_file(path: Path | None, source: Path) -> Iterator[Callable[[Page], None]]:
    """Give a function that writes pages as JSON lines; the file appears when all are written, or not at all."""
    from slatewise.core.errors import RequestError
    from slatewise.core.files import replacing

    if path is None:
        yield lambda page: None
        return
    if path.is_dir() or not path.parent.is_dir() or path.resolve() == source.resolve():
        raise RequestError("out", "must be a file in a folder that is there, and not the requests", str(path))
    with replacing(path) as part, part.open("wb") as file:
        yield lambda page: _write_line(file, page)


def _write_line(file: BinaryIO, page: Page) -> None:
    file.write(page.untraced().encode() + b"\n")


@contextmanager
def refusals(as_json: bool) -> Iterator[None]:
    """Turn refusals into one line on standard error and exit code 1."""
    from slatewise.core.errors import SlatewiseError

    try:
        yield
    except SlatewiseError as error:
        if as_json:
            fields = ("where", "rule", "got", "hint", "source", "message")
            print_json({"error": {name: getattr(error, name) for name in fields}})
        else:
            note(str(error))
        raise typer.Exit(REFUSED) from None


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Turn a missing optional library into the command that installs it, and exit code 3."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("slatewise"):
            raise
        note(f"{error.name} is not installed: pip install 'slatewise[{name}]'")
        raise typer.Exit(NOT_INSTALLED) from None


def feed_of(policy: Path) -> Feed:
    """Return the feed of a policy file."""
    from slatewise.feed import Feed

    return Feed.load(policy)


def listed(text: str) -> list[str]:
    """Return names with commas between."""
    return [name for name in map(str.strip, text.split(",")) if name]


def numbers(where: str, text: str) -> list[float]:
    """Return numbers with commas between.

    Raises:
        RequestError: Some text is no number.
    """
    from slatewise.core.errors import RequestError, shown

    try:
        return list(map(float, listed(text)))
    except ValueError:
        raise RequestError(where, "must be numbers with commas between", shown(text)) from None


def write_text(where: str, path: Path, text: str) -> None:
    """Write a file; it is there whole, or not at all.

    Raises:
        RequestError: There can be no such file.
    """
    from slatewise.core.files import replacing

    with replacing(path, where=where) as part:
        part.write_text(text, encoding="utf-8")


def folder_at(out: Path) -> Path:
    """Return a folder, which is made if it is not there.

    Raises:
        RequestError: There can be none.
    """
    from slatewise.core.errors import RequestError

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError("out", "must be a folder, or a place for one", f"{out} ({error.strerror})") from None
    return out


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    import msgspec

    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def show(renderable: Any) -> None:
    """Print what rich can draw."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
    Console(highlight=False, width=width).print(renderable)


def note(text: str) -> None:
    """Say something that is no result."""
    print(text, file=sys.stderr)
