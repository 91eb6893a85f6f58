"""Logs: one object a line, named after the request, and nothing of users."""

import io
import json
import logging

import pytest

from slatewise.serve.process.logs import CURRENT, form_of, set_up
from slatewise.serve.process.settings import Settings

log = logging.getLogger("slatewise.serve.test")


@pytest.fixture
def written():
    """Set logging up on a stream, and leave it as it was."""
    root, stream = logging.getLogger(), io.StringIO()
    before = root.handlers[:], root.level

    def setting_up(**settings):
        set_up(Settings(**settings), stream)
        return stream

    yield setting_up
    root.handlers[:], root.level = before
    CURRENT.set(None)


def test_a_line_is_one_object_with_the_name_of_its_request(written):
    stream = written(log_form="json")
    CURRENT.set({"headers": [(b"x-request-id", b"r-7")]})
    log.warning("two\nlines of %s", "it")
    log.info("next")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["level"], first["message"], first["request_id"]) == ("WARNING", "two\nlines of it", "r-7")
    assert first["time"].endswith("Z")
    assert set(first) == {"time", "level", "logger", "process", "message", "request_id"}
    assert second["logger"] == "slatewise.serve.test"


def test_a_failure_is_logged_with_its_traceback_on_the_same_line(written):
    stream = written(log_form="json")
    try:
        raise KeyError("gone")
    except KeyError:
        log.exception("failed")
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert "Traceback" in line["error"]
    assert "KeyError: 'gone'" in line["error"]


@pytest.mark.parametrize("sent", [b"", b"a b", b"x" * 129, b"r\x1b[31m", b'{"a"\n'])
def test_a_name_that_is_none_is_not_repeated(written, sent):
    stream = written(log_form="text")
    CURRENT.set({"headers": [(b"x-request-id", sent)]})
    log.warning("hello")
    assert stream.getvalue().endswith("WARNING hello\n")


def test_people_on_a_terminal_get_text_and_programs_get_json():
    terminal, pipe = io.StringIO(), io.StringIO()
    terminal.isatty = lambda: True
    assert (form_of("auto", terminal), form_of("auto", pipe), form_of("text", pipe)) == ("text", "json", "text")


def test_what_is_below_the_level_is_not_written(written):
    stream = written(log_level="warning")
    log.info("quiet")
    assert stream.getvalue() == ""
