// What the page asks of the service; what it refuses, in words.

/** Relative, so that the page also works behind a proxy that puts a prefix in front. */
export const address = (path) => new URL(path, document.baseURI).href;

/** A no, for people: what happened, and what to do about it. */
export class Refusal extends Error {
  constructor(title, detail, status) {
    super(detail);
    this.title = title;
    this.status = status;
  }
}

// Where the service has API keys: what was typed here, kept for this tab alone. Storage may be forbidden.
let typed = "";
try {
  typed = sessionStorage.getItem("ganserve-key") ?? "";
} catch {}
export const key = () => typed;
export function setKey(text) {
  typed = text;
  try {
    sessionStorage.setItem("ganserve-key", text);
  } catch {}
}

const posted = (body) =>
  body instanceof Blob
    ? { method: "POST", headers: { "content-type": body.type }, body }
    : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };

/** GET, or POST of `body`, a file or JSON. Returns {answer, ms, parts}; throws Refusal, or AbortError. */
export async function ask(path, body, signal) {
  const begun = performance.now();
  const reply = await reach(path, { ...(body && posted(body)), signal });
  if (!reply.ok) throw await refusal(reply);
  const answer = await reply.json();
  return { answer, ms: performance.now() - begun, parts: reply.headers.get("server-timing") };
}

export async function askText(path, signal) {
  const reply = await reach(path, { signal });
  if (!reply.ok) throw await refusal(reply);
  return reply.text();
}

/** POST of `body`; whatever comes, as a Blob. */
export async function askFile(path, body) {
  const reply = await reach(path, posted(body));
  if (!reply.ok) throw await refusal(reply);
  return reply.blob();
}

/** Calls `taken` with each event of a stream; returns when it ends. EventSource would send no API key. */
export async function listen(path, taken, signal) {
  const reply = await reach(path, { signal });
  if (!reply.ok) throw await refusal(reply);
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const events = (text + part.value).split("\n\n");
    text = events.pop();
    for (const event of events) taken(JSON.parse(event.replace("data: ", "")));
  }
}

async function reach(path, options) {
  const headers = { ...options.headers, ...(typed && { authorization: `Bearer ${typed}` }) };
  try {
    return await fetch(address(path), { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The service does not answer", "It may have stopped, or be starting again. The next change asks anew.");
  }
}

async function refusal(reply) {
  if (reply.status === 401) document.dispatchEvent(new Event("key"));
  const { title, field, detail } = await reply.json().catch(() => ({}));
  const text = (detail ?? "The answer had no explanation.")
    .replace(/`int(?: \| null)?`/, "a whole number")
    .replace(/`float(?: \| null)?`/, "a number");
  const named = !field || text.includes(field.split(/[.[]/)[0]);
  return new Refusal(title ?? `Status ${reply.status}`, named ? text : `${field}: ${text}`, reply.status);
}

/**
 * A function that runs `work(signal)`, or has it run again once it is done: work looks itself at what is wished now.
 * What runs is let finish, so that pictures move with a slider, unless it keeps the newest wish waiting for long.
 */
export function newestWins(work, patience = 250) {
  let running = null;
  let again = false;
  let timer = 0;

  async function run() {
    running = new AbortController();
    again = false;
    try {
      await work(running.signal);
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    } finally {
      clearTimeout(timer);
      running = null;
      if (again) run();
    }
  }

  return () => {
    if (!running) return run();
    if (!again) timer = setTimeout(() => running?.abort(), patience);
    again = true;
  };
}

/** The address of an image, which gives the same bytes for as long as this version is served. */
export function imageAddress(card, { slug, seed, text, scalars }, truncation) {
  const parts = [`${card.id}@${card.version}`, "images", ...(slug == null ? [] : [slug]), `${seed}.png`];
  const path = parts.map((part) => encodeURIComponent(part).replace("%40", "@").replaceAll("'", "%27")).join("/");
  const query = new URLSearchParams({ ...(truncation !== 1 && { truncation }), ...(text && { text }), ...scalars });
  return address(`v1/models/${path}${query.size ? `?${query}`.replaceAll("+", "%20") : ""}`);
}

/** {model, slug, seed} of an image's address, wherever it was dragged from; null for any other text. */
export function readAddress(text) {
  const match = /\/v1\/models\/([^/@?#]+)(?:@\w+)?\/images\/(?:([^/?#]+)\/)?(\d+)\.(?:png|webp)/.exec(text);
  return match && { model: decodeURIComponent(match[1]), slug: match[2] && decodeURIComponent(match[2]), seed: Number(match[3]) };
}
