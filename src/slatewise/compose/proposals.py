"""Generators: ways to make pages, of which one that sees whole pages chooses.

| kind | pages | steps |
|---|---|---|
| `beam` | `width` | exposure * utility, added up |
| `draw` | `number` | utility with noise: those of large utility often |
| `vary` | one for each strength | utility, less for rows like those above |
| `pointer` | `width`, and `number` drawn | a network that knows what stands above |
| `parallel` | one for each strength | a network that scores all slots at once, less for rows like those above |

Each looks only at rows that may come next under the rules (`methods.propose`). What is drawn depends on the request
alone. Networks are run by onnxruntime, all pages of a generator at once.

References:
    Bello et al. (2018), "Seq2Slate: Re-ranking and Slate Optimization with RNNs": pointer.
    Ren et al. (2024), "Non-autoregressive Generative Models for Reranking Recommendation", KDD: parallel.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, TypeAlias, final

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from slatewise.core.candidates import Candidates
from slatewise.core.columns import Codes, Kind, Numbers
from slatewise.core.request import Request
from slatewise.methods.propose import Blank, beam, drawn, walked
from slatewise.models import runtime
from slatewise.models.model import Model

Width = Annotated[int, Meta(ge=1, le=1_000)]
Pages = Annotated[int, Meta(ge=0, le=10_000)]
Share = Annotated[float, Meta(ge=0, le=1)]
Temperature = Annotated[float, Meta(ge=0, le=1_000)]


class Seen(NamedTuple):
    """What generators are given.

    Attributes:
        blank: The page to be filled.
        candidates: The rows.
        request: Who asks.
    """

    blank: Blank
    candidates: Candidates
    request: Request

    def read(self, model: Model) -> dict[str, NDArray[Any]]:
        """Return what a model reads of all rows, as a list of their own in the order of the problem."""
        arrays = model.inputs.of(self.candidates, self.request, self.blank.problem.order)
        rows = len(self.blank.problem.order)
        return {**{name: array[None] for name, array in arrays.items()}, "mask": np.ones((1, rows), np.bool_)}


class Generator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """A way to make pages."""

    @property
    def reads(self) -> dict[str, Kind]:
        """Columns that it looks at, besides the one that is maximised."""
        return {}

    @property
    def network(self) -> Model | None:
        """The model that it has; None for none."""
        return None

    def pages(self, seen: Seen) -> list[Codes]:
        """Return pages of places in the problem's order; what depends on chance, by the request alone."""
        raise NotImplementedError


@final
class Beam(Generator, frozen=True, kw_only=True, tag="beam"):
    """The pages of largest utility, each slot as it is looked at.

    Attributes:
        width: Pages that are followed, and proposed.
    """

    width: Width = 8

    def pages(self, seen: Seen) -> list[Codes]:
        """Return pages, largest utility first."""
        utility, exposure = seen.blank.utility, seen.blank.problem.exposure

        def step(pages: Codes, parents: NDArray[np.int64]) -> Numbers:
            return np.tile(utility * exposure[pages.shape[1]], (len(pages), 1))

        return list(beam(seen.blank, step, self.width))


@final
class Draw(Generator, frozen=True, kw_only=True, tag="draw"):
    """Pages in orders that are drawn.

    Attributes:
        number: How many.
        temperature: How much chance counts, in standard deviations of utility over the candidates.
    """

    number: Pages = 32
    temperature: Temperature = 0.5

    def pages(self, seen: Seen) -> list[Codes]:
        """Return pages as they were drawn."""
        scale = float(seen.blank.utility.std()) if len(seen.blank.utility) else 0.0
        seed = seen.request.draw(f"compose.propose.draw {self.temperature!r}")
        return drawn(seen.blank, self.number, self.temperature * scale, seed=seed)


@final
class Vary(Generator, frozen=True, kw_only=True, tag="vary"):
    """Pages in which rows of one key stand apart.

    Attributes:
        same: The key column by which rows are alike.
        within: How many slots above are looked at.
        strengths: For each page, what a row is charged for one like it above, in standard deviations of utility.
    """

    same: str
    within: Width = 5
    strengths: tuple[Annotated[float, Meta(ge=0, le=1_000)], ...] = (0.5, 1.0, 2.0)

    @property
    def reads(self) -> dict[str, Kind]:
        """The key."""
        return {} if self.same in ("item_id", "line") else {self.same: "key?"}

    def pages(self, seen: Seen) -> list[Codes]:
        """Return a page for each strength."""
        blank = seen.blank
        codes = seen.candidates.key(self.same).codes[blank.problem.order]
        charge = np.array(self.strengths)[:, None] * (float(blank.utility.std()) if len(codes) else 0.0)

        def step(pages: Codes, parents: NDArray[np.int64]) -> Numbers:
            above = codes[pages[:, -self.within :]] if pages.shape[1] else np.empty((len(pages), 0), np.int32)
            alike = ((above[:, :, None] == codes) & (codes >= 0)).sum(axis=1)
            return blank.utility - charge * alike

        return list(walked(blank, step, len(self.strengths)))


