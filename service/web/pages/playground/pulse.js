// The live strip: what the service does, from its own metrics, once a second while somebody looks.

import { askText, key, total } from "./service.js";

const SECONDS = 60;
const gauges = [...document.querySelectorAll("[data-gauge]")].map((number) => ({
  number,
  name: number.dataset.gauge,
  canvas: number.parentElement.querySelector("canvas"),
  past: [],
}));
let last = null;
let refused = null; // the API key that is not for metrics

async function beat() {
  if (document.hidden || refused === key()) return;
  const now = await measure().catch((error) => {
    if (error.status === 401 || error.status === 403) refused = key();
    return null;
  });
  const since = now && last ? difference(now, last) : {};
  last = now;
  for (const gauge of gauges) {
    const value = since[gauge.name] ?? null;
    gauge.past = [...gauge.past, value].slice(-SECONDS);
    gauge.number.textContent = value == null ? "–" : short(value);
    draw(gauge);
  }
}

async function measure() {
  const text = await askText("metrics");
  return {
    at: performance.now(),
    images: total(text, "ganserve_images_total"),
    passes: total(text, "ganserve_forward_passes_total"),
    queue: total(text, "ganserve_queue_images"),
  };
}

function difference(now, before) {
  // A worker that was started again counts from nought.
  const images = Math.max(0, now.images - before.images);
  const passes = Math.max(0, now.passes - before.passes);
  const seconds = (now.at - before.at) / 1000;
  return { rate: images / seconds, batch: passes ? images / passes : null, queue: now.queue };
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
  await beat();
  setTimeout(pulse, 1000);
}
