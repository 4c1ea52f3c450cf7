"""The acceptance application: one handler for everything that the live tests ask of a server.

It is imported by real WSGI servers, so it must stay importable by its bare name (`app:application`). Options come
through the environment: `LIVE_OPTIONS` (JSON, for `Server`), `LIVE_ENGINE_OPTIONS` (JSON, for `EngineServer`; by default what
both have in common), `LIVE_HOOKS` (a list of words: `generate_id`, `headers`, `metrics`, `traced`), `LIVE_SWITCH_INTERVAL` (seconds).

What happens on the server is kept in a journal that tests read at `/journal?id=…`; `/stats`, `/audit` and `/plain` tell
about the process. Exceptions that belong to a test say "on purpose": every other traceback in the log fails the run.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import datetime
import faulthandler
import gc
import json
import logging
import os
import random
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

import engine_app
import operators_app

import sync_sio
from sync_sio import AckTimeout, ConnectRefused, Disconnected, RequestRefused, Server, SlowConsumer, event
from sync_sio.drivers import strand
from sync_sio.engine import EngineServer

logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
if hasattr(signal, "SIGUSR1"):
    with contextlib.suppress(OSError):  # mod_wsgi's stderr is no file
        faulthandler.register(signal.SIGUSR1, all_threads=True)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs the tests in the background had it ignored
if interval := os.environ.get("LIVE_SWITCH_INTERVAL"):
    sys.setswitchinterval(float(interval))

options: dict[str, Any] = json.loads(os.environ.get("LIVE_OPTIONS", "{}"))
hooks = os.environ.get("LIVE_HOOKS", "").split()
if "traced" in hooks:
    # under strace a system call takes as long as a query, and what a handler sends would make it look like one that blocks
    strand.TOO_SLOW = float("inf")
SHARED = (
    "runtime", "transports", "allow_upgrades", "ping_interval", "ping_timeout", "upgrade_timeout", "max_http_buffer_size",
    "cors_allowed_origins", "cookie", "http_compression", "per_message_deflate", "initial_packet", "max_connections", "ws_engine",
)  # fmt: skip


def native_thread(fn: Callable[..., Any], *args: Any) -> None:
    """Start an OS thread, also where the process is monkey-patched: a thread that gevent knows nothing of."""
    if "gevent" in sys.modules:
        from gevent.monkey import get_original

        get_original("_thread", "start_new_thread")(fn, args)
    else:
        threading.Thread(target=fn, args=args, daemon=True).start()


def native_sleep(seconds: float) -> None:
    """Block this OS thread, also where `time.sleep` is gevent's."""
    if "gevent" in sys.modules:
        from gevent.monkey import get_original

        get_original("time", "sleep")(seconds)
    else:
        time.sleep(seconds)


def is_patched() -> bool:
    return "gevent.monkey" in sys.modules and bool(sys.modules["gevent.monkey"].is_module_patched("time"))


# -- journal ----------------------------------------------------------------------------------------------------------

journals: dict[str, list[list[Any]]] = {}


def note(key: str, *entry: Any) -> None:
    journals.setdefault(key, []).append([*entry])


def query_of(environ: dict[str, Any]) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True).items()}


# -- the servers ------------------------------------------------------------------------------------------------------


def gate(environ: dict[str, Any]) -> bool | None:
    query = query_of(environ)
    note("gate", environ["REQUEST_METHOD"], query.get("mark", ""), "sid" in query)
    if "refuse" in query:
        raise RequestRefused(query["refuse"])
    return False if "deny" in query else None


