"""A drawing desk, as applications for Flask-SocketIO are written: namespaces as classes, a factory, error handlers, auth."""

import os

from flask import Flask, render_template_string, request
from flask_socketio import ConnectionRefusedError, Namespace, SocketIO, close_room, disconnect, emit, join_room, rooms, send

socketio = SocketIO(cors_allowed_origins=[], ping_timeout=5, ping_interval=25)

PAGE = """
<!doctype html><title>Desk</title><link rel="icon" href="data:,">
<ul id="log"></ul>
<script src="{{ url_for('static', filename='socket.io.js') }}"></script>
<script>
  const log = (...what) => {
    const item = document.createElement("li");
    item.textContent = JSON.stringify(what);
    document.querySelector("#log").append(item);
  };
  const desk = io("/desk", { auth: { pen: new URLSearchParams(location.search).get("pen") } });
  const lamp = io("/lamp");
  const main = io();
  const closed = io("/desk", { forceNew: true, transports: ["websocket"], auth: { pen: "none" } });
  desk.onAny((...event) => log("desk", ...event));
  lamp.onAny((...event) => log("lamp", ...event));
  closed.on("connect_error", (error) => log("refused", error.message, error.data));
  desk.on("disconnect", (reason) => log("gone", reason));
  desk.on("ready?", (answer) => answer("ready", "and steady"));
  const ask = (socket, ...event) => socket.emit(...event, (...answer) => log("answer", ...answer));
</script>
"""


class Desk(Namespace):
    def __init__(self, namespace):
        super().__init__(namespace)
        self.strokes = []

    def on_connect(self, auth):
        if auth is None or auth.get("pen") == "none":
            raise ConnectionRefusedError("no pen", {"sold": "next door"})
        emit("strokes", len(self.strokes))
        self.emit("came", auth["pen"])

    def on_disconnect(self, reason):
        self.emit("left", reason)

    def on_draw(self, stroke):
        self.strokes.append(stroke)
        emit("drawn", stroke, broadcast=True, include_self=False)
        return len(self.strokes), "strokes"

    def on_sheet(self, number):
        join_room(number)
        emit("sheet", {"number": number, "mine": number in rooms()}, to=number)

    def on_tidy(self, number):
        close_room(number)
        emit("nobody hears this", to=number)
        return "tidy"

    def on_picture(self, data):
        return bytes(reversed(data))

    def on_break(self):
        raise ValueError("the pen")

    def on_ready(self):
        emit("ready?", callback=self.answered)

    def answered(self, *answer):
        emit("answered", answer)

    def on_leave(self):
        send("bye")
        disconnect()


class Lamp(Namespace):
    def on_switch(self, on):
        self.send({"on": on})
        return request.namespace


@socketio.on_error("/desk")
def failed(error):
    return f"broken: {error}"


@socketio.on("*")
def anything(event, *args):
    return event, args


def create_app():
    app = Flask(__name__)
    app.config["SECRET_KEY"] = "secret!"
    socketio.init_app(app)

    @app.route("/")
    def page():
        return render_template_string(PAGE)

    @app.route("/ring")
    def ring():
        socketio.emit("ring", "from a page", namespace="/lamp")
        return "rung"

    return app


socketio.on_namespace(Desk("/desk"))
socketio.on_namespace(Lamp("/lamp"))
app = create_app()

if __name__ == "__main__":
    socketio.run(app, port=int(os.environ["PORT"]))
