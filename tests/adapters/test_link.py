"""The connection to Redis: it never stops the process, comes back by itself, and says so."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import Queue

import pytest

from sync_sio.adapters.redis.address import Address
from sync_sio.adapters.redis.link import Line, Link
from sync_sio.adapters.redis.questions import Questions
from sync_sio.drivers.choose import choose
from tests.live.servers import wait_for
from tests.redis_server import RedisServer
from tests.tools import ROOT

ADDRESSES = {
    "redis://localhost": "redis://localhost",
    "redis://user:secret@host:7000/3": "redis://host:7000/3",
    "rediss://:secret@host?ssl_ca_certs=/x.pem": "rediss://host",
    "valkeys://host/1": "valkeys://host/1",
    "unix:///run/redis.sock?db=2": "unix:///run/redis.sock",
    "redis+sentinel://:secret@a,b:26380,[::1]:5/main/3": "redis+sentinel://a,b:26380,[::1]:5/main/3",
    "rediss+cluster://u:p@a:7000,b:7001": "rediss+cluster://a:7000,b:7001",
}


@pytest.mark.parametrize("url", ADDRESSES)
def test_an_address_shows_no_password(url: str) -> None:
    assert repr(Address(url)) == ADDRESSES[url]
    assert "secret" not in repr(Address(url))


def test_what_an_address_says_is_used() -> None:
    def options(url: str) -> dict[str, object]:
        return dict(Address(url).client().connection_pool.connection_kwargs)

    plain = options("valkey://user:pass%40word@host:7000/3?socket_timeout=9")
    assert {name: plain[name] for name in ("host", "port", "db", "username", "password", "socket_timeout")} == {
        "host": "host", "port": 7000, "db": 3, "username": "user", "password": "pass@word", "socket_timeout": 9.0,
    }  # fmt: skip
    assert options("unix:///run/redis.sock?db=2")["path"] == "/run/redis.sock"
    pool = Address("rediss+sentinel://:secret@a,b:26380/main/3?sentinel_password=other").client().connection_pool
    assert (pool.service_name, pool.connection_kwargs["db"], pool.connection_kwargs["password"]) == ("main", 3, "secret")
    assert [
        (kwargs["host"], kwargs["port"], kwargs["password"])
        for kwargs in (sentinel.connection_pool.connection_kwargs for sentinel in pool.sentinel_manager.sentinels)
    ] == [("a", 26379, "other"), ("b", 26380, "other")]


@pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", "redis+sentinel://host", "unix+cluster:///x", "redis+x://h"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url="):
        Address(url)


@pytest.mark.parametrize("url", ["redis://h", "rediss://h", "unix:///x.sock", "redis+sentinel://h/main"])
def test_an_option_that_redis_py_does_not_have_is_refused_at_once(url: str) -> None:
    Address(f"{url}?socket_timeout=3")
    with pytest.raises(ValueError, match=rf"url='{re.escape(url)}': .* are options of redis-py.*'socket_timout'"):
        Address(f"{url}?socket_timout=3")


@pytest.mark.parametrize("url", ["host:6379", "u:secret@host:6379", "u:secret@host:6379?socket_timeout=3"])
def test_an_address_without_its_scheme_is_shown_as_it_was_written_but_for_the_password(url: str) -> None:
    with pytest.raises(ValueError, match="url='host:6379': redis://"):
        Address(url)


@pytest.mark.live
def test_a_link_comes_back_and_stops_nothing_meanwhile(redis_server: Path, tmp_path: Path) -> None:
    kinds = ("threads", "gevent", "patched")        # at once: most of the time is waiting
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda kind: go_through_story(kind, redis_server, tmp_path), kinds))


def go_through_story(kind: str, program: Path, folder: Path) -> None:
    with RedisServer(program, folder) as redis:
        command = [sys.executable, "-m", "tests.adapters.link_story", kind, f"{redis.url}?socket_timeout=1"]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as told:
            assert told.stdin is not None and told.stdout is not None and told.stderr is not None
            asked: list[str] = []
            for line in told.stdout:
                asked.append(line.strip())
                match asked[-1]:
                    case "kill":
                        redis.kill()
                    case "stop":
                        redis.stop()
                    case "hang":
                        redis.hang()
                    case "start" if asked[-2] == "hang":
                        redis.go_on()
                    case "start":
                        redis.start()
                    case "drop clients":
                        redis.client().client_kill_filter(skipme=True)
                told.stdin.write("\n")
                told.stdin.flush()
            log = told.stderr.read()
        assert told.returncode == 0, (kind, log)
        assert asked == ["kill", "start", "hang", "start", "stop", "start", "drop clients", "end"], kind
        # one of its connections may be back before another has noticed that it is lost, when all of them are dropped
        assert 4 <= log.count("connected again") == log.count("not connected") <= 6, (kind, log)


def test_a_link_that_never_connected_says_so_and_ends(tmp_path: Path) -> None:
    driver = choose("threads", None, None)
    for url in (f"unix://{tmp_path}/none", f"redis+cluster://127.0.0.1:{_unused_port()}"):
        link = Link(url)
        link.start(driver)
        for number in range(40):
            link.say("PUBLISH", "x", "." * 1_000_000 if number % 2 else b"." * 1_000_000)
        told = driver.waiter()
        link.ask(lambda client: client.ping(), lambda answer, error, told=told: told.set(error))
        assert told.wait(20) and isinstance(told.value, Exception)
        assert not link.is_connected and link.last_error
        assert link._waiting_bytes <= 16_000_000
        link.close()
    driver.stop(1)


def test_nothing_is_kept_and_no_thread_stays_after_the_end(redis: RedisServer) -> None:
    driver = choose("threads", None, None)
    for _ in range(50):
        link = Link(redis.url)
        link.start(driver)
        answers: Queue[object] = Queue()
        link.ask(lambda client: client.ping(), lambda answer, error, answers=answers: answers.put(answer))
        assert answers.get(timeout=20) is True
        link.close()
        link.say("PUBLISH", "x", "." * 1000)
        assert not link._waiting and not link._waiting_bytes
    wait_for(lambda: not any("redis" in thread.name for thread in threading.enumerate()), 20, lambda: str(threading.enumerate()))
    driver.stop(1)


def test_a_connection_that_was_lost_and_is_wanted_no_longer_does_not_count(redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """As that to a node that a cluster has lost, and that has no successor."""

    def fail(line: Line) -> None:
        raise ConnectionError("there is nobody")

    driver = choose("threads", None, None)
    link = Link(redis.url)
    link.start(driver)
    for count in (1, 2):
        line = link.open("to a node", fail)
        wait_for(lambda count=count: caplog.text.count("not connected") == count, 20, lambda: caplog.text)
        wait_for(lambda: link._lines[0].is_up, 20)
        link.drop(line)
        assert link.is_connected and caplog.text.count("connected again") == link.reconnects == count
    link.close()
    driver.stop(1)


def test_questions_that_wait_have_a_limit() -> None:
    heard: set[str] = set()
    questions, asked = Questions(heard.__contains__), list[int]()
    for number in range(20):
        questions.ask(("a", "b"), partial(asked.append, number), 1_000_000)
    for number in range(20, 2000):
        questions.ask(("a",), partial(asked.append, number), 100)
    heard.add("a")
    questions.look()
    assert asked == list(range(1000, 2000))
    for number in range(20):
        questions.ask(("a", "b"), partial(asked.append, number), 1_000_000)
    heard.add("b")
    questions.look()
    assert asked[1000:] == list(range(4, 20))
    questions.ask(("a", "b"), partial(asked.append, 0), 100_000_000)        # nothing is in its way
    assert asked[-1] == 0


def _unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.live
@pytest.mark.parametrize("kind", ["threads", "patched"])
def test_the_child_of_a_fork_connects_anew_and_leaves_its_parent_alone(redis: RedisServer, kind: str) -> None:
    command = [sys.executable, "-m", "tests.adapters.fork_story", kind, redis.url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout) == (0, "both have served\n"), done.stderr
    assert "Traceback" not in done.stderr
