"""A ticker, as applications for Flask-SocketIO are written: a background thread emits to everybody."""

import os
from threading import Lock

from flask import Flask, copy_current_request_context, render_template_string, request, session
from flask_socketio import SocketIO, disconnect, emit

async_mode = None

app = Flask(__name__)
app.config["SECRET_KEY"] = "secret!"
socketio = SocketIO(app, async_mode=async_mode)
thread = None
thread_lock = Lock()

PAGE = """
<!doctype html><title>Ticker</title><link rel="icon" href="data:,">
<p id="mode">{{ mode }}</p><p id="count"></p><ul id="log"></ul>
<script src="{{ url_for('static', filename='socket.io.js') }}"></script>
<script>
  const socket = io();
  const line = (text) => {
    const item = document.createElement("li");
    item.textContent = text;
    document.querySelector("#log").append(item);
  };
  socket.on("connect", () => socket.emit("my_event", { data: "I'm connected!" }));
  socket.on("my_response", (message, callback) => {
    line(`${message.count}: ${message.data}`);
    if (callback) callback();
  });
  socket.on("tick", (message) => { document.querySelector("#count").textContent = message.count; });
  socket.on("my_pong", () => line("pong"));
  socket.on("disconnect", (reason) => line(reason));
</script>
"""


def background_thread():
    count = 0
    while True:
        socketio.sleep(0.05)
        count += 1
        socketio.emit("tick", {"data": "from the server", "count": count})


@app.route("/")
def index():
    return render_template_string(PAGE, mode=socketio.async_mode)


@socketio.event
def connect():
    global thread
    with thread_lock:
        if thread is None:
            thread = socketio.start_background_task(background_thread)
    emit("my_response", {"data": "Connected", "count": 0})


@socketio.event
def my_event(message):
    session["receive_count"] = session.get("receive_count", 0) + 1
    emit("my_response", {"data": message["data"], "count": session["receive_count"]})


@socketio.event
def my_broadcast_event(message):
    session["receive_count"] = session.get("receive_count", 0) + 1
    emit("my_response", {"data": message["data"], "count": session["receive_count"]}, broadcast=True)


@socketio.event
def my_ping():
    emit("my_pong")


@socketio.event
def disconnect_request():
    @copy_current_request_context
    def can_disconnect():
        disconnect()

    session["receive_count"] = session.get("receive_count", 0) + 1
    # for this emit we use a callback function: when it is invoked we know that the message was received, and it is safe to disconnect
    emit("my_response", {"data": "Disconnected!", "count": session["receive_count"]}, callback=can_disconnect)


@socketio.on("disconnect")
def gone(reason):
    print("Client disconnected", request.sid, reason, flush=True)


if __name__ == "__main__":
    socketio.run(app, port=int(os.environ["PORT"]))
