"""Compiled kernels on disk never outlive the sources they were made from."""

import os

from slatewise.kernels import forget_stale


def test_what_was_compiled_before_the_newest_source_is_forgotten(tmp_path):
    cache = tmp_path / "__pycache__"
    cache.mkdir()
    for name, time in (
        ("caller.py", 100),
        ("called.py", 300),
        ("__pycache__/old.nbi", 200),
        ("__pycache__/new.nbi", 400),
    ):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time, time))
    forget_stale(tmp_path)
    assert sorted(path.name for path in cache.iterdir()) == ["new.nbi"]
