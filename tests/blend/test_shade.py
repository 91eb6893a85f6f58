"""`blend.shade`: less than a slot is worth, where less wins it, too."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slatewise import Candidates, Control, Feed, Merge, Policy, PolicyError, Request, Shade, Weight
from slatewise.blend.landscapes import Grid, Landscape, Loglogistic, Lognormal, Mixture, Uniform
from slatewise.blend.shade import Shaded, ShadeSegment
from slatewise.core.ledger import Entry, Head
from slatewise.methods.explore import Account, Explore
from slatewise.methods.winrates import Learning
from slatewise.testing.checks import check_annotator, check_controller

EVEN = Landscape(curve=Uniform(top=100.0))
COUNTED = Landscape(curve=Grid(scores=(10.0, 40.0, 50.0), wins=(0.2, 0.5, 0.9), errors=(0.0, 0.0, 0.3)))
LEARNING = Learning(step=1.0, steps=60, cells=2, width=1.0, warm=50, half_life=1e4)
HEAD = {"lines": ["ads", "posts"], "columns": {"value": "number"}}


def shaded(stage, utility, *, line="ads", context=None, control=None, request="r", **columns):
    """The scores that one line's rows enter."""
    rows = [line] * len(utility)
    items = Candidates.of(line=rows, utility=utility, value=columns.pop("value", utility), **columns)
    asked = Request(candidates=items, context=context or {}, control=control, id=request)
    return stage.annotate(items, asked)["utility"].tolist()


def entry(line, request, **heads):
    """A slot that `line` has, with each line's (value, score)."""
    told = {name: Head(value=value, worth=value, score=score) for name, (value, score) in heads.items()}
    value, score = heads[line]
    return Entry(request=request, time=0.0, slot=1, line=line, item_id="x", value=value, score=score, heads=told)


def played(stage, rivals, *, worth=50.0, window=20):
    """A toy plant: an ad worth the same every time, against posts worth `rivals`. Returns scores and memory."""
    memory, scores, waiting = stage.init(), [], []
    for place, rival in enumerate(rivals):
        control = Control({stage.section: memory})
        [score] = shaded(stage, [worth], control=control, request=str(place))
        scores.append(score)
        winner = "ads" if rival < score else "posts"
        waiting.append((entry(winner, str(place), ads=(worth, score), posts=(rival, rival)),))
        if len(waiting) == window:
            memory, waiting = stage.advance(memory, waiting), []
    return np.array(scores), memory


def test_keeps_the_promises_of_a_controller():
    items = Candidates.of(
        line=["ads", "posts", "ads", "ads"], utility=[30.0, 9.0, -1.0, 80.0], value=[30.0, 9.0, 1.0, 80.0]
    )
    pages = [(entry("ads", str(place), ads=(9.0, 9.0), posts=(place % 7, place % 7)),) for place in range(80)]
    check_controller(Shade(learn={"ads": LEARNING}, explore=Explore(odds=1.0)), Request(candidates=items), pages)
    check_annotator(Shade(lines={"ads": COUNTED}), Request(candidates=items))


def test_each_line_is_shaded_by_its_own_landscape_and_one_without_enters_its_worth():
    items = Candidates.of(line=["ads", "posts", "ads"], utility=[60.0, 60.0, 45.0])
    written = Shade(lines={"ads": COUNTED}).annotate(items, Request(candidates=items))
    assert written["utility"].tolist() == [10.0, 60.0, 10.0]  # 60: .2 * 50 = .5 * 20 > .9 * 10, ties to the smaller
    assert written["shade"].tolist() == [-50.0, 0.0, -35.0]


def test_what_is_worth_nothing_keeps_its_utility():
    assert shaded(Shade(lines={"ads": EVEN}), [0.0, -5.0, 8.0]) == pytest.approx([0.0, -5.0, 4.0])


def test_the_dearer_score_is_the_less_is_entered():
    shade = Shade(lines={"ads": EVEN})
    assert shaded(shade, [60.0], rate=[2.0]) == pytest.approx([15.0])
    assert shaded(Shade(lines={"ads": EVEN}, rate=2.0), [60.0]) == pytest.approx([15.0])
    assert shaded(shade, [60.0], rate=[0.0]) == pytest.approx([100.0])  # always wins


def test_under_displacement_every_landscape_enters_the_same():
    for landscape in (EVEN, COUNTED, Landscape(curve=Lognormal(location=1.0, scale=2.0))):
        shade = Shade(lines={"ads": landscape}, accounting="displacement")
        assert shaded(shade, [60.0, 7.0, -2.0], rate=[1.5] * 3) == pytest.approx([40.0, 7 / 1.5, -2.0])


