"""Examples that need data of their own say so where it is not there."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def test_movielens_without_its_data_says_what_is_missing_and_leaves_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "movielens.py"), "out"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "SLATEWISE_DATA": str(tmp_path)},
    )
    assert done.returncode == 0
    assert "no MovieLens-1M" in done.stderr
    assert not list(tmp_path.iterdir())
