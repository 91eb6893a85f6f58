"""A request made of a logged list is what the network of a log has read."""

import msgspec
import numpy as np
import pytest

from slatewise import Policy, Solve
from slatewise.core.errors import RequestError
from slatewise.evaluate.adworld import AdWorld, catalogue
from slatewise.learn.adfeed import sample
from slatewise.learn.asked import bodies
from slatewise.models.inputs import Inputs
from slatewise.serve.wire import Wire

WORLD = AdWorld(length=6, competing=5, first=2, last=5, gap=2, users=50, posts=60, ads=20)
COLUMNS = {"score": "number", "bid": "number?", "topic": "key?", "advertiser": "key?"}


def policy(**columns):
    context = {"patience": ["hasty", "usual", "patient"]}
    return Policy.of(
        Solve(by="score"), lines=["posts", "ads"], columns={**COLUMNS, **columns}, slots=6, context=context
    )


def test_a_request_of_a_log_gives_a_network_what_the_log_gives_it():
    pages = sample(8, world=WORLD, stock=catalogue(WORLD), seed=0)
    inputs = Inputs.known(
        pages, numbers=["score", "bid"], keys=["item_id", "line", "topic", "advertiser"], history="item_id", seen=1
    )
    wire, logged = Wire(policy()), inputs.of_pages(pages)
    for number, body in enumerate(bodies(pages, policy().head)):
        request = wire.decode(msgspec.json.encode(body)).request
        found = inputs.of(request.candidates, request, np.arange(len(request.candidates)))
        for name, array in found.items():
            assert array.tolist() == logged[name][number].tolist(), name
        assert (request.id, request.user) == (pages.request[number], pages.user[number])


def test_a_column_that_the_log_does_not_have_is_refused():
    pages = sample(2, world=WORLD, stock=catalogue(WORLD), seed=0)
    with pytest.raises(RequestError, match="pages: must have the column, a number, got 'qualty'"):
        bodies(pages, policy(qualty="number").head)
