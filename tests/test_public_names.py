"""Every public name is there, on every object that is said to have it: those that a user of Socket.IO looks for, and our own."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

import pytest

import sync_sio
from sync_sio import Server
from sync_sio.engine import EngineServer
from sync_sio.testing import TestClient

MANY = "emit send call to in_ except_ local volatile compress timeout fetch_sockets sockets_join sockets_leave disconnect_sockets"
REGISTER = "on once off listeners remove_listener remove_all_listeners event use on_error"
NAMES = {
    "server": f"attach listen start close of register sockets engine http_server spawn sleep adapter adapter_status health "
              f"around socket_class namespaces server_side_emit server_side_call {REGISTER} {MANY}",
    "namespace": f"name server adapter sockets register registered server_side_emit server_side_call __len__ __iter__ {REGISTER} {MANY}",
    "parent": f"name server children registered {REGISTER} {MANY}",
    "socket": "id handshake rooms data conn request namespace nsp connected disconnected recovered emit call send on once off listeners "
              "remove_listener remove_all_listeners on_any prepend_any off_any listeners_any on_any_outgoing prepend_any_outgoing "
              "off_any_outgoing listeners_any_outgoing use join leave volatile compress timeout to in_ except_ broadcast local disconnect",
    "handshake": "headers query auth time issued url address xdomain secure",
    "socket operator": "emit call send volatile compress timeout",
    "broadcast operator": MANY,
    "remote socket": "id handshake rooms data emit call timeout join leave disconnect",
    "engine": "clients clients_count generate_id on once off close",
    "engine server": "clients clients_count generate_id on once off close __call__",
    "connection": "id protocol transport remote_address request ready_state upgraded upgrading buffered_bytes on once off send close",
    "transport": "name",
    "membership": "rooms sids on once off",
    "client": "id connected on emit call receive settle disconnect",
    "module": "Server Namespace Socket Emitter event SyncSioError ConnectRefused RequestRefused AckTimeout Disconnected SlowConsumer "
              "WrongArguments PayloadTooLarge ProtocolError __version__",
}  # fmt: skip

OPTIONS = """
    path add_trailing_slash runtime transports allow_upgrades ping_interval ping_timeout upgrade_timeout connect_timeout
    max_http_buffer_size max_attachments cors_allowed_origins cors_credentials cors_methods cors_allowed_headers cors_max_age cookie
    http_compression per_message_deflate allow_request initial_packet json_default parser adapter connection_state_recovery
    cleanup_empty_child_namespaces serve_client health max_connections max_buffered_bytes send_timeout max_handlers ws_engine allow_eio3
    trusted_proxies
"""

ERRORS = {
    sync_sio.AckTimeout: TimeoutError,
    sync_sio.Disconnected: ConnectionError,
    sync_sio.SlowConsumer: ConnectionError,
    sync_sio.WrongArguments: TypeError,
}


def test_every_public_name_is_there() -> None:
    io = Server()
    with TestClient(io) as client:
        client.settle()
        (socket,) = io.sockets
        (remote,) = io.fetch_sockets()
        things: dict[str, Any] = {
            "server": io,
            "namespace": io.sockets,
            "parent": io.of(re.compile("/dynamic")),
            "socket": socket,
            "handshake": socket.handshake,
            "socket operator": socket.volatile,
            "broadcast operator": io.to("a room"),
            "remote socket": remote,
            "engine": io.engine,
            "engine server": EngineServer(),
            "connection": socket.conn,
            "transport": socket.conn.transport,
            "membership": io.sockets.adapter,
            "client": client,
            "module": sync_sio,
        }
        missing = [(what, name) for what, names in NAMES.items() for name in names.split() if not hasattr(things[what], name)]
        assert missing == [] and things.keys() == NAMES.keys()
        assert socket.nsp is socket.namespace is io.sockets is io.of("/") is io.of("")
        assert io.sockets.server is io and io.http_server is None
        assert dict(io.sockets.sockets) == {socket.id: socket} and len(io.sockets) == 1
    io.close()


def test_every_option_is_there_with_a_default() -> None:
    parameters = inspect.signature(Server).parameters
    assert [name for name in OPTIONS.split() if name not in parameters] == []
    for parameter in parameters.values():
        assert parameter.default is not parameter.empty or parameter.kind is parameter.VAR_KEYWORD, parameter


def test_errors_are_of_one_family_and_of_pythons() -> None:
    for name in NAMES["module"].split():
        thing = getattr(sync_sio, name)
        if isinstance(thing, type) and issubclass(thing, Exception):
            assert issubclass(thing, sync_sio.SyncSioError)
    for error, theirs in ERRORS.items():
        assert issubclass(error, theirs)
    assert sync_sio.ConnectRefused("no", data=1).data == 1  # type: ignore[attr-defined]
    assert sync_sio.AckTimeout("late", [1]).responses == [1]
    assert sync_sio.Disconnected("gone", "transport close").reason == "transport close"


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("sync_sio.adapters.base", "Adapter AdapterStatus"),
        ("sync_sio.admin", "instrument"),
        ("sync_sio.engine", "EngineServer"),
        ("sync_sio.parsers", "msgpack"),
        ("sync_sio.testing", "TestClient ManualTime"),
    ],
)
def test_every_public_module_has_its_names(module: str, names: str) -> None:
    assert [name for name in names.split() if not hasattr(importlib.import_module(module), name)] == []
