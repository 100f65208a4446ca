// One line that says how the connection is; nothing while all is well.

import { el } from "./dom.js";

const GOOD_NEWS_FOR = 4000; // ms

export class Banner {
  #timer = 0;
  #wasLost = false;

  constructor({ tryNow }) {
    this.text = el("span");
    this.now = el("button", { type: "button", class: "link", text: "Try now", hidden: true, on: { click: tryNow } });
    this.element = el("div", { class: "banner", role: "status", hidden: true }, this.text, this.now);
  }

  /** `state`: "connecting", "lost" or "ready". The first connecting and ready are a matter of course, and quiet. */
  show(state) {
    clearTimeout(this.#timer);
    const back = state === "ready" && this.#wasLost;
    if (state === "lost") this.#wasLost = true;
    if (state === "ready") this.#wasLost = false;
    this.element.dataset.state = back ? "reconnected" : state;
    this.text.textContent =
      state === "lost" ? "No connection. Trying again …"
      : state === "connecting" ? (this.#wasLost ? "Connecting again …" : "Connecting …")
      : back ? "Connected again" : "";
    this.now.hidden = state !== "lost";
    this.element.hidden = !this.text.textContent;
    if (back) this.#timer = setTimeout(() => (this.element.hidden = true), GOOD_NEWS_FOR);
  }
}
