"use strict";
/* The pages work without this. It follows Airflow's theme, copies SQL, and leads out of Airflow's frame. */

const parent_page = (() => {
  try {
    return window.parent !== window ? window.parent.document : null;
  } catch {
    return null; // framed by another origin: a stranger's theme is none of ours
  }
})();

function follow_theme() {
  const root = parent_page?.documentElement;
  if (!root) return;
  const theme = root.classList.contains("dark") ? "dark" : root.classList.contains("light") ? "light" : "";
  if (theme) document.documentElement.dataset.theme = theme;
}
follow_theme();
if (parent_page) new MutationObserver(follow_theme).observe(parent_page.documentElement, { attributeFilter: ["class"] });

/* Airflow's frame may neither open windows nor leave itself, so the page around it does both. */
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[target]");
  if (!link || !parent_page) return;
  event.preventDefault();
  const outside = parent_page.createElement("a");
  outside.href = link.href;
  if (link.target === "_blank" || event.ctrlKey || event.metaKey) {
    outside.target = "_blank";
    outside.rel = "noopener";
  }
  outside.click();
});

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      window.getSelection().selectAllChildren(code);
      button.textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => (button.textContent = "Copy"), 3000);
  });
}
