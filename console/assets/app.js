// Lists, keys, theme and times; starts what is in live.js and calls.js.
// Attributes are explained in docs/web-ui.md.
"use strict";

// ---- Lists: picks, filters ------------------------------------------------------------------------------------

const picked = () => $$("[data-pick]:checked").map((box) => box.value);

function countPicks() {
  const count = picked().length;
  for (const bar of $$("[data-bulk]")) {
    bar.hidden = count === 0;
    for (const number of $$("[data-count]", bar)) number.textContent = String(count);
  }
  const all = $("[data-pick-all]");
  if (all) {
    const boxes = $$("[data-pick]");
    all.checked = count > 0 && count === boxes.length;
    all.indeterminate = count > 0 && count < boxes.length;
  }
}

document.addEventListener("change", (event) => {
  const { target } = event;
  if (target.matches("[data-pick-all]")) $$("[data-pick]").forEach((box) => { box.checked = target.checked; });
  if (target.matches("[data-pick], [data-pick-all]")) countPicks();
  if (target.form?.hasAttribute("data-auto") && target.type !== "search") target.form.requestSubmit();
});

// Empty fields of a filter stay out of the URL.
document.addEventListener("submit", (event) => {
  if (event.target.method !== "get" || event.defaultPrevented) return;
  const idle = [...event.target.elements].filter((field) => field.name && field.value === "");
  idle.forEach((field) => { field.disabled = true; });
  setTimeout(() => idle.forEach((field) => { field.disabled = false; }));
});

// ---- Clicks ---------------------------------------------------------------------------------------------------

document.addEventListener("click", (event) => {
  const menu = event.target.closest("[data-menu]");
  if (menu) {
    const isOpen = menu.getAttribute("aria-expanded") === "true";
    menu.setAttribute("aria-expanded", String(!isOpen));
    $("#menu").toggleAttribute("data-shown", !isOpen);
  }
  const open = event.target.closest("[data-open]");
  if (open) document.getElementById(open.dataset.open)?.showModal();
  event.target.closest("[data-close]")?.closest("dialog")?.close();
  const copy = event.target.closest("[data-copy]");
  if (copy) copyText(copy);
  const download = event.target.closest("[data-download]");
  if (download) {
    const text = document.getElementById(download.dataset.download).textContent;
    save(new Blob([text], { type: "application/yaml" }), download.dataset.file);
  }
  if (event.target.closest("[data-theme-toggle]")) nextTheme();
  if (event.target.closest("[data-refresh]")) refresh(true);
  if (event.target.closest("[data-unpick]")) {
    $$("[data-pick]:checked").forEach((box) => { box.checked = false; });
    countPicks();
  }
});

async function copyText(button) {
  const source = document.getElementById(button.dataset.copy);
  const text = source.value ?? source.textContent;
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.");
  } catch {
    getSelection().selectAllChildren(source);
    toast("The browser does not allow copying. The text is selected: press Ctrl+C.", true);
  }
}

// ---- Theme ----------------------------------------------------------------------------------------------------

const THEMES = { system: "System theme", light: "Light theme", dark: "Dark theme" };

function tellTheme() {
  const theme = document.documentElement.dataset.theme || "system";
  $$("[data-theme-name]").forEach((name) => { name.textContent = THEMES[theme]; });
}

function nextTheme() {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(document.documentElement.dataset.theme || "system") + 1) % names.length];
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try { localStorage.setItem("theme", next); } catch { /* storage is off: for this page only */ }
  tellTheme();
}

// ---- Times ----------------------------------------------------------------------------------------------------

// `<time datetime data-ago>` says how long ago it is; the exact time, in the reader's zone, is in its title.
function tellTimes() {
  for (const time of $$("time[datetime]")) {
    const date = new Date(time.dateTime);
    if (Number.isNaN(date.getTime())) continue;
    const title = date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    if (time.title !== title) time.title = title;
    if (time.hasAttribute("data-ago")) {
      const text = ago((Date.now() - date.getTime()) / 1000);
      if (time.textContent !== text) time.textContent = text;
    }
  }
}

function ago(seconds) {
  if (seconds < 5) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} days ago`;
}

// ---- Keys -----------------------------------------------------------------------------------------------------

let isGoing = false;

function moveTo(step) {
  const rows = $$("tr[data-row]");
  if (!rows.length) return;
  const here = rows.findIndex((row) => row.hasAttribute("data-here"));
  const next = rows[Math.min(rows.length - 1, Math.max(0, here < 0 ? 0 : here + step))];
  rows.forEach((row) => row.removeAttribute("data-here"));
  next.setAttribute("data-here", "");
  ($("a[href]", next) || next).focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

const KEYS = {
  "/": () => $("[data-search]")?.focus(),
  "?": () => $("#keys")?.showModal(),
  j: () => moveTo(1),
  k: () => moveTo(-1),
  n: () => $("[rel=next]")?.click(),
  p: () => $("[rel=prev]")?.click(),
  r: () => refresh(true),
  x: () => $("tr[data-here] [data-pick]")?.click(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("dialog[open]")) return;
  const isTyping = event.target.matches("input:not([type=checkbox]):not([type=radio]), textarea, select");
  if (event.key === "Escape") {
    if (isTyping) return event.target.blur();
    if ($("#menu[data-shown]")) return $("[data-menu]").click();
    $$("tr[data-here]").forEach((row) => row.removeAttribute("data-here"));
    return;
  }
  if (isTyping) return;
  if (isGoing) {
    isGoing = false;
    const link = $(`nav a[data-key="${CSS.escape(event.key)}"]`);
    if (link) { event.preventDefault(); link.click(); }
    return;
  }
  if (event.key === "g") {
    isGoing = true;
    setTimeout(() => { isGoing = false; }, 1500);
    return;
  }
  const act = KEYS[event.key];
  if (act) { event.preventDefault(); act(); }
});

// ---- Start ----------------------------------------------------------------------------------------------------

tellTheme();
tellTimes();
countPicks();
toastFromBefore();
listen();
setInterval(tellTimes, 10000);
// Days left change, and so do figures that no event tells of.
setInterval(() => { if (!document.hidden) refreshSoon(); }, 60000);
document.addEventListener("visibilitychange", () => { if (!document.hidden && isStale) refreshSoon(); });
