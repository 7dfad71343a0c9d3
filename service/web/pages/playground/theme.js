// Light or dark: the system's wish, or what was chosen here. It runs before the first paint, or a page of the
// other theme would flash.

const root = document.documentElement;
try {
  const chosen = localStorage.getItem("ganserve-theme");
  if (chosen) root.dataset.theme = chosen;
} catch {
  // Storage may be forbidden; the system's theme is as good.
}

document.addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const other = () => ((root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark" ? "light" : "dark");
  const name = () => (button.textContent = other() === "dark" ? "Dark theme" : "Light theme");
  button.addEventListener("click", () => {
    root.dataset.theme = other();
    try {
      localStorage.setItem("ganserve-theme", root.dataset.theme);
    } catch {
      // It holds for this page then.
    }
    name();
  });
  system.addEventListener("change", name);
  name();
});
