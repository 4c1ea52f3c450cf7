"use strict";

const SECONDS = 120; // what a chart shows, and what the server keeps
const CHARTS = [
  { key: "processor", title: "Processor", unit: "% of one core", digits: 1, least: 5 },
  { key: "load", title: "Load of the machine", unit: "processes", digits: 2, least: 1 },
  { key: "pages", title: "Pages open", unit: "", digits: 0, least: 4 },
  { key: "trip", title: "Until every page has answered", unit: "ms", digits: 1, least: 10 },
];

const $ = (id) => document.getElementById(id);
const make = (tag, className, text = "") => Object.assign(document.createElement(tag), { className, textContent: text });
const socket = io();
let samples = [];
let marks = [];
let pointed = null; // how far from the left the pointer is, from 0 to 1, in whichever chart

// --- the connection

socket.on("connect", () => {
  state();
  socket.io.engine.on("upgrade", state);
});
socket.on("disconnect", state);

function state() {
  $("state").dataset.state = socket.connected ? "live" : "away";
  $("state").textContent = socket.connected ? socket.io.engine.transport.name : "offline";
}

// --- what the server tells: what was, on every connect, so a break leaves no gap; and each second what is

socket.on("history", (history) => {
  ({ samples, marks } = history);
  draw();
});
socket.on("sample", (sample, answer) => {
  answer();
  if (samples.length && sample.at <= samples.at(-1).at) return;
  samples.push(sample);
  draw();
});
socket.on("mark", (mark) => {
  if (!marks.some((other) => other.at === mark.at)) marks.push(mark);
  draw();
});

// --- showing it

for (const chart of CHARTS) {
  const section = $("chart").content.firstElementChild.cloneNode(true);
  section.id = chart.key;
  section.querySelector("h2").textContent = chart.title;
  section.querySelector(".value span").textContent = chart.unit;
  section.querySelector("svg").ariaLabel = `${chart.title}, the last two minutes`;
  const plot = (chart.plot = section.querySelector(".plot"));
  plot.onpointermove = (event) => point((event.clientX - plot.getBoundingClientRect().left) / plot.clientWidth);
  plot.onpointerleave = () => point(null);
  chart.section = section;
  $("charts").append(section);
}

function point(at) {
  pointed = at;
  draw();
}

function draw() {
  const end = samples.at(-1)?.at ?? 0;
  samples = samples.filter((sample) => sample.at > end - SECONDS);
  const x = (at) => SECONDS - (end - at); // seconds from the left
  const chosen = pointed === null ? samples.at(-1) : nearest(end - SECONDS * (1 - pointed));
  const age = Math.round(end - chosen?.at);
  $("since").textContent = pointed === null ? `${samples.length} seconds, live` : age ? `${age} seconds ago` : "now";
  for (const { key, section, plot, digits, least } of CHARTS) {
    const top = Math.max(least, ...samples.map((sample) => sample[key] * 1.15));
    const line = samples.map((sample) => `${x(sample.at).toFixed(1)} ${(100 - (100 * sample[key]) / top).toFixed(1)}`).join("L");
    plot.querySelector(".line").setAttribute("d", line && `M${line}`);
    plot.querySelector(".area").setAttribute("d", line && `M${x(samples[0].at).toFixed(1)} 100L${line}V100Z`);
    plot.querySelector(".top").textContent = top.toFixed(top < 10 ? 1 : 0);
    plot.querySelector(".marks").replaceChildren(...marks.filter((mark) => mark.at > end - SECONDS).map((mark) => {
      const item = make("span", x(mark.at) > SECONDS / 2 ? "left" : "", mark.text);
      item.style.left = `${(100 * Math.min(x(mark.at), SECONDS)) / SECONDS}%`;
      return item;
    }));
    plot.querySelector(".cursor").hidden = pointed === null;
    plot.querySelector(".cursor").style.left = `${(100 * x(chosen?.at)) / SECONDS}%`;
    section.querySelector("b").textContent = chosen?.[key].toFixed(digits) ?? "–";
  }
}

function nearest(at) {
  return samples.reduce((best, sample) => (Math.abs(sample.at - at) < Math.abs(best.at - at) ? sample : best), samples[0]);
}

// --- what the visitor does

$("mark").onsubmit = async (event) => {
  event.preventDefault();
  const form = event.target;
  const answer = await fetch("/marks", { method: "POST", body: new FormData(form) });
  if (answer.ok) form.reset();
};
