"""A Flask application whose pages and events ask SQLite through Flask-SQLAlchemy: `NOTES_DATABASE` says where it is."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import func, select

from sync_sio_flask import SocketIO, emit

DATABASE = os.environ["NOTES_DATABASE"]

app = Flask(__name__)
app.config.update(SECRET_KEY="notes", SQLALCHEMY_DATABASE_URI=f"sqlite:///{DATABASE}")
db = SQLAlchemy(app)
socketio = SocketIO(app)


class Note(db.Model):  # type: ignore[name-defined,misc]
    id = db.Column(db.Integer, primary_key=True)
    text = db.Column(db.String, nullable=False)


with app.app_context():
    db.create_all()
    if not db.session.execute(select(func.count()).select_from(Note)).scalar():
        db.session.add_all(Note(text=f"note-{number}") for number in range(100))
        db.session.commit()
    db.engine.dispose()


@app.get("/")
def index() -> str:
    return "notes"


@app.get("/notes")
def notes() -> str:
    return "\n".join(note.text for note in db.session.execute(select(Note).order_by(Note.id.desc()).limit(20)).scalars())


@app.get("/stats")
def stats() -> dict[str, Any]:
    """Tell how many descriptors of the database are open, and how many connections somebody holds."""
    open_files = [name for name in os.listdir("/proc/self/fd") if _is_database(Path("/proc/self/fd", name))]
    return {
        "databases": len(open_files), "held": db.engine.pool.checkedout(),  # type: ignore[attr-defined]
        "threads": threading.active_count(), "clients": socketio.io.engine.clients_count,
    }  # fmt: skip


@socketio.event
def count() -> int:
    return int(db.session.execute(select(func.count()).select_from(Note)).scalar_one())


@socketio.event
def write(text: str) -> int:
    """Write a note and tell everybody; `fail` is written, and fails before it is kept."""
    note = Note(text=text)
    db.session.add(note)
    db.session.flush()
    if text == "fail":
        raise ValueError("on purpose")
    db.session.commit()
    emit("note", note.text, broadcast=True)
    return int(note.id)


def _is_database(path: Path) -> bool:
    try:
        return path.readlink().name == Path(DATABASE).name
    except OSError:
        return False
