"""Tables and charts, printed and put into the documentation."""

from __future__ import annotations

from pathlib import Path

from . import charts, goals, table
from .results import Results

PAGE = "benchmarks.md"
ALT = {
    "echo": "Echoes per second, of text and of binary data",
    "broadcast": "Deliveries per second of broadcasts",
    "connecting": "Clients that connect per second, and echoes by long-polling",
    "latency": "Latency at half the highest rate",
    "idle": "Memory of an idle client",
}
DOORS_TEXT = (
    "The same application behind different WSGI servers. A message costs the same behind each of them, as its connection has left the "
    "server by then; a page, a handshake and a round of polling go through the server's own parsing, threads and logging. `threads` and "
    "`gevent` are the embedded server."
)
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def write(results: Results, into: Path) -> None:
    """Print the goals; write the page's generated part, and its charts, below that folder."""
    found = goals.goals(results)
    print(table.machine(results), table.goals(found), sep="\n\n")
    parts = [table.machine(results), "## Goals", table.goals(found), "## Charts"]
    for name, svg in charts.charts(results).items():
        path = into / "images" / f"bench-{name}.svg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(svg)
        parts.append(f"![{ALT[name]}](images/{path.name})")
    if any(row.workload == "page" for row in results.rows):
        parts += ["## The web server's part", DOORS_TEXT, table.doors(results)]
    put(into / PAGE, "\n\n".join([*parts, "## Figures", table.details(results)]))
    print(f"\nwritten: {into / PAGE}")


def put(path: Path, text: str) -> None:
    """Replace what stands between the marks, which the page gets if it has none."""
    before, after = path.read_text().split(BEGIN)[0] if path.exists() else "", ""
    if path.exists() and END in path.read_text():
        after = path.read_text().partition(END)[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
