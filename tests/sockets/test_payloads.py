"""Typed payloads: handlers get what their annotations say, clients are told what does not fit.

This module's annotations are evaluated at once; those that are texts come from `source`.
"""

import dataclasses
import functools
import inspect
import json
import logging
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import datetime, timezone
from enum import Enum
from types import ModuleType
from typing import Annotated, Any, Generic, Literal, NewType, Optional, TypedDict, TypeVar, Union
from uuid import UUID

import msgspec
import pydantic
import pytest

from sync_sio import Server, WrongArguments, event
from sync_sio.sockets import payloads
from sync_sio.sockets.handlers import Handler
from tests.tools import ROOT

from .fakes import Client, World

T = TypeVar("T")


class Colour(Enum):
    RED = "red"


@dataclasses.dataclass
class Person:
    name: str
    age: int = 0


@dataclasses.dataclass
class Everything:
    when: datetime | None = None
    who: UUID | None = None
    colour: Colour = Colour.RED
    ratio: float = 0.0
    raw: bytes = b""
    numbers: tuple[int, ...] = ()
    tags: set[str] = dataclasses.field(default_factory=set)
    by_id: dict[int, str] = dataclasses.field(default_factory=dict)
    friends: list[Person] = dataclasses.field(default_factory=list)


class Move(TypedDict):
    x: int
    y: int


class Node(msgspec.Struct, rename="camel"):
    node_name: str
    children: "list[Node]" = []


class Model(pydantic.BaseModel):
    age: int = pydantic.Field(ge=0)
    when: datetime | None = None
    raw: bytes = b""


@pydantic.dataclasses.dataclass
class PydanticPoint:
    x: int


@dataclasses.dataclass
class Mixed:
    model: Model
    models: list[Model] = dataclasses.field(default_factory=list)


class Page(msgspec.Struct, Generic[T]):
    items: list[T]


@dataclasses.dataclass
class Checked:
    even: int

    def __post_init__(self) -> None:
        if self.even % 2:
            raise ValueError(f"{self.even} is odd")
        if self.even == 66:
            raise LookupError("on purpose")


PersonId = NewType("PersonId", Person)


def source(text: str, name: str = "handler", **names: Any) -> Any:
    """Return what `text` defines, in a module whose annotations are texts."""
    module = sys.modules["made_up"] = ModuleType("made_up")
    module.__dict__.update(names)
    exec(compile("from __future__ import annotations\n" + textwrap.dedent(text), "made_up.py", "exec"), module.__dict__)
    return module.__dict__[name]


def joined(world: World) -> tuple[Client, Any]:
    client = world.client()
    return client, client.join()


def ask(client: Client, *args: Any) -> Any:
    """Emit `e` with an ack; return the ack's arguments, or None when there was none."""
    client.say("21" + json.dumps(["e", *args]))
    said = client.said()
    assert len(said) <= 1
    return json.loads(said[0][2:]) if said else None


def refusal(path: str, message: str) -> list[Any]:
    return [{"error": {"code": "invalid_payload", "path": path, "message": message}}]


def convert(annotation: Any, value: Any) -> Any:
    """Return what a handler with this annotation gets for a value."""

    def handler(value) -> None:  # type: ignore[no-untyped-def]
        ...

    handler.__annotations__["value"] = annotation
    found = Handler(handler, takes_socket=False, is_typed=True)
    assert found.payloads is not None, "nothing would be converted"
    return found.typed("e", [value])[0]


# -- what fits ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value", "wanted"),
    [
        (Person, {"name": "Ada", "age": 36}, Person("Ada", 36)),
        (Person, {"name": "Ada", "more": 1}, Person("Ada")),
        (Move, {"x": 1, "y": 2}, {"x": 1, "y": 2}),
        (Node, {"nodeName": "a", "children": [{"nodeName": "b"}]}, Node("a", [Node("b")])),
        (Model, {"age": 1}, Model(age=1)),
        (PydanticPoint, {"x": 1}, PydanticPoint(1)),
        (Mixed, {"model": {"age": 1}, "models": [{"age": 2}]}, Mixed(Model(age=1), [Model(age=2)])),
        (list[Person], [{"name": "Ada"}], [Person("Ada")]),
        (list[Model], [{"age": 1}], [Model(age=1)]),
        (dict[str, Person], {"a": {"name": "Ada"}}, {"a": Person("Ada")}),
        (dict[int, Person], {"1": {"name": "Ada"}}, {1: Person("Ada")}),
        (dict[str, Model], {"a": {"age": 1}}, {"a": Model(age=1)}),
        (tuple[Person, int], [{"name": "Ada"}, 3], (Person("Ada"), 3)),
        (Person | None, None, None),
        (Optional[Person], {"name": "Ada"}, Person("Ada")),  # noqa: UP045
        (Union[Person, int], 5, 5),  # noqa: UP007
        (Model | None, None, None),
        (Model | None, {"age": 1}, Model(age=1)),
        (Page[Person], {"items": [{"name": "Ada"}]}, Page([Person("Ada")])),
        (Annotated[Person, "whatever"], {"name": "Ada"}, Person("Ada")),
        (Annotated[Person, {"unhashable": 1}], {"name": "Ada"}, Person("Ada")),
        (PersonId, {"name": "Ada"}, Person("Ada")),
        (list["Person"], [{"name": "Ada"}], [Person("Ada")]),
        ("Person", {"name": "Ada"}, Person("Ada")),
        ("list[Optional[Person]]", [None], [None]),
    ],
    ids=repr,
)
def test_what_fits_arrives_as_its_type(annotation: Any, value: Any, wanted: Any) -> None:
    found = convert(annotation, value)
    assert found == wanted
    assert type(found) is type(wanted)


