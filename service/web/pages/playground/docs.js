// The API reference: every operation of openapi.json, to search, to read and to try.

import { fieldsOf, kindOf } from "./schemas.js";

const find = (id) => document.getElementById(id);
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const api = await (await fetch("openapi.json")).json();
const operations = Object.entries(api.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, one]) => ({ path, method: method.toUpperCase(), ...one })),
);
const key = () => {
  try {
    return sessionStorage.getItem("ganserve-key");
  } catch {}
};

/** Text with `code` in it. */
const prose = (text) => (text ?? "").split("`").map((part, i) => (i % 2 ? make("code", { textContent: part }) : part));

function table(caption, heads, rows) {
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col", textContent: text })));
  const body = rows.map(([name, ...cells]) =>
    make("tr", {}, make("th", { scope: "row" }, make("code", { textContent: name })), ...cells.map((text) => make("td", {}, ...prose(text)))),
  );
  const inside = make("table", {}, make("thead", {}, head), make("tbody", {}, ...body));
  return [make("h2", { textContent: caption }), make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: caption }, inside)];
}

function shown({ path, method, summary, description, parameters = [], requestBody, responses }) {
  const parts = [make("p", { className: "prose" }, ...prose(description))];
  if (parameters.length) {
    parts.push(...table("Parameters", ["Name", "Where", "Kind", "What it says"], parameters.map((one) => [one.name, one.in, kindOf(one.schema, api), one.description])));
  }
  const content = Object.entries(requestBody?.content ?? {})[0]?.[1];
  const fields = content ? fieldsOf(content.schema, api) : [];
  if (fields.length) parts.push(...table("Body", ["Field", "Kind", "Default", "What it says"], fields));
  const answers = Object.entries(responses).map(([status, one]) => [status, Object.keys(one.content ?? {}).join(", "), one.description]);
  parts.push(...table("Answers", ["Status", "Content", "What it says"], answers));
  parts.push(...trial(path, method, parameters, content));
  return make(
    "details",
    { className: "operation" },
    make("summary", {}, make("span", { className: `method ${method}`, textContent: method }), make("code", { textContent: path }), " ", make("span", { className: "hint", textContent: summary })),
    ...parts,
  );
}

function trial(path, method, parameters, content) {
  const named = parameters.filter((one) => one.in === "path").map((one) => make("input", { name: one.name, placeholder: one.name, ariaLabel: one.name }));
  const example = Object.values(content?.examples ?? {})[0]?.value ?? {};
  const body = content && make("textarea", { ariaLabel: "Body", rows: 6, value: JSON.stringify(example, null, 2), spellcheck: false });
  const answer = make("div", { className: "answer", role: "status" });
  const button = make("button", { type: "button", textContent: "Send" });
  button.addEventListener("click", async () => {
    const address = named.reduce((text, one) => text.replace(`{${one.name}}`, encodeURIComponent(one.value)), path).slice(1);
    const headers = { ...(body && { "content-type": "application/json" }), ...(key() && { authorization: `Bearer ${key()}` }) };
    const reply = await fetch(address || "./", { method, headers, body: body?.value }).catch((error) => error);
    answer.replaceChildren(...(reply instanceof Error ? [reply.message] : await told(reply)));
  });
  return [make("h2", { textContent: "Try it" }), make("div", { className: "row" }, ...named, button), ...(body ? [body] : []), answer];
}

async function told(reply) {
  const line = make("p", { textContent: `${reply.status} ${reply.headers.get("content-type") ?? ""}` });
  if (reply.headers.get("content-type")?.startsWith("text/event-stream")) return [line];
  if (!reply.headers.get("content-type")?.startsWith("image/")) {
    return [line, make("pre", { tabIndex: 0, role: "group", ariaLabel: "Answer", textContent: (await reply.text()).slice(0, 4000) })];
  }
  return [line, make("img", { alt: "The answer", src: URL.createObjectURL(await reply.blob()) })];
}

const elements = operations.map((one) => {
  const element = shown(one);
  find("operations").append(element);
  return [element, element.textContent.toLowerCase()];
});

function search() {
  const words = find("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const [element, text] of elements) {
    element.hidden = !words.every((word) => text.includes(word));
    count += !element.hidden;
  }
  find("count").textContent = `${count} operations`;
}
find("search").addEventListener("input", search);
search();

const [text, rows] = api.info.description.split("| status | code | meaning |");
find("description").append(...prose(text));
for (const line of rows.trim().split("\n").slice(1)) {
  const [status, code, meaning] = line.split("|").slice(1, 4).map((cell) => cell.trim().replaceAll("`", ""));
  const row = make("tr", { id: code }, make("td", { textContent: status }), make("th", { scope: "row" }, make("code", { textContent: code })), make("td", { textContent: meaning }));
  find("codes").tBodies[0].append(row);
}
// A problem's `type` is /docs#code.
const named = /^#\w+$/.test(location.hash) && document.getElementById(location.hash.slice(1));
if (named) {
  named.classList.add("named");
  named.scrollIntoView({ block: "center" });
}
