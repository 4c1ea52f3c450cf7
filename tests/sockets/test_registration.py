"""Registering handlers: every form, what it returns, what is refused."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import pytest

from sync_sio import Server, event
from sync_sio.sockets.socket import Socket

from .fakes import World


def test_every_form_of_event_registers_and_returns_the_function(world: World) -> None:
    seen: list[Any] = []

    @world.main.event
    def plain(socket: Socket, n: int) -> None:
        seen.append(("plain", n))

    @world.main.event("named one")
    def named(socket: Socket, n: int) -> None:
        seen.append(("named", n))

    @world.main.event(concurrent=True)
    def beside(socket: Socket, n: int) -> None:
        seen.append(("beside", n))

    @world.main.event("other", concurrent=True)
    def other_beside(socket: Socket, n: int) -> None:
        seen.append(("other", n))

    def called(socket: Socket, n: int) -> None:
        seen.append(("called", n))

    assert world.main.event("call", called) is called
    assert all(callable(fn) for fn in (plain, named, beside, other_beside))
    client = world.client()
    client.join()
    client.say('2["plain",1]', '2["named one",2]', '2["beside",3]', '2["other",4]', '2["call",5]')
    assert sorted(seen) == [("beside", 3), ("called", 5), ("named", 2), ("other", 4), ("plain", 1)]


def test_events_belong_to_one_namespace(world: World) -> None:
    seen: list[str] = []
    world.main.event("x", lambda socket: seen.append("main"))
    world.hub.of("/a").event("x", lambda socket: seen.append("a"))
    client = world.client()
    client.join("/a")
    client.say('2/a,["x"]')
    assert seen == ["a"]


def test_on_and_once_of_a_socket_are_calls_and_decorators(world: World) -> None:
    seen: list[Any] = []
    client = world.client()
    socket = client.join()

    @socket.on("a")
    def a(n: int) -> None:
        seen.append(("a", n))

    @socket.once("b")
    def b(n: int) -> None:
        seen.append(("b", n))

    @socket.on("c", concurrent=True)
    def c(n: int) -> None:
        seen.append(("c", n))

    def d(n: int) -> None:
        seen.append(("d", n))

    assert socket.on("d", d) is d and socket.once("e", d) is d
    assert socket.listeners("a") == [a] and socket.listeners("e") == [d]
    client.say(*(f'2["{name}",1]' for name in "abcde"))
    assert sorted(seen) == [("a", 1), ("b", 1), ("c", 1), ("d", 1), ("d", 1)]


def test_off_removes_one_all_of_one_event_or_all(world: World) -> None:
    client = world.client()
    socket = client.join()

    def f() -> int:
        return 1

    def g() -> int:
        return 2

    for name in ("x", "y", "disconnect"):
        socket.on(name, f)
        socket.on(name, g)
    socket.off("x", f)
    socket.off("x", print)
    socket.off("unknown")
    assert (socket.listeners("x"), socket.listeners("y")) == ([g], [f, g])
    socket.remove_listener("y", g)
    socket.off("disconnect")
    assert (socket.listeners("y"), socket.listeners("disconnect")) == ([f], [])
    socket.remove_all_listeners()
    assert socket.listeners("x") == []


def test_off_takes_a_bound_method(world: World) -> None:
    class Room:
        def enter(self) -> None: ...

    room = Room()
    client = world.client()
    socket = client.join()
    socket.on("enter", room.enter)
    socket.off("enter", room.enter)
    assert socket.listeners("enter") == []


def test_off_removes_the_last_of_two_equal_ones(world: World) -> None:
    client = world.client()
    socket = client.join()

    def f() -> None: ...

    socket.on("x", f)
    socket.on("x", f)
    socket.off("x", f)
    assert socket.listeners("x") == [f]


def test_off_of_a_namespace(world: World) -> None:
    seen: list[str] = []

    def f(socket: Socket, *args: object) -> None:
        seen.append("f")

    for name in ("x", "y", "connection", "disconnect"):
        world.main.event(name, f)
    assert [world.main.listeners(name) for name in ("x", "connect", "disconnect")] == [[f], [f], [f]]
    world.main.off("x", f)
    world.main.off("connect", f)
    assert [world.main.listeners(name) for name in ("x", "connection", "y")] == [[], [], [f]]
    world.main.off()
    client = world.client()
    client.join()
    client.say('2["x"]', '2["y"]', "1")
    assert seen == []


async def async_function(*args: object) -> None: ...


async def async_generator(*args: object) -> Any:
    yield 1


class AsyncCall:
    async def __call__(self, *args: object) -> None: ...

    async def on_x(self, *args: object) -> None: ...


ASYNC = [async_function, async_generator, AsyncCall(), AsyncCall().on_x, functools.partial(async_function, 1)]


@pytest.mark.parametrize("fn", ASYNC)
def test_async_functions_are_refused_everywhere(world: World, fn: Callable[..., Any]) -> None:
    client = world.client()
    socket = client.join()
    main = world.main
    registrations: list[Callable[[], object]] = [
        lambda: main.on("connection", fn),
        lambda: main.once("connection", fn),
        lambda: main.event("x", fn),
        lambda: main.use(fn),
        lambda: main.on_error(fn),
        lambda: world.hub.on_error(fn),
        lambda: world.hub.of("/y", fn),
        lambda: socket.on("x", fn),
        lambda: socket.once("x", fn),
        lambda: socket.use(fn),
        lambda: socket.emit("x", ack=fn),
        lambda: main.register(AsyncCall()),
    ]
    for register in registrations:
        with pytest.raises(TypeError, match="async"):
            register()


@pytest.mark.parametrize("fn", [7, "name", object()])
def test_what_cannot_be_called_is_refused(world: World, fn: Any) -> None:
    client = world.client()
    socket = client.join()
    for register in (world.main.on, world.main.event, socket.on, socket.once):
        with pytest.raises(TypeError, match="cannot be called"):
            register("x", fn)
    for use in (world.main.use, socket.use, world.main.on_error):
        with pytest.raises(TypeError, match="cannot be called"):
            use(fn)


@pytest.mark.parametrize("name", [None, 1.5, True, b"x", ["x"]])
def test_an_event_name_is_a_str_or_an_int(world: World, name: Any) -> None:
    client = world.client()
    socket = client.join()
    for call in (socket.listeners, socket.emit, socket.call, world.main.listeners, world.main.emit, world.main.to("a").emit):
        with pytest.raises(TypeError, match="event name"):
            call(name)
    for register in (socket.on, socket.once, world.main.on, world.main.once):
        with pytest.raises(TypeError, match="event name"):
            register(name, print)
    if name is not None:        # None means all to `off`
        with pytest.raises(TypeError, match="event name"):
            socket.off(name)


def test_a_handler_must_take_the_socket(world: World) -> None:
    with pytest.raises(TypeError, match="socket"):
        world.main.event("x", lambda: None)
    with pytest.raises(TypeError, match="socket"):
        world.main.on("connection", lambda: None)


def test_keyword_only_parameters_that_nobody_gives_are_refused(world: World) -> None:
    def handler(socket: Socket, *, room: str) -> None: ...

    with pytest.raises(TypeError, match="room"):
        world.main.event(handler)


def test_a_nameless_function_needs_a_name(world: World) -> None:
    for nameless in (lambda socket: None, functools.partial(print, 1)):
        with pytest.raises(TypeError, match="name"):
            world.main.event(nameless)


# -- register -----------------------------------------------------------------------------------------------------------------


class Admin:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    @property
    def on_trap(self) -> None:
        raise AssertionError("properties are not touched")

    on_value = 7

    def on_connection(self, socket: Socket) -> None:
        self.seen.append("connection")

    def on_kick(self, socket: Socket, user_id: int) -> str:
        self.seen.append(("kick", user_id))
        return "kicked"

    def on_disconnect(self, socket: Socket, reason: str) -> None:
        self.seen.append(("disconnect", reason))

    def on_error(self, socket: Socket, error: Exception) -> None:
        self.seen.append(("error", str(error)))

    @event("chat message")
    def chat(self, socket: Socket, text: str) -> None:
        self.seen.append(("chat", text))

    @event("first")
    @event("second")
    def on_both(self, socket: Socket) -> None:
        self.seen.append("both")

    @event
    def bare(self, socket: Socket) -> None:
        self.seen.append("bare")

    @event("beside", concurrent=True)
    @staticmethod
    def static(socket: Socket) -> str:
        return "static"

    @classmethod
    def on_class(cls, socket: Socket) -> str:
        return cls.__name__

    def on_broken(self, socket: Socket) -> None:
        raise ValueError("oops")

    def other(self, socket: Socket) -> None:
        raise AssertionError("not a handler")


def test_an_objects_methods_are_handlers(world: World) -> None:
    admin = Admin()
    assert world.hub.of("/admin").register(admin) is admin
    client = world.client()
    client.join("/admin")
    client.say(
        '2/admin,1["kick",5]',
        '2/admin,["chat message","hi"]',
        '2/admin,["first"]',
        '2/admin,["second"]',
        '2/admin,["both"]',
        '2/admin,["bare"]',
        '2/admin,2["class"]',
        '2/admin,["broken"]',
        '2/admin,["other"]',
    )
    client.say("1/admin,")
    assert client.said() == ['3/admin,1["kicked"]', '3/admin,2["Admin"]']
    assert admin.seen == [
        "connection",
        ("kick", 5),
        ("chat", "hi"),
        "both",
        "both",
        "bare",
        ("error", "oops"),
        ("disconnect", "client namespace disconnect"),
    ]


def test_a_class_is_refused_with_a_hint(world: World) -> None:
    with pytest.raises(TypeError, match=r"Admin\(\)"):
        world.main.register(Admin)


def test_an_object_without_handlers_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match="on_"):
        world.main.register(object())


def test_what_is_registered_can_be_shown() -> None:
    io = Server()

    def fn(*args: Any) -> None: ...

    io.of("/x").use(fn)
    io.of("/x").on("connection", fn)
    io.of("/x").event("say", fn)
    io.of("/x").event("disconnect", fn)
    parent = io.of(re.compile("/y"))
    parent.event("hear", fn)
    assert list(io.namespaces) == ["/", "/x", parent.name] and io.namespaces[parent.name] is parent
    assert io.of("/x").registered() == [("use", "", fn), ("on", "connection", fn), ("event", "say", fn), ("event", "disconnect", fn)]
    assert parent.registered() == [("event", "hear", fn)] and io.sockets.registered() == []
    io.of("/x").off()
    assert io.of("/x").registered() == [("use", "", fn)]
