"use strict";

const AHEAD = 4; // chunks that may be on their way at once: a bound for what waits in the browser, in the network and in the server
const PATIENCE = 30_000; // milliseconds that an acknowledgement may take

const $ = (id) => document.getElementById(id);
const make = (tag, className, text = "") => Object.assign(document.createElement(tag), { className, textContent: text });
const megabytes = (bytes) => `${(bytes / 1024 / 1024).toFixed(1)} MB`;
const socket = io();
let limits = null; // what the server told: bytes of a chunk, and of a file

// --- the connection

socket.on("connect", () => {
  state();
  socket.io.engine.on("upgrade", state);
});
socket.on("disconnect", state);
socket.on("welcome", ({ stored, ...told }) => {
  limits = told;
  $("limits").textContent = `up to ${megabytes(limits.limit)} each`;
  $("stored").replaceChildren();
  stored.forEach(showStored);
});
socket.on("stored", showStored);

function state() {
  $("state").dataset.state = socket.connected ? "live" : "away";
  $("state").textContent = socket.connected ? socket.io.engine.transport.name : "offline";
}

const connected = () => new Promise((go) => (socket.connected ? go() : socket.once("connect", go)));

// --- one file

async function upload(file) {
  const shown = show(file);
  try {
    if (file.size > limits.limit) throw new Error(`larger than ${megabytes(limits.limit)}`);
    if (!file.size) throw new Error("empty");
    shown.says("reading");
    const digest = await sha256(file);
    while (true) {
      await shown.unpaused();
      if (!socket.connected) shown.says("waiting for the server");
      await connected();
      // Also after a break: the server says where to go on.
      const begun = await tell("begin", file.name, file.size, digest);
      if (begun && (await send(file, digest, begun.received, shown))) return shown.says("stored", "done");
    }
  } catch (error) {
    shown.says(error.message, "failed");
  }
}

// Send what is missing; resolves to whether all of it has arrived. It has not after a break, and when the file is paused.
async function send(file, digest, received, shown) {
  const onTheirWay = new Set();
  const showIt = () => shown.chunks(received, received + onTheirWay.size * limits.chunk);
  let problem = null;
  let isInStep = true;
  showIt();
  for (let offset = received; offset < file.size && isInStep && !shown.isPaused(); offset += limits.chunk) {
    const data = await file.slice(offset, offset + limits.chunk).arrayBuffer();
    if (!socket.connected) break;
    const answer = tell("chunk", digest, offset, data).then((answer) => {
      if (answer) received = answer.received;
      isInStep &&= received === offset + data.byteLength;
    }).catch((error) => {
      problem = error;
      isInStep = false;
    }).finally(() => {
      onTheirWay.delete(answer);
      showIt();
    });
    onTheirWay.add(answer);
    showIt();
    if (onTheirWay.size >= AHEAD) await Promise.race(onTheirWay);
  }
  await Promise.all(onTheirWay);
  if (problem) throw problem;
  return received >= file.size;
}

// Resolves to the server's answer, or null when there is none in time, or none any more, as the connection broke. Rejects when it says no.
async function tell(...event) {
  const answer = await socket.timeout(PATIENCE).emitWithAck(...event).catch(() => null);
  if (answer?.error) throw new Error(answer.error);
  return answer;
}

async function sha256(file) {
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer()); // only on https and on localhost
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// --- showing it

function show(file) {
  const item = $("upload").content.firstElementChild.cloneNode(true);
  const button = item.querySelector("button");
  const cells = item.querySelector(".cells");
  const count = file.size > limits.limit ? 0 : Math.ceil(file.size / limits.chunk);
  let goOn; // while it is paused: what ends that
  let wait = Promise.resolve();
  item.querySelector("b").textContent = file.name;
  cells.append(...Array.from({ length: count }, () => make("i", "")));
  button.onclick = () => {
    if (goOn) goOn = goOn(); // undefined
    else wait = new Promise((go) => (goOn = go));
    button.textContent = goOn ? "Go on" : "Pause";
  };
  $("uploads").prepend(item);
  const says = (text, state = "") => {
    item.querySelector(".is").textContent = text;
    item.dataset.state = state;
    button.hidden = state !== "";
  };
  return {
    says,
    isPaused: () => Boolean(goOn),
    async unpaused() {
      if (goOn) says("paused");
      await wait;
    },
    chunks(received, sent) {
      [...cells.children].forEach((cell, n) => {
        const begin = n * limits.chunk;
        cell.className = begin < received ? "here" : begin < sent ? "sent" : "";
      });
      says(`${megabytes(received)} of ${megabytes(file.size)}`);
    },
  };
}

function showStored(file) {
  const item = make("li", "");
  item.append(make("b", "", file.name), make("span", "", megabytes(file.size)), make("code", "", file.digest.slice(0, 16)));
  $("stored").prepend(item);
}

// --- what the visitor does

async function take(files) {
  await connected();
  for (const file of files) upload(file);
}

$("files").onchange = (event) => {
  take([...event.target.files]);
  event.target.value = "";
};
$("drop").ondragover = (event) => {
  event.preventDefault();
  $("drop").classList.add("over");
};
$("drop").ondragleave = () => $("drop").classList.remove("over");
$("drop").ondrop = (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  take([...event.dataTransfer.files]);
};
