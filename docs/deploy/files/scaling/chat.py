"""A chat for as many processes as you like: what one of them hears comes to the clients of all."""

import os
import socket as network

from flask import Flask

from sync_sio import Server, Socket
from sync_sio.adapters.redis import RedisAdapter

PAGE = """<!doctype html>
<title>Chat</title>
<form><input autofocus autocomplete="off"></form>
<pre></pre>
<script src="/socket.io/socket.io.js"></script>
<script>
  const socket = io(), form = document.forms[0], input = form.elements[0], lines = document.querySelector("pre");
  socket.on("message", (text) => { lines.textContent += text + "\\n"; });
  form.onsubmit = () => { socket.emit("message", input.value); input.value = ""; return false; };
</script>
"""

app = Flask(__name__)
io = Server(
    adapter=RedisAdapter(os.environ.get("REDIS_URL", "redis://localhost:6379")),
    trusted_proxies=["127.0.0.1", "172.16.0.0/12"],     # nginx here, and in the network of compose.yaml
    health=True,
)
app.wsgi_app = io.attach(app.wsgi_app)  # type: ignore[method-assign]


@app.get("/")
def page() -> str:
    return PAGE


@io.event
def message(socket: Socket, text: str) -> None:
    io.emit("message", f"{network.gethostname()}, process {os.getpid()}: {text}")
