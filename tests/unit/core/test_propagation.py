"""Trace context in headers: every usual form is understood, and given back; what is malformed is as if it were not there."""

from __future__ import annotations

import pytest

from goldcrest.propagation import Form, Incoming, incoming, outgoing
from goldcrest.telemetry import Trace

pytestmark = pytest.mark.unit

LONG, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SHORT = "a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("headers", "form", "trace_id", "sampled"),
    [
        ({"traceparent": f"00-{LONG}-{SPAN}-01"}, Form.W3C, LONG, True),
        ({"traceparent": f"00-{LONG}-{SPAN}-00"}, Form.W3C, LONG, False),
        ({"b3": f"{LONG}-{SPAN}-1"}, Form.B3, LONG, True),
        ({"b3": f"{LONG}-{SPAN}-1-05e3ac9a4f6e3b90"}, Form.B3, LONG, True),
        ({"b3": f"{LONG}-{SPAN}-d"}, Form.B3, LONG, True),
        ({"b3": f"{LONG}-{SPAN}-0"}, Form.B3, LONG, False),
        ({"b3": f"{LONG}-{SPAN}"}, Form.B3, LONG, None),
        ({"b3": f"{SHORT.upper()}-{SPAN}-1"}, Form.B3, "0" * 16 + SHORT, True),
        ({"x-b3-traceid": LONG, "x-b3-spanid": SPAN, "x-b3-sampled": "1"}, Form.B3_MULTI, LONG, True),
        ({"x-b3-traceid": SHORT, "x-b3-spanid": SPAN, "x-b3-sampled": "false"}, Form.B3_MULTI, "0" * 16 + SHORT, False),
        ({"x-b3-traceid": LONG, "x-b3-spanid": SPAN}, Form.B3_MULTI, LONG, None),
        ({"x-b3-traceid": LONG, "x-b3-spanid": SPAN, "x-b3-flags": "1"}, Form.B3_MULTI, LONG, True),
        ({"uber-trace-id": f"{LONG}:{SPAN}:0:1"}, Form.UBER, LONG, True),
        ({"uber-trace-id": f"{LONG}:{SPAN}:0:0"}, Form.UBER, LONG, False),
        ({"uber-trace-id": f"{SHORT[1:]}:67aa0ba902b7:0:3"}, Form.UBER, "0" * 17 + SHORT[1:], True),
        ({"uber-trace-id": f"{LONG}%3A{SPAN}%3A0%3A1"}, Form.UBER, LONG, True),
    ],
)
def test_understood(headers: dict[str, str], form: Form, trace_id: str, sampled: bool | None) -> None:
    """The trace id, whether it is recorded, and the form for the answer."""
    found = incoming(headers)
    assert found.parent is not None
    assert (found.form, found.parent.trace_id, found.sampled) == (form, trace_id, sampled)
    assert Trace.parse(found.parent.header) == found.parent


@pytest.mark.parametrize(
    ("headers", "sampled"), [({"b3": "0"}, False), ({"x-b3-sampled": "0"}, False), ({"b3": "d"}, True)]
)
def test_only_whether_it_is_recorded(headers: dict[str, str], sampled: bool) -> None:
    """No trace, but a wish."""
    found = incoming(headers)
    assert (found.parent, found.sampled) == (None, sampled)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"traceparent": "nonsense"},
        {"traceparent": f"00-{'0' * 32}-{SPAN}-01"},
        {"b3": f"{LONG}-{'0' * 16}-1"},
        {"b3": f"{LONG}{SPAN}"},
        {"x-b3-traceid": LONG},
        {"x-b3-traceid": "../etc", "x-b3-spanid": SPAN},
        {"uber-trace-id": f"{LONG}:{SPAN}"},
        {"uber-trace-id": f"0:{SPAN}:0:1"},
        {"uber-trace-id": "f" * 100_000},
    ],
)
def test_malformed(headers: dict[str, str]) -> None:
    """A new trace is begun."""
    assert incoming(headers).parent is None


def test_the_first_form_counts() -> None:
    """W3C before the others; a malformed one does not hide a good one."""
    both = {"traceparent": f"00-{LONG}-{SPAN}-01", "b3": f"{'1' * 32}-{SPAN}-1"}
    assert incoming(both).form is Form.W3C
    assert incoming(both | {"traceparent": "x"}).form is Form.B3


@pytest.mark.parametrize("form", Form)
def test_given_back(form: Form) -> None:
    """What is sent back is read as the same trace; traceparent is always there."""
    trace = Trace(LONG, SPAN)
    headers = {name.lower(): value for name, value in outgoing(trace, form).items()}
    assert headers["traceparent"] == trace.header
    if form is not Form.W3C:
        del headers["traceparent"]
    assert incoming(headers) == Incoming(trace, True, form)
