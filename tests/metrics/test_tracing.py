"""Spans, as a real SDK of OpenTelemetry gets them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sync_sio import Server
from sync_sio.admin import instrument as show
from sync_sio.testing import ManualTime, TestClient
from sync_sio.tracing import instrument

TRACE = "0af7651916cd43dd8448eb211c80319c"
CONTEXT = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}


class Traced:
    def __init__(self, carrier: Any = None) -> None:
        self.io = Server()
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        instrument(self.io, carrier, self.provider)
        self.time = ManualTime(self.io)

    def spans(self) -> dict[str, ReadableSpan]:
        """Return the spans that have ended, by name: each name once."""
        self.time.settle()
        spans = self.exporter.get_finished_spans()
        named = {span.name: span for span in spans}
        assert len(named) == len(spans), [span.name for span in spans]
        return named


@pytest.fixture
def traced(request: pytest.FixtureRequest) -> Iterator[Traced]:
    traced = Traced(getattr(request, "param", None))
    yield traced
    traced.io.close()


def trace_of(span: ReadableSpan) -> str:
    return format(span.context.trace_id, "032x")


def test_a_handler_is_a_span_and_what_it_emits_its_child(traced: Traced) -> None:
    @traced.io.event("order")
    def order(socket: Any, number: int) -> str:
        traced.io.sleep(1)
        with trace.get_tracer("shop", tracer_provider=traced.provider).start_as_current_span("database"):
            socket.emit("ordered", number)
        return "yes"

    client = TestClient(traced.io)
    assert client.call("order", 7) == "yes"
    spans = traced.spans()
    handler, database, emit = spans["/ order"], spans["database"], spans["/ emit ordered"]
    assert handler.parent is None and handler.kind is trace.SpanKind.CONSUMER and emit.kind is trace.SpanKind.PRODUCER
    assert database.parent is not None and database.parent.span_id == handler.context.span_id
    assert emit.parent is not None and emit.parent.span_id == database.context.span_id
    assert trace_of(handler) == trace_of(database) == trace_of(emit)
    assert handler.attributes is not None and handler.attributes["sync_sio.socket.id"] == client.id
    assert emit.attributes is not None and (emit.attributes["sync_sio.event"], emit.attributes["sync_sio.recipients"]) == ("ordered", 1)


def test_a_client_has_no_trace_of_the_event_before(traced: Traced) -> None:
    traced.io.event("first")(lambda socket: None)
    traced.io.event("second")(lambda socket: None)
    client = TestClient(traced.io)
    client.emit("first")
    client.emit("second")
    client.settle()
    spans = traced.spans()
    assert trace_of(spans["/ first"]) != trace_of(spans["/ second"])


def test_what_a_handler_raises_is_in_its_span(traced: Traced, caplog: pytest.LogCaptureFixture) -> None:
    @traced.io.event("bad")
    def bad(socket: Any) -> None:
        raise LookupError("on purpose")

    client = TestClient(traced.io)
    client.emit("bad")
    client.settle()
    span = traced.spans()["/ bad"]
    assert span.status.status_code is trace.StatusCode.ERROR and span.status.description == "LookupError: on purpose"
    (event,) = span.events
    assert event.attributes is not None and event.attributes["exception.message"] == "on purpose"


def test_what_clients_invent_names_no_span(traced: Traced) -> None:
    client = TestClient(traced.io)
    client.emit("made up")
    client.settle()
    assert list(traced.spans()) == ["/ (other)"]


def test_coming_in_belongs_to_the_trace_of_the_request(traced: Traced) -> None:
    @traced.io.use
    def let_in(socket: Any) -> None: ...

    @traced.io.on("connection")
    def connected(socket: Any) -> None: ...

    traced.io.event("later")(lambda socket: None)
    client = TestClient(traced.io, headers=CONTEXT)
    client.emit("later")
    client.settle()
    spans = traced.spans()
    assert trace_of(spans["/ middleware"]) == trace_of(spans["/ connection"]) == TRACE != trace_of(spans["/ later"])


def last(socket: Any, event: Any, args: list[Any]) -> Any:
    return args[-1] if args else None


@pytest.mark.parametrize("traced", [last], indirect=True)
@pytest.mark.parametrize(
    ("said", "is_theirs"),
    [(CONTEXT, True), ({"traceparent": "nonsense"}, False), ({"traceparent": 5}, False), ("text", False), ({}, False), (None, False)],
)
def test_an_event_belongs_to_the_trace_that_the_carrier_finds(traced: Traced, said: Any, is_theirs: bool) -> None:
    traced.io.event("order")(lambda socket, number, context: number)
    assert TestClient(traced.io).call("order", 7, said) == 7
    assert (trace_of(traced.spans()["/ order"]) == TRACE) is is_theirs


def test_a_broadcast_is_one_span(traced: Traced) -> None:
    clients = [TestClient(traced.io) for _ in range(3)]
    traced.io.emit("news")
    attributes = traced.spans()["/ emit news"].attributes
    assert attributes is not None and attributes["sync_sio.recipients"] == len(clients)


def test_the_admin_ui_is_not_traced(traced: Traced) -> None:
    show(traced.io, auth={"username": "admin", "password": "let me in"})
    TestClient(traced.io, "/admin", {"username": "admin", "password": "let me in"})
    traced.time.advance(10)
    assert [span.name for span in traced.exporter.get_finished_spans() if "emit" in span.name] == []


def test_a_carrier_is_a_function() -> None:
    with pytest.raises(TypeError, match="carrier='x'"):
        instrument(Server(), carrier="x")  # type: ignore[arg-type]


def test_without_an_sdk_events_are_handled_as_ever() -> None:
    io = Server()
    instrument(io, tracer_provider=trace.NoOpTracerProvider())
    io.event("echo")(lambda socket, data: data)
    with TestClient(io) as client:
        assert client.call("echo", 1) == 1
    io.close()
