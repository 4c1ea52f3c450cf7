"""The record: a table of figures by operation and Python version, and the rule by which a measured one is judged."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

RECORD = Path(__file__).parent / "record.txt"
COMMAND = "python -m tests.counts --record"
SLACK = 0.10
"""So much a figure may differ from the record, up or down."""

Key = tuple[str, str]
"""Operation and figure."""


class Table:
    """Recorded figures: `columns[version][operation, figure]`."""

    def __init__(self, columns: dict[str, dict[Key, float]], head: str = "") -> None:
        self.columns = columns
        self.head = head

    @classmethod
    def read(cls, file: Path = RECORD) -> Table:
        lines = file.read_text().splitlines()
        head = [line for line in lines if line.startswith("#")]
        rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
        versions = rows[0][2:] if rows else []
        columns: dict[str, dict[Key, float]] = {version: {} for version in versions}
        for operation, figure, *cells in rows[1:]:
            for version, cell in zip(versions, cells, strict=True):
                if cell != "-":
                    columns[version][operation, figure] = float(cell)
        return cls(columns, "\n".join(head))

    def put(self, version: str, figures: Mapping[Key, float]) -> None:
        """Record a version's figures in the place of all that it had."""
        self.columns[version] = dict(figures)

    def write(self, file: Path = RECORD) -> None:
        versions = sorted(self.columns, key=lambda version: tuple(map(int, version.split("."))))
        keys: dict[Key, None] = {key: None for version in reversed(versions) for key in self.columns[version]}
        lines = [self.head, "", _row("operation", "figure", versions)]
        before = ""
        for operation, figure in keys:
            if operation != before:
                lines.append("")
            before = operation
            cells = [f"{self.columns[version][operation, figure]:g}" if (operation, figure) in self.columns[version] else "-"
                     for version in versions]  # fmt: skip
            lines.append(_row(operation, figure, cells))
        file.write_text("\n".join(lines).lstrip("\n") + "\n")


def _row(operation: str, figure: str, cells: list[str]) -> str:
    return f"{operation:<24}{figure:<14}" + "".join(f"{cell:>9}" for cell in cells)


def verdict(measured: float, recorded: float) -> str:
    """Return what is wrong with a figure; `""`: nothing."""
    if measured > recorded * (1 + SLACK):
        return "worse"
    if measured < recorded * (1 - SLACK):
        return "better"
    return ""
