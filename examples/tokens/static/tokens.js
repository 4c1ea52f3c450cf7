"use strict";

const $ = (id) => document.getElementById(id);
const make = (tag, className, text = "") => Object.assign(document.createElement(tag), { className, textContent: text });

// The token is asked for at every attempt to connect, so one that was renewed is taken after a break, too.
const socket = io({ autoConnect: false, auth: (answer) => answer({ token: sessionStorage.token }) });
let me = "";
let lifetime = 1; // seconds of a whole token
let until = 0; // when this one ends, by the browser's clock, in milliseconds

// --- the connection

socket.on("connect", () => {
  state();
  socket.io.engine.on("upgrade", state);
});
socket.on("disconnect", state);
socket.on("connect_error", (error) => {
  state();
  if (!socket.active) ask(error.message); // refused; otherwise it tries again by itself
});
socket.on("refused", ask); // the same later: the server disconnects next

function state() {
  $("state").dataset.state = socket.connected ? "live" : "away";
  $("state").textContent = socket.connected ? socket.io.engine.transport.name : "offline";
}

// --- what the server tells

socket.on("welcome", (name, seconds, users) => {
  if (me !== name) $("notes").replaceChildren();
  me = name;
  $("name").textContent = name;
  $("write").to.replaceChildren(...users.map((user) => new Option(`to ${user}`, user, false, user !== name)));
  $("login").hidden = true;
  $("inside").hidden = false;
  startClock(seconds, Math.max(seconds, lifetime));
});

socket.on("note", (note) => {
  const item = make("li", note.from === me ? "mine" : "");
  item.append(make("small", "", note.from === me ? `to ${note.to}` : note.from), make("p", "", note.text));
  $("notes").append(item);
  item.scrollIntoView({ block: "nearest" });
});

// --- showing it

function startClock(seconds, whole) {
  lifetime = whole;
  until = Date.now() + seconds * 1000;
  tick();
}

function tick() {
  const left = Math.max(0, (until - Date.now()) / 1000);
  $("left").textContent = Math.ceil(left);
  $("ring").style.setProperty("--part", left / lifetime);
  $("ring").classList.toggle("low", left < lifetime / 4);
}
setInterval(tick, 250);

function ask(reason = "") {
  socket.disconnect();
  delete sessionStorage.token;
  $("reason").textContent = reason;
  $("inside").hidden = true;
  $("login").hidden = false;
  $("login").elements.name.focus();
}

// --- what the visitor does

$("login").onsubmit = async (event) => {
  event.preventDefault();
  const answer = await fetch("/login", { method: "POST", body: new FormData($("login")) });
  const { token, error } = await answer.json();
  if (error) return ask(error);
  sessionStorage.token = token;
  $("login").reset();
  socket.connect();
};
$("renew").onclick = () => socket.emit("renew", (token, seconds) => {
  sessionStorage.token = token;
  startClock(seconds, seconds);
});
$("out").onclick = () => ask();
$("everywhere").onclick = () => socket.emit("log out everywhere");
$("write").onsubmit = (event) => {
  event.preventDefault();
  socket.emit("note", $("write").to.value, $("write").text.value);
  $("write").text.value = "";
};

if (sessionStorage.token) socket.connect();
else ask();
