"""How a batch of commands is sent, and what comes back: in one go, or to a cluster in as few goes as their order allows.

The pipelines of redis-py's cluster client know no `PUBLISH`, so those of its nodes are used: one for each run of commands that go to
one node. A node is sent nothing before the one before it has answered, so what is said is heard in this order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from .address import Address

Value = str | bytes | int | float
Command = tuple[Value, ...]

_KEY_AT: Final = {"SPUBLISH": 1, "XADD": 1, "XRANGE": 1, "XREVRANGE": 1, "SET": 1, "EVAL": 3}
_ANYWHERE: Final = ("PUBLISH", "PING")


def replies(address: Address, client: Any, commands: Sequence[Command], home: str) -> Iterator[Any]:
    """Send commands in order, and yield what each brings: its reply, or the exception with which Redis has refused it.

    Args:
        home: a key of a cluster's node, for what any node takes.

    Raises:
        redis.RedisError, OSError: the connection is lost: what was not yielded may have arrived, or not.
    """
    if not address.is_cluster:
        yield from _in_one_go(client, commands)
        return
    for node, run in groupby(commands, lambda command: _node_of(client, command, home)):
        if node is None:
            for command in run:
                yield _attempt(address, client, command)
            continue
        part = list(run)
        for command, reply in zip(part, _in_one_go(client.get_redis_connection(node), part), strict=True):
            # a slot has moved, or is about to: the client asks where to, and keeps that in mind
            yield _attempt(address, client, command) if address.is_elsewhere(reply) else reply


def _in_one_go(client: Any, commands: Sequence[Command]) -> list[Any]:
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    found: list[Any] = pipeline.execute(raise_on_error=False)
    return found


def _node_of(client: Any, command: Command, home: str) -> Any:
    """Return the node that a command goes to; None: the client must find it."""
    name = str(command[0])
    if name in _ANYWHERE:
        return client.get_node_from_key(home)
    return client.get_node_from_key(command[_KEY_AT[name]]) if name in _KEY_AT else None


def _attempt(address: Address, client: Any, command: Command) -> Any:
    try:
        return client.execute_command(*command)
    except address.troubles as error:
        if address.is_refusal(error):
            return error
        raise
