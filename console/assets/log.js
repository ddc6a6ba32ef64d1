// The log of a Defender as it grows.
"use strict";

const LEVELS = { WARN: "warn", ERRO: "bad", CRIT: "bad", DEBU: "quiet" };
const MOST = 3000;

(() => {
  const box = $("[data-log]");
  if (!box) return;
  const follow = $("[data-log-follow]");
  const state = $("[data-log-state]");
  const tell = (text) => { state.textContent = text; };

  function add(text, tone) {
    const line = document.createElement("p");
    line.textContent = text;
    const level = tone || LEVELS[text.slice(0, 4)];
    if (level) line.className = level;
    box.append(line);
    while (box.childElementCount > MOST) box.firstChild.remove();
    if (follow.checked) box.scrollTop = box.scrollHeight;
  }

  function listen() {
    const stream = new EventSource(box.dataset.log);
    const dataOf = (event) => JSON.parse(event.data);
    stream.addEventListener("connected", () => tell("Live, from the Defender"));
    stream.addEventListener("line", (event) => add(dataOf(event).text));
    stream.addEventListener("dropped", (event) => add(`${dataOf(event).lines} lines are missing here: they came too fast`, "gap"));
    stream.addEventListener("disconnected", (event) => tell(`Waiting: ${dataOf(event).detail}`));
    stream.addEventListener("refused", (event) => { stream.close(); tell(`Ended: ${dataOf(event).detail}`); });
    stream.onerror = () => {
      if (stream.readyState !== EventSource.CLOSED) return tell("Reconnecting");
      tell("The log cannot be read now, trying again");
      setTimeout(() => { box.replaceChildren(); listen(); }, 10000);
    };
    window.addEventListener("pagehide", () => stream.close(), { once: true });
  }

  // Who scrolls up reads; who comes back to the end follows again.
  box.addEventListener("scroll", () => {
    follow.checked = box.scrollTop + box.clientHeight >= box.scrollHeight - 24;
  });
  follow.addEventListener("change", () => { if (follow.checked) box.scrollTop = box.scrollHeight; });
  listen();
})();
