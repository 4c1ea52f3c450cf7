"use strict";

const $ = (id) => document.getElementById(id);
const socket = io();
const items = new Map(); // a job's id -> what shows it

// --- the connection

socket.on("connect", () => {
  state();
  socket.io.engine.on("upgrade", state);
});
socket.on("disconnect", state);
socket.on("connect_error", () => {
  if (!socket.active) location.reload(); // another server, which does not know the session of this page
});

function state() {
  $("state").dataset.state = socket.connected ? "live" : "away";
  $("state").textContent = socket.connected ? socket.io.engine.transport.name : "offline";
}

// --- what the server tells: all jobs of this visitor on every connect, and one whenever it gets on

socket.on("jobs", (jobs) => {
  items.clear();
  $("jobs").replaceChildren();
  jobs.forEach(show);
});
socket.on("job", show);

function show(job) {
  if (!items.has(job.id)) {
    const item = $("job").content.firstElementChild.cloneNode(true);
    item.querySelector("h2").textContent = job.package;
    item.querySelector("button").onclick = () => socket.emit("cancel", job.id);
    items.set(job.id, item);
    $("jobs").prepend(item);
  }
  const item = items.get(job.id);
  const isOver = !["waiting", "running"].includes(job.state);
  item.dataset.state = job.state;
  item.querySelector("button").hidden = isOver;
  const bar = item.querySelector("progress");
  bar.max = job.total || 1;
  bar.value = job.state === "done" ? bar.max : job.done;
  item.querySelector(".is").textContent = job.state === "running" ? `${Math.floor((100 * job.done) / job.total)} %` : job.state;
  item.querySelector(".file").textContent = says(job);
}

function says(job) {
  if (job.state === "waiting") return "The worker is busy with another one.";
  if (job.state === "done") return `${job.longest[0]} lines: ${job.longest[1]}`;
  if (job.state === "running") return `${job.file} · ${job.done + 1} of ${job.total}`;
  return `stopped after ${job.done} of ${job.total} files`;
}

// --- what the visitor does

$("start").onsubmit = (event) => {
  event.preventDefault();
  socket.emit("start", event.submitter.value);
};