def test_the_forms_that_json_has_for_them_are_taken() -> None:
    sent = {
        "when": "2026-01-02T03:04:05Z", "who": "00000000-0000-0000-0000-000000000005", "colour": "red", "ratio": 1, "raw": b"\xff",
        "numbers": [1, 2], "tags": ["a", "a"], "by_id": {"7": "seven"}, "friends": [{"name": "Ada"}],
    }  # fmt: skip
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    wanted = Everything(when, UUID(int=5), Colour.RED, 1.0, b"\xff", (1, 2), {"a"}, {7: "seven"}, [Person("Ada")])
    assert convert(Everything, sent) == wanted
    assert convert(Everything, {"when": when}).when == when, "as msgpack brings it"
    assert convert(Model, {"age": "5", "when": "2026-01-02T03:04:05Z", "raw": b"\xff"}) == Model(age=5, when=when, raw=b"\xff")


# -- what does not ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value", "path", "message"),
    [
        (Person, {"name": "Ada", "age": "x"}, "[0].age", "Expected `int`, got `str`"),
        (Person, {"name": "Ada", "age": 1.5}, "[0].age", "Expected `int`, got `float`"),
        (Person, {"name": "Ada", "age": "1"}, "[0].age", "Expected `int`, got `str`"),
        (Person, {"name": "Ada", "age": True}, "[0].age", "Expected `int`, got `bool`"),
        (Person, {}, "[0]", "Object missing required field `name`"),
        (Person, 5, "[0]", "Expected `object`, got `int`"),
        (Person, None, "[0]", "Expected `object`, got `null`"),
        (Move, {"x": 1}, "[0]", "Object missing required field `y`"),
        (Node, {"nodeName": "a", "children": [{"nodeName": 1}]}, "[0].children[0].nodeName", "Expected `str`, got `int`"),
        (list[Person], [{"name": "Ada"}, {"name": 1}], "[0][1].name", "Expected `str`, got `int`"),
        (dict[str, Person], {"a": {"name": 1}}, "[0][...].name", "Expected `str`, got `int`"),
        (Person | None, 5, "[0]", "Expected `object | null`, got `int`"),
        (Everything, {"raw": "dGV4dA=="}, "[0].raw", "Expected `bytes`, got `str`"),
        (Checked, {"even": 3}, "[0]", "3 is odd"),
        (Model, {"age": "x"}, "[0].age", "Input should be a valid integer, unable to parse string as an integer"),
        (Model, {"age": -1}, "[0].age", "Input should be greater than or equal to 0"),
        (Model, 5, "[0]", "Input should be a valid dictionary or instance of Model"),
        (list[Model], [{"age": 1}, {}], "[0][1].age", "Field required"),
        (dict[str, Model], {"a b": {}}, '[0]["a b"].age', "Field required"),
        (Mixed, {"model": {"age": 1}, "models": [{"age": []}]}, "[0].models[0].age", "Input should be a valid integer"),
    ],
    ids=repr,
)
def test_what_does_not_fit_is_named_with_its_path(annotation: Any, value: Any, path: str, message: str) -> None:
    with pytest.raises(WrongArguments) as caught:
        convert(annotation, value)
    assert (caught.value.path, caught.value.problem) == (path, message)
    assert f"at {path}: {message}" in str(caught.value)


