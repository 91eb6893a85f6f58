"""Files that are there whole, or not at all."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from slatewise.core.errors import RequestError, SlatewiseError


@contextmanager
def replacing(path: Path, *, where: str = "out", kind: type[SlatewiseError] = RequestError) -> Generator[Path]:
    """Give a path to write to, which takes the place of `path` when the block ends, unless something is raised.

    Args:
        path: The file.
        where: What a refusal calls it.
        kind: What is raised.

    Raises:
        SlatewiseError: There can be no such file.
    """
    part = path.with_name(path.name + ".part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        raise kind(where, "must be a file that can be written", f"{path} ({error.strerror})") from None
    finally:
        with suppress(OSError):
            part.unlink()
