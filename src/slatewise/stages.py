"""The one table of stages: policy section to class. A new stage is added here, and nowhere else."""

from __future__ import annotations

from slatewise.blend.calibrate import Calibrate
from slatewise.blend.govern import Govern
from slatewise.blend.merge import Merge
from slatewise.blend.pace import Pace
from slatewise.blend.shade import Shade
from slatewise.blend.weight import Weight
from slatewise.compose.constrain import Constrain
from slatewise.compose.decode import Decode
from slatewise.compose.propose import Propose
from slatewise.compose.rerank import Rerank
from slatewise.compose.solve import Solve
from slatewise.compose.spread import Spread
from slatewise.core.stage import Stage
from slatewise.score.fuse import Fuse

STAGES: dict[str, type[Stage]] = {
    stage.section: stage
    for stage in (
        Fuse,
        Calibrate,
        Weight,
        Pace,
        Shade,
        Govern,
        Merge,
        Constrain,
        Rerank,
        Propose,
        Decode,
        Solve,
        Spread,
    )
}
