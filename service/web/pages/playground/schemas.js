// JSON Schema, in a few words.

/** Where `$ref` leads. */
export const resolved = (schema, document) =>
  schema?.$ref ? document.components.schemas[schema.$ref.split("/").at(-1)] : (schema ?? {});

/** The kind of a value: `integer, 1 to 256`, `"png" or "webp"`, `list of numbers`. */
export function kindOf(schema, document) {
  const found = resolved(schema, document);
  if (found.enum) return found.enum.map((one) => JSON.stringify(one)).join(" or ");
  if (found.anyOf) return found.anyOf.map((one) => kindOf(one, document)).filter((one) => one !== "null").join(" or ");
  if (found.type === "array") return `list of ${kindOf(found.items, document)}`;
  const [low, high] = [found.minimum ?? found.exclusiveMinimum, found.maximum ?? found.exclusiveMaximum];
  const bounds = [low != null && `${found.exclusiveMinimum == null ? "from" : "above"} ${low}`, high != null && `to ${high}`].filter(Boolean);
  return [found.title ?? found.type ?? "anything", ...bounds].join(" ");
}

/** [name, kind, default, text] of each field of an object. */
export function fieldsOf(schema, document) {
  const found = resolved(schema, document);
  const needed = found.required ?? [];
  return Object.entries(found.properties ?? {}).map(([name, one]) => [
    name,
    kindOf(one, document),
    needed.includes(name) ? "needed" : one.default == null ? "" : JSON.stringify(one.default),
    one.description ?? resolved(one, document).description ?? "",
  ]);
}
