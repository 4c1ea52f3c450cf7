"""`socketio.run(app)`: the embedded server, and Werkzeug's where a reloader is wanted."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from .facade import is_patched

if TYPE_CHECKING:
    from .mount import Mount


def run(
    mount: Mount,
    host: str | None,
    port: int | None,
    *,
    debug: bool | None = None,
    use_reloader: bool | None = None,
    reloader_options: Mapping[str, Any] | None = None,
    extra_files: Iterable[str] | None = None,
    certfile: str | None = None,
    keyfile: str | None = None,
    ssl_context: Any = None,
    log_output: bool | None = None,
    allow_unsafe_werkzeug: bool = False,
) -> None:
    """Serve until Ctrl-C, SIGTERM or `stop`. HTTPS with a certificate.

    Without a reloader it is sync_sio's embedded server, on threads or gevent, which may be used in production: so
    `allow_unsafe_werkzeug` changes nothing, and neither does `log_output`. With one, it is Werkzeug's server.

    Args:
        host, port: None: 127.0.0.1, and the port of SERVER_NAME in the configuration, or 5000.
        debug: show Werkzeug's debugger in pages that fail; None: what `app.debug` says.
        use_reloader: start anew when a file has changed; None: in debug mode.
        reloader_options: what `werkzeug.serving.run_simple` has: `reloader_type`, `reloader_interval`, `exclude_patterns`.
        extra_files: files to watch beside the program's.
        ssl_context: `(certfile, keyfile)` by another name; with a reloader whatever Werkzeug takes.

    Raises:
        TypeError: an `ssl_context` that is neither, or given beside `certfile`.
    """
    app = mount.app
    host = host or "127.0.0.1"
    if port is None:
        _, _, said = str(app.config["SERVER_NAME"] or "").partition(":")
        port = int(said) if said else 5000
    if debug is not None:
        app.debug = debug
    context = ssl_context if certfile is None else (certfile, keyfile)
    if certfile is not None and ssl_context is not None:
        raise TypeError(f"ssl_context={ssl_context!r} and certfile={certfile!r}: one of them says how HTTPS is served")
    reloads = app.debug if use_reloader is None else use_reloader
    if reloads and mount.io.options.runtime == "gevent" and not is_patched():
        click.echo(" * no reloader: it watches on a thread, so gevent has to patch threads first, with gevent.monkey.patch_all()", err=True)
        reloads = False
    if reloads:
        from werkzeug.serving import run_simple

        options = {_reloader_option(name): value for name, value in (reloader_options or {}).items()}
        run_simple(
            host,
            port,
            app,
            use_reloader=True,
            use_debugger=app.debug,
            extra_files=extra_files,
            threaded=True,
            ssl_context=context,
            **options,
        )
        return
    if context is not None:
        if not isinstance(context, tuple) or len(context) != 2:
            raise TypeError(f"ssl_context={context!r}: (certfile, keyfile) is wanted, two files, when there is no reloader")
        certfile, keyfile = context
    io = mount.io
    if app.debug:
        from werkzeug.debug import DebuggedApplication

        io.attach(DebuggedApplication(io.engine.wsgi_app, evalex=True))  # type: ignore[arg-type]  # it is there: `init_app` gave it
    scheme = "http" if certfile is None else "https"
    click.echo(f" * sync_sio serves '{app.name}' at {scheme}://{host}:{port} (Press CTRL+C to quit)", err=True)
    io.listen(port, host, certfile=certfile, keyfile=keyfile)


def _reloader_option(name: str) -> str:
    return name if name.startswith(("reloader_", "exclude_")) else f"reloader_{name}"


def stop(mount: Mount) -> None:
    """End it. Under Werkzeug's server that is what SIGTERM does."""
    if mount.io.http_server is None:
        signal.raise_signal(signal.SIGTERM)
        return
    mount.io.spawn(_stop, mount)                # it waits for handlers, and may be called from one


def _stop(mount: Mount) -> None:
    mount.io.close()
    if mount.io.http_server is not None:
        mount.io.http_server.stop()
