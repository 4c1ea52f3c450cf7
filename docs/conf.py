"""How the documentation is built: `make docs`. Pages are Markdown (MyST), the reference comes from the docstrings."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "integrations")]

project = "sync_sio"
copyright = "the sync_sio contributors"
release = version = import_module("sync_sio").__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
root_doc = "index"
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"sync_sio {release}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_show_sourcelink = False

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

default_role = "code"
maximum_signature_line_length = 110
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True

MADE_BY_US = {
    "sync_sio.Namespace",
    "sync_sio.Socket",
    "sync_sio.server.Running",
    "sync_sio.engine.connection.Connection",
    "sync_sio.sockets.acks.Ack",
    "sync_sio.sockets.broadcast.BroadcastOperator",
    "sync_sio.sockets.handshake.Handshake",
    "sync_sio.sockets.membership.Membership",
    "sync_sio.sockets.remote.RemoteSocket",
    "sync_sio.sockets.socket_operator.SocketOperator",
    "sync_sio_django.socket.Socket",
}
"""Classes that users meet but do not call: how they are made is not shown."""


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", keep_colons, priority=400)
    app.connect("autodoc-process-signature", hide_signature)


def keep_colons(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Begin a property's text on the second line: in the first one napoleon takes what stands before a colon for a type."""
    if what in ("attribute", "property"):
        lines.insert(0, "")


def hide_signature(
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None] | None:
    if name in MADE_BY_US:
        return "", None
    if signature is not None and ", _" in signature:
        return signature.partition(", _")[0] + ")", returns      # what only our own tests give
    return None
