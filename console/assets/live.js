// Regions that follow live events without losing the reader's place.
// Attributes are explained in docs/web-ui.md.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// ---- Live regions -------------------------------------------------------------------------------------------

// Makes `now` like `next` and touches only what differs: focus, selection, scroll and what was typed stay.
function morph(now, next) {
  if (now.nodeType !== next.nodeType || now.nodeName !== next.nodeName) {
    now.replaceWith(next);
    return;
  }
  if (now.nodeType !== Node.ELEMENT_NODE) {
    if (now.data !== next.data) now.data = next.data;
    return;
  }
  if (now.hasAttribute("data-keep")) return;
  const kept = KEPT[now.localName] || [];
  for (const { name } of [...now.attributes]) {
    if (!next.hasAttribute(name) && !kept.includes(name) && !OURS.includes(name)) now.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (!kept.includes(name) && now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
  morphChildren(now, next);
}

const KEPT = { details: ["open"], dialog: ["open"], input: ["value", "checked"] };
const OURS = ["data-here", "data-fresh", "aria-busy", "tabindex"];

function morphChildren(now, next) {
  const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.id || node.dataset.row || null : null);
  const keyed = new Map();
  for (const child of now.childNodes) if (keyOf(child)) keyed.set(keyOf(child), child);
  let place = now.firstChild;
  for (const child of [...next.childNodes]) {
    const key = keyOf(child);
    const match = key ? keyed.get(key) : place && !keyOf(place) && place.nodeName === child.nodeName ? place : null;
    if (match) {
      keyed.delete(key);
      if (match === place) place = place.nextSibling;
      else now.insertBefore(match, place);
      morph(match, child);
    } else {
      if (key && child.dataset.row) child.dataset.fresh = "";
      now.insertBefore(child, place);
    }
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}

const rowsOf = (root) => $$("tr[data-row]", root).map((row) => row.dataset.row).join();

// A reader who works in a list keeps its rows until told otherwise; only what the rows say is renewed.
function isInUse(region) {
  return region.hasAttribute("data-steady")
    && ($("[data-pick]:checked", region) || $("tr[data-here]", region) || region.getBoundingClientRect().top < -80);
}

function renew(region, next, force) {
  if (!force && isInUse(region) && rowsOf(region) !== rowsOf(next)) {
    const rows = new Map($$("tr[data-row]", next).map((row) => [row.dataset.row, row]));
    for (const row of $$("tr[data-row]", region)) {
      if (rows.has(row.dataset.row)) morph(row, rows.get(row.dataset.row));
    }
    const note = $(`[data-changed="${region.id}"]`);
    if (note) note.hidden = false;
    return;
  }
  const note = $(`[data-changed="${region.id}"]`);
  if (note) note.hidden = true;
  morph(region, next);
}

let refreshing = null;

async function refresh(force) {
  if (refreshing) {
    await refreshing;
    if (!force) return;
  }
  refreshing = (async () => {
    const regions = $$("[data-live][id]");
    if (!regions.length) return;
    const headers = { Accept: "text/html" };
    // What nobody asked for keeps no session alive.
    if (!force) headers["Garrison-Background"] = "1";
    const answer = await fetch(location.href, { headers, credentials: "same-origin" });
    if (answer.redirected && new URL(answer.url).pathname !== location.pathname) return location.assign(answer.url);
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const isOther = regions.some((region) => !page.getElementById(region.id));
    if (isOther) morph($("#main"), page.getElementById("main"));
    else regions.forEach((region) => renew(region, page.getElementById(region.id), force));
    countPicks();
    tellTimes();
  })();
  try { await refreshing; } catch { /* the Console is away: the stream tells */ } finally { refreshing = null; }
}

let due = null;
let lastRefresh = 0;

// At once when it is quiet, at most every two seconds in a storm, and not for a page that nobody sees.
function refreshSoon() {
  if (due || document.hidden) { isStale = true; return; }
  const wait = Math.max(150, lastRefresh + 2000 - Date.now());
  due = setTimeout(async () => {
    due = null;
    lastRefresh = Date.now();
    isStale = false;
    await refresh();
    if (isStale) refreshSoon();
  }, wait);
}

let isStale = false;

function tellState(state, text) {
  const box = $("#live-state");
  if (!box || box.dataset.state === state) return;
  box.dataset.state = state;
  $("[data-text]", box).textContent = text;
}

const EVENTS = ["defender.connected", "defender.disconnected", "defender.decommissioned", "defender.refused", "defender.cloned", "certificates.rotated",
  "certificates.refused", "alert.raised", "alert.resolved", "authority.progress", "authority.rotated",
  "return.approved", "return.waiting", "resync"];

function listen() {
  if (!$("#live-state")) return;
  const stream = new EventSource("/api/v1/events");
  stream.onopen = () => {
    tellState("live", "Live");
    // What happened since the page was made, or while the stream was lost, is in no event.
    refreshSoon();
  };
  stream.onerror = () => {
    tellState("lost", "Reconnecting");
    if (stream.readyState !== EventSource.CLOSED) return;
    setTimeout(() => { refresh(); listen(); }, 5000);
  };
  for (const name of EVENTS) {
    stream.addEventListener(name, (event) => {
      document.dispatchEvent(new CustomEvent("garrison:event", { detail: { name, data: JSON.parse(event.data) } }));
      refreshSoon();
    });
  }
  window.addEventListener("pagehide", () => stream.close(), { once: true });
}
