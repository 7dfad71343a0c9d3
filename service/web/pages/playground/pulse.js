// The live strip: what the service does, by its own stream of a few numbers a second, while somebody looks.

import { key, listen } from "./service.js";

const SECONDS = 60;
const gauges = [...document.querySelectorAll("[data-gauge]")].map((number) => ({
  number,
  name: number.dataset.gauge,
  canvas: number.parentElement.querySelector("canvas"),
  past: [],
}));
const AGAIN_MS = 2000;
let refused = null; // the API key that is not for metrics
let listening = null;

function beat(now) {
  for (const gauge of gauges) {
    const value = now[gauge.name] ?? null;
    gauge.past = [...gauge.past, value].slice(-SECONDS);
    gauge.number.textContent = value == null ? "–" : short(value);
    draw(gauge);
  }
}

function short(value) {
  return value < 10 && !Number.isInteger(value) ? value.toFixed(1) : String(Math.round(value));
}

function draw({ canvas, past }) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((size) => size * devicePixelRatio);
  Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.strokeStyle = pen.fillStyle = getComputedStyle(canvas).color;
  const most = Math.max(1, ...past);
  const bar = width / SECONDS;
  past.forEach((value, i) => {
    const tall = ((value ?? 0) / most) * (height - 1) + 1;
    pen.globalAlpha = value ? 1 : 0.35;
    pen.fillRect((SECONDS - past.length + i) * bar, height - tall, Math.max(1, bar * 0.7), tall);
  });
}

export async function pulse() {
  if (!document.hidden && refused !== key()) {
    listening = new AbortController();
    await listen("playground/pulse", beat, listening.signal).catch((error) => {
      if (error.status === 401 || error.status === 403) refused = key();
    });
    if (!document.hidden) beat({});
  }
  setTimeout(pulse, AGAIN_MS);
}

document.addEventListener("visibilitychange", () => document.hidden && listening?.abort());