def test_the_client_is_told_and_the_server_hears_an_error(world: World, caplog: pytest.LogCaptureFixture) -> None:
    client, socket = joined(world)
    errors: list[Any] = []
    told: list[Any] = []
    socket.on("error", errors.append)
    world.hub.on_error(lambda error, socket, event, args: told.append((event, args)))
    called: list[Any] = []

    @socket.on("e")
    def handler(person: Person) -> str:
        called.append(person)
        return person.name

    with caplog.at_level(logging.INFO):
        assert ask(client, {"name": "Ada", "age": "x"}) == refusal("[0].age", "Expected `int`, got `str`")
    assert called == []
    assert [type(error) for error in errors] == [WrongArguments]
    assert "event 'e' came with what " in str(errors[0])
    assert told == [("e", [{"name": "Ada", "age": "x"}])]
    assert [record.levelname for record in caplog.records] == ["INFO"]
    client.say('2["e",7]')
    assert client.said() == [], "no ack was asked for"
    assert ask(client, {"name": "Ada"}) == ["Ada"], "other events go on"


def test_wrong_numbers_of_typed_arguments_are_answered_too(world: World) -> None:
    client, socket = joined(world)
    socket.on("e", lambda: None)

    @socket.on("e")
    def handler(first: str, person: Person) -> None: ...

    assert ask(client) == refusal("[0]", "it is missing")
    assert ask(client, "a") == refusal("[1]", "it is missing")
    assert ask(client, "a", {"name": "Ada"}, 3) == refusal("[2]", "one too many")


def test_of_several_handlers_each_gets_its_own_and_a_misfit_is_the_answer(world: World) -> None:
    client, socket = joined(world)
    seen: list[Any] = []

    @world.main.event("e")
    def plain(socket: Any, value: dict) -> str:  # type: ignore[type-arg]
        seen.append(value)
        return "plain"

    @socket.on("e")
    def typed(person: Person) -> None:
        seen.append(person)

    assert ask(client, {"name": "Ada"}) == ["plain"]
    assert seen == [{"name": "Ada"}, Person("Ada")]
    assert ask(client, {"name": 1}) == refusal("[0].name", "Expected `str`, got `int`")
    assert seen[2:] == [{"name": 1}]


def test_other_errors_of_a_constructor_are_a_handlers_error(world: World, caplog: pytest.LogCaptureFixture) -> None:
    client, socket = joined(world)

    @socket.on("e")
    def handler(value: Checked) -> str:
        return "called"

    assert ask(client, {"even": 66}) is None
    assert "LookupError: on purpose" in caplog.text
    assert ask(client, {"even": 2}) == ["called"]


def test_nesting_without_end_is_refused() -> None:
    deep: dict[str, Any] = {"nodeName": "a"}
    for _ in range(20_000):
        deep = {"nodeName": "a", "children": [deep]}
    with pytest.raises(WrongArguments, match="nested too deeply"):
        convert(Node, deep)


# -- every kind of handler ----------------------------------------------------------------------------------------------------


def test_handlers_of_all_kinds(world: World) -> None:
    client, socket = joined(world)
    seen: list[Any] = []

    class Handlers:
        def on_method(self, socket: Any, person: Person) -> None:
            seen.append(person)

        @event("marked", concurrent=True)
        def whatever(self, socket: Any, person: Person, ack: Callable[..., None]) -> None:
            seen.append(person)
            ack("acked")

        @staticmethod
        def on_static(socket: Any, person: Person) -> None:
            seen.append(person)

    class Callable_:
        def __call__(self, socket: Any, person: Person) -> None:
            seen.append(person)

    class Wrapping:
        """A decorator that is an object, with the signature of what it wraps."""

        def __init__(self, fn: Callable[..., Any]) -> None:
            functools.update_wrapper(self, fn)
            self.__signature__ = inspect.signature(fn)

        def __call__(self, *args: Any, **named: Any) -> Any:
            return self.__wrapped__(*args, **named)  # type: ignore[attr-defined]

    def bound(extra: str, socket: Any, person: Person) -> None:
        seen.append(person)

    def ack_first(socket: Any, ack: Any, person: Person, *, extra: Person | None = None) -> None:
        seen.append(person)
        ack()

    def ack_by_name(socket: Any, person: Person, *, ack: Any) -> None:
        seen.append(person)
        ack()

    world.main.register(Handlers())
    world.main.event("callable", Callable_())
    world.main.event("partial", functools.partial(bound, "extra"))
    world.main.event("wrapping", Wrapping(ack_by_name))
    world.main.event("ack first", ack_first)
    world.main.event("ack by name", ack_by_name)
    socket.once("once", lambda person: seen.append(person))

    @socket.once("once")
    def once(person: Person) -> None:
        seen.append(person)

    @socket.on("beside", concurrent=True)
    def beside(person: Person) -> None:
        seen.append(person)

    for name in ("method", "marked", "static", "callable", "partial", "wrapping", "ack first", "ack by name", "beside"):
        client.say("2" + json.dumps([name, {"name": name}]))
        assert seen == [Person(name)], name
        seen.clear()
    client.say('2["once",{"name":"Ada"}]', '2["once",{"name":"Ada"}]')
    assert seen == [{"name": "Ada"}, Person("Ada")]


