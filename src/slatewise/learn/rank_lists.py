"""Lists that are to be ranked: what networks read of them, what is relevant, and of which rows that is known.

A list of which nothing is relevant says nothing of an order; it is not learned from, and is in no figure. Cost: that of
the arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from slatewise.core.columns import Flags, Numbers
from slatewise.core.errors import RequestError
from slatewise.evaluate.ranking import ndcg_by_score
from slatewise.learn.pages import Pages
from slatewise.learn.training import Batch, Padded
from slatewise.models.inputs import Arrays, Inputs

BLOCK = 256
"""Lists that are scored together."""
CUT = 10
"""Slots that a network is judged by while it learns."""


class RankLists(NamedTuple):
    """Lists, padded to the longest.

    Attributes:
        arrays: What networks read of them.
        labels: (b, l) how relevant rows are; 0 where that is not known.
        observed: (b, l) of which rows it is known.
    """

    arrays: Arrays
    labels: Numbers
    observed: Flags

    @classmethod
    def of(cls, pages: Pages, inputs: Inputs, label: str) -> RankLists:
        """Lay lists out.

        Args:
            pages: The lists.
            inputs: What is read of them.
            label: Feedback that says what is relevant.

        Raises:
            RequestError: The log has no such feedback.
        """
        arrays = inputs.of_pages(pages)
        length = arrays["mask"].shape[1]
        labels = pages.labels(label)
        known = pages.padded(~np.isnan(pages.feedback[label]), length).astype(np.bool_)
        return cls(arrays, pages.padded(labels, length), known & arrays["mask"])

    def batches(self, label: str) -> Padded:
        """Return what can be learned from, with `label` and `observed`.

        Args:
            label: What a refusal calls it.

        Raises:
            RequestError: Nothing is relevant anywhere.
        """
        telling = self.labels.any(axis=1)
        if not telling.any():
            raise RequestError(f"pages.{label}", "must be above 0 somewhere in what is learned from")
        told = {"label": self.labels.astype(np.float32), "observed": self.observed}
        return Padded({name: array[telling] for name, array in (self.arrays | told).items()})

    def ndcg(self, network: nn.Module, scores_of: Callable[[Any, Batch], Tensor]) -> Numbers:
        """Return the NDCG of each list in which something is relevant, at 10, ties averaged.

        Args:
            network: The network.
            scores_of: Gives (b, l) its scores of the rows of a batch.
        """
        device, found = next(network.parameters()).device, list[Tensor]()
        for at in range(0, len(self.labels), BLOCK):
            batch = {name: torch.from_numpy(array[at : at + BLOCK]).to(device) for name, array in self.arrays.items()}
            found.append(scores_of(network, batch))
        scores = np.where(self.observed, torch.cat(found).cpu().numpy().astype(np.float64), np.nan)
        ndcg = ndcg_by_score(self.labels, scores, CUT, ties="average", gain="exp2")
        return ndcg[~np.isnan(ndcg)]
