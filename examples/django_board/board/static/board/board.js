// The board's page. What is shown is what the server says; only the note in one's hand, or under one's pen, is ahead of it.
"use strict";

const PAPERS = ["#ffe27a", "#ffc6b8", "#c9ebb9", "#bfe0ff", "#e5ccff"];
const EVERY = 40;           // milliseconds between two positions of a note on its way

const board = document.querySelector("#board");
const me = document.querySelector("#me").textContent;
const socket = io("/board");
const notes = new Map();

const state = (text, is) => Object.assign(document.querySelector("#state"), { textContent: text }).dataset.state = is;
socket.on("connect", () => state("live", "live"));
socket.on("disconnect", (reason) => {
  state("away", "away");
  if (reason === "io server disconnect") location.reload();     // logged out, in another window perhaps
});
socket.on("connect_error", (error) => {
  state("away", "away");
  if (error.data?.code === "login_required") location.reload();
});

socket.on("notes", (all) => {
  const there = new Set(all.map((note) => note.id));
  for (const id of notes.keys()) if (!there.has(id)) gone(id);
  all.forEach(show);
});
socket.on("note", show);
socket.on("gone", gone);
socket.on("drag", (id, x, y) => notes.get(id) && !notes.get(id).classList.contains("held") && place(notes.get(id), x, y));
socket.on("people", (names) => {
  document.querySelector("#people").replaceChildren(
    ...names.map((name) => {
      const face = Object.assign(document.createElement("li"), { textContent: name.slice(0, 2), title: name });
      face.style.setProperty("--hue", [...name].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7) % 360);
      return face;
    }),
  );
});

function show(note) {
  const element = notes.get(note.id) ?? make(note);
  if (!element.classList.contains("held")) place(element, note.x, note.y);
  const text = element.querySelector("textarea");
  if (document.activeElement !== text) text.value = note.text;
}

function place(element, x, y) {
  element.style.left = `calc(${x / 100} * (100% - 190px))`;
  element.style.top = `calc(${y / 100} * (100% - 132px))`;
}

function gone(id) {
  notes.get(id)?.remove();
  notes.delete(id);
}

function make(note) {
  const element = document.createElement("article");
  element.className = "note";
  element.dataset.id = note.id;
  element.style.setProperty("--paper", PAPERS[note.colour % PAPERS.length]);
  element.style.setProperty("--tilt", `${((note.id * 7) % 5) - 2}deg`);
  const text = Object.assign(document.createElement("textarea"), { maxLength: 240, placeholder: "Write something", ariaLabel: `Note by ${note.author}` });
  const footer = document.createElement("footer");
  footer.append(Object.assign(document.createElement("span"), { textContent: note.author }));
  if (note.author === me) {
    const remove = Object.assign(document.createElement("button"), { textContent: "×", type: "button", ariaLabel: "Remove this note" });
    remove.onclick = () => socket.emit("remove", note.id);
    footer.append(remove);
  }
  element.append(text, footer);
  text.oninput = () => socket.emit("write", note.id, text.value);
  text.onkeydown = (event) => { if (event.key === "Escape") text.blur(); };
  element.onpointerdown = (event) => { if (event.target.tagName !== "BUTTON") hold(event, element, note.id); };
  board.append(element);
  notes.set(note.id, element);
  return element;
}

function hold(event, element, id) {
  const from = element.getBoundingClientRect();
  const frame = board.getBoundingClientRect();
  const [dx, dy] = [event.clientX - from.left, event.clientY - from.top];
  let [told, place_] = [0, null];
  const move = (event) => {
    if (!place_ && Math.hypot(event.clientX - from.left - dx, event.clientY - from.top - dy) < 4) return;     // a click, to write
    const clip = (value) => Math.min(100, Math.max(0, value));
    place_ = [
      clip(((event.clientX - dx - frame.left) / (frame.width - 190)) * 100),
      clip(((event.clientY - dy - frame.top) / (frame.height - 132)) * 100),
    ];
    element.classList.add("held");
    place(element, ...place_);
    if (event.timeStamp - told > EVERY) {
      told = event.timeStamp;
      socket.volatile.emit("drag", id, ...place_);
    }
  };
  const end = () => {
    window.removeEventListener("pointermove", move);
    element.classList.remove("held");
    if (place_) socket.emit("drop", id, ...place_);
  };
  window.addEventListener("pointermove", move);
  window.addEventListener("pointerup", end, { once: true });
  window.addEventListener("pointercancel", end, { once: true });
}

function stick(x, y) {
  socket.emit("add", x, y, (id) => notes.get(id)?.querySelector("textarea").focus());
}

board.ondblclick = (event) => {
  if (event.target !== board) return;
  const frame = board.getBoundingClientRect();
  stick(((event.clientX - frame.left - 95) / (frame.width - 190)) * 100, ((event.clientY - frame.top - 40) / (frame.height - 132)) * 100);
};
window.addEventListener("keydown", (event) => {
  if (event.key === "n" && document.activeElement === document.body) {
    event.preventDefault();
    stick(15 + Math.random() * 70, 15 + Math.random() * 60);
  }
});
const clear = document.querySelector("#clear");
if (clear) clear.onclick = () => socket.emit("clear");
