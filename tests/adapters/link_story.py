"""A link through a Redis that hangs, dies and comes back: `python -m tests.adapters.link_story threads|gevent|patched URL`.

What the test wants done to Redis is asked for on standard output, line by line; an empty line on standard input says that it is done.
"""

# ruff: noqa: E402  (patching comes first)
from __future__ import annotations

import sys

KIND, URL = sys.argv[1:]
if KIND == "patched":
    from gevent import monkey

    monkey.patch_all()

import logging
import threading
from collections.abc import Callable
from itertools import pairwise
from queue import Queue
from typing import Any

from sync_sio.adapters.redis.link import Line, Link
from sync_sio.drivers.choose import choose


def story() -> None:
    driver = choose("threads" if KIND == "threads" else "gevent", None, None)
    link = Link(URL)
    heard: list[bytes] = []
    listening = driver.waiter()

    def ears(line: Line) -> None:
        pubsub = line.client.pubsub()
        pubsub.subscribe("news")
        while not line.is_over:
            said = pubsub.parse_response(block=False, timeout=1)
            if said is not None and said[0] == b"subscribe":
                line.up()
                listening.set()
            elif said is not None:
                heard.append(said[2])

    def until(what: Callable[[], object]) -> None:
        for _ in range(2000):
            if what():
                return
            driver.sleep(0.01)
        raise AssertionError(f"never: {what}, heard {heard}, {link.last_error}, {threading.enumerate()}")

    def please(what: str) -> None:
        print(what, flush=True)
        done = driver.waiter()
        ask(done.set)
        done.wait()

    def ask(done: Callable[[], object]) -> None:
        if KIND == "threads":
            sys.stdin.readline()
            done()
        else:
            from gevent import get_hub

            get_hub().threadpool.spawn(lambda: (sys.stdin.readline(), done()))

    # what else this process does goes on: counted by a timer of the loop
    beats: list[float] = []

    def beat() -> None:
        beats.append(driver.now())
        driver.later(0.02, beat)

    driver.post(beat)
    assert not link.is_connected
    link.start(driver)
    link.open("ears", ears)
    assert listening.wait(10)
    until(lambda: link.is_connected)

    for number in range(1000):
        link.say("PUBLISH", "news", str(number))
    until(lambda: len(heard) == 1000)
    assert heard == [str(number).encode() for number in range(1000)]

    replies: Queue[Any] = Queue()
    link.say("PUBLISH", "news", b"told", tell=replies.put)
    until(replies.qsize)
    assert replies.get() == 1
    link.say("NONSENSE", tell=replies.put)
    until(replies.qsize)
    assert "unknown command" in str(replies.get())
    link.ask(lambda client: client.pubsub_numsub("news"), lambda *answer: replies.put(answer))
    until(replies.qsize)
    assert replies.get() == ([(b"news", 1)], None)

    for number, trouble in enumerate(("kill", "hang", "stop", "drop clients"), 1):
        heard.clear()
        please(trouble)
        if trouble != "drop clients":
            until(lambda: not link.is_connected)
            link.say("PUBLISH", "news", b"meanwhile")
            link.ask(lambda client: client.ping(), lambda *answer: replies.put(answer))
            until(replies.qsize)
            assert replies.get()[0] is None
            please("start")
        until(lambda number=number: link.reconnects >= number)
        link.say("PUBLISH", "news", b"again")
        until(lambda: b"again" in heard)

    link.say("PUBLISH", "news", b"last words")
    link.close()
    link.close()
    assert not link.is_connected
    assert max(later - sooner for sooner, later in pairwise(beats)) < 2, "the loop stood still"
    until(lambda: not [thread for thread in threading.enumerate() if "redis" in thread.name])
    please("end")


if __name__ == "__main__":
    logging.basicConfig()
    story()