def test_defaults_and_the_rest(world: World) -> None:
    client, socket = joined(world)
    seen: list[Any] = []

    @socket.on("e")
    def handler(first: Person, second: Person | None = None, /, *more: Person) -> None:
        seen.append((first, second, *more))

    ada = {"name": "Ada"}
    for count in (1, 2, 4):
        assert ask(client, *[ada] * count) == []
    assert seen == [(Person("Ada"), None), (Person("Ada"), Person("Ada")), (*[Person("Ada")] * 4,)]
    assert ask(client, ada, ada, ada, {"name": 1}) == refusal("[3].name", "Expected `str`, got `int`")


def test_the_outermost_callable_counts(world: World) -> None:
    client, socket = joined(world)
    seen: list[Any] = []

    def passing_on(fn: Any) -> Any:
        @functools.wraps(fn)
        def wrapper(*args: Any) -> Any:
            return fn(*args)

        return wrapper

    def looking(fn: Any) -> Any:
        @functools.wraps(fn)
        def wrapper(person: Any) -> Any:
            return fn(person)

        return wrapper

    def handler(person: Person) -> None:
        seen.append(person)

    socket.on("e", passing_on(handler))
    socket.on("e", looking(handler))
    socket.on("e", looking(source("def handler(person: Person): seen.append(person)", seen=seen, Person=Person)))
    ask(client, {"name": "Ada"})
    assert seen == [{"name": "Ada"}, Person("Ada"), Person("Ada")]


# -- what is no typed payload -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "annotation",
    [
        str, int, dict, list[int], dict[str, Any], None, Any, object, str | None, Literal["a"], datetime, Colour, bytes, tuple[int, ...],
        Callable[[int], str], T, "str", "dict[str, Any]", "Annotated[int, 3]", "Literal['Nope']", "T", type(None),
    ],
    ids=repr,
)  # fmt: skip
def test_plain_annotations_validate_nothing(annotation: Any) -> None:
    def handler(value) -> None:  # type: ignore[no-untyped-def]
        ...

    handler.__annotations__["value"] = annotation
    assert Handler(handler, takes_socket=False, is_typed=True).payloads is None


def test_the_socket_the_ack_and_the_result_are_never_looked_at(world: World) -> None:
    world.main.event("e", source("def handler(socket: Nowhere, value: str, *, ack: Nowhere) -> Nowhere: ..."))
    world.main.event("e", source("def handler(socket: Nowhere, ack: Nowhere, value: str = '') -> Nowhere: ..."))
    world.main.event("disconnect", source("def handler(socket: Nowhere, reason: Nowhere): ..."))
    world.main.on("connection", source("def handler(socket: Nowhere): ..."))
    _, socket = joined(world)
    socket.emit("e", ack=source("def handler(value: Nowhere): ..."))


def test_names_that_do_not_resolve_are_an_error_at_registration(world: World) -> None:
    message = r"<function handler at .*>: the annotation '{}' of parameter 'value' cannot be used: name 'Nowhere' is not defined"
    _, socket = joined(world)
    for annotation in ("Nowhere", "list[Nowhere]"):
        handler = source(f"def handler(socket, value: {annotation}): ...")
        with pytest.raises(TypeError, match=message.format(annotation.replace("[", r"\[").replace("]", r"\]"))):
            world.main.event("e", handler)
        with pytest.raises(TypeError, match="parameter 'value'"):
            socket.on("e", source(f"def handler(value: {annotation}): ..."))
    with pytest.raises(TypeError, match="name 'Nowhere' is not defined"):
        socket.on("e", source("class A:\n    def on_e(self, value: Nowhere): ...\nhandler = A().on_e"))
    assert world.main.listeners("e") == []
    assert socket.listeners("e") == []


@pytest.mark.parametrize("kind", ["@dataclass\nclass Open:", "class Open(Struct):", "class Open(TypedDict):", "class Open(BaseModel):"])
def test_fields_that_do_not_resolve_are_an_error_at_registration(world: World, kind: str) -> None:
    names = {"dataclass": dataclasses.dataclass, "Struct": msgspec.Struct, "TypedDict": TypedDict, "BaseModel": pydantic.BaseModel}
    _, socket = joined(world)
    for annotation in ("Open", "list[Open]"):
        handler = source(f"{kind}\n    field: Nowhere\ndef handler(value: {annotation}): ...", **names)
        with pytest.raises(TypeError, match="name 'Nowhere' is not defined"):
            socket.on("e", handler)


