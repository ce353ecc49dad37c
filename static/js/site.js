// Keys, copy buttons and what else every page can do without. Everything works without it.
"use strict";
(() => {
  const rows = () => [...document.querySelectorAll("[data-row]")];
  const typing = (element) => element.closest("input, textarea, select, [contenteditable]");

  const step = (by) => {
    const all = rows();
    if (!all.length) return;
    const at = all.findIndex((row) => row.contains(document.activeElement));
    const to = all[Math.min(all.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
    to.querySelector("a").focus();
    to.scrollIntoView({ block: "nearest" });
  };
  const follow = (rel) => document.querySelector(`main a[rel~="${rel}"]`)?.click();
  const keys = {
    "/": () => {
      const search = document.querySelector("input[type=search]");
      if (search) { search.focus(); search.select(); } else location.assign(document.querySelector("nav a").href);
    },
    j: () => step(1),
    k: () => step(-1),
    ArrowLeft: () => follow("prev"),
    ArrowRight: () => follow("next"),
    "?": () => document.getElementById("keys").showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    const action = keys[event.key];
    if (!action) return;
    if (!event.key.startsWith("Arrow")) event.preventDefault();
    action();
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const from = document.querySelector(button.dataset.copy);
    const text = from ? from.textContent.trim() : new URL(button.dataset.copyUrl, location).href;
    const label = button.querySelector("[data-label]");
    const before = label.textContent;
    try {
      await navigator.clipboard.writeText(text);
      label.textContent = "Copied";
    } catch {
      label.textContent = "Select and copy by hand";
    }
    setTimeout(() => { label.textContent = before; }, 1500);
  });

  // A list of filters is a sheet on phones and open where there is room.
  const openSheets = () => {
    if (!matchMedia("(min-width: 60rem)").matches) return;
    document.querySelectorAll("details[data-sheet]").forEach((sheet) => { sheet.open = true; });
  };
  openSheets();
  document.addEventListener("htmx:afterSwap", openSheets);
})();