def watch_engine(server: Any) -> None:
    @server.on("connection")
    def opened(connection: Any) -> None:
        if "lean=" in connection.request.get("QUERY_STRING", ""):
            return
        note(connection.id, "open", connection.transport.name)
        connection.on("close", lambda reason, description=None: note(connection.id, "close", reason, repr(description)))
        with contextlib.suppress(ValueError):
            connection.on("upgrade", lambda transport: note(connection.id, "upgrade", transport.name))

    @server.on("connection_error")
    def refused(error: Any) -> None:
        mark = query_of(error.request).get("mark", "") if isinstance(error.request, dict) else ""
        note("errors", mark, error.code, error.message, error.context)

    if "headers" in hooks:

        @server.on("initial_headers")
        def initial(headers: Any, environ: Any) -> None:
            headers["X-Initial"] = "once"
            headers["set-cookie"] = ["first=1", "second=2"]

        @server.on("headers")
        def each(headers: Any, environ: Any) -> None:
            headers["x-each"] = environ["REQUEST_METHOD"]

    if "generate_id" in hooks:

        def generate_id(environ: dict[str, Any]) -> str:
            return query_of(environ).get("id", uuid.uuid4().hex)

        server.generate_id = generate_id


if "parser" in options:
    options["parser"] = getattr(sync_sio.parsers, options["parser"])
io = Server(allow_request=gate, **options)
metrics: Any = None
if "metrics" in hooks:
    from sync_sio.metrics import PrometheusMetrics

    metrics = PrometheusMetrics(io, refresh_seconds=0.2)
watch_engine(io.engine)

engine_options = json.loads(
    os.environ.get("LIVE_ENGINE_OPTIONS", json.dumps({name: value for name, value in options.items() if name in SHARED}))
)
engine = EngineServer(path="/engine.io", allow_request=gate, **engine_options)
watch_engine(engine)


@engine.on("connection")
def engine_opened(connection: Any) -> None:
    def received(data: str | bytes) -> None:
        note(connection.id, "message", data if isinstance(data, str) else list(data[:64]))
        if data == "please close":
            connection.close()
        elif data == "send and close":
            connection.send("last words")
            connection.close()
        elif data == "close from a thread":
            native_thread(connection.close)
        elif isinstance(data, str) and data.startswith("send "):
            for number in range(int(data[5:])):
                connection.send(str(number))
        elif isinstance(data, str) and data.startswith("drip "):
            engine_drip(connection, int(data[5:]))
        elif isinstance(data, str) and data.startswith("size "):
            connection.send("x" * int(data[5:]))
        elif data == "which transport":
            connection.send(connection.transport.name)
        elif data != "quiet":
            connection.send(data)
        note(connection.id, "worked")

    connection.on("message", received)


def engine_drip(connection: Any, count: int) -> None:
    def drip() -> None:
        for number in range(count):
            connection.send(f"drip {number}")
            native_sleep(0.002)

    native_thread(drip)


# -- the main namespace -----------------------------------------------------------------------------------------------

seen = contextvars.ContextVar("seen", default="nobody")


def watch_socket(socket: Any) -> None:
    """Note how the socket ends: with handlers of one parameter and of two, as both are allowed."""
    note(socket.id, "connection", socket.namespace.name, socket.conn.id)

    @socket.on("disconnecting")
    def disconnecting(reason: str, description: object) -> None:
        note(socket.id, "disconnecting", reason, sorted(socket.rooms), socket.connected)

    @socket.on("disconnect")
    def one(reason: str) -> None:
        note(socket.id, "disconnect", reason, sorted(socket.rooms), socket.connected)

    @socket.on("disconnect")
    def two(reason: str, description: object) -> None:
        note(socket.id, "description", reason, str(description or ""))

    @socket.on("error")
    def error(problem: BaseException) -> None:
        note(socket.id, "error", type(problem).__name__, str(problem))


