"use strict";

const [WIDTH, HEIGHT] = [1600, 1200]; // of the board, the same on every screen
const HUES = [0, 32, 85, 170, 215, 275, 325];
const WIDTHS = [5, 12, 28];

const $ = (id) => document.getElementById(id);
const make = (tag, className, text = "") => Object.assign(document.createElement(tag), { className, textContent: text });
const socket = io();
const strokes = new Map(); // id -> {id, hue, width, points: [x, y, x, y, …]}
const mine = new Map(); // those of this page; they have `sent` and `kept`, too: how many numbers the server was sent, and has
const people = new Map(); // id -> {name, hue, pointer}
const pen = { hue: null, width: WIDTHS[1] };
let drawn = null; // the stroke that the pointer draws now
let at = null; // where it is

// --- the connection

socket.on("connect", () => {
  state();
  socket.io.engine.on("upgrade", state);
});
socket.on("disconnect", () => {
  state();
  for (const id of people.keys()) leave(id);
});

function state() {
  $("state").dataset.state = socket.connected ? "live" : "away";
  $("state").textContent = socket.connected ? socket.io.engine.transport.name : "offline";
}

// --- what the server tells

socket.on("board", (me, all, others) => {
  strokes.clear();
  for (const stroke of all) strokes.set(stroke.id, stroke);
  for (const stroke of mine.values()) {
    const there = strokes.get(stroke.id);
    // What was drawn while the server was away goes out now. What it had, and has no more, somebody else has taken away meanwhile.
    if (!there && stroke.kept) mine.delete(stroke.id);
    else {
      stroke.sent = there ? there.points.length : 0;
      strokes.set(stroke.id, stroke);
    }
  }
  for (const id of people.keys()) leave(id);
  come(me);
  others.forEach(come);
  if (pen.hue === null) choose(HUES.reduce((best, hue) => (Math.abs(hue - me.hue) < Math.abs(best - me.hue) ? hue : best)), pen.width);
  drawAll();
  send();
});

socket.on("part", ({ id, ...style }, from, numbers) => {
  if (!strokes.has(id)) strokes.set(id, { id, ...style, points: [] });
  const stroke = strokes.get(id);
  if (from > stroke.points.length) return; // "board" is about to come, with all of it
  stroke.points.splice(from, numbers.length, ...numbers);
  draw(stroke, from);
});

socket.on("erase", forget);
socket.on("clear", () => {
  [strokes, mine].forEach((map) => map.clear());
  drawn = null;
  drawAll();
});
socket.on("came", come);
socket.on("left", leave);
socket.on("pointer", (id, x, y) => {
  const pointer = people.get(id)?.pointer;
  if (!pointer) return;
  pointer.hidden = false;
  pointer.style.left = `${(100 * x) / WIDTH}%`;
  pointer.style.top = `${(100 * y) / HEIGHT}%`;
});

// --- showing it

const colour = (hue) => `hsl(${hue} 72% 52%)`;

function draw({ hue, width, points }, from = 0) {
  const context = $("canvas").getContext("2d");
  Object.assign(context, { strokeStyle: colour(hue), lineWidth: width, lineCap: "round", lineJoin: "round" });
  context.beginPath();
  const begin = Math.max(0, from - 2); // the point before joins them
  context.moveTo(points[begin], points[begin + 1]);
  for (let n = begin; n < points.length; n += 2) context.lineTo(points[n], points[n + 1]);
  context.stroke();
}

function drawAll() {
  $("canvas").getContext("2d").clearRect(0, 0, WIDTH, HEIGHT);
  for (const stroke of strokes.values()) draw(stroke);
}

function forget(id) {
  strokes.delete(id);
  mine.delete(id);
  if (drawn?.id === id) drawn = null;
  drawAll();
}

function come({ id, name, hue }) {
  if (people.has(id)) return;
  const badge = make("li", id === socket.id ? "me" : "", name);
  const pointer = make("span", "", name);
  badge.style.setProperty("--colour", colour(hue));
  pointer.style.setProperty("--colour", colour(hue));
  pointer.hidden = true;
  people.set(id, { badge, pointer });
  $("people").append(badge);
  $("pointers").append(pointer);
}

function leave(id) {
  people.get(id)?.badge.remove();
  people.get(id)?.pointer.remove();
  people.delete(id);
}

// --- what the visitor does

function send() {
  if (!socket.connected) return; // it is sent when the server is back
  for (const stroke of mine.values()) {
    const { id, hue, width, points, sent } = stroke;
    if (sent === points.length) continue;
    stroke.sent = points.length;
    socket.emit("part", { id, hue, width }, sent, points.slice(sent), () => (stroke.kept = true));
  }
}

// Once for each picture that the screen shows, however often the pointer moves.
function frame() {
  send();
  if (at && socket.connected) socket.volatile.emit("pointer", ...at);
  at = null;
}

function place(event) {
  const box = $("canvas").getBoundingClientRect();
  return [Math.round(((event.clientX - box.left) * WIDTH) / box.width), Math.round(((event.clientY - box.top) * HEIGHT) / box.height)];
}

$("board").onpointerdown = (event) => {
  if (event.button || pen.hue === null) return;
  $("board").setPointerCapture(event.pointerId);
  drawn = { id: Math.random().toString(36).slice(2), ...pen, points: place(event), sent: 0, kept: false };
  strokes.set(drawn.id, drawn);
  mine.set(drawn.id, drawn);
  draw(drawn);
  requestAnimationFrame(frame);
};
$("board").onpointermove = (event) => {
  if (!at) requestAnimationFrame(frame);
  at = place(event);
  if (!drawn) return;
  const from = drawn.points.length;
  for (const each of event.getCoalescedEvents?.() ?? [event]) drawn.points.push(...place(each));
  draw(drawn, from);
};
$("board").onpointerup = $("board").onpointercancel = () => (drawn = null);

$("undo").onclick = () => {
  const last = [...mine.keys()].at(-1);
  if (last && socket.connected) socket.emit("erase", last);
};
$("clear").onclick = () => socket.connected && socket.emit("clear");

function choose(hue, width) {
  Object.assign(pen, { hue, width });
  const button = (group, value, isChosen, set) => {
    const made = make("button", "");
    made.type = "button";
    made.ariaPressed = String(isChosen);
    made.ariaLabel = `${group} ${value}`;
    made.style.setProperty("--colour", colour(pen.hue));
    made.onclick = set;
    return made;
  };
  $("hues").replaceChildren(...HUES.map((each) => {
    const made = button("colour", each, each === hue, () => choose(each, pen.width));
    made.style.setProperty("--colour", colour(each));
    return made;
  }));
  $("widths").replaceChildren(...WIDTHS.map((each) => {
    const made = button("width", each, each === width, () => choose(pen.hue, each));
    made.style.setProperty("--size", `${4 + each / 1.8}px`);
    return made;
  }));
}
