// A problem's `type` is /docs#code: the row of that code in the table of errors.
const code = /^#\w+$/.test(location.hash) ? location.hash.slice(1) : "";

function showCode() {
  const cells = [...document.querySelectorAll("#swagger-ui td code")];
  const row = cells.find((cell) => cell.textContent === code)?.closest("tr");
  if (!row) return;
  row.scrollIntoView({ block: "center" });
  row.style.outline = "2px solid";
}

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  validatorUrl: null,
  deepLinking: !code, // it takes every hash for its own, and warns of this one
  onComplete: () => requestAnimationFrame(showCode),
});