@io.on("connection")
def connected(socket: Any) -> None:
    query = socket.handshake.query
    if "lean" in query:
        # For weighing the library: journals and handlers per socket are this application's own weight.
        socket.emit("auth", socket.handshake.auth)
        return
    watch_socket(socket)
    socket.emit("auth", socket.handshake.auth)
    socket.data["counted"] = []

    # Registered per socket, after a pause: an event that was sent with the CONNECT must still find it.
    if "tardy" in query:
        io.sleep(float(query["tardy"]))

    @socket.on("local")
    def local(value: Any) -> Any:
        return ["local", value]

    @socket.once("just once")
    def just_once() -> str:
        return "the only time"

    if "guard" in query:
        socket.use(guard)
    for number in range(int(query.get("burst", 0))):
        if number % 10 == 9:
            socket.emit("burst", number, b"\x00\xff" * (number % 7 + 1))
        else:
            socket.emit("burst", number)
        if "pause" in query:
            io.sleep(float(query["pause"]))


def guard(packet: list[Any]) -> None:
    if packet[0] == "forbidden":
        raise ConnectRefused("forbidden event")
    if packet[0] == "mutate":
        packet[0] = "echo"
        packet.append("added")


@io.event("message")
def message(socket: Any, *args: Any) -> None:
    socket.emit("message-back", *args)


@io.event("message-with-ack")
def message_with_ack(socket: Any, *args: Any) -> Any:
    return args


@io.event
def echo(socket: Any, *args: Any) -> Any:
    return args


@io.event
def kinds(socket: Any, *args: Any) -> Any:
    return tuple(type(arg).__name__ for arg in args)


@dataclasses.dataclass
class Order:
    item: str
    count: int = 1
    picture: bytes = b""
    when: datetime.datetime | None = None


@io.event
def order(socket: Any, orders: list[Order], ack: Any) -> None:
    ack([[each.item, each.count, len(each.picture), each.when.year if each.when else None] for each in orders])


@io.event("answer with")
def answer_with(socket: Any, kind: str) -> Any:
    answers: dict[str, Any] = {
        "none": None,
        "empty": (),
        "null": (None,),
        "one": "one",
        "false": False,
        "zero": 0,
        "list": [1, 2, 3],
        "several": ("a", {"b": [True, None]}, b"\x01\x02"),
        "binary": {"deep": [b"\x00\xff", {"deeper": bytearray(b"abc")}], "view": memoryview(b"view")},
        "typed": [datetime.date(2026, 2, 3), uuid.UUID(int=5), 2**70, float("nan"), "Zoë ✓ \U0001f600"],
        "keys": {7: "int", True: "bool", None: "none", 1.5: "float"},
    }
    return answers[kind]


@io.event("two answers")
def two_answers(socket: Any) -> None:
    return None


@io.event("two answers")
def the_second_answer(socket: Any) -> str:
    return "second"


@io.event("late ack")
def late_ack(socket: Any, delay: float, *values: Any, ack: Any) -> str:
    def later() -> None:
        io.sleep(delay)
        ack(*values)
        ack("a second call is ignored")

    io.spawn(later)
    return "this value is ignored"


@io.event("native ack")
def native_ack(socket: Any, value: Any, ack: Any) -> None:
    native_thread(ack, value)


@io.event("ack requested")
def ack_requested(socket: Any, ack: Any) -> None:
    note(socket.id, "requested", ack.requested)
    ack(ack.requested)


@io.event("please emit")
def please_emit(socket: Any, name: str, *args: Any) -> None:
    try:
        socket.emit(name, *args)
    except SlowConsumer as error:
        note(socket.id, "slow consumer", str(error))


@io.event("please emit many")
def please_emit_many(socket: Any, name: str, count: int) -> None:
    for number in range(count):
        socket.emit(name, number)


@io.event("emit with ack")
def emit_with_ack(socket: Any, name: str, *args: Any) -> None:
    socket.emit(name, *args, ack=lambda *response: socket.emit("acked", *response))


@io.event("call back")
def call_back(socket: Any, name: str, *args: Any) -> Any:
    return socket.call(name, *args, timeout=20.0)


@io.event("call timeout")
def call_timeout(socket: Any, seconds: float) -> Any:
    started = time.monotonic()
    try:
        socket.call("never answered", timeout=seconds)
    except AckTimeout as error:
        return {"error": type(error).__name__, "after": time.monotonic() - started}
    return "answered"


