"""The command line: one command per verb, one file per subject.

Libraries are imported inside the commands, so that `--help` is quick.
"""

from slatewise.cli import (
    datasets,
    evaluate,
    fit,
    fit_decode,
    fit_evaluator,
    fit_models,
    landscape,
    pacing,
    pages,
    policies,
    running,
    variety,
)
from slatewise.cli.shared import app

__all__ = [
    "app",
    "datasets",
    "evaluate",
    "fit",
    "fit_decode",
    "fit_evaluator",
    "fit_models",
    "landscape",
    "pacing",
    "pages",
    "policies",
    "running",
    "variety",
]
