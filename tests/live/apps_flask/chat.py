"""A chat with rooms, as applications for Flask-SocketIO are written: a form, the session, functions as handlers."""

import os

from flask import Flask, redirect, render_template_string, request, session, url_for
from flask_socketio import SocketIO, emit, join_room, leave_room

app = Flask(__name__)
app.config["SECRET_KEY"] = "secret!"
socketio = SocketIO(app)

ENTRANCE = """
<!doctype html><title>Chat</title><link rel="icon" href="data:,">
<form method="post"><input name="name" id="name"><input name="room" id="room"><button id="go">Come in</button></form>
"""

ROOM = """
<!doctype html><title>{{ session.room }}</title><link rel="icon" href="data:,">
<h1>{{ session.room }}</h1>
<ul id="log"></ul>
<input id="text"><button id="leave">Leave</button>
<script src="{{ url_for('static', filename='socket.io.js') }}"></script>
<script>
  const socket = io("/chat");
  const line = (text) => {
    const item = document.createElement("li");
    item.textContent = text;
    document.querySelector("#log").append(item);
  };
  socket.on("connect", () => socket.emit("joined", {}));
  socket.on("status", (data) => line(`* ${data.msg}`));
  socket.on("message", (data) => line(data.msg));
  document.querySelector("#text").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    socket.emit("text", { msg: event.target.value }, (count) => { document.title = `${count} sent`; });
    event.target.value = "";
  });
  document.querySelector("#leave").addEventListener("click", () => socket.emit("left", {}, () => {
    socket.disconnect();
    location.href = "/";
  }));
</script>
"""


@app.route("/", methods=["GET", "POST"])
def entrance():
    if request.method == "POST":
        session["name"] = request.form["name"]
        session["room"] = request.form["room"]
        return redirect(url_for("room"))
    return render_template_string(ENTRANCE)


@app.route("/room")
def room():
    if "name" not in session:
        return redirect(url_for("entrance"))
    return render_template_string(ROOM)


@socketio.on("connect", namespace="/chat")
def connect():
    if "name" not in session:
        return False
    session["sent"] = 0
    emit("status", {"msg": "connected"})


@socketio.on("joined", namespace="/chat")
def joined(message):
    join_room(session["room"])
    emit("status", {"msg": session["name"] + " has entered the room."}, to=session["room"])


@socketio.on("text", namespace="/chat")
def text(message):
    session["sent"] += 1
    emit("message", {"msg": session["name"] + ": " + message["msg"]}, to=session["room"])
    return session["sent"]


@socketio.on("left", namespace="/chat")
def left(message):
    leave_room(session["room"])
    emit("status", {"msg": session["name"] + " has left the room."}, to=session["room"])


@socketio.on("disconnect", namespace="/chat")
def disconnect():
    emit("status", {"msg": session["name"] + " is gone."}, to=session["room"])


if __name__ == "__main__":
    socketio.run(app, port=int(os.environ["PORT"]))
