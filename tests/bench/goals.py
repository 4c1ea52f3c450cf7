"""What is to be reached, and whether it was. Goals are ratios of medians wherever somebody else can be measured beside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from .results import Results
from .workloads import BY_NAME, DEAF, OURS, SLOW_LIMIT

PEER_OF = {"gevent": "psio-gevent", "threads": "psio-gthread"}
"""python-socketio on the same runtime."""

RATES = (
    # workload, against python-socketio on gevent and on threads, against Node
    ("echo1", 6.0, 18.0, 1.3),
    ("echo16", 12.0, 45.0, 3.0),
    ("echo4k", 15.0, 12.0, 2.0),
    ("fan1000", 4.0, 12.0, 1.6),
    ("fan5000", 4.0, 12.0, 1.6),
    ("bin1k", 8.0, 8.0, 1.4),
    ("bin64k", 10.0, 10.0, 4.0),
    ("connect", 1.5, 1.5, 1.5),
    ("upgrade", 1.5, 1.5, 1.2),
    ("poll", 2.0, 2.0, 0.5),
)
MEMORY_RATIO_PEER, MEMORY_RATIO_NODE, MEMORY_KIB = 20.0, 5.0, 3.0
IDLE_CPU = 0.01
BLOCKED_SHARE = 0.8
BUSY_RATE = 10_000.0
FLAT = 1.3
ROOM_FLAT = 1.15
"""Below this, two figures of one run do not differ."""
SLOW_SHARE = 0.9
UNKNOWN = "not measured"


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal and what was measured.

    Attributes:
        what: the workload, in words.
        server: which of ours.
        against: what it is compared with, or "".
        wanted, measured: for the table, with units.
        is_met: None where something was not measured.
        note: what the reader must know of the figure.
    """

    what: str
    server: str
    against: str
    wanted: str
    measured: str
    is_met: bool | None
    note: str = ""


def goals(results: Results) -> list[Goal]:
    """Return every goal, in the order of the table; of a part of the workloads, those that were measured."""
    found: list[Goal] = []
    for workload, gevent, threads, node in RATES:
        for server, factor in (("threads", threads), ("gevent", gevent)):
            found.append(faster(results, workload, server, PEER_OF[server], factor))
        for server in OURS:
            found.append(faster(results, workload, server, "node", node))
    for part in (memory, idle_cpu, blocking, busy, latency, flat, slow_consumers):
        found.extend(part(results))
    if set(results.workloads()) == set(BY_NAME):
        return found
    return [goal for goal in found if goal.note != UNKNOWN]


def judged(
    what: str, server: str, against: str, wanted: str, figures: Sequence[float | None], judge: Callable[..., tuple[str, bool, str]]
) -> Goal:
    """Return the goal with what `judge` says of the figures: measured, met, note; or, if one is missing, that it was not measured."""
    if any(figure is None for figure in figures):
        return Goal(what, server, against, wanted, "–", None, UNKNOWN)
    return Goal(what, server, against, wanted, *judge(*figures))


def percent(share: float, digits: int = 0) -> str:
    return f"{share * 100:.{digits}f} %"


def times(ratio: float) -> str:
    return f"{ratio:.2f}×" if ratio < 10 else f"{ratio:.1f}×"


def faster(results: Results, workload: str, server: str, against: str, factor: float) -> Goal:
    def judge(rate: float, theirs: float, cpu: float, their_cpu: float) -> tuple[str, bool, str]:
        # a server that waits for the load could do more
        limits = [name for name in (server, against) if results.has_load_as_limit(workload, name)]
        note = ", ".join([f"CPU {times(their_cpu / cpu)}", *(f"the load was the limit of {name}" for name in limits)])
        return times(rate / theirs), rate >= factor * theirs, note

    figures = [results.median(workload, name, metric) for metric in ("rate", "cpu_us") for name in (server, against)]
    found = judged(BY_NAME[workload].title, server, against, f"{factor:g}×", figures, judge)
    problem = results.error(workload, server) or results.error(workload, against)
    return replace(found, note=problem) if problem else found


def memory(results: Results) -> Iterator[Goal]:
    for server in OURS:
        clients, kib = results.memory(server) or (0, None)
        what = f"memory per idle client, {clients:,} clients" if clients else "memory per idle client"
        yield judged(what, server, "", f"{MEMORY_KIB:g} KiB", [kib], lambda kib: (f"{kib:.1f} KiB", kib <= MEMORY_KIB, ""))
        for against, ratio in ((PEER_OF[server], MEMORY_RATIO_PEER), ("node", MEMORY_RATIO_NODE)):
            their_clients, theirs = results.memory(against) or (0, None)
            note = f"{against} with {their_clients:,}" if their_clients != clients else ""

            def judge(kib: float, theirs: float, ratio: float = ratio, note: str = note) -> tuple[str, bool, str]:
                return f"1/{theirs / kib:.0f}", theirs >= ratio * kib, note

            yield judged(what, server, against, f"1/{ratio:g}", [kib, theirs], judge)


