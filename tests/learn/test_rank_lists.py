"""Lists to be ranked: what is known of them, which tell something, and how good an order is."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from slatewise import RequestError
from slatewise.learn.pages import Pages
from slatewise.learn.rank_lists import BLOCK, RankLists
from slatewise.models.inputs import Inputs

NAN = np.nan


def laid(*clicks):
    """Return lists with these clicks, in the order of their first stage; what networks read is how far up rows are."""
    lengths = [len(one) for one in clicks]
    up = np.concatenate([np.arange(length, 0, -1.0) for length in lengths])
    pages = Pages.of(
        request=[f"r{one}" for one in range(len(clicks))],
        lists=np.repeat(np.arange(len(clicks)), lengths),
        keys={"item": [f"i{one}" for one in range(sum(lengths))]},
        numbers={"score": up},
        feedback={"click": np.concatenate(clicks)},
    )
    return RankLists.of(pages, Inputs.known(pages, numbers=["score"], keys=[], context=[]), "click")


def upwards(network, batch):
    """Return scores that turn lists round."""
    return -batch["numbers"][:, :, 0]


def test_what_is_not_known_is_no_label_and_is_not_counted():
    lists = laid([1, NAN, 0], [0, 0])
    assert lists.labels.tolist() == [[1, 0, 0], [0, 0, 0]]
    assert lists.observed.tolist() == [[True, False, True], [True, True, False]]
    assert lists.ndcg(nn.Linear(1, 1), upwards) == pytest.approx([1 / np.log2(3)])  # second of two, and not of three


def test_lists_without_anything_relevant_are_not_learned_from():
    batches = laid([1, 0], [0, 0], [0, 1]).batches("click")
    assert len(batches) == 2
    assert batches.at(np.arange(2))["label"].tolist() == [[1, 0], [0, 1]]
    with pytest.raises(RequestError, match=r"pages\.click: must be above 0 somewhere"):
        laid([0, 0]).batches("click")


def test_lists_are_judged_one_by_one_however_many_are_scored_together():
    lists = laid(*([1, 0], [0, 1]) * BLOCK)
    torch.testing.assert_close(
        lists.ndcg(nn.Linear(1, 1), upwards), np.tile([1 / np.log2(3), 1.0], BLOCK), rtol=1e-12, atol=0.0
    )


def test_labels_that_no_log_has_are_refused():
    lists = Pages.of(request=["r"], lists=[0], keys={"item": ["i"]}, numbers={"score": [1.0]}, feedback={"click": [1]})
    with pytest.raises(RequestError, match=r"must have the column, got 'like'"):
        RankLists.of(lists, Inputs.known(lists, numbers=["score"], keys=[], context=[]), "like")
