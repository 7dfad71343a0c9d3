// What a model takes by name beside seed and class: codes, which a seed draws where nothing is chosen, and scalars.

import { find, make, pair } from "./parts.js";
import { card, view } from "./view.js";

const takes = () => (card()?.inputs ?? []).filter(({ role }) => role === "code" || role === "scalar");

/** {name: number} of those that were chosen and that this model has. */
function chosen() {
  const known = Object.fromEntries(takes().map((one) => [one.name, one]));
  const pairs = view.named.split(",").map((text) => [text.split("=")[0], parseFloat(text.split("=")[1])]);
  return Object.fromEntries(pairs.filter(([name, value]) => value >= known[name]?.low && value <= known[name]?.high));
}

/** The field of a request; nothing where all is as usual. */
export function scalars() {
  const found = chosen();
  return Object.keys(found).length ? { scalars: found } : {};
}

/** A slider for each; `changed` is called while one moves. */
export function showNamed(changed) {
  const set = {};
  const box = find("named");
  const fields = takes().map(({ name, role, law, low, high, default: usual, about }) => {
    const id = `named-${name}`;
    const step = law === "whole" ? 1 : "any";
    const field = make("input", { id, type: "number", min: low, max: high, step, placeholder: usual ?? "of the seed" });
    const slider = make("input", { id: `${id}-slider`, type: "range", min: low, max: high, step, value: usual ?? 0, ariaLabel: `${name}, as a slider` });
    const hint = `${about ? `${about}. ` : ""}Empty: ${role === "code" ? "as each seed draws it" : `${usual}`}.`;
    const choose = (value) => {
      const all = { ...chosen(), [name]: value };
      if (value == null) delete all[name];
      view.named = Object.entries(all).map(([key, number]) => `${key}=${number}`).join(",");
      changed();
    };
    set[name] = () => pair(id, (value) => choose(step === 1 ? value : Math.round(100 * value) / 100));
    field.addEventListener("input", () => {
      if (field.value === "" && !field.validity.badInput) choose(null); // half a number is no value either
    });
    return make("div", { className: "field number" }, make("label", { htmlFor: id, textContent: name }), field, slider, make("p", { className: "hint", textContent: hint }));
  });
  box.replaceChildren(...fields);
  box.hidden = !fields.length;
  const values = chosen();
  for (const [name, begin] of Object.entries(set)) {
    const show = begin();
    if (name in values) show(values[name]);
  }
}
