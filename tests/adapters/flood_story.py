"""A flood comes on a sharded channel, where greenlets are all there is; prints how much of it came in one go.

`python -m tests.adapters.flood_story URL`
"""
# ruff: noqa: E402  (patching comes first)

from __future__ import annotations

import sys

from gevent import monkey

monkey.patch_all()

import gevent

from sync_sio.adapters.base import Broadcast, Target
from sync_sio.adapters.redis import ShardedRedisAdapter
from sync_sio.drivers.choose import choose
from tests.live.servers import wait_for

COUNT = 4000


class Ear:
    json_default = None
    heard = 0

    def received(self, namespace: str, server: str, message: object) -> None:
        self.heard += 1

    def reached(self, request: str, others: int, names: object) -> None: ...
    def server_left(self, server: str) -> None: ...


def main(url: str) -> None:
    driver = choose("gevent", None, None)
    ears = Ear(), Ear()
    adapters = [ShardedRedisAdapter(url) for _ in ears]
    for adapter, ear in zip(adapters, ears, strict=True):
        adapter.start(ear, driver)
        adapter.enter("/")
    wait_for(lambda: all(adapter.status().nodes == 2 for adapter in adapters), 20)
    for _ in range(COUNT):
        adapters[0].publish("/", Broadcast(["flood"], Target()))
    most = 0
    while (before := ears[1].heard) < COUNT:
        gevent.sleep(0)
        most = max(most, ears[1].heard - before)
    print(most)
    for adapter in adapters:
        adapter.close()
    driver.stop(2)


main(sys.argv[1])
