"""The options of `SocketIO`: ours, and those that Flask-SocketIO had, said in our words."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flask import Flask

from .queue import Queue, take_queue

PREFIX: Final = "SYNC_SIO_"
"""Of an application's configuration: `SYNC_SIO_PING_TIMEOUT` is the option `ping_timeout`."""

_RUNTIMES: Final = {None: "auto", "threading": "threads", "gevent": "gevent", "gevent_uwsgi": "gevent"}
_COOKIE_KEYS: Final = {"httponly": "http_only", "samesite": "same_site", "maxage": "max_age"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `init_app` was told.

    Attributes:
        server: for `sync_sio.Server`.
        manage_session: whether each connection has a copy of the session of its own.
        async_handlers: whether events of one client run at the same time.
        always_connect: whether `connect` handlers run after the client was told that it is connected.
        namespaces: names that clients may connect to although nothing handles their events; `"*"`: all.
        control: whether `flask sync-sio` may ask this server, see `control`; None: in debug mode.
    """

    server: dict[str, Any] = field(default_factory=dict)
    manage_session: bool = True
    async_handlers: bool = False
    always_connect: bool = False
    namespaces: tuple[str, ...] = ()
    control: bool | None = None


def read_options(app: Flask, given: Mapping[str, Any]) -> Options:
    """Return the options that are `given`, and those of the configuration that are not.

    Raises:
        ValueError, TypeError: what cannot be; names the option. Those of the server are checked by the server.
    """
    options = {key.removeprefix(PREFIX).lower(): value for key, value in app.config.items() if key.startswith(PREFIX)}
    options.update(given)
    queue = take_queue(options)
    if queue is not None:
        if options.get("adapter") is not None:
            raise ValueError("message_queue= and adapter=: one of them says how servers are linked")
        options["adapter"] = _adapter(queue)
    found = Options(
        manage_session=options.pop("manage_session", True),
        async_handlers=options.pop("async_handlers", None) or False,
        always_connect=options.pop("always_connect", False),
        namespaces=_names(options.pop("namespaces", None)),
        control=options.pop("control", None),
        server=options,
    )
    _translate(options, app)
    return found


def _adapter(queue: Queue) -> Any:
    from sync_sio.adapters.redis import RedisAdapter  # an extra: not for those who use no Redis

    return RedisAdapter(queue.url, key=queue.key)


def _names(namespaces: Any) -> tuple[str, ...]:
    return (namespaces,) if isinstance(namespaces, str) else tuple(namespaces or ())


def _translate(options: dict[str, Any], app: Flask) -> None:
    """Say in the server's words what has another name there, or another form."""
    if "async_mode" in options:
        mode = options.pop("async_mode")
        if mode not in _RUNTIMES:
            raise ValueError(f"async_mode={mode!r}: allowed are 'threading', 'gevent' and None, which looks at what serves")
        # `flask run` serves on threads, whatever serves elsewhere
        is_flask_run = os.environ.get("FLASK_RUN_FROM_CLI") == "true"
        options.setdefault("runtime", "auto" if is_flask_run else _RUNTIMES[mode])
    path = options.pop("resource", None)
    path = options.pop("path", None) or path
    if path:
        options["path"] = "/" + str(path).strip("/")
    if isinstance(options.get("transports"), str):
        options["transports"] = [options["transports"]]
    if options.get("transports", ()) is None:
        del options["transports"]
    if isinstance(options.get("ping_interval"), list | tuple):
        options["ping_interval"] = options["ping_interval"][0]
    size = options.get("max_http_buffer_size")
    if isinstance(size, float) and size.is_integer():
        options["max_http_buffer_size"] = int(size)         # 1e8, as people write it
    threshold = options.pop("compression_threshold", None)
    if threshold is not None and options.get("http_compression", True) is True:
        options["http_compression"] = {"threshold": threshold}
    if isinstance(options.get("cookie"), Mapping):
        options["cookie"] = _cookie(options["cookie"])
    if "cors_allowed_origins" in options:
        options["cors_allowed_origins"] = _origins(options["cors_allowed_origins"])
    if options.get("ping_timeout", 0) is None:
        del options["ping_timeout"]
    _translate_json(options, app)
    _log(options.pop("logger", None), "sync_sio")
    _log(options.pop("engineio_logger", None), "sync_sio.engine")


def _translate_json(options: dict[str, Any], app: Flask) -> None:
    serializer = options.pop("serializer", None)
    if serializer == "msgpack":
        from sync_sio.parsers import msgpack

        options["parser"] = msgpack
    elif serializer not in (None, "default"):
        raise ValueError(f"serializer={serializer!r}: allowed are 'default' and 'msgpack'; for one of your own there is parser=…")
    module = options.pop("json", None)
    if "json_default" in options or options.get("parser") is not None:
        return
    if module is not None:
        # whatever we have no form for makes the way through theirs
        options["json_default"] = lambda value: module.loads(module.dumps(value))
    else:
        options["json_default"] = _FlasksJson(app)


class _FlasksJson:
    """`app.json`, which may be replaced until something is sent, for what the server has no form for."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def __call__(self, value: Any) -> Any:
        default: Callable[[Any], Any] | None = getattr(self._app.json, "default", None)
        if default is not None:
            return default(value)
        return self._app.json.loads(self._app.json.dumps(value))


def _cookie(given: Mapping[str, Any]) -> Any:
    """Return a cookie in our words. Values may be functions, which are asked for each client."""
    cookie = {_COOKIE_KEYS.get(key.lower().replace("-", "").replace("_", ""), key.lower()): value for key, value in given.items()}
    if not any(map(callable, cookie.values())):
        return cookie
    return lambda environ: {key: value() if callable(value) else value for key, value in cookie.items()}


def _origins(origins: Any) -> Any:
    """`[]` was how one turned the check off. A function may take the origin alone."""
    if isinstance(origins, list | tuple) and not origins:
        return False
    if callable(origins):
        try:
            inspect.signature(origins).bind("", {})
        except TypeError:
            return lambda origin, environ: origins(origin)
        except ValueError:
            return origins
    return origins


def _log(wanted: Any, name: str) -> None:
    """`logger=True` shows what the server logs; a logger of yours gets it."""
    if not wanted:
        return
    logger = logging.getLogger(name)
    if isinstance(wanted, logging.Logger):
        if not any(isinstance(handler, _Forward) and handler.to is wanted for handler in logger.handlers):
            logger.addHandler(_Forward(wanted))
        return
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    if not logger.hasHandlers():
        logger.addHandler(logging.StreamHandler())


class _Forward(logging.Handler):
    """Gives records to another logger."""

    def __init__(self, to: logging.Logger) -> None:
        super().__init__()
        self.to = to

    def emit(self, record: logging.LogRecord) -> None:
        if self.to.isEnabledFor(record.levelno):
            self.to.handle(record)
