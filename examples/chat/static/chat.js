"use strict";

const $ = (id) => document.getElementById(id);
const make = (tag, className, text = "") => Object.assign(document.createElement(tag), { className, textContent: text });

let room = decodeURIComponent(location.hash.slice(1));
let people = null; // null: the list of this room has not come yet, so nobody "came in"
let last = null; // the last line shown: lines of one person stand together
const shown = new Set();
const typists = new Map(); // name -> the timer that forgets them

// The name and the room go along with every connection attempt, so coming back after a break needs no code of its own.
const socket = io({ autoConnect: false, auth: (answer) => answer({ name: localStorage.name, room }) });

// --- the connection

socket.on("connect", () => {
  if ($("notice").hidden === false) notice("Back online", 2000);
  state("live");
  socket.io.engine.on("upgrade", () => state("live"));
});
socket.on("disconnect", () => {
  state("away");
  notice("Connection lost. Trying again …");
  people = null;
});
socket.io.on("reconnect_attempt", (n) => notice(`Connection lost. Trying again … (${n})`));
socket.on("connect_error", (error) => {
  state("away");
  if (!socket.active) askName(error.message); // refused by the server; otherwise it is trying again by itself
});

function state(now) {
  $("state").dataset.state = now;
  $("state").textContent = now === "live" ? socket.io.engine.transport.name : "offline";
}

function notice(text, milliseconds) {
  clearTimeout(notice.timer);
  $("notice").textContent = text;
  $("notice").className = milliseconds ? "good" : "";
  $("notice").hidden = false;
  if (milliseconds) notice.timer = setTimeout(() => ($("notice").hidden = true), milliseconds);
}

// --- what the server tells

socket.on("room", (name, lines) => {
  const isNew = room !== name || !shown.size;
  room = name;
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  document.title = `${name} · Chat`;
  $("title").textContent = name;
  $("text").placeholder = `Write to ${name}`;
  $("lines").replaceChildren();
  shown.clear();
  typists.clear();
  people = last = null;
  showTyping();
  lines.forEach((line) => showLine(line, true));
  if (!lines.length) $("lines").append(make("li", "empty", "Nothing has been said here yet."));
  if (isNew) $("text").focus({ preventScroll: true });
});

socket.on("line", (line) => {
  typists.delete(line.name);
  showTyping();
  showLine(line);
});

socket.on("people", (names) => {
  for (const name of people ? names.filter((name) => !people.includes(name)) : []) showNote(`${name} came in`);
  for (const name of people ? people.filter((name) => !names.includes(name)) : []) showNote(`${name} left`);
  people = names;
  $("who").textContent = names.length === 1 ? "only you are here" : `${names.length} people here`;
  $("people").replaceChildren(...names.map((name) => {
    const item = make("li", name === localStorage.name ? "mine" : "");
    item.append(avatar(name), make("span", "", name));
    return item;
  }));
});

socket.on("rooms", (counts) => {
  $("rooms").replaceChildren(...Object.entries(counts).map(([name, count]) => {
    const button = make("button", "", name);
    button.type = "button";
    button.ariaCurrent = String(name === room);
    button.append(make("small", "", count || ""));
    button.onclick = () => enter(name);
    const item = make("li", "");
    item.append(button);
    return item;
  }));
});

socket.on("typing", (name, isTyping) => {
  clearTimeout(typists.get(name));
  if (isTyping) typists.set(name, setTimeout(() => { typists.delete(name); showTyping(); }, 5000));
  else typists.delete(name);
  showTyping();
});

// --- showing it

function showLine(line, isOld = false) {
  if (shown.has(line.id)) return;
  shown.add(line.id);
  const isMine = line.name === localStorage.name;
  const isSame = last && last.name === line.name && line.at - last.at < 300;
  const item = make("li", `line${isMine ? " mine" : ""}${isSame ? " same" : ""}${isOld ? "" : " fresh"}`);
  const time = new Date(line.at * 1000);
  const head = make("header", "", isMine ? "" : line.name);
  head.append(Object.assign(make("time", "", time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })), { dateTime: time.toISOString() }));
  const body = make("div", "body");
  body.append(head, make("p", "", line.text));
  item.append(avatar(line.name), body);
  add(item, isMine || isOld);
  last = line;
}

function showNote(text) {
  add(make("li", "note", text));
  last = null;
}

function add(item, mustScroll) {
  const list = $("lines");
  const wasAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  list.querySelector(".empty")?.remove();
  list.append(item);
  if (mustScroll || wasAtEnd) list.scrollTop = list.scrollHeight;
}

function showTyping() {
  const names = [...typists.keys()];
  const text = names.length > 2 ? "Several people are typing" : names.length ? `${names.join(" and ")} ${names.length > 1 ? "are" : "is"} typing` : "";
  $("typing").replaceChildren(...(text ? [make("span", "dots"), text] : []));
}

function avatar(name) {
  let hue = 0;
  for (const letter of name) hue = (hue * 31 + letter.codePointAt(0)) % 360;
  const badge = make("span", "avatar", [...name][0].toUpperCase());
  badge.style.setProperty("--hue", hue);
  badge.ariaHidden = "true";
  return badge;
}

// --- what the person does

function enter(name) {
  document.body.classList.remove("menu");
  if (name && name !== room && socket.connected) socket.emit("enter", name);
}

let toldAt = 0;
function tellTyping(isTyping) {
  // Once in two seconds is enough: the others forget a typist after five.
  if (isTyping ? Date.now() - toldAt < 2000 : !toldAt) return;
  toldAt = isTyping ? Date.now() : 0;
  if (socket.connected) socket.volatile.emit("typing", isTyping);
}

$("text").oninput = () => {
  tellTyping($("text").value.trim() !== "");
  $("text").style.height = "auto";
  $("text").style.height = `${Math.min($("text").scrollHeight, 160)}px`;
};
$("text").onkeydown = (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  $("say").requestSubmit();
};
$("say").onsubmit = (event) => {
  event.preventDefault();
  const text = $("text").value;
  if (!text.trim() || !socket.connected) return; // offline: the words stay in the input
  tellTyping(false);
  socket.emit("say", text, () => {
    if ($("text").value !== text) return;
    $("text").value = "";
    $("text").oninput();
  });
};
$("new-room").onsubmit = (event) => {
  event.preventDefault();
  enter(event.target.room.value.trim().toLowerCase());
  event.target.reset();
};
$("menu").onclick = () => document.body.classList.toggle("menu");
$("shade").onclick = () => document.body.classList.remove("menu");
$("rename").onclick = () => askName();
$("theme").onclick = () => {
  const isDark = getComputedStyle(document.documentElement).colorScheme === "dark"
    || (!localStorage.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  setTheme(isDark ? "light" : "dark");
};
window.onhashchange = () => enter(decodeURIComponent(location.hash.slice(1)));

function setTheme(theme) {
  if (theme) localStorage.theme = document.documentElement.style.colorScheme = theme;
}

function askName(problem) {
  document.body.classList.remove("menu");
  $("welcome").querySelector("p").textContent = problem || "The others will see this name.";
  $("name").value = localStorage.name || "";
  if (!$("welcome").open) $("welcome").showModal();
}
$("welcome").onclose = () => {
  const name = $("name").value.trim();
  if (socket.connected && (!name || name === localStorage.name)) return;
  if (name) localStorage.name = name;
  start();
};

function start() {
  if (!localStorage.name) return askName();
  $("me").textContent = localStorage.name;
  socket.disconnect().connect(); // again, if the name has changed
  $("notice").hidden = true;
}

setTheme(localStorage.theme);
start();
