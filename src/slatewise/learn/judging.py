"""What served models are worth on a log that they were not fitted on.

A fit reports on lists that it held back; here the same is asked of the artefact alone, as it is served, on any log with
the columns that it reads: ranks of `compose.rerank`, likelihood and tenths of the evaluator of `compose.propose`, and
likelihoods and bounds of `compose.decode`. A log that a model has learned from is refused, whole or in the parts that
it is split into. Cost: a run of the model for each list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from slatewise.core.artefact import Artefact
from slatewise.core.columns import Codes, Flags
from slatewise.core.errors import PolicyError, RequestError, did_you_mean, shown
from slatewise.kernels.insertion import state_of
from slatewise.kernels.insertion_search import one_chain
from slatewise.learn.decode_lists import arrays_of, is_shown
from slatewise.learn.decode_report import DecodeReport, report_on
from slatewise.learn.evaluator_report import EvaluatorReport
from slatewise.learn.evaluator_report import report_on as evaluator_report
from slatewise.learn.pages import Pages
from slatewise.learn.rank_passes import Passes
from slatewise.learn.rank_report import RankReport
from slatewise.learn.rerank import PART, ranks_of, split
from slatewise.learn.shown import READ, served
from slatewise.models import runtime
from slatewise.models.decoder import Logits
from slatewise.models.decoding import Prefixes, Prepared
from slatewise.models.inputs import Arrays, Inputs
from slatewise.models.model import Model

SECTIONS = ("compose.rerank", "compose.propose", "compose.decode")
"""Sections whose artefacts can be judged."""

Judged: TypeAlias = tuple[RankReport, Passes] | EvaluatorReport | DecodeReport


def model_of(artefact: Artefact) -> Model:
    """Return the model of an artefact.

    Raises:
        PolicyError: The artefact is not of a section that has one, or the model is no model.
    """
    if artefact.section not in SECTIONS:
        raise PolicyError("section", "must be one of " + ", ".join(map(repr, SECTIONS)), shown(artefact.section))
    try:
        return msgspec.convert(artefact.settings.get("model"), Model)
    except msgspec.ValidationError as error:
        raise PolicyError("settings.model", str(error)) from None


def judged(artefact: Artefact, pages: Pages, *, label: str = "", exposed: str = "") -> Judged:
    """Return what an artefact is worth on a log.

    Args:
        artefact: What was fitted.
        pages: Lists that it was not fitted on.
        label: Feedback that is a click, or relevant; that of the fit where it is not said.
        exposed: Feedback that says whether a slot was seen; that of the fit where it is not said.

    Raises:
        PolicyError: As `model_of`.
        RequestError: The model was fitted on the log, or reads a column that it does not have; or it has no such
            feedback, or no pages that were shown.
    """
    model, told = model_of(artefact), artefact.provenance
    if learned_from(artefact, pages):
        rule = f"must be lists that {artefact.section} has not learned from"
        raise RequestError("pages", rule, pages.digest[:16], "take a later log, or one of other users")
    _check_columns(model.inputs, pages)
    label = label or told.get("label") or told.get("click") or "click"
    exposed = exposed or told.get("exposed", "")
    if not (pages.labels(label) > 0).any():
        raise RequestError(f"pages.{label}", "must be above 0 somewhere", shown(0))
    if artefact.section == "compose.rerank":
        return ranks_of(model, pages, label=label)
    if not is_shown(pages):
        raise RequestError("pages.slot", "must be given for pages that were shown", "none")
    if artefact.section == "compose.propose":
        return evaluator_of(model, pages, click=label, exposed=exposed)
    return decoder_of(model, pages, ads=told.get("ads", ("ads",)), label=label, exposed=exposed)


def learned_from(artefact: Artefact, pages: Pages) -> bool:
    """Return whether a model was fitted on a log: on all of it, or on the parts that it is split into."""
    known = artefact.provenance.get("pages")
    known = [known] if isinstance(known, str) else [one for name, one in (known or {}).items() if name != "held"]
    return any(digest in known for digest in _digests(artefact, pages))


def evaluator_of(model: Model, pages: Pages, *, click: str = "click", exposed: str = "") -> EvaluatorReport:
    """Return how right an evaluator is.

    Args:
        model: The evaluator.
        pages: Lists that were shown.
        click: Feedback that is of worth.
        exposed: Feedback that says whether a slot was seen; empty if nobody knows.
    """
    pages = pages.take(np.unique(pages.lists[pages.slot > 0]))
    arrays = served(model.inputs, pages, click=click, exposed=exposed)
    arrays["weight"] = np.ones(len(pages), np.float32)
    blocks = [
        runtime.run(model, "score", **{name: arrays[name][at : at + runtime.BLOCK] for name in READ})
        for at in range(0, len(pages), runtime.BLOCK)
    ]
    seen, clicks = (np.concatenate(one, axis=1).astype(np.float64) for one in zip(*blocks, strict=True))
    return evaluator_report(arrays, clicks.mean(axis=0), (seen * clicks).mean(axis=0))


def decoder_of(
    model: Model, pages: Pages, *, ads: Sequence[str] = ("ads",), label: str = "click", exposed: str = "exposed"
) -> DecodeReport:
    """Return how good a decoder is.

    Args:
        model: The decoder.
        pages: Lists that were shown; of pages that are longer than it knows, the first slots.
        ads: Lines that are ads.
        label: Feedback that is a click.
        exposed: Feedback that says whether a slot was seen.
    """
    slots = int(model.settings["slots"])
    arrays = arrays_of(pages, model.inputs, ads=ads, slots=slots, label=label, exposed=exposed)
    batch = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    return report_on(logits_of(model, arrays), batch)


def logits_of(model: Model, arrays: Arrays) -> Logits:
    """Return the log-odds of whole pages, by what is served.

    Args:
        model: A decoder.
        arrays: Lists, as `arrays_of` returns them.
    """
    told = [_asked(model, arrays, number) for number in range(len(arrays["page"]))]
    return Logits(*(torch.from_numpy(np.stack(one)) for one in zip(*told, strict=True)))


def _asked(model: Model, arrays: Arrays, number: int) -> tuple[NDArray[Any], ...]:
    """Return what a decoder says of the page of one list, as `Logits` has it."""
    there, page = arrays["mask"][number], arrays["page"][number].astype(np.int32)
    rows = {name: arrays[name][number][there] for name in ("numbers", "keys", "is_ad")}
    lists = {name: arrays[name][number] for name in ("context", "history")}
    page = np.where(page < there.sum(), page, page[0]).astype(np.int32)  # beyond a short list nothing is there
    found = Prepared(*runtime.run(model, "prepare", **rows, **lists))
    context = [one[0, : len(page)] for one in Prefixes(model, found.token).ask(one_chain(page))]
    at = page, np.arange(len(page)), _states(rows["is_ad"][page])
    click, leave = found.click[at], found.leave[at]
    click[1:] += found.pair_click[page[1:], page[:-1]]
    click[2:] += found.pair_click_2[page[2:], page[:-2]]
    leave[1:] += found.pair_leave[page[1:], page[:-1]]
    click_amplitude, leave_amplitude = found.click_amplitude[at[:2]], found.leave_amplitude[at[:2]]
    return (
        click + click_amplitude * np.tanh(context[0]),
        leave + leave_amplitude * np.tanh(context[1]),
        click,
        leave,
        click_amplitude,
        leave_amplitude,
    )


def _states(is_ad: Flags) -> Codes:
    """Return (k,) codes of the ads above each slot."""
    found, ads, last = np.zeros(len(is_ad), np.int32), 0, -1
    for slot, one in enumerate(is_ad.tolist()):
        found[slot] = state_of(ads, slot - last)
        ads, last = (ads + 1, slot) if one else (ads, last)
    return found


def _digests(artefact: Artefact, pages: Pages) -> Iterator[str]:
    """Yield the digests of a log, and of what a fit would learn from of it."""
    yield pages.digest
    seed = artefact.provenance.get("training", {}).get("seed", 0)
    for way in (PART, "time", "user"):
        try:
            yield split(pages, by=way, seed=seed).learned.digest
        except RequestError:  # a log that cannot be split that way was not
            continue


def _check_columns(inputs: Inputs, pages: Pages) -> None:
    """Refuse a log without a column that a model reads.

    Raises:
        RequestError: Names the column.
    """
    past = [] if inputs.history is None else [inputs.history]
    wanted: tuple[tuple[str, Any, Any], ...] = (
        ("numbers", inputs.numbers, pages.numbers),
        ("keys", inputs.keys, pages.keys),
        ("context", inputs.context, pages.context),
        ("histories", past, pages.histories),
    )
    for where, columns, have in wanted:
        for name in ("item" if one.name == "item_id" else one.name for one in columns):
            if name not in have:
                rule = "must have the column, which the model reads"
                raise RequestError(f"pages.{where}", rule, shown(name), did_you_mean(name, have))