def test_types_that_no_library_converts_to_are_an_error_at_registration(world: World) -> None:
    _, socket = joined(world)
    with pytest.raises(TypeError, match="parameter 'value' cannot be used"):

        @socket.on("e")
        def two_dataclasses(value: Person | Checked) -> None: ...

    with pytest.raises(TypeError, match="parameter 'value' cannot be used"):

        @socket.on("e")
        def two_libraries(value: dict[str, Model | Node]) -> None: ...


# -- texts and names ----------------------------------------------------------------------------------------------------------


def test_annotations_that_are_texts_find_globals_closures_and_the_function_around(world: World) -> None:
    client, socket = joined(world)
    connected = source(
        """
        def handler(socket, number):
            @dataclass
            class Here:
                name: str

            @dataclass
            class Seen:
                name: str

            @socket.on("e")
            def e(a: Here, b: list[Seen], c: Person):
                return [number, type(a) is here, type(b[0]) is Seen, type(c).__name__]

            here = Here
            return e
        """,
        dataclass=dataclasses.dataclass,
        Person=Person,
    )
    first = connected(socket, 1)
    assert ask(client, {"name": "a"}, [{"name": "b"}], {"name": "c"}) == [[1, True, True, "Person"]]
    socket.off("e", first)
    assert connected(socket, 2) is not first
    assert ask(client, {"name": "a"}, [{"name": "b"}], {"name": "c"}) == [[2, True, True, "Person"]], "classes of its own each time"


def test_what_is_known_of_a_place_is_looked_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, socket = joined(world)
    looked: list[Any] = []
    real = payloads._payloads
    monkeypatch.setattr(payloads, "_payloads", lambda *args: looked.append(args) or real(*args))
    typed = source("def handler():\n    def inner(value: Person): ...\n    return inner", Person=Person)
    plain = source("def handler():\n    def inner(value: str, other: 'Any' = None): ...\n    return inner", Any=Any)
    for _ in range(3):
        socket.on("e", typed())
        socket.on("e", plain())
    assert len(looked) == 2


def test_code_that_is_equal_may_have_other_annotations(world: World) -> None:
    _, socket = joined(world)
    first = source("def handler(value: Person): ...", Person=Person)
    second = source("def handler(value: Move): ...", Move=Move)
    third = source("def handler(value: Nowhere): ...")
    assert Handler(first, takes_socket=False, is_typed=True).typed("e", [{"name": "Ada"}]) == [Person("Ada")]
    assert Handler(second, takes_socket=False, is_typed=True).typed("e", [{"x": 1, "y": 2}]) == [{"x": 1, "y": 2}]
    with pytest.raises(TypeError, match="Nowhere"):
        socket.on("e", third)


def in_another_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_such_an_annotation_no_library_is_imported() -> None:
    assert (
        in_another_process(
            """
            import sys
            from sync_sio import Server
            io = Server()
            @io.event
            def chat(socket, text: str, more: dict[str, int] | None = None): ...
            print([name for name in ("msgspec", "pydantic") if name in sys.modules])
            """
        )
        == "[]"
    )


def test_without_msgspec_the_error_says_what_to_install() -> None:
    said = in_another_process(
        """
        import sys
        sys.modules["msgspec"] = None
        from dataclasses import dataclass
        from sync_sio import Server
        @dataclass
        class Person:
            name: str
        def chat(socket, person: Person): ...
        try:
            Server().event(chat)
        except ImportError as error:
            print(error)
        """
    )
    assert "parameter 'person' is annotated with Person: typed payloads need msgspec: pip install sync-sio[typed]" in said


def test_the_server_takes_them_as_its_main_namespace_does() -> None:
    io = Server()
    with pytest.raises(TypeError, match="Nowhere"):
        io.event("e", source("def handler(socket, value: Nowhere): ..."))


def test_the_documented_handler_works(world: World) -> None:
    page = (ROOT / "docs" / "typed-payloads.md").read_text()
    code, answer = re.findall(r"```(?:python|json)\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {"__name__": "documented"}
    exec(compile(code, "docs/typed-payloads.md", "exec"), names)
    world.main.event("e", names["chat"])
    client = world.client()
    client.join()
    assert ask(client, {"text": "a", "urgent": True}, [{"text": "b"}]) == ["A"]
    assert ask(client, {"text": 5}) == [json.loads(answer)]