def idle_cpu(results: Results) -> Iterator[Goal]:
    what, wanted = "CPU of an idle server, heartbeats answered", "under 1 % of a core"
    for server in OURS:
        share = results.median("idle", server, "server_cpu")
        yield judged(what, server, "", wanted, [share], lambda share: (percent(share, 2), share < IDLE_CPU, ""))


def blocking(results: Results) -> Iterator[Goal]:
    def judge(rate: float, own: float) -> tuple[str, bool, str]:
        return percent(rate / own), rate >= BLOCKED_SHARE * own, f"{own:,.0f} → {rate:,.0f}"

    wanted = f"{percent(BLOCKED_SHARE)} of its own rate"
    for blocked, alone, cores in (("block", "plain", "one core"), ("block2", "plain2", "two cores")):
        what = f"one message in fifty blocks for 20 ms, 1,000 clients, {cores}"
        yield judged(what, "threads", "", wanted, [results.median(name, "threads", "rate") for name in (blocked, alone)], judge)


def busy(results: Results) -> Iterator[Goal]:
    what, wanted = "a busy Python thread beside it, two cores", f"{BUSY_RATE:,.0f} echoes/s"
    rate = results.median("busy", "threads", "rate")
    yield judged(what, "threads", "", wanted, [rate], lambda rate: (f"{rate:,.0f}", rate >= BUSY_RATE, ""))


def latency(results: Results) -> Iterator[Goal]:
    def judge(own: float, theirs: float) -> tuple[str, bool, str]:
        return f"{own / 1000:.2f} against {theirs / 1000:.2f} ms", own <= theirs, ""

    for server in OURS:
        figures = [results.median("half", name, "p99_us") for name in (server, "node")]
        yield judged("p99 latency at half the highest rate", server, "node", "no worse", figures, judge)


def flat(results: Results) -> Iterator[Goal]:
    yield from flat_from(results, "CPU per delivery, 5,000 clients against 100", "fan100", "fan5000", FLAT)
    yield from flat_from(results, "CPU per join or leave, a room of 5,000 against 100", "join100", "join5000", ROOM_FLAT)


def flat_from(results: Results, what: str, few: str, many: str, limit: float) -> Iterator[Goal]:
    def judge(little: float, much: float) -> tuple[str, bool, str]:
        return times(much / little), much <= limit * little, f"{little:.1f} → {much:.1f} µs"

    for server in OURS:
        figures = [results.median(workload, server, "cpu_us") for workload in (few, many)]
        yield judged(what, server, "", f"at most {limit:g}×", figures, judge)


def slow_consumers(results: Results) -> Iterator[Goal]:
    without, with_them, what = "slow0", f"slow{DEAF}", f"broadcast to 1,000 clients of which {DEAF} never read"

    def keeps_its_rate(rate: float, own: float) -> tuple[str, bool, str]:
        share = rate / (1000 - DEAF) / (own / 1000)  # of broadcasts, not of deliveries: fewer read
        return percent(share), share >= SLOW_SHARE, ""

    def is_bounded(peak: float, own: float) -> tuple[str, bool, str]:
        each = max(peak - own, 0) / DEAF
        return f"{each:,.0f} KiB", each <= SLOW_LIMIT / 1024, ""

    def are_closed(closed: int, told: int) -> tuple[str, bool, str]:
        return f"{closed}", closed == DEAF and told > 0, "" if told else "the log says nothing"

    for server in OURS:
        rates, peaks = ([results.median(workload, server, metric) for workload in (with_them, without)] for metric in ("rate", "peak_kb"))
        rows = results.of(with_them, server)
        closed = min((closed_as_slow(row.report["counted"]["ends"]) for row in rows), default=None)
        told = min((row.report["warnings"] for row in rows), default=None)
        yield judged(f"{what}: rate", server, "", f"{percent(SLOW_SHARE)} of its own", rates, keeps_its_rate)
        yield judged(f"{what}: memory for each", server, "", f"at most {SLOW_LIMIT / 1024:,.0f} KiB", peaks, is_bounded)
        yield judged(f"{what}: closed, and the log says why", server, "", f"{DEAF}", [closed, told], are_closed)


def closed_as_slow(ends: dict[str, int]) -> int:
    return sum(count for reason, count in ends.items() if "max_buffered_bytes" in reason)