def test_segments_replace_landscapes_and_context_moves_them():
    """Rival scores twice as high: the best score for a worth of 60 is twice that for 30 where they are not."""
    crowded = Landscape(curve=Loglogistic(location=2.0, scale=0.4), shift={"part": {"evening": float(np.log(2.0))}})
    shade = Shade(lines={"ads": crowded}, segments=(ShadeSegment(when={"tenure": "new"}, lines={"ads": EVEN}),))
    [morning] = shaded(shade, [30.0], context={"part": "morning"})
    assert shaded(shade, [60.0], context={"part": "evening"}) == pytest.approx([2.0 * morning])
    assert shaded(shade, [60.0], context={"tenure": "new"}) == pytest.approx([30.0])


def test_no_score_is_beyond_what_is_known_and_none_beyond_the_most():
    known = Landscape(curve=Uniform(top=1000.0), limit=70.0, shift={"part": {"evening": 1.0}})
    assert shaded(Shade(lines={"ads": known}), [400.0]) == [70.0]
    assert shaded(Shade(lines={"ads": known}), [400.0], context={"part": "evening"}) == pytest.approx([70.0])
    assert shaded(Shade(lines={"ads": known}, most=20.0), [400.0]) == [20.0]


def test_caution_prefers_a_score_whose_win_rate_is_sure():
    """Worth 90: .9 * 40 = 36 at 50 beats .5 * 50 = 25 at 40; three standard errors down, .9 is no more than .5."""
    assert shaded(Shade(lines={"ads": COUNTED}), [90.0]) == [50.0]
    assert shaded(Shade(lines={"ads": COUNTED}, caution=3.0), [90.0]) == [40.0]


@given(st.lists(st.floats(-10.0, 200.0), min_size=2, max_size=12), st.floats(0.3, 3.0), st.booleans())
def test_a_lines_own_order_survives(utility, rate, known):
    peaks = Mixture(parts=(Uniform(top=10.0), Lognormal(location=4.0, scale=0.1)), weights=(1.0, 1.0))
    shade = Shade(lines={"ads": Landscape(curve=peaks) if known else COUNTED}, rate=rate)
    order = np.argsort(utility, kind="stable")
    assert (np.diff(np.array(shaded(shade, utility))[order]) >= 0).all()


def test_a_lines_own_order_survives_where_curves_of_cells_cross():
    """Low values meet rivals at 8, high ones at 2: on its own, the lower of the two would enter more."""
    shade = Shade(learn={"ads": LEARNING})
    pages = []
    for place in range(400):
        value, rival = (20.0, 8.0) if place % 2 else (21.0, 2.0)
        pages.append((entry("ads", str(place), ads=(value, 30.0), posts=(rival, rival)),))
    control = Control({"blend.shade": shade.advance(shade.init(), pages)})
    assert shaded(shade, [21.0], control=control) == [3.0]
    assert shaded(shade, [21.0, 20.0], control=control) == [9.0, 9.0]


@pytest.mark.parametrize("feedback", ["full", "won"])
def test_learns_to_enter_just_more_than_the_rival(feedback):
    """Rivals at 30 three times of four, else at 40; worth 50: .75 * 19 at 31 beats 9 at 41."""
    learning = Learning(step=1.0, steps=60, cells=1, width=1.0, warm=50, feedback=feedback)
    scores, _ = played(Shade(learn={"ads": learning}), [40.0, 30.0, 30.0, 30.0] * 150)
    assert (scores[:40] == 50.0).all()  # nothing is known yet
    assert (scores[-200:] == 31.0).all()


def test_a_line_whose_slots_are_decided_elsewhere_learns_of_a_loss_no_more_than_its_own_score():
    """The page says that the rival was at 5; but the slot was lost with 30."""
    pages = [(entry("posts", str(place), ads=(50.0, 30.0), posts=(5.0, 5.0)),) for place in range(200)]
    for feedback, least, most in (("full", 6.0, 6.0), ("won", 31.0, 50.0)):
        learning = Learning(step=1.0, steps=60, cells=1, width=1.0, feedback=feedback)
        shade = Shade(learn={"ads": learning})
        control = Control({"blend.shade": shade.advance(shade.init(), pages)})
        [score] = shaded(shade, [50.0], control=control)
        assert least <= score <= most


def test_follows_rivals_that_change():
    scores, _ = played(Shade(learn={"ads": LEARNING}), [10.0] * 400 + [35.0] * 400)
    assert scores[399] == 11.0
    assert scores[-1] == 36.0


def test_exploring_stops_at_an_empty_account_and_never_spends_more_than_its_share():
    rivals = np.floor(np.random.default_rng(0).uniform(0.0, 50.0, 4000)).tolist()
    stage = Shade(learn={"ads": LEARNING}, explore=Explore(share=0.02, odds=0.5))
    scores, memory = played(stage, rivals)
    account = memory.accounts["ads"]
    paid = scores[np.array(rivals) < scores].sum()
    assert account.earned == pytest.approx(0.02 * paid, rel=0.01)
    assert 0.5 * account.earned < account.spent <= account.earned + 40.0  # one window may overdraw
    assert (scores <= 50.0).all()
    spent = Shaded(memory.rates, {"ads": Account(1.0, 2.0)})
    plain = Shade(learn={"ads": LEARNING})
    for place in range(40):
        page = {"control": Control({"blend.shade": spent}), "request": str(place)}
        assert shaded(stage, [50.0], **page) == shaded(plain, [50.0], **page)