@final
class Pointer(Generator, frozen=True, kw_only=True, tag="pointer"):
    """Pages that a network makes row by row, knowing what stands above.

    Attributes:
        model: The network.
        width: Pages that are followed, the likeliest first, and proposed.
        number: Pages that are drawn besides.
        temperature: What the log-odds of those are divided by, > 0.
    """

    model: Model
    width: Width = 4
    number: Pages = 0
    temperature: Annotated[float, Meta(gt=0, le=1_000)] = 1.0

    @property
    def reads(self) -> dict[str, Kind]:
        """What the network reads."""
        return dict(self.model.inputs.reads)

    @property
    def network(self) -> Model:
        """The network."""
        return self.model

    def pages(self, seen: Seen) -> list[Codes]:
        """Return the likeliest pages, and those that were drawn."""
        found = list(beam(seen.blank, _Told(self.model, seen), self.width))
        if self.number:
            noise = np.random.default_rng(seen.request.draw("compose.propose.pointer"))
            drawing = _Told(self.model, seen, temperature=self.temperature, noise=noise)
            found += list(walked(seen.blank, drawing, self.number))
        return found


@final
class Parallel(Generator, frozen=True, kw_only=True, tag="parallel"):
    """Pages of a network that scores all rows for all slots at once.

    Attributes:
        model: The network.
        strengths: For each page, how much likeness to rows above counts, beside the chance of the row in the slot.
    """

    model: Model
    strengths: tuple[Share, ...] = (0.0, 0.1, 0.2, 0.3)

    @property
    def reads(self) -> dict[str, Kind]:
        """What the network reads."""
        return dict(self.model.inputs.reads)

    @property
    def network(self) -> Model:
        """The network."""
        return self.model

    def pages(self, seen: Seen) -> list[Codes]:
        """Return a page for each strength."""
        logits, vectors = (
            array[0].astype(np.float64) for array in runtime.run(self.model, "score", **seen.read(self.model))
        )
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        likeness, strength = vectors @ vectors.T, np.array(self.strengths)[:, None]

        def step(pages: Codes, parents: NDArray[np.int64]) -> Numbers:
            chance = chances[min(pages.shape[1], len(chances) - 1)]
            near = likeness[pages].max(axis=1) if pages.shape[1] else np.zeros((len(pages), len(chance)))
            return (1.0 - strength) * chance - strength * near

        return list(walked(seen.blank, step, len(self.strengths)))


AnyGenerator: TypeAlias = Beam | Draw | Vary | Pointer | Parallel


class _Told:
    """A pointer network's steps: log-odds of the next row, given what stands above."""

    def __init__(
        self, model: Model, seen: Seen, *, temperature: float = 1.0, noise: np.random.Generator | None = None
    ) -> None:
        self.model, self.temperature, self.noise = model, temperature, noise
        self.vectors, self.keys, self.hidden, self.cell, self.last = runtime.run(model, "encode", **seen.read(model))

    def __call__(self, pages: Codes, parents: NDArray[np.int64]) -> Numbers:
        b = len(pages)
        if pages.shape[1]:
            hidden, cell, last = self.hidden[parents], self.cell[parents], self.vectors[0, pages[:, -1]]
        else:
            hidden, cell, last = (np.repeat(one, b, axis=0) for one in (self.hidden, self.cell, self.last))
        keys = np.repeat(self.keys, b, axis=0)
        logits, self.hidden, self.cell = runtime.run(self.model, "step", keys=keys, hidden=hidden, cell=cell, last=last)
        values = logits.astype(np.float64) / self.temperature
        if self.noise is not None:
            return values + self.noise.gumbel(size=values.shape)
        free = values.copy()
        np.put_along_axis(free, pages.astype(np.int64), -np.inf, axis=1)  # what stands above has no share
        top = free.max(axis=1, keepdims=True)
        return values - top - np.log(np.exp(free - top).sum(axis=1, keepdims=True))
