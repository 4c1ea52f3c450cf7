"""Make every statement of chosen modules a point of the seeded scheduler, to find races of code that takes no lock.

    install("sync_sio.engine", "sync_sio.sockets")      # before these are imported, in a process of its own

What is compiled then calls a hook before each statement in a function. Outside a schedule the hook does nothing. Python's threads can be
switched within a statement too, but the places where that matters have a call or a lock, and with that a statement.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from .schedule import Schedule

HOOK = "__sync_sio_point__"
SHARE = 0.1
"""Of the statements that are passed, so many are points: else tasks would only ever move in step."""


def install(*packages: str) -> None:
    """Instrument these modules, and all below them, when they are imported. Raises RuntimeError when one is already."""
    for name in sys.modules:
        if _is_below(name, packages):
            raise RuntimeError(f"{name} is imported already, and would stay as it is")
    setattr(builtins, HOOK, _point)
    sys.meta_path.insert(0, _Finder(packages))


def _point() -> None:
    schedule = Schedule.active
    if schedule is not None and not schedule.is_over and schedule.chance() < SHARE:
        schedule.point("line", sys._getframe(1))


def _is_below(name: str, packages: Sequence[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


class _Finder(MetaPathFinder):
    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = packages

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not _is_below(fullname, self._packages):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        # neither read from a cache nor written to one
        path = self.get_filename(fullname)
        tree = _Insert().visit(ast.parse(self.get_data(path), path))
        code = compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)
        assert isinstance(code, CodeType)
        return code


class _Insert(ast.NodeTransformer):
    """Puts a call of the hook before each statement in functions."""

    def __init__(self) -> None:
        self._depth = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        depth, self._depth = self._depth, 0
        self.generic_visit(node)
        self._depth = depth
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if self._depth:
            for field in ("body", "orelse", "finalbody"):
                block: Any = getattr(node, field, None)
                if isinstance(block, list):
                    setattr(node, field, [inserted for statement in block for inserted in self._with_point(statement)])
        return node

    def _with_point(self, statement: ast.stmt) -> list[ast.stmt]:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            return [statement]
        call = ast.Expr(ast.Call(ast.Name(HOOK, ast.Load()), [], []))
        for new in ast.walk(call):
            ast.copy_location(new, statement)
        return [call, statement]
