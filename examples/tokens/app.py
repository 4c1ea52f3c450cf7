"""Authentication with signed tokens: log in, connect with the token in `auth`, be refused with a reason when it is no good any more.

    python examples/tokens/app.py                                          http://127.0.0.1:3000
    gunicorn -k gthread --threads 4 --chdir examples/tokens app:app        with SECRET_KEY, tokens outlive a restart
"""

import os
import secrets
import time

from flask import Flask, Response, jsonify, request
from itsdangerous import BadSignature, URLSafeSerializer
from werkzeug.security import check_password_hash, generate_password_hash

from sync_sio import ConnectRefused, Server, Socket

app = Flask(__name__)
io = Server()
app.wsgi_app = io.attach(app.wsgi_app)  # type: ignore[method-assign]

LIFETIME = float(os.environ.get("TOKEN_SECONDS", "60"))  # so short that one can watch it end; others live for minutes or hours
tokens = URLSafeSerializer(os.environ.get("SECRET_KEY") or secrets.token_hex(), salt="socket")
users = {name: generate_password_hash(password) for name, password in (("ada", "engine"), ("lin", "kernel"))}
generations = dict.fromkeys(users, 0)  # how often all tokens of a user were made worthless


@app.get("/")
def page() -> Response:
    return app.send_static_file("index.html")


@app.post("/login")
def login() -> tuple[Response, int]:
    name, password = request.form.get("name", ""), request.form.get("password", "")
    if name not in users or not check_password_hash(users[name], password):
        return jsonify(error="wrong name or password"), 403
    return jsonify(token=tokens.dumps({"name": name, "generation": generations[name], "until": time.time() + LIFETIME})), 200


@io.use
def authenticate(socket: Socket) -> None:
    """Run before a client is connected. What is raised is what its `connect_error` says."""
    token = str(socket.handshake.auth.get("token") or "")
    try:
        socket.data.update(tokens.loads(token))
    except BadSignature:
        raise ConnectRefused("that is no token of ours" if token else "please log in") from None
    check(socket)
    socket.join(f"user:{socket.data['name']}")  # all tabs and devices of the user


def check(socket: Socket) -> None:
    if socket.data["until"] < time.time():
        raise ConnectRefused("your token has expired")
    if socket.data["generation"] != generations[socket.data["name"]]:
        raise ConnectRefused("you were logged out everywhere")


def check_again() -> None:
    """Middleware looks at a token when a client connects. Somebody has to look whose connection has outlived its token."""
    while True:
        io.sleep(1)
        for socket in io.sockets:
            try:
                check(socket)
            except ConnectRefused as refusal:
                socket.emit("refused", refusal.message)
                socket.disconnect()


@io.on("connection")
def connected(socket: Socket) -> None:
    socket.emit("welcome", socket.data["name"], socket.data["until"] - time.time(), sorted(users))


@io.event
def renew(socket: Socket) -> tuple[str, float]:
    socket.data["until"] = time.time() + LIFETIME
    return tokens.dumps(socket.data), LIFETIME


@io.event
def note(socket: Socket, to: str, text: str) -> None:
    line = {"from": socket.data["name"], "to": str(to), "text": str(text)[:500]}
    io.to([f"user:{to}", f"user:{socket.data['name']}"]).emit("note", line)  # once each, also to who is in both


@io.event("log out everywhere")
def log_out_everywhere(socket: Socket) -> None:
    generations[socket.data["name"]] += 1


io.spawn(check_again)  # when this process begins to serve
if __name__ == "__main__":
    port = int(os.environ.get("PORT", "3000"))
    print(f"Log in at http://127.0.0.1:{port} as ada with engine, or as lin with kernel  (Ctrl-C ends it)", flush=True)
    io.listen(port)
