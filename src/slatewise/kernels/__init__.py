"""Compiled kernels: arrays in, arrays out; nothing is checked and the GIL is released.

numba keeps compiled kernels on disk and looks only at a kernel's own file for changes, not at the kernels that it
calls. So what was compiled before the newest source here is forgotten when the package is imported.
"""

from contextlib import suppress
from pathlib import Path


def forget_stale(folder: Path) -> None:
    """Remove numba's indexes that are older than the newest source of a folder; it compiles again what they held."""
    newest = max(source.stat().st_mtime for source in folder.glob("*.py"))
    with suppress(OSError):  # a folder that cannot be written holds no stale cache of ours
        for index in (folder / "__pycache__").glob("*.nbi"):
            if index.stat().st_mtime < newest:
                index.unlink(missing_ok=True)


forget_stale(Path(__file__).parent)
