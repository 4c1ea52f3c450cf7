"""OpenTelemetry's spans for what handlers do and for what is emitted.

    from sync_sio.tracing import instrument

    instrument(io)

Only OpenTelemetry's API is needed here. Until the process sets up its SDK, with somebody who gets the spans, none are made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from .config import check_server
from .probe import Probe

try:
    from opentelemetry import propagate, trace
except ImportError as error:
    raise ImportError("sync_sio.tracing needs opentelemetry-api: pip install sync-sio[tracing]") from error

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from .protocol.parcel import Parcel
    from .protocol.socketio.packet import Packet
    from .server import Server
    from .sockets.socket import Socket

__all__ = ["Carrier", "instrument"]

Carrier = Callable[[Any, Any, list[Any]], Mapping[str, str] | None]
"""`f(socket, event, args)`, see `instrument`."""

OTHER: Final = "(other)"
AT_THE_DOOR: Final = frozenset(("middleware", "connection"))
OURS: Final = AT_THE_DOOR | {"disconnecting", "disconnect", "error"}


def instrument(io: Server, carrier: Carrier | None = None, tracer_provider: trace.TracerProvider | None = None) -> None:
    """Have spans made for this server. Once, before it serves.

    - `{namespace} {event}`, kind CONSUMER, around the handlers of each event, with the middleware and the catch-all listeners; also for
      middleware of a namespace, `connection`, `disconnect` and callbacks of acknowledgements. What handlers call has it as its parent.
      An event for which nobody has registered is named `(other)`, as clients may invent names. What a handler raises is recorded.
    - `{namespace} emit {event}`, kind PRODUCER, a moment for each emit, with the number of its recipients in this process. Its parent is
      the span that is current where it was emitted.

    Whose child a span is: middleware and `connection` belong to the trace of the handshake request's headers, if it has one, as of a
    proxy or a page that is traced. Events come much later, so each begins a trace of its own, unless `carrier` says where the client
    has put its context.

    Args:
        carrier: `f(socket, event, args)` returns a mapping with what the client has injected (`traceparent` …), or None. It sees what
            the client sent, unchecked, and when it raises, the event is not handled, as with any function of `io.around`. What is no
            mapping counts as None.
        tracer_provider: makes the tracer; None: the global one.

    Raises:
        TypeError: `io` is no server, or `carrier` cannot be called.
    """
    check_server(io)
    if carrier is not None and not callable(carrier):
        raise TypeError(f"carrier={carrier!r}: a function of (socket, event, args) is wanted")
    tracer = trace.get_tracer("sync_sio", tracer_provider=tracer_provider)
    spans = _Spans(tracer, carrier)
    io.around(spans.around)
    io.on_error(_record)
    io.add_probe(_Emits(tracer))


class _Spans:
    """The spans of handlers. Any thread."""

    def __init__(self, tracer: trace.Tracer, carrier: Carrier | None) -> None:
        self._tracer = tracer
        self._carrier = carrier

    def around(self, socket: Socket | None, event: Any, args: list[Any]) -> AbstractContextManager[object]:
        if socket is None:
            return self._tracer.start_as_current_span(f"server {event}", kind=trace.SpanKind.CONSUMER)
        home = socket.namespace
        name = event if event in OURS or event in home.habits else OTHER
        return self._tracer.start_as_current_span(
            f"{home.name} {name}",
            self._parent(socket, event, args),
            trace.SpanKind.CONSUMER,
            {
                "messaging.system": "socket.io",
                "messaging.operation.type": "process",
                "messaging.destination.name": home.name,
                "sync_sio.event": str(name),
                "sync_sio.socket.id": socket.id,
            },
        )

    def _parent(self, socket: Socket, event: Any, args: list[Any]) -> Context | None:
        if event in AT_THE_DOOR:
            environ = socket.conn.peek_request()
            headers = {
                name: value
                for name in propagate.get_global_textmap().fields
                if isinstance(value := environ.get("HTTP_" + name.upper().replace("-", "_")), str)
            }
            return propagate.extract(headers) if headers else None
        found: object = None if self._carrier is None else self._carrier(socket, event, args)
        if not isinstance(found, Mapping):
            return None
        return propagate.extract({name: value for name, value in found.items() if isinstance(name, str) and isinstance(value, str)})


def _record(error: BaseException, socket: Socket | None, event: Any, args: list[Any]) -> None:
    """A handler has failed, which its span does not see by itself (`io.on_error`)."""
    span = trace.get_current_span()
    if span.is_recording():
        span.record_exception(error)
        span.set_status(trace.Status(trace.StatusCode.ERROR, f"{type(error).__name__}: {error}"))


class _Emits(Probe):
    """The spans of emits."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def event_sent(self, sockets: Sequence[Socket], packet: Packet, parcel: Parcel) -> None:
        if sockets and not sockets[0].namespace.is_shown:
            return                          # the Admin UI's own
        self._tracer.start_span(
            f"{packet.namespace} emit {packet.data[0]}",
            kind=trace.SpanKind.PRODUCER,
            attributes={
                "messaging.system": "socket.io",
                "messaging.operation.type": "send",
                "messaging.destination.name": packet.namespace,
                "sync_sio.event": str(packet.data[0]),
                "sync_sio.recipients": len(sockets),
            },
        ).end()
