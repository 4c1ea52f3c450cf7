"""Long polling: a GET that waits is a ticket, a POST is read by its own worker thread.

A ticket is made under the connection's lock: answered from the outbox at once, or left waiting. Only then is the client's
socket taken over and attached (or the worker waits). What is sent between the two answers the ticket, so nobody can miss it.
The embedded server's connection is parked instead of taken over, and goes on with the client's next request after the answer.
The loop answers attached tickets, not the sender: a broadcast never pays for HTTP, and a burst is one answer.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Final

from ..drivers.base import Driver, Stream, Waiter
from ..errors import ProtocolError
from ..protocol.engineio.packet import EnginePacketError
from ..protocol.http import response
from ..wsgi.compression import Packing
from ..wsgi.takeover import Parking
from .bodies import Body, Reply
from .connection import Connection
from .ends import slow_consumer
from .forms import FORM_4, Form
from .state import CLOSED, CLOSING, OPEN

SEND_TIMEOUT: Final = 30.0
"""Seconds that a client may take for an answer that did not fit into the kernel's buffer at once."""
DISCARD_BYTES: Final = 65536


class Ticket:
    """A GET that waits. Its headers were made when it was: the users' listeners may not run in the loop.

    Attached to a stream, it is the loop's: only phase one touches `tail`. With a request that is parked, the web server sees to
    what does not fit, and to a client that hangs up. Held by a worker, `waiter` is set with the body, or with None
    for "take what waits". With `farewell` set, before it is discarded, it is answered when it is.
    """

    __slots__ = ("driver", "farewell", "fd", "is_attached", "parking", "polling", "reply", "stream", "tail", "waiter")

    def __init__(self, polling: PollingTransport, reply: Reply) -> None:
        self.polling = polling
        self.reply = reply
        self.driver: Driver = polling.connection.driver
        self.stream: Stream | None = None
        self.parking: Parking | None = None
        self.waiter: Waiter | None = None
        self.fd = -1
        self.is_attached = False
        self.farewell: Body | None = None
        self.tail: memoryview | None = None

    def answer(self, body: Body) -> None:
        """Answer with this body (phase one, or before anybody else can know the ticket)."""
        packing = self.reply.packing(body)
        if packing is None:
            self.respond(body, body.data, None)
        else:
            self._pack(body, packing)

    def _pack(self, body: Body, packing: Packing) -> None:
        """Compress a slice, and let others have their turn before the next: the loop is never held for longer than one takes."""
        if self.polling.connection.home.is_closed:
            packing.finish()                # the loop is about to end
        elif not packing.step():
            self.driver.post(self._pack, body, packing)
            return
        self.respond(body, packing.body, packing.encoding)

    def respond(self, body: Body, data: bytes, encoding: str | None) -> None:
        """Send the answer as far as it fits (phase one; if the request is parked, any thread)."""
        if self.parking is not None:
            self.polling.note(self.parking.finish(200, self.reply.lines(body, data, encoding), data, self._taken))
            return
        if self.stream is None:
            return
        self.tail = memoryview(self._response(body, data, encoding))
        self._send()
        if self.tail is not None:
            self.polling.note(len(self.tail))
            self.driver.set_interest(self, False, True)
            self.driver.later(SEND_TIMEOUT, self.driver.discard, self)

    def _response(self, body: Body, data: bytes, encoding: str | None) -> bytes:
        return response(200, [*self.reply.lines(body, data, encoding), ("Connection", "close")], data)

    def _send(self) -> None:
        assert self.stream is not None
        while self.tail is not None:
            try:
                sent = self.stream.send(self.tail)
            except OSError:
                sent = -1
            if sent == 0:
                return
            if sent < 0 or sent == len(self.tail):
                self.tail = None
                self.driver.discard(self)
            else:
                self.tail = self.tail[sent:]

    def on_readable(self) -> None:
        assert self.stream is not None
        data = self.stream.recv(DISCARD_BYTES)
        if data == b"":
            self.polling.gone(self)
            self.driver.discard(self)
        # else: a client that talks before its answer is there is not listened to

    def on_writable(self) -> None:
        before = self._unsent()
        self._send()
        self.polling.note(self._unsent() - before)

    def _unsent(self) -> int:
        return 0 if self.tail is None else len(self.tail)

    def _taken(self, count: int) -> None:
        """What did not fit into the answer of a parked request is sent, or never will be (the web server's phase one)."""
        self.polling.note(-count)

    def on_discarded(self) -> None:
        self.polling.note(-self._unsent())
        self.tail = None
        if self.stream is not None:
            farewell = self.farewell
            if farewell is not None:
                with suppress(OSError):         # a few bytes, the first on this stream: they fit
                    self.stream.send(self._response(farewell, farewell.data, None))
            self.stream.close()
            self.stream = None


