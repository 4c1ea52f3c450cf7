"""Bars as SVG: one panel for a workload, one bar for a server, readable on light and on dark pages.

Each chart lies on a card of its own whose colours follow the reader's preference, so that a page whose theme is switched by hand
does not make it unreadable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from .results import Results
from .servers import kinds
from .workloads import BY_NAME

WIDTH, EDGE, LABEL, ASIDE = 760, 20, 232, 84
BAR, STEP, HEAD, GAP = 14, 21, 30, 16
ROOM = WIDTH - 2 * EDGE - LABEL - 2 * ASIDE
"""For the longest bar; behind it stand the value and what it costs."""

STYLE = """
  :root { --card: #ffffff; --edge: #d8dee4; --text: #1f2328; --soft: #59636e;
          --threads: #0b6bcb; --gevent: #1a8a74; --elsewhere: #6f8fb8; --python: #c07a1e; --node: #8a6bbf; }
  @media (prefers-color-scheme: dark) {
    :root { --card: #17191d; --edge: #363b42; --text: #e6edf3; --soft: #9aa4af;
            --threads: #4c9df0; --gevent: #38b79c; --elsewhere: #7f95b3; --python: #d9953d; --node: #a98be0; }
  }
  text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: var(--text); }
  .head { font-weight: 600; }
  .soft { fill: var(--soft); font-size: 12px; }
  .number { font-variant-numeric: tabular-nums; }
  .card { fill: var(--card); stroke: var(--edge); }
  .range { stroke: var(--text); stroke-width: 1.2; }
"""
COLOURS = {"threads": "threads", "gevent": "gevent", "node": "node", "gunicorn-gthread": "elsewhere", "gunicorn-gevent": "elsewhere"}


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: what it stands for, its value with the least and the most that were measured, and what is written behind it."""

    server: str
    value: float
    least: float
    most: float
    said: str
    aside: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    hint: str
    bars: Sequence[Bar]


def charts(results: Results) -> dict[str, str]:
    """Return the SVG of each chart that there are figures for, by name."""
    drawn = {
        "echo": [rates(results, name) for name in ("echo1", "echo16", "echo4k", "bin1k", "bin64k")],
        "broadcast": [rates(results, name) for name in ("fan100", "fan1000", "fan5000")],
        "connecting": [rates(results, name) for name in ("connect", "upgrade", "poll")],
        "latency": [latency(results)],
        "idle": [idle(results)],
    }
    filled = {name: [panel for panel in panels if panel.bars] for name, panels in drawn.items()}
    return {name: draw(panels) for name, panels in filled.items() if panels}


def rates(results: Results, workload: str) -> Panel:
    def bar(server: str, value: float, values: Sequence[float]) -> Bar:
        cpu = results.median(workload, server, "cpu_us") or 0
        return Bar(server, value, min(values), max(values), f"{value:,.0f}", f"{cpu:,.1f} µs")

    unit = BY_NAME[workload].unit
    return Panel(BY_NAME[workload].title, f"{unit}, more is better; CPU of each", bars(results, workload, "rate", bar))


def latency(results: Results) -> Panel:
    def bar(server: str, value: float, values: Sequence[float]) -> Bar:
        rate = results.median("half", server, "rate") or 0
        return Bar(server, value, min(values), max(values), f"{value / 1000:.2f} ms", f"at {rate:,.0f}/s")

    return Panel(BY_NAME["half"].title, "99th percentile, less is better", bars(results, "half", "p99_us", bar))


def bars(results: Results, workload: str, metric: str, bar: Callable[[str, float, Sequence[float]], Bar]) -> list[Bar]:
    found = []
    for server in results.servers(workload):
        value = results.median(workload, server, metric)
        if value is not None:
            found.append(bar(server, value, results.values(workload, server, metric)))
    return found


def idle(results: Results) -> Panel:
    found = []
    for server in results.servers("idle"):
        clients, kib = results.memory(server) or (0, 0.0)
        if clients:
            found.append(Bar(server, kib, kib, kib, f"{kib:,.1f} KiB", f"{clients:,}"))
    return Panel("memory per idle client", "less is better; measured with so many", found)


def draw(panels: Sequence[Panel]) -> str:
    """Return one SVG with the panels below each other."""
    heights = [HEAD + STEP * len(panel.bars) for panel in panels]
    height = sum(heights) + GAP * (len(panels) - 1) + 2 * EDGE
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        f"<title>{escape('; '.join(panel.title for panel in panels))}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
    ]
    top = EDGE
    for panel, taken in zip(panels, heights, strict=True):
        lines += draw_panel(panel, top)
        top += taken + GAP
    return "\n".join([*lines, "</svg>", ""])


def draw_panel(panel: Panel, top: int) -> Iterator[str]:
    titles = {name: kind.title for name, kind in kinds().items()}
    longest = max(bar.most for bar in panel.bars) or 1
    yield text(EDGE, top + 13, panel.title[0].upper() + panel.title[1:], "head")
    yield text(WIDTH - EDGE, top + 13, panel.hint, "soft", "end")
    for number, bar in enumerate(panel.bars):
        y = top + HEAD + STEP * number
        start, wide = EDGE + LABEL, max(ROOM * bar.value / longest, 1.5)
        colour = COLOURS.get(bar.server, "python" if bar.server.startswith("psio") else "elsewhere")
        yield text(start - 10, y + 11, titles.get(bar.server, bar.server), "", "end")
        yield f'<rect x="{start}" y="{y}" width="{wide:.1f}" height="{BAR}" rx="2" style="fill: var(--{colour})"/>'
        if bar.most > bar.least:
            ends = [start + ROOM * value / longest for value in (bar.least, bar.most)]
            yield f'<path class="range" d="M{ends[0]:.1f} {y + BAR / 2}H{ends[1]:.1f}m0 -3v6M{ends[0]:.1f} {y + BAR / 2 - 3}v6"/>'
        value_at = start + ROOM + ASIDE - 8
        yield text(value_at, y + 11, bar.said, "number", "end")
        yield text(WIDTH - EDGE, y + 11, bar.aside, "soft number", "end")


def text(x: float, y: float, said: str, kind: str, anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{escape(said)}</text>'
