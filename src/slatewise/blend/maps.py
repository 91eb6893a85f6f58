"""Maps from a line's scores to values, as a policy says them.

    value = worth * probability(score)        or        value = worth * factor * score

Maps of probabilities work in log-odds, where a probability has room on both sides, and go on in a straight line beyond
what was fitted; none is cut off. So every map is strictly increasing: of two scores the larger has the larger value,
down to what float64 can tell apart. Their curves:

| map | log-odds of the event | when |
|---|---|---|
| `ratio` | none; value = factor * score | few events |
| `temperature` | l(p) / temperature | sure of itself by too much or too little, at the right rate |
| `platt` | slope * l(p) + offset | some hundreds of events |
| `beta` | low * ln p - high * ln(1 - p) + offset | the same, bent differently at both ends |
| `bucketed` | counts per bucket, made monotone, with lines between | counts that people can read |
| `knots` | lines between knots | thousands of events |
| `quantile` | none; a score is worth the reference's score of the same rank | no events are known |

How they are served: `blend.table`.

References:
    Platt (1999), "Probabilistic Outputs for Support Vector Machines".
    Kull, Silva Filho & Flach (2017), "Beta calibration", AISTATS, section 3.
    Zadrozny & Elkan (2002), "Transforming Classifier Scores into Accurate Multiclass Probability Estimates", KDD.
    Guo et al. (2017), "On Calibration of Modern Neural Networks", ICML, section 4.2 on temperature.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias, final

import numpy as np
from msgspec import Meta

from slatewise.blend.table import LineMap, check_rising
from slatewise.core.columns import LARGEST, Numbers, Positive, Signed
from slatewise.kernels import knots as kernel
from slatewise.methods.mapping import joined, log_odds, pooled

Scale: TypeAlias = Literal["probability", "score"]
"""What scores are: probabilities, which are mapped by their log-odds, or numbers of any size, mapped as they are."""

Level: TypeAlias = Annotated[float, Meta(ge=0, le=LARGEST)]
Several: TypeAlias = Annotated[tuple[Signed, ...], Meta(min_length=2, max_length=100_000)]
SPAN = 4.0
"""Log-odds that plain scores are taken to span, beyond buckets."""

Counts: TypeAlias = Annotated[tuple[Level, ...], Meta(min_length=2, max_length=100_000)]


@final
class Ratio(LineMap, frozen=True, kw_only=True, tag="ratio"):
    """A constant factor.

    Attributes:
        factor: Events, or value, per unit of score, > 0.
        worth: Value of one event, > 0.

    Examples:
        >>> Ratio(factor=0.5)(np.array([1.0, 3.0])).tolist()
        [0.5, 1.5]
        >>> Ratio(factor=0.5, worth=4.0)(np.array([1.0, 3.0])).tolist()
        [2.0, 6.0]
    """

    factor: Positive = 1.0

    event: ClassVar[float] = kernel.PLAIN

    @property
    def on_odds(self) -> bool:
        """Scores are multiplied as they are."""
        return False

    @property
    def terms(self) -> tuple[float, float, float]:
        """The factor alone."""
        return self.factor, 0.0, 0.0


@final
class Temperature(LineMap, frozen=True, kw_only=True, tag="temperature"):
    """Log-odds divided by a constant: above 1, probabilities come nearer to one half.

    Attributes:
        temperature: Divides log-odds, > 0.
        worth: Value of one event, > 0.

    Examples:
        >>> Temperature(temperature=2.0)(np.array([0.1, 0.5, 0.9])).round(2).tolist()
        [0.25, 0.5, 0.75]
    """

    temperature: Positive = 1.0

    @property
    def terms(self) -> tuple[float, float, float]:
        """One slope for both ends."""
        return 1 / self.temperature, 1 / self.temperature, 0.0


@final
class Platt(LineMap, frozen=True, kw_only=True, tag="platt"):
    """A straight line in log-odds.

    Attributes:
        slope: Of log-odds, > 0: above 1, scores are told apart more sharply.
        offset: Added to log-odds: above 0, every event is more likely.
        scale: What the scores are.
        worth: Value of one event, > 0.

    Examples:
        >>> score = np.array([0.2, 0.5])
        >>> Platt(offset=1.0)(score).round(3).tolist()
        [0.405, 0.731]
        >>> Platt(slope=2.0)(score).round(3).tolist()
        [0.059, 0.5]
    """

    slope: Positive = 1.0
    offset: Signed = 0.0
    scale: Scale = "probability"

    @property
    def on_odds(self) -> bool:
        """Whether scores are probabilities."""
        return self.scale == "probability"

    @property
    def terms(self) -> tuple[float, float, float]:
        """One slope for both ends."""
        return self.slope, self.slope if self.on_odds else 0.0, self.offset


@final
class Beta(LineMap, frozen=True, kw_only=True, tag="beta"):
    """A line in log-odds for small probabilities, and another one for large ones.

    Attributes:
        low: Slope towards probability 0, >= 0; one of `low` and `high` is above 0.
        high: Slope towards probability 1, >= 0.
        offset: Added to log-odds.
        worth: Value of one event, > 0.

    Examples:
        >>> Beta(low=2.0, high=1.0)(np.array([0.01, 0.5, 0.99])).round(4).tolist()
        [0.0001, 0.3333, 0.9899]
    """

    low: Level = 1.0
    high: Level = 1.0
    offset: Signed = 0.0

    def __post_init__(self) -> None:
        """Refuse a flat map."""
        if self.low + self.high <= 0:
            raise ValueError("one of `low` and `high` must be > 0")

    @property
    def terms(self) -> tuple[float, float, float]:
        """A slope for each end."""
        return self.low, self.high, self.offset


@final
class Knots(LineMap, frozen=True, kw_only=True, tag="knots"):
    """Straight lines between knots, in log-odds; the first and the last go on beyond them.

    Attributes:
        scores: Where the knots are, increasing.
        log_odds: Of the event, at each of them, increasing.
        scale: What the scores are.
        worth: Value of one event, > 0.

    Examples:
        >>> Knots(scores=(0.1, 0.5), log_odds=(-1.0, 0.0))(np.array([0.1, 0.5, 0.9])).round(3).tolist()
        [0.269, 0.5, 0.731]
    """

    scores: Several
    log_odds: Several
    scale: Scale = "probability"

    shape: ClassVar[float] = kernel.KNOTS

    def __post_init__(self) -> None:
        """Refuse knots that do not rise."""
        check_rising(lambda: self.knots, scores=self.scores, log_odds=self.log_odds)

    @property
    def on_odds(self) -> bool:
        """Whether scores are probabilities."""
        return self.scale == "probability"

    @property
    def knots(self) -> Numbers:
        """With scores in log-odds, if they are probabilities."""
        at = np.array(self.scores)
        return joined(log_odds(at) if self.on_odds else at, np.array(self.log_odds))


@final
class Quantile(LineMap, frozen=True, kw_only=True, tag="quantile"):
    """The reference's score of the same rank: for a line whose events are not known yet.

    It makes lines alike, and so hides that one is worth more than the other.

    Attributes:
        scores: The line's own scores at some ranks, increasing.
        reference: The reference's scores at the same ranks, increasing.
        worth: Multiplies the value, > 0.

    Examples:
        >>> Quantile(scores=(0.0, 10.0), reference=(0.1, 0.3))(np.array([5.0, 10.0])).round(3).tolist()
        [0.2, 0.3]
    """

    scores: Several
    reference: Several

    event: ClassVar[float] = kernel.PLAIN
    shape: ClassVar[float] = kernel.KNOTS

    def __post_init__(self) -> None:
        """Refuse knots that do not rise."""
        check_rising(lambda: self.knots, scores=self.scores, reference=self.reference)

    @property
    def on_odds(self) -> bool:
        """Scores are taken as they are."""
        return False

    @property
    def knots(self) -> Numbers:
        """Score over score."""
        return joined(np.array(self.scores), np.array(self.reference))


@final
class Bucketed(LineMap, frozen=True, kw_only=True, tag="bucketed"):
    """Counts by bucket of scores: neighbours that fall are pooled, and lines drawn between what is left, in log-odds.

    Attributes:
        scores: Mean score of each bucket, increasing.
        shown: Showings in each.
        events: Events in each, at most `shown`.
        prior: Showings at the mean rate that are added to every bucket, > 0; more draws rates together.
        scale: What the scores are.
        worth: Value of one event, > 0.

    Examples:
        >>> counts = Bucketed(scores=(0.1, 0.5), shown=(100, 100), events=(20, 40), prior=1e-6)
        >>> counts(np.array([0.1, 0.5])).round(3).tolist()
        [0.2, 0.4]
    """

    scores: Several
    shown: Counts
    events: Counts
    prior: Positive = 1.0
    scale: Scale = "probability"

    shape: ClassVar[float] = kernel.KNOTS

    def __post_init__(self) -> None:
        """Refuse buckets that are no counts of showings in order."""
        sizes = [len(self.scores), len(self.shown), len(self.events)]
        if len(set(sizes)) > 1:
            raise ValueError(f"`scores`, `shown` and `events` must be as many, got {sizes}")
        if not (np.diff(self.scores) > 0).all():
            raise ValueError("`scores` must increase from each to the next")
        if (np.array(self.events) > np.array(self.shown)).any():
            raise ValueError("`events` must be at most `shown`")

    @property
    def on_odds(self) -> bool:
        """Whether scores are probabilities."""
        return self.scale == "probability"

    @property
    def knots(self) -> Numbers:
        """Centres of the buckets that are left, and an end on either side."""
        at, shown, events = np.array(self.scores), np.array(self.shown), np.array(self.events)
        if self.on_odds:
            return pooled(log_odds(at), shown, events, prior=self.prior, slope=1.0)
        return pooled(at, shown, events, prior=self.prior, slope=SPAN / (at[-1] - at[0]))


Map: TypeAlias = Ratio | Temperature | Platt | Beta | Bucketed | Knots | Quantile
"""The maps there are."""
