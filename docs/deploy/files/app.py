"""A chat of one event."""

from flask import Flask

from sync_sio import Server, Socket

app = Flask(__name__)
io = Server(trusted_proxies=["127.0.0.1"], health=True)
app.wsgi_app = io.attach(app.wsgi_app)  # type: ignore[method-assign]


@app.get("/")
def page() -> str:
    return "The chat is at /socket.io/."


@io.event
def message(socket: Socket, text: str) -> None:
    io.emit("message", text)
