"""What is measured, and on which servers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

OURS = ("threads", "gevent")
RIVALS = ("node", "psio-gevent", "psio-gthread")
"""Those that goals are against."""
EVERYWHERE = ("threads", "gevent", "gunicorn-gthread", "gunicorn-gevent", "node", "psio-gevent", "psio-gthread", "psio-uvicorn")
"""Other surroundings too, that no goal is about or against."""

DOORS = ("gunicorn-sync", "cheroot", "waitress", "werkzeug", "pywsgi")
"""More WSGI servers with ours behind: what does the door cost?"""

SLOW_LIMIT = 1_000_000
DEAF = 50


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of questions to a server.

    Attributes:
        name: what the command line calls it.
        title: what tables call it.
        unit: what is counted.
        load: options of the load generator, without their dashes.
        servers: names of kinds of servers.
        cores: how many the server gets.
        environ: settings of our application.
        runs: how often at most; what hardly varies is not repeated.
        fewer: for some servers, options that take the place of those in `load`.
    """

    name: str
    title: str
    unit: str
    load: Mapping[str, object]
    servers: tuple[str, ...] = OURS + RIVALS
    cores: int = 1
    environ: Mapping[str, str] = field(default_factory=dict)
    runs: int | None = None
    fewer: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    @property
    def clients(self) -> int:
        steps = str(self.load.get("steps", ""))
        return int(steps.rpartition(",")[2]) if steps else int(str(self.load.get("clients", 50)))

    def of(self, server: str) -> Workload:
        """Return what this server is asked to do."""
        return replace(self, load={**self.load, **self.fewer.get(server, {})}, fewer={})

    def with_servers(self, names: Iterable[str]) -> Workload:
        """Return the same, with other checkouts of ours beside: `NAME-threads` where `threads` is measured."""
        return replace(self, servers=self.servers + tuple(name for name in names if name.rpartition("-")[2] in self.servers))

    def quick(self) -> Workload:
        """Return the same in little and in short: for looking whether all works, not for figures."""
        small: dict[str, object] = {"seconds": 0.3, "warm": 0.1}
        for name, most in (("clients", 100), ("size", 4096), ("deaf", 5)):
            if name in self.load:
                small[name] = min(int(str(self.load[name])), most)
        if "steps" in self.load:
            small["steps"] = "40,80,100"
        return replace(self, load={**self.load, **small}, fewer={}, runs=1)


def echo(name: str, title: str, **load: object) -> Workload:
    return Workload(name, title, "echoes/s", {"kind": "echo", **load}, EVERYWHERE if name in ("echo1", "echo16") else OURS + RIVALS)


def fan(clients: int) -> Workload:
    load = {"kind": "broadcast", "clients": clients, "deadline": 90}
    servers = EVERYWHERE if clients == 1000 else OURS + RIVALS
    return Workload(f"fan{clients}", f"broadcast to {clients:,} clients", "deliveries/s", load, servers)


def own(name: str, title: str, cores: int = 1, environ: Mapping[str, str] | None = None, **load: object) -> Workload:
    """Make one that only our server on threads does: it is compared with itself."""
    return Workload(name, title, "echoes/s", {"kind": "echo", **load}, ("threads",), cores, environ or {})


def crowd(members: int) -> Workload:
    load = {"kind": "echo", "setup": "join", "clients": members, "active": 50, "events": "leave,join", "size": 0}
    return Workload(f"join{members}", f"leaving and joining a room of {members:,}", "operations/s", load, OURS)


def slow(deaf: int) -> Workload:
    load = {"kind": "broadcast", "clients": 1000, "size": 16384, "deaf": deaf, "seconds": 5}
    environ = {"BENCH_COUNTING": "1", "BENCH_OPTIONS": json.dumps({"max_buffered_bytes": SLOW_LIMIT})}
    title = f"broadcast of 16 KiB to 1,000 clients, {deaf} of which never read" if deaf else "broadcast of 16 KiB to 1,000 clients"
    return Workload(f"slow{deaf}", title, "deliveries/s", load, OURS, environ=environ)


ALL = [
    echo("echo1", "echo, one outstanding, 32 B"),
    echo("echo16", "echo, sixteen outstanding, 32 B", window=16),
    echo("echo4k", "echo, one outstanding, 4 KiB", size=4096),
    Workload("bin1k", "binary echo, 1 KiB", "echoes/s", {"kind": "binary", "events": "bin", "size": 1024}),
    Workload("bin64k", "binary echo, 64 KiB", "echoes/s", {"kind": "binary", "events": "bin", "size": 65536}),
    fan(100),
    fan(1000),
    fan(5000),
    Workload("connect", "connecting by WebSocket", "clients/s", {"kind": "connect", "clients": 2020}, EVERYWHERE + DOORS,
             fewer={"psio-gthread": {"clients": 1020}}),
    Workload("upgrade", "connecting by polling, then upgrading", "clients/s", {"kind": "upgrade", "clients": 520, "in-flight": 50},
             EVERYWHERE + DOORS),
    Workload("poll", "echo by long-polling", "echoes/s", {"kind": "poll"}, EVERYWHERE + DOORS),
    Workload("page", "a page of the application beside", "pages/s", {"kind": "page"}, EVERYWHERE[:4] + DOORS, runs=1),
    Workload("half", "echo at half the highest rate", "echoes/s", {"kind": "echo", "paced": 1}, (*OURS, "node")),
    Workload("idle", "idle clients", "clients", {"kind": "idle", "steps": "1000,5000,10000", "seconds": 25, "warm": 1, "browser": 1},
             runs=1, fewer={"psio-gthread": {"steps": "1000", "seconds": 1}, "psio-gevent": {"seconds": 1}}),
    own("plain", "echo, 1,000 clients, one core", clients=1000),
    own("block", "echo, 1,000 clients, one in 50 blocks for 20 ms, one core", clients=1000, events="block"),
    own("plain2", "echo, 1,000 clients, two cores", 2, clients=1000),
    own("block2", "echo, 1,000 clients, one in 50 blocks for 20 ms, two cores", 2, clients=1000, events="block"),
    own("busy", "echo, a busy Python thread beside, two cores", 2, {"BENCH_BUSY": "1"}),
    crowd(100),
    crowd(5000),
    slow(0),
    slow(DEAF),
]  # fmt: skip

BY_NAME = {workload.name: workload for workload in ALL}
