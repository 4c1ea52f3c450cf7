"""Markdown of what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .goals import Goal, percent
from .results import Results
from .servers import kinds
from .workloads import ALL

LIMITED = "†"


def rows_of(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def machine(results: Results) -> str:
    """Say where and when it was measured, in one sentence."""
    told = results.machine
    versions = ", ".join(f"{name} {version.removeprefix('v')}" for name, version in told["versions"].items())
    text = f"Measured on {told['date']}, commit {told['commit']}: {told['processor']}, {told['cores']} cores, {told['system']}; {versions}."
    return text + (f" **Mind:** {told['warning']}." if told["warning"] else "")


def goals(found: Sequence[Goal]) -> str:
    """Return the table of goals, and a line that counts them."""
    verdicts = {True: "yes", False: "**no**", None: "–"}
    rows = ([goal.what, goal.server, goal.against, goal.wanted, goal.measured, verdicts[goal.is_met], goal.note] for goal in found)
    met, missed, absent = (sum(goal.is_met is verdict for goal in found) for verdict in (True, False, None))
    counted = f"{met} of {met + missed} goals are met" + (f"; {absent} were not measured" if absent else "") + "."
    return "\n".join([*rows_of(("workload", "ours", "against", "goal", "measured", "met", "note"), rows), "", counted])


def details(results: Results) -> str:
    """Return one table for each workload."""
    measured = set(results.workloads())
    return "\n\n".join(detail(results, workload.name, workload.title, workload.unit) for workload in ALL if workload.name in measured)


def detail(results: Results, workload: str, title: str, unit: str) -> str:
    titles = {name: kind.title for name, kind in kinds().items()}
    heading = f"### {title[0].upper()}{title[1:]} (`{workload}`)"
    header, row_of = (IDLE, idle_row) if workload == "idle" else ((unit, *COMMON), common_row)
    rows = [[titles.get(server, server), *row_of(results, workload, server)] for server in results.servers(workload)]
    lines = list(rows_of(("server", *header), rows))
    if any(LIMITED in "".join(row) for row in rows):
        lines += ["", f"{LIMITED} the load generator used over 90 % of its core: the server may be able to do more."]
    return "\n".join([heading, "", *lines])


COMMON = ("least–most", "runs", "CPU each", "server's core", "load's core", "p50", "p99", "errors")
IDLE = ("KiB per client at 1,000", "at 5,000", "at 10,000", "threads per client", "CPU of a core", "heartbeats")


def common_row(results: Results, workload: str, server: str) -> list[str]:
    error = results.error(workload, server)
    if error is not None:
        return [f"failed: {error}".replace("|", "/").replace("\n", " ")[:160], *[""] * len(COMMON)]
    metrics = ("rate", "cpu_us", "server_cpu", "load_cpu", "p50_us", "p99_us")
    figures = {name: results.median(workload, server, name) or 0 for name in metrics}
    rates = results.values(workload, server, "rate")
    problems = sum(sum(results.values(workload, server, name)) for name in ("errors", "missed", "failed"))
    return [
        f"{figures['rate']:,.0f}" + LIMITED * results.has_load_as_limit(workload, server),
        f"{min(rates):,.0f}–{max(rates):,.0f}",
        f"{len(rates)}",
        f"{figures['cpu_us']:.1f} µs",
        percent(figures["server_cpu"]),
        percent(figures["load_cpu"]),
        f"{figures['p50_us'] / 1000:.2f} ms",
        f"{figures['p99_us'] / 1000:.2f} ms",
        f"{problems:,.0f}",
    ]


def idle_row(results: Results, workload: str, server: str) -> list[str]:
    error = results.error(workload, server)
    if error is not None:
        return [f"failed: {error}".replace("|", "/").replace("\n", " ")[:160], *[""] * (len(IDLE) - 1)]
    steps = [results.memory(server, clients) for clients in (1000, 5000, 10000)]
    last = results.of(workload, server)[-1].report
    is_watched = last["seconds"] > 20
    return [
        *(f"{step[1]:.1f}" if step else "" for step in steps),
        f"{last['steps'][-1]['threads_per_client']:.0f}",
        percent(last["server_cpu"], 2) if is_watched else "",
        f"{last['pings']:.0f}" if is_watched else "",
    ]
