"""What a build does beside copying files: it fetches the JavaScript client, so that the wheel can serve it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from setuptools.command.build_py import build_py


class BuildPy(build_py):
    """Bring the client bundle in before the package's files are listed; without npm or a network the wheel has none."""

    def run(self) -> None:
        command = _command_line()
        if not command.has_client():
            try:
                command.fetch_client()
            except command.CannotFetch as problem:
                self.warn(f"this build will not serve the JavaScript client: {problem}")
        super().run()


def _command_line() -> ModuleType:
    # By its path: the package itself cannot be imported here, since what it depends on is not installed while it is built.
    path = Path(__file__).parent / "sync_sio" / "__main__.py"
    spec = importlib.util.spec_from_file_location("_sync_sio_command_line", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
