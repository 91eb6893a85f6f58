"""Where a run of training stands, as one file that is there whole or not at all.

A checkpoint holds the weights, the best weights so far, the moments of the optimiser, and the fingerprint of the run,
so that no run goes on from another one's. Tensors only, as safetensors: reading one runs no code. Cost: some four times
the weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from slatewise.core.errors import RequestError
from slatewise.core.files import replacing


class Told(NamedTuple):
    """What a checkpoint holds besides the state of network and optimiser.

    Attributes:
        best: The best weights so far, by name.
        notes: What the run has to say of itself.
    """

    best: dict[str, Tensor]
    notes: str


@final
class Checkpoint:
    """A file.

    Attributes:
        path: Where it is; its folder is made.
        fingerprint: Of the run that it belongs to.

    Raises:
        RequestError: There can be no such folder.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RequestError(
                "folder", "must be a folder that can be made", f"{path.parent} ({error.strerror})"
            ) from None
        self.path, self.fingerprint = path, fingerprint

    def save(self, network: nn.Module, optimiser: torch.optim.Optimizer, told: Told) -> None:
        """Write where a run stands."""
        tensors = {f"weights.{name}": value for name, value in network.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in told.best.items()}
        for place, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"moments.{place}.{name}": value for name, value in moments.items()}
        # weights that are tied share their memory, which the file does not allow
        apart = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
        with replacing(self.path, where="folder") as part:
            save_file(apart, part, {"fingerprint": self.fingerprint, "notes": told.notes})

    def load(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> Told | None:
        """Put network and optimiser where the run stood; None if there is no file.

        Raises:
            RequestError: The file cannot be read, or is of another run.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, "pt") as file:
                told = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in list(file.keys())}
        except (SafetensorError, OSError) as error:
            rule = f"must hold a checkpoint that can be read ({error})"
            raise RequestError("folder", rule, str(self.path), "remove it to begin again") from None
        if told.get("fingerprint") != self.fingerprint:
            rule = "must be of the same first weights, lists, settings, loss and judge"
            raise RequestError("folder", rule, str(self.path), "take another folder, or remove the checkpoint")
        parts: dict[str, dict[str, Tensor]] = {"weights": {}, "best": {}, "moments": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        network.load_state_dict(parts["weights"])
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["moments"].items():
            place, _, moment = name.partition(".")
            state.setdefault(int(place), {})[moment] = value
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        return Told(parts["best"], told["notes"])


def copied(network: nn.Module) -> dict[str, Tensor]:
    """Return the weights as they are now, by name."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