def test_exploring_says_how_probable_a_score_was():
    pages = [(entry("ads", str(place), ads=(50.0, 50.0), posts=(20.0, 20.0)),) for place in range(200)]
    shade = Shade(learn={"ads": LEARNING}, explore=Explore(odds=0.4, band=0.1))
    control = Control({"blend.shade": shade.advance(shade.init(), pages)})
    items = Candidates.of(line=["ads"], utility=[50.0], value=[50.0])
    seen = set()
    for place in range(60):
        written = shade.annotate(items, Request(candidates=items, control=control, id=str(place)))
        seen.add((round(written["utility"][0], 6), written["propensity"][0].round(6)))
        (chance,) = shade.chances(["posts", "ads"], Request(candidates=items, control=control, id=str(place)))
        assert (chance.line, chance.propensity) == ("ads", written["propensity"][0])
        assert written["utility"][0] == pytest.approx(21.0 * np.exp(0.1 * chance.way))
    assert not shade.chances(["ads"], Request(candidates=items))  # nothing is learned yet
    assert seen == {(21.0, 0.6), (round(21 * np.exp(0.1), 6), 0.2), (round(21 * np.exp(-0.1), 6), 0.2)}


def test_exploring_enters_no_more_than_the_most():
    pages = [(entry("ads", str(place), ads=(50.0, 50.0), posts=(20.0, 20.0)),) for place in range(200)]
    shade = Shade(learn={"ads": LEARNING}, explore=Explore(odds=1.0), most=21.0)
    control = Control({"blend.shade": shade.advance(shade.init(), pages)})
    scores = [shaded(shade, [50.0], control=control, request=str(place))[0] for place in range(40)]
    assert max(scores) == 21.0


@pytest.mark.parametrize("shift", [1e30, -1e30])
def test_a_shift_beyond_all_scores_is_no_error(shift):
    far = Landscape(curve=Uniform(top=100.0), shift={"part": {"night": shift}})
    [score] = shaded(Shade(lines={"ads": far}), [50.0], context={"part": "night"})
    assert 0.0 <= score <= 50.0


def test_the_widest_mixture_is_solved():
    wide = Mixture(parts=(Lognormal(location=0.0, scale=1e3), Lognormal(location=1.0, scale=1e3)), weights=(1.0, 1.0))
    [score] = shaded(Shade(lines={"ads": Landscape(curve=wide)}), [50.0])
    assert 0.0 <= score <= 50.0


def test_runs_between_weighing_and_merging():
    feed = Feed(Policy.of(Weight(), Shade(lines={"ads": EVEN}), Merge(order="value"), **HEAD))
    items = Candidates.of(item_id=["ad", "post"], line=["ads", "posts"], value=[60.0, 40.0])
    page = feed.compose(Request(candidates=items))
    assert [(item.item_id, item.utility) for item in page.items] == [("post", 40.0), ("ad", pytest.approx(30.0))]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lines": {"add": EVEN}}, r"blend.shade.lines.add: must be a line of the policy, .* did you mean 'ads'"),
        ({"learn": {"add": LEARNING}}, r"blend.shade.learn.add: must be a line of the policy"),
        ({"lines": {"ads": EVEN}, "learn": {"ads": LEARNING}}, r"blend.shade.learn.ads: has a landscape already"),
        ({"lines": {"ads": Landscape(curve=Uniform(top=9.0), limit=5.0)}, "most": 6.0},
         r"blend.shade.most: must be <= 5.0, the limit of what is known of 'ads', got 6.0"),
        ({"lines": {"ads": EVEN}, "explore": Explore()}, r"blend.shade.explore: is for lines that learn"),
        ({"rate": 0.0}, r"blend.shade.rate: must be > 0, got 0"),
    ],
)  # fmt: skip
def test_refuses_what_does_not_go_together(fields, message):
    with pytest.raises(PolicyError, match=message):
        Policy.of(Weight(), Shade(**fields), Merge(), **HEAD)


@pytest.mark.parametrize(
    ("curve", "message"),
    [
        ({"scores": (1.0, 1.0), "wins": (0.1, 0.2)}, "`scores` must rise"),
        ({"scores": (1.0, 2.0), "wins": (0.3, 0.2)}, "`wins` must not fall"),
        ({"scores": (1.0, 2.0), "wins": (0.3,)}, "`wins` must have one per score, 2, got 1"),
    ],
)
def test_refuses_a_grid_that_is_no_curve(curve, message):
    with pytest.raises(ValueError, match=message):
        Grid(**curve)
