"""The standing experiment: gradients by enumeration and by simulation, and weights that climb in closed loop."""

import numpy as np
import pytest

from slatewise import Candidates, Request, RequestError, Weight
from slatewise.blend.weight import Experiment, Learned, sign
from slatewise.learn.experiment import fit_experiment

LINES = ["posts", "ads", "live"]
STAGE = Weight(anchor="posts", explore=Experiment(step=0.1, salt="spring"))
PEOPLE = [f"u{number}" for number in range(4_000)]


def log_of(outcome, *, stage=STAGE, pages=5, seed=0, noise=0.3):
    """Return pages of people, half of them new; `outcome` is of logarithms of weights by line, and of being new."""
    rng = np.random.default_rng(seed)
    users = np.repeat(PEOPLE, pages).astype(object)
    new = np.repeat(np.arange(len(PEOPLE)) % 2 == 0, pages)
    items = Candidates.of(line=LINES[1:], value=[1.0, 1.0])
    weights = {}
    for number, user in enumerate(PEOPLE):
        request = Request(candidates=items, user=user, context={"tenure": "old" if number % 2 else "new"})
        weights[user] = np.log(stage.annotate(items, request)["weight"])
    logs = np.array([weights[user] for user in users])
    came = outcome(logs, new) + rng.normal(0, noise, len(users)) + np.repeat(rng.normal(0, noise, len(PEOPLE)), pages)
    return {"user": users, "tenure": np.where(new, "new", "old").astype(object), "outcome": came}


def slopes(log_weights, new):
    return 5 + log_weights @ [0.8, -0.5] + log_weights[:, 0] * np.where(new, -1.0, 1.0)


def test_gradients_of_all_lines_come_from_one_experiment():
    found = fit_experiment(log_of(slopes), stage=STAGE, lines=LINES, features=["tenure"])
    gradients = {(one.line, one.when.get("tenure")): one.gradient for one in found.gradients}
    truth = {("ads", None): 0.8, ("live", None): -0.5, ("ads", "new"): -0.2, ("ads", "old"): 1.8,
             ("live", "new"): -0.5, ("live", "old"): -0.5}  # fmt: skip
    assert {place: one.estimate for place, one in gradients.items()} == pytest.approx(truth, abs=0.2)
    assert all(one.low < truth[place] < one.high for place, one in gradients.items())


def test_without_noise_the_gradient_is_exact():
    """By enumeration: the difference of means over twice the step, for outcomes that are linear in signs."""
    log = log_of(lambda logs, new: logs @ [0.8, -0.5], noise=0.0)
    found = fit_experiment(log, stage=STAGE, lines=LINES)
    assert [one.gradient.estimate for one in found.gradients] == pytest.approx([0.8, -0.5])


def test_errors_are_by_user():
    """Pages of a user have signs in common: ten times as many pages of the same people say hardly more."""
    few, many = (
        fit_experiment(log_of(slopes, pages=pages), stage=STAGE, lines=LINES).gradients[0].gradient for pages in (3, 30)
    )
    assert many.high - many.low > 0.7 * (few.high - few.low)


def test_intervals_hold_the_truth_as_often_as_they_say():
    held = []
    for salt in range(60):
        stage = Weight(anchor="posts", explore=Experiment(step=0.1, salt=str(salt)))
        log = log_of(lambda logs, new: logs @ [0.3, 0.0], stage=stage, pages=1, seed=salt)
        gradients = fit_experiment(log, stage=stage, lines=LINES).gradients
        held += [one.gradient.low < truth < one.gradient.high for one, truth in zip(gradients, (0.3, 0.0), strict=True)]
    assert np.mean(held) > 0.88


def test_weights_climb_to_the_best_ones_in_closed_loop():
    """What comes of a page is best at logarithms 0.3 and -0.2; step by step, weights come near."""

    def outcome(logs, new):
        return -np.square(logs - [0.3, -0.2]).sum(axis=1)

    stage = STAGE
    for round_ in range(12):
        log = log_of(outcome, stage=stage, seed=round_, noise=0.02)
        stage = fit_experiment(log, stage=stage, lines=LINES, move=0.1 / (1 + round_ / 3)).stage
    found = [stage.learned[line].offset for line in ("ads", "live")]
    assert found == pytest.approx([0.3, -0.2], abs=0.08)


def test_no_effect_moves_less_than_the_step_and_no_line_twice():
    found = fit_experiment(log_of(lambda logs, new: 0 * logs[:, 0]), stage=STAGE, lines=LINES, features=["tenure"])
    assert max(abs(one.step) for one in found.gradients) <= STAGE.explore.step
    assert "posts" not in found.stage.learned


def test_what_was_learned_before_is_kept_and_added_to():
    stage = Weight(anchor="posts", explore=STAGE.explore, learned={"ads": Learned(offset=0.2)})
    found = fit_experiment(log_of(slopes), stage=stage, lines=LINES)
    steps = {one.line: one.step for one in found.gradients}
    assert found.stage.learned["ads"].offset == pytest.approx(0.2 + steps["ads"])
    assert steps["ads"] == pytest.approx(0.1)


def test_values_that_few_users_have_are_left_alone_and_told():
    log = log_of(slopes)
    log["tenure"][log["user"] == "u1"] = "rare"
    found = fit_experiment(log, stage=STAGE, lines=LINES, features=["tenure"])
    assert found.unsupported == ({"tenure": "rare"},)
    assert all("rare" not in one.context.get("tenure", {}) for one in found.stage.learned.values())


def test_signs_of_the_fit_are_those_that_were_served():
    items = Candidates.of(line=["ads"], value=[1.0])
    weight = STAGE.annotate(items, Request(candidates=items, user="u5"))["weight"][0]
    assert np.sign(np.log(weight)) == sign("spring", "u5", "ads")


@pytest.mark.parametrize(
    ("stage", "users", "message"),
    [
        (Weight(), 500, "explore: must be on in the stage under which the pages were served"),
        (Weight(explore=Experiment(step=0.0)), 500, "explore: must be on"),
        (STAGE, 20, "log.user: must name at least 100 users, got 20"),
    ],
)
def test_refuses(stage, users, message):
    log = {"user": np.array(PEOPLE[:users], object), "outcome": np.zeros(users)}
    with pytest.raises(RequestError, match=message):
        fit_experiment(log, stage=stage, lines=LINES)
