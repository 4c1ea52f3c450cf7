"""Markdown of what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .goals import Goal, percent
from .results import LIMIT_OF_OTHERS, Results
from .workloads import ALL, DOORS, EVERYWHERE, OURS

LIMITED = "†"
LATE_US = 500
OUR_DOORS = (*EVERYWHERE[:4], *DOORS)
MARKS = {True: "✓", False: "✗", None: "?"}


def rows_of(header: Sequence[str], rows: Iterable[Sequence[str]], are_numbers: bool = False) -> Iterator[str]:
    """Yield the lines of a table; `are_numbers`: all but the first column."""
    yield "| " + " | ".join(header) + " |"
    yield "|---|" + ("---:|" if are_numbers else "---|") * (len(header) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def machine(results: Results) -> str:
    """Say how often, where and when it was measured."""
    told = results.machine
    runs = max((len(results.of(row.workload, row.server)) for row in results.rows), default=0)
    where = f"{told['processor']}, {told['cores']} cores, {told['system']}"
    versions = ", ".join(f"{name} {version.removeprefix('v')}" for name, version in told["versions"].items())
    warnings = list(told["warnings"])
    if results.disturbed():
        warnings.append(
            f"in {results.disturbed()} of {len(results.rows)} runs other processes used over {percent(LIMIT_OF_OTHERS)} of a core: "
            "rates are too low there, and CPU is the figure to look at"
        )
    minded = " ".join(f"**Mind:** {warning}." for warning in warnings)
    return f"Medians of {runs} run{'s' * (runs != 1)}, {told['date']}, commit {told['commit']}: {where}; {versions}. {minded}".rstrip()


def goals(found: Sequence[Goal]) -> str:
    """Return the tables of goals, those against others and those against nobody, and a line that counts them."""
    met, missed, absent = (sum(goal.is_met is verdict for goal in found) for verdict in (True, False, None))
    counted = f"{met} of {met + missed} goals are met" + (f"; {absent} were not measured" if absent else "") + "."
    return "\n".join([*against_others(found), "", *of_our_own(found), "", counted])


def against_others(found: Sequence[Goal]) -> Iterator[str]:
    columns = [(server, against) for against in ("python-socketio", "Node") for server in OURS]
    cells: dict[str, dict[tuple[str, str], str]] = {}
    for goal in found:
        if goal.against:
            against = "Node" if goal.against == "node" else "python-socketio"
            asides = "; ".join(filter(None, [f"goal {goal.wanted}", goal.note]))
            cells.setdefault(goal.what, {})[goal.server, against] = f"{MARKS[goal.is_met]} {goal.measured} ({asides})"
    rows = ([what, *(cell.get(column, "") for column in columns)] for what, cell in cells.items())
    return rows_of(("", *(f"{server} against {against}" for server, against in columns)), rows)


def of_our_own(found: Sequence[Goal]) -> Iterator[str]:
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for goal in found:
        if not goal.against:
            note = f" ({goal.note})" if goal.note else ""
            cells.setdefault((goal.what, goal.wanted), {})[goal.server] = f"{MARKS[goal.is_met]} {goal.measured}{note}"
    rows = ([what, wanted, *(cell.get(server, "") for server in OURS)] for (what, wanted), cell in cells.items())
    return rows_of(("", "goal", *OURS), rows)


def doors(results: Results) -> str:
    """Return what each WSGI server's own part costs: of a page, of connecting both ways, of a round of polling."""
    asked = {"page": "a page", "connect": "WebSocket connect", "upgrade": "polling, then upgrade", "poll": "long-polling echo"}
    rows = []
    for server in OUR_DOORS:
        figures = [results.median(workload, server, "cpu_us") for workload in asked]
        if any(figures):
            rows.append([server, *("–" if figure is None else f"{figure:,.0f}" for figure in figures)])
    return "\n".join(rows_of(("CPU µs each", *asked.values()), rows, are_numbers=True))


def details(results: Results) -> str:
    """Return one table for each workload."""
    measured = set(results.workloads())
    return "\n\n".join(detail(results, workload.name, workload.title, workload.unit) for workload in ALL if workload.name in measured)


def detail(results: Results, workload: str, title: str, unit: str) -> str:
    heading = f"### {title[0].upper()}{title[1:]} (`{workload}`)"
    header, row_of = (IDLE, idle_row) if workload == "idle" else ((unit, *COMMON), common_row)
    rows = [
        [server, *row_of(results, workload, server)]
        for server in results.servers(workload)
        if results.of(workload, server)
    ]
    below = [line for remark in remarks(results, workload) for line in ("", remark)]
    return "\n".join([heading, "", *rows_of(("server", *header), rows, are_numbers=True), *below])


COMMON = ("least–most", "CPU µs each", "server's core %", "load's core %", "p50 ms", "p99 ms")
IDLE = ("KiB each at 1,000", "at 5,000", "at 10,000", "threads each", "CPU of a core %", "heartbeats")


def common_row(results: Results, workload: str, server: str) -> list[str]:
    metrics = ("rate", "cpu_us", "server_cpu", "load_cpu", "p50_us", "p99_us")
    figures = {name: results.median(workload, server, name) or 0 for name in metrics}
    rates = results.values(workload, server, "rate")
    return [
        f"{figures['rate']:,.0f}" + LIMITED * results.has_load_as_limit(workload, server),
        f"{min(rates):,.0f}–{max(rates):,.0f}",
        f"{figures['cpu_us']:,.1f}",
        f"{figures['server_cpu'] * 100:.0f}",
        f"{figures['load_cpu'] * 100:.0f}",
        f"{figures['p50_us'] / 1000:.2f}",
        f"{figures['p99_us'] / 1000:.2f}",
    ]


def idle_row(results: Results, workload: str, server: str) -> list[str]:
    steps = [results.memory(server, clients) for clients in (1000, 5000, 10000)]
    last = results.of(workload, server)[-1].report
    is_watched = last["seconds"] > 20
    return [
        *(f"{step[1]:.1f}" if step else "" for step in steps),
        f"{last['steps'][-1]['threads_per_client']:.0f}",
        f"{last['server_cpu'] * 100:.2f}" if is_watched else "",
        f"{last['pings']:.0f}" if is_watched else "",
    ]


def remarks(results: Results, workload: str) -> Iterator[str]:
    """Say below a table what its figures do not tell."""
    servers = list(results.servers(workload))
    if any(results.has_load_as_limit(workload, server) for server in servers):
        yield f"{LIMITED} the load generator used over 90 % of its core: the server may be able to do more."
    for server in servers:
        late = results.median(workload, server, "late_p99_us") or 0
        if late > LATE_US:
            yield f"{server}: the load generator was late itself, by {late / 1000:.1f} ms at the 99th percentile."
        error = results.error(workload, server)
        if error is not None:
            yield f"{server} failed: {' '.join(error.split())}"
        for name in ("errors", "missed", "failed"):
            count = sum(results.values(workload, server, name))
            if count:
                yield f"{server}: {count:,.0f} {name}."