@io.event("call until gone")
def call_until_gone(socket: Any) -> None:
    started = time.monotonic()
    try:
        socket.call("never answered", timeout=30.0)
    except Disconnected as error:
        note(socket.id, "call ended", error.reason, time.monotonic() - started)


@io.event("reserved")
def reserved(socket: Any) -> list[str]:
    refused = []
    for name in ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener", "connection", "error"):
        try:
            io.to("nobody is here").emit(name)
        except ValueError:
            refused.append(name)
        with contextlib.suppress(ValueError):
            io.of("/custom").emit(name)
    return refused


@io.event
def join(socket: Any, rooms: Any) -> None:
    socket.join(rooms)


@io.event
def leave(socket: Any, room: str) -> None:
    socket.leave(room)


@io.event
def rooms(socket: Any) -> list[str]:
    return sorted(socket.rooms)


@io.event
def tell(socket: Any, whom: dict[str, Any], name: str, *args: Any) -> None:
    """Broadcast as `whom` says: `from` ("io", "socket" or "broadcast"), `to`, `in`, `except` (str or list each)."""
    operator: Any = {"io": io, "socket": socket, "broadcast": socket}[whom.get("from", "io")]
    if whom.get("from") == "broadcast":
        operator = operator.broadcast
    if "to" in whom:
        operator = operator.to(whom["to"])
    if "in" in whom:
        operator = operator.in_(whom["in"])
    if "except" in whom:
        operator = operator.except_(whom["except"])
    operator.emit(name, *args)


@io.event
def slow(socket: Any, number: int, seconds: float) -> int:
    io.sleep(seconds)
    socket.emit("slow done", number)
    return number


@io.event("slow concurrent", concurrent=True)
def slow_concurrent(socket: Any, number: int, seconds: float) -> int:
    io.sleep(seconds)
    return number


@io.event
def block(socket: Any, seconds: float) -> str:
    """Block as a database driver would; where gevent is not patched in, such a driver must know gevent itself."""
    note("blocking", socket.id)
    (io.sleep if options.get("runtime") == "gevent" and not is_patched() else time.sleep)(seconds)
    return "awake"


@io.event
def count(socket: Any, number: int) -> None:
    socket.data["counted"].append(number)


@io.event
def counted(socket: Any) -> list[int]:
    return list(socket.data["counted"])


@io.event("remember")
def remember(socket: Any, value: str) -> str:
    before = seen.get()
    seen.set(value)
    return before


@io.event
def quit(socket: Any, close: bool = False) -> None:
    socket.emit("farewell")
    socket.disconnect(close)
    socket.emit("never seen")


@io.event("close connection")
def close_connection(socket: Any) -> None:
    socket.conn.close()


@io.event("quit while calling")
def quit_while_calling(socket: Any) -> None:
    def quit_soon() -> None:
        io.sleep(0.05)
        socket.disconnect()

    io.spawn(quit_soon)
    call_until_gone(socket)


@io.event("raise")
def raise_on_purpose(socket: Any) -> None:
    raise RuntimeError("on purpose")


@io.event("sys exit")
def sys_exit(socket: Any) -> None:
    raise SystemExit("on purpose")


@io.event("cannot be sent")
def cannot_be_sent(socket: Any) -> Any:
    try:
        socket.emit("never seen", {"deep": [object()]})
    except TypeError as error:
        return str(error)
    return "it was sent"


@io.event("two arguments")
def two_arguments(socket: Any, first: Any, second: Any) -> str:
    return "two came"