class PollingTransport:
    """The polling side of one connection. `ticket`, `is_posting`, `is_answering` and `unsent` (bytes of answers that clients are slow
    to take) are guarded by the connection's lock."""

    __slots__ = ("connection", "farewell", "form", "is_answering", "is_posting", "ticket", "unsent")

    name: Final = "polling"

    def __init__(self, connection: Connection, form: Form = FORM_4) -> None:
        self.connection = connection
        self.form = form
        self.ticket: Ticket | None = None
        self.is_posting = False
        self.is_answering = False
        self.unsent = 0
        self.farewell = form.goodbye

    # -- GET ---------------------------------------------------------------------------------------------------------------

    def get(self, reply: Reply) -> Body | Ticket | None:
        """Return the body when something waits, a ticket when not, None when this GET is not legal (any more)."""
        connection = self.connection
        body: Body | None = None
        with connection.lock:
            if connection.state is CLOSED or connection.transport is not self:
                return None
            if self.ticket is not None:
                connection._end("transport error", "overlap from client")
            elif self.unsent > (limit := connection.home.options.max_buffered_bytes):
                connection._end("transport error", slow_consumer(self.unsent, limit))
            elif connection.outbox is not None:
                return self._take()
            elif connection.state is CLOSING:
                body = self.form.closing
                connection._end(connection.reason, connection.description)
            else:
                self.ticket = Ticket(self, reply)
                return self.ticket
        connection.tell()
        return body

    def attach(self, ticket: Ticket, stream: Stream) -> None:
        """The client's socket was taken over for this ticket (no lock held)."""
        ticket.stream = stream
        ticket.fd = stream.fd
        self.connection.driver.watch(ticket)        # before anybody can have it answered, and with that discarded
        with self.connection.lock:
            ticket.is_attached = True
            is_ours = self.ticket is ticket
            if is_ours:
                self.poke()
        if not is_ours:
            # an overlap, an upgrade or the end came first, and found nobody to answer
            ticket.farewell = self.farewell
            self.connection.driver.discard(ticket)      # which happens even if the loop has ended; a post would not

    def park(self, ticket: Ticket, parking: Parking) -> bool:
        """The client's request is to be answered later by its web server (no lock held). False: that server cannot.

        From the moment it is parked, the client may hang up (`gone`) and the connection may end. Whoever takes the ticket away
        decides: `gone` ends the connection only if the ticket is still there, and an answer to a client that went is dropped.
        """
        if not parking.park(partial(self.gone, ticket)):
            return False
        with self.connection.lock:
            ticket.parking = parking
            ticket.is_attached = True
            is_ours = self.ticket is ticket
            if is_ours:
                self.poke()
        if not is_ours:
            # an overlap, an upgrade, the end or the client itself came first, and found nobody to answer
            ticket.respond(self.farewell, self.farewell.data, None)     # here, as the loop may have ended
        return True

    def note(self, count: int) -> None:
        """So many bytes more, or fewer, wait for a client that is slow to take its answer (no lock held)."""
        if count:
            with self.connection.lock:
                self.unsent += count

    def wait(self, ticket: Ticket) -> Body:
        """Hold the calling worker until the ticket is answered; for sockets that cannot be taken over."""
        connection = self.connection
        waiter = connection.driver.waiter()
        with connection.lock:
            if self.ticket is not ticket:
                return self.farewell
            ticket.waiter = waiter
            self.poke()
        waiter.wait()
        with connection.lock:
            self.is_answering = False
            if self.ticket is ticket:
                self.ticket = None
            body = waiter.value
            if body is None:
                is_ours = connection.outbox is not None and connection.transport is self    # else it is the WebSocket's by now
                body = self._take() if is_ours else self.form.noop
        assert isinstance(body, Body)
        return body

    def may_take(self) -> bool:
        return self.ticket is not None and not self.is_answering

    def poke(self) -> None:
        """Something waits, perhaps: see to it that a ticket is answered (lock held)."""
        ticket = self.ticket
        if ticket is None or self.is_answering or self.connection.outbox is None:
            return
        if ticket.waiter is not None:
            self.is_answering = True
            ticket.waiter.set(None)
        elif ticket.is_attached:
            self.is_answering = True
            self.connection.driver.post(self._answer)
        # else: attach() or wait() will look

    def _answer(self) -> None:
        with self.connection.lock:
            self.is_answering = False
            ticket = self.ticket
            if ticket is None or self.connection.outbox is None:
                return
            self.ticket = None
            body = self._take()
        ticket.answer(body)

    def _take(self) -> Body:
        connection = self.connection
        body = self.form.body(connection.take_some())
        connection.drained()
        return body

    def release(self, body: Body) -> None:
        """Answer the ticket that waits, if one does, without the outbox (no lock held): a noop, or the end."""
        with self.connection.lock:
            ticket, self.ticket = self.ticket, None
            self.farewell = body
            if ticket is None:
                return
            if ticket.waiter is not None:
                ticket.waiter.set(body)
                return
            if not ticket.is_attached:
                return                      # attach() or wait() answers it
        self.connection.driver.post(ticket.answer, body)

    def nudge(self) -> None:
        """Let a GET that waits for nothing go, with a noop: the client prepares to upgrade (phase one)."""
        with self.connection.lock:
            ticket = self.ticket
            if ticket is None or self.connection.outbox is not None or not (ticket.is_attached or ticket.waiter):
                return
            self.ticket = None
            if ticket.waiter is not None:
                ticket.waiter.set(self.form.noop)
                return
        ticket.answer(self.form.noop)

    def gone(self, ticket: Ticket) -> None:
        """The client hung up on a GET (phase one, here or of the web server)."""
        with self.connection.lock:
            if self.ticket is not ticket:
                return
            self.ticket = None
        self.connection.end("transport error", "poll connection closed prematurely")

    # -- POST --------------------------------------------------------------------------------------------------------------

    def begin_post(self) -> bool:
        """Take the right to read. False: another POST has it (the connection ends, as no client does that), or it is too late."""
        connection = self.connection
        with connection.lock:
            if connection.state is CLOSED or connection.transport is not self:
                return False
            if not self.is_posting:
                self.is_posting = True
                return True
            connection._end("transport error", "data request overlap from client")
        connection.tell()
        return False

    def end_post(self) -> None:
        """Give the right to read back, after `begin_post`."""
        with self.connection.lock:
            self.is_posting = False

    def feed(self, body: bytes, content_type: str = "") -> None:
        """Deliver a payload, packet by packet, until the end of it or of the connection; then wait while too much waits for handlers."""
        connection = self.connection
        connection.heard = True
        try:
            for kind, data in self.form.packets(body, content_type):
                if connection.state is not OPEN:
                    return
                if kind == "1":
                    self.farewell = self.form.noop
                connection.receive(kind, data)
        except EnginePacketError as error:
            connection.end("parse error", error)
        except ProtocolError as error:
            connection.close_for("forced close", error)
        connection.wait_until_resumed()

    # -- the end -----------------------------------------------------------------------------------------------------------

    def may_close(self) -> bool:
        """Tell whether the client can be told now (lock held): its GET waits, and nothing comes before."""
        return self.ticket is not None and self.connection.outbox is None

    def finish(self) -> None:
        """The connection has ended (no lock held): let the client's GET go."""
        self.release(self.farewell)
