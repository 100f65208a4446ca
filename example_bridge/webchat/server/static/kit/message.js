// The parts of one message's row: the quote above, the reactions below, and what is said of its way.

import { el, icon, reconcile } from "./dom.js";
import { inWords } from "./reactions.js";
import { clock } from "./when.js";

const STATES = {
  waiting: { words: "Waiting for the connection", icon: "clock" },
  sending: { words: "Sending", icon: "clock" },
  sent: { words: "Sent", icon: "tick" },
  failed: { words: "Not sent", icon: "warning" },
};

/** What is in the bubble of a row, `body` and around it. `jump(id)` shows another message. */
export function bubbleOf({ reply, edited, deleted }, body, jump) {
  const parts = [body];
  if (reply && !deleted) parts.unshift(quoteOf(reply, jump));
  if (edited && !deleted) parts.push(el("span", { class: "edited", text: "edited", title: `Edited at ${clock(edited)}` }));
  return parts;
}

function quoteOf({ id, name, text, known }, jump) {
  const inside = [el("bdi", { class: "name", text: name }), el("span", { dir: "auto", text })];
  if (!known) return el("div", { class: "quote" }, ...inside);
  return el("button", { type: "button", class: "quote", title: "Show the original", on: { click: () => jump(id) } },
    el("span", { class: "unseen", text: "Answer to " }), ...inside);
}

/** Reactions as buttons, keeping those that stay: the focus survives. `react(emoji, added)`. */
export function drawChips(parent, chips, react) {
  reconcile(parent, chips, {
    key: ({ emoji }) => emoji,
    make: ({ emoji }) => {
      const chip = el("button", { type: "button", class: "chip" }, el("span", { class: "emoji", dir: "auto", text: emoji }), el("span", { class: "count" }));
      chip.addEventListener("click", () => react(emoji, chip.getAttribute("aria-pressed") !== "true"));
      return chip;
    },
    update: (chip, { count, mine, label }) => {
      chip.setAttribute("aria-pressed", String(mine));
      chip.setAttribute("aria-label", label);
      chip.title = label;
      chip.lastElementChild.textContent = count;
    },
  });
}

/** Time, way and trouble of a row. `retry(nonce)`, `discard(nonce)`. */
export function metaOf({ key, timestamp, state, reason, readers = [], trouble }, { retry, discard }) {
  const parts = [el("time", { datetime: new Date(timestamp).toISOString(), text: clock(timestamp) })];
  if (state === "sent" && readers.length) parts.push(readOf(readers));
  else if (state) {
    const { words, icon: shape } = STATES[state];
    parts.push(el("span", { class: "state" }, icon(shape), reason && state === "failed" ? `${words}: ${reason}` : words));
  }
  if (trouble) parts.push(el("span", { class: "state" }, icon("warning"), trouble.words));
  const nonce = state === "failed" ? key : trouble?.nonce;
  if (nonce !== undefined) {
    parts.push(
      el("button", { type: "button", class: "link", text: "Try again", on: { click: () => retry(nonce) } }),
      el("button", { type: "button", class: "link", text: "Discard", on: { click: () => discard(nonce) } }),
    );
  }
  return parts;
}

// The names come out where one points or where the focus is.
function readOf(names) {
  const who = inWords(names);
  return el("button", { type: "button", class: "state read", "aria-label": `Read by ${who}` }, icon("ticks"), el("span", { text: "Read" }), el("span", { class: "by", text: ` by ${who}` }));
}