@io.event
def whoami(socket: Any) -> dict[str, Any]:
    shake = socket.handshake
    return {
        "id": socket.id,
        "headers": dict(shake.headers),
        "query": dict(shake.query),
        "auth": shake.auth,
        "time": shake.time,
        "issued": shake.issued,
        "url": shake.url,
        "address": shake.address,
        "xdomain": shake.xdomain,
        "secure": shake.secure,
        "connected": [socket.connected, socket.disconnected],
        "transport": socket.conn.transport.name,
        "engine": socket.conn.id,
        "protocol": socket.conn.protocol,
        "method": socket.request["REQUEST_METHOD"],
        "thread": threading.current_thread().name,
    }


@io.event
def spawned(socket: Any, value: Any) -> None:
    io.spawn(socket.emit, "from spawn", value)


@io.event
def storm(socket: Any, threads: int, seconds: float) -> None:
    """Emit text and binary from many OS threads at once; each says at the end how many it sent."""

    def blow(thread: int) -> None:
        deadline = time.monotonic() + seconds
        number = 0
        while time.monotonic() < deadline:
            if number % 5 == 4:
                socket.emit("gust", thread, number, bytes([thread]) * (number % 300 + 1), b"second")
            elif number % 50 == 0:
                socket.emit("gust", thread, number, "x" * 20_000)
            else:
                socket.emit("gust", thread, number)
            number += 1
            if number % 64 == 0:
                native_sleep(0.001)
        socket.emit("lull", thread, number)

    for thread in range(threads):
        native_thread(blow, thread)


@io.event
def churn(socket: Any, names: list[str], seconds: float, seed: int, ack: Any) -> None:
    """Join and leave at random from an OS thread, while others broadcast; answer with the rooms of the end."""

    def work() -> None:
        chance = random.Random(seed)
        deadline = time.monotonic() + seconds
        mine: set[str] = set()
        while time.monotonic() < deadline:
            room = chance.choice(names)
            if chance.random() < 0.5:
                socket.join(room)
                mine.add(room)
            else:
                socket.leave(room)
                mine.discard(room)
            if chance.random() < 0.05:
                io.to(chance.choice(names)).except_(chance.choice(names)).emit("noise", seed)
        note(socket.id, "churned", sorted(mine), sorted(set(socket.rooms) - {socket.id}))
        ack(sorted(mine), sorted(set(socket.rooms) - {socket.id}))

    native_thread(work)


# -- other namespaces -------------------------------------------------------------------------------------------------

custom = io.of("/custom")


@custom.on("connection")
def custom_connected(socket: Any) -> None:
    watch_socket(socket)
    socket.emit("auth", socket.handshake.auth)


@custom.event("message")
def custom_message(socket: Any, *args: Any) -> None:
    socket.emit("message-back", *args)


@custom.event("echo")
def custom_echo(socket: Any, *args: Any) -> Any:
    return args


@custom.event("whoami")
def custom_whoami(socket: Any) -> dict[str, Any]:
    return whoami(socket)


@custom.event("quit")
def custom_quit(socket: Any, close: bool = False) -> None:
    quit(socket, close)


@io.of("/refusing").use
def refuse(socket: Any) -> None:
    if socket.handshake.auth.get("token") != "let me in":
        raise ConnectRefused("not authorized", data={"content": "Please retry later"})


@io.of("/refusing").use
def second_middleware(socket: Any) -> None:
    note(socket.handshake.auth.get("mark", "-"), "second middleware")


@io.of("/broken").use
def broken(socket: Any) -> None:
    raise LookupError("a secret, on purpose")


@io.of("/false").use
def refuse_with_false(socket: Any) -> bool:
    return False


@io.of("/later").use
def decide_later(socket: Any, next: Callable[..., None]) -> None:
    def decide() -> None:
        io.sleep(0.05)
        if "refuse" in socket.handshake.auth:
            next(ConnectRefused("no, after all"))
        else:
            next()
        next(ConnectRefused("a second call is ignored"))

    io.spawn(decide)


@io.of("/silent").use
def never_decide(socket: Any, next: Callable[..., None]) -> None:
    note(socket.handshake.auth.get("mark", "-"), "asked")


