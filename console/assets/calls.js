// Forms that call the API, and the toasts that tell of it.
// Attributes are explained in docs/web-ui.md.
"use strict";

// ---- Toasts -------------------------------------------------------------------------------------------------

function toast(text, isBad) {
  const box = $("#toasts");
  if (!box) return;
  const toast = document.createElement("p");
  toast.className = isBad ? "toast bad" : "toast";
  toast.textContent = text;
  box.append(toast);
  while (box.children.length > 3) box.firstChild.remove();
  setTimeout(() => toast.remove(), isBad ? 12000 : 6000);
}

// A text that outlives the way to another page.
function toastLater(text) {
  try { sessionStorage.setItem("toast", text); } catch { /* storage is off */ }
}

function toastFromBefore() {
  try {
    const text = sessionStorage.getItem("toast");
    sessionStorage.removeItem("toast");
    if (text) setTimeout(() => toast(text), 50);
  } catch { /* storage is off */ }
}

// ---- Calls of the API -----------------------------------------------------------------------------------------

function valueOf(field) {
  switch (field.dataset.type) {
    case "number": return field.value === "" ? null : Number(field.value);
    case "boolean": return field.type === "checkbox" ? field.checked : field.value === "true";
    case "list": return field.value.split(/[\n,]/).map((part) => part.trim()).filter(Boolean);
    case "json": return JSON.parse(field.value || "null");
    default: return field.value;
  }
}

function bodyOf(form) {
  const body = {};
  const fields = [...form.elements].filter((field) => field.name && !field.disabled && !field.hasAttribute("data-skip"));
  for (const field of fields) {
    if ((field.type === "checkbox" || field.type === "radio") && field.dataset.type !== "boolean") {
      if (field.type === "checkbox" && fields.filter((other) => other.name === field.name).length > 1) {
        body[field.name] ??= [];
        if (field.checked) body[field.name].push(field.value);
      } else if (field.checked) body[field.name] = field.value;
      continue;
    }
    if (field.hasAttribute("data-optional") && field.value === "") continue;
    body[field.name] = valueOf(field);
  }
  return body;
}

function tellFault(form, text) {
  let box = $(".form-error", form);
  if (!box) {
    box = document.createElement("p");
    box.className = "form-error";
    box.setAttribute("role", "alert");
    form.append(box);
  }
  box.textContent = text;
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.?]$/.test(text) ? "" : ".");

// Calls the API with the cookie; throws an error whose message is for people. `asFile`: the answer is no text.
async function call(method, url, body, asFile) {
  const hasBody = body !== undefined && Object.keys(body).length > 0;
  let answer;
  try {
    answer = await fetch(url, {
      method,
      credentials: "same-origin",
      headers: hasBody ? { "Content-Type": "application/json" } : {},
      body: hasBody ? JSON.stringify(body) : undefined,
    });
  } catch {
    throw new Error("The Console does not answer. Check that it runs and that this computer reaches it, then try again.");
  }
  if (answer.status === 401) {
    location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
    throw new Error("You are signed out. Sign in again.");
  }
  if (answer.ok && asFile) return { file: await answer.blob() };
  const text = await answer.text();
  let json = null;
  try { json = text ? JSON.parse(text) : null; } catch { /* no JSON: plain text */ }
  if (!answer.ok) throw new Error(sentence(json?.detail || `The Console answered ${answer.status}`));
  return { json, text };
}

function confirmed(text, action, isHarmless) {
  const dialog = $("#confirm");
  if (!dialog) return Promise.resolve(window.confirm(text));
  $("#confirm-text").textContent = text;
  $("#confirm-title").textContent = `${action}?`;
  const yes = $("#confirm-yes");
  yes.textContent = action;
  yes.className = isHarmless ? "button primary" : "button danger";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

// `{name}` in a URL or a text is the value of the form's field of that name; `{count:thing}` how many rows are picked.
function filled(form, text, isUrl) {
  return text.replace(/\{(\w+)(?::(\w+))?\}/g, (whole, name, thing) => {
    if (name === "count") return `${picked().length} ${thing}${picked().length === 1 ? "" : "s"}`;
    const field = form.elements.namedItem(name);
    return field ? (isUrl ? encodeURIComponent(field.value) : field.value) : whole;
  });
}

async function submit(form, button) {
  const data = { ...form.dataset, ...(button?.dataset ?? {}) };
  const [method, template] = data.call.split(" ");
  tellFault(form, "");
  let body;
  try { body = bodyOf(form); } catch { return tellFault(form, "This is not valid JSON."); }
  if (data.picked) body[data.picked] = picked();
  const action = data.confirmAction || button?.textContent.trim() || "Go on";
  if (data.confirm && !(await confirmed(filled(form, data.confirm), action, "harmless" in data))) return;
  const url = filled(form, template, true);
  for (const [, name] of template.matchAll(/\{(\w+)\}/g)) delete body[name];
  button?.setAttribute("aria-busy", "true");
  try {
    const answer = await call(method, url, method === "GET" || method === "DELETE" && !data.picked ? undefined : body, data.save);
    if (data.save) {
      save(answer.file, data.save);
      if (data.done) toast(data.done);
    } else await succeeded(form, data, answer);
  } catch (error) {
    tellFault(form, error.message);
  } finally {
    button?.removeAttribute("aria-busy");
  }
}

async function succeeded(form, data, { json, text }) {
  const done = data.done && filled(form, data.done).replace(/\{answer\.(\w+)\}/g, (_, name) => String(json?.[name] ?? ""));
  form.dispatchEvent(new CustomEvent("garrison:done", { bubbles: true, detail: { json, text } }));
  if (data.show) show($(data.show), json, text);
  if ("reset" in data) form.reset();
  form.closest("dialog")?.close();
  if (data.picked) {
    $$("[data-pick]:checked").forEach((box) => { box.checked = false; });
    countPicks();
  }
  if (data.next) {
    if (done) toastLater(done);
    return location.assign(data.next);
  }
  const failed = Array.isArray(json) ? json.filter((one) => one?.ok === false) : [];
  if (failed.length) toast(`${failed.length} of ${json.length} could not be done: ${sentence(failed[0].error)}`, true);
  else if (done) toast(done);
  if ($("[data-live][id]")) await refresh(true);
  else if (!data.show) location.reload();
}

// Hands content to the browser as a download.
function save(content, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// Puts the answer into the elements of `target` that name its fields.
function show(target, json, text) {
  if (!target) return;
  for (const field of $$("[data-field]", target)) {
    const value = field.dataset.field === "" ? text : json?.[field.dataset.field];
    field.textContent = value == null ? "" : typeof value === "object" ? JSON.stringify(value, null, 2) : String(value);
  }
  target.hidden = false;
  if (target.localName === "dialog" && !target.open) target.showModal();
  else (target.matches("[tabindex]") ? target : $("[tabindex], button, a", target))?.focus();
}

document.addEventListener("submit", (event) => {
  if (!event.target.dataset.call && !event.submitter?.dataset.call) return;
  event.preventDefault();
  submit(event.target, event.submitter);
});