@io.of("/slow").use
def decide_slowly(socket: Any) -> None:
    note(socket.handshake.auth.get("mark", "-"), "in middleware", socket.connected, socket.disconnected)
    io.sleep(float(socket.handshake.auth.get("seconds", 0.2)))


@io.of("/slow").on("connection")
def slowly_connected(socket: Any) -> None:
    note(socket.handshake.auth.get("mark", "-"), "connected")
    watch_socket(socket)


@io.of("/early").use
def emit_early(socket: Any) -> None:
    socket.join("lounge")
    socket.emit("early", 1)
    if "refuse" in socket.handshake.auth:
        raise ConnectRefused("too early")


@io.of("/early").event("knock")
def knock(socket: Any) -> None:
    io.of("/early").to("lounge").emit("knocked")


@io.of("/leaving").on("connection")
def leave_at_once(socket: Any) -> None:
    watch_socket(socket)
    socket.disconnect()


@io.of("/burst").on("connection")
def emit_many_at_once(socket: Any) -> None:
    for number in range(300):
        socket.emit("n", number, b"binary" if number % 10 == 0 else "\U0001f600")


@io.of("/burst").event("echo")
def burst_echo(socket: Any, *args: Any) -> Any:
    return args


@io.of("/failing").on("connection")
def fail_on_purpose(socket: Any) -> None:
    raise RuntimeError("a connection handler, on purpose")


@io.of("/failing").event("echo")
def failing_echo(socket: Any, *args: Any) -> Any:
    return args


class Admin:
    """A namespace of methods."""

    def on_connection(self, socket: Any) -> None:
        watch_socket(socket)
        socket.emit("hello", "admin")

    def on_kick(self, socket: Any, user: str) -> list[str]:
        return ["kicked", user]

    @event("chat message")
    def chat(self, socket: Any, text: str) -> str:
        return text.upper()

    def on_disconnect(self, socket: Any, reason: str) -> None:
        note(socket.id, "on_disconnect", reason)


io.of("/admin").register(Admin())
operators_app.register(io)
engine_app.register(io, note)


# -- pages ------------------------------------------------------------------------------------------------------------


def process_stats() -> dict[str, Any]:
    with open("/proc/self/status") as file:
        status = dict(line.split(":", 1) for line in file)
    return {
        "pid": os.getpid(),
        "threads": int(status["Threads"]),
        "rss": int(status["VmRSS"].split()[0]) * 1024,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "clients": io.engine.clients_count,
        "engine_clients": engine.clients_count,
        "sockets": len(io.sockets),
        "custom": len(custom),
    }


def pages(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ.get("PATH_INFO", "/")
    if path.startswith("/engine.io"):
        return engine(environ, start_response)
    if path == "/metrics" and metrics is not None:
        answer: Iterable[bytes] = metrics.exposition(environ, start_response)
        return answer
    query = query_of(environ)
    content_type, status = "application/json", "200 OK"
    if path == "/plain":
        content_type, body = "text/plain", b"plain"
    elif path == "/journal":
        body = json.dumps(journals.get(query["id"], []), default=repr).encode()
    elif path == "/stats":
        if "collect" in query:
            gc.collect()
        body = json.dumps(process_stats()).encode()
    elif path == "/audit":
        body = json.dumps([*io.audit(), *engine.audit()]).encode()
    elif path == "/emit":
        operator: Any = io.to(query["to"]) if "to" in query else io
        operator.emit(query["event"], json.loads(query.get("value", "null")))
        body = b"{}"
    elif path == "/join":
        io.sockets.sockets[query["id"]].join(query["room"])
        body = b"{}"
    elif path == "/until-closed":
        logging.info("a page waits until the server is closed")
        while not io.engine.is_closed:
            io.sleep(0.02)
        body = b"{}"
    elif path == "/close":
        io.close()
        body = b"{}"
    else:
        status, body = "404 Not Found", b'{"error": "no such page"}'
    start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(body)))])
    return [body]


application = io.attach(pages)
