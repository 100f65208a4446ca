// Where one writes. Every keystroke is kept as a draft; sending takes it away only after the outbox has the words.

import { el, icon } from "./dom.js";

const GROWS_BY_ITSELF = CSS.supports("field-sizing", "content");

export class Composer {
  #chat = null;

  /** `send(chat, text)` keeps the words; `limit()` is the most code points a message may have, or Infinity. */
  constructor({ storage, send, limit = () => Infinity, escape }) {
    Object.assign(this, { storage, send, limit });
    this.text = el("textarea", {
      rows: "1", "aria-label": "Message", placeholder: "Write a message", enterkeyhint: "send", dir: "auto", autocomplete: "off",
    });
    this.button = el("button", { class: "send", "aria-label": "Send", title: "Send (Enter)" }, icon("send"));
    this.hint = el("p", { class: "hint", role: "status", hidden: true });
    this.element = el("form", { class: "composer", "aria-label": "Write" }, this.hint, this.text, this.button);
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.text.addEventListener("input", () => this.#changed());
    this.text.addEventListener("keydown", (event) => {
      // While an input method composes, Enter chooses a word. Some browsers tell so only by the key code 229.
      if (event.isComposing || event.keyCode === 229) return;
      if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        this.#submit();
      } else if (event.key === "Escape") escape?.();
    });
  }

  /** Write to this conversation from now on; null hides the composer. */
  show(chat) {
    if (chat === this.#chat) return;
    this.#chat = chat;
    this.element.hidden = chat === null;
    this.text.value = chat === null ? "" : (this.storage.get(`draft ${chat}`) ?? "");
    this.#fit();
  }

  focus() {
    this.text.focus();
  }

  #submit() {
    const text = this.text.value;
    if (this.#chat === null || !text.trim() || this.#tooLong(text)) return;
    this.send(this.#chat, text);
    this.text.value = "";
    this.#changed();
    this.focus();
  }

  #changed() {
    if (this.#chat === null) return;
    if (this.text.value) this.storage.set(`draft ${this.#chat}`, this.text.value);
    else this.storage.delete(`draft ${this.#chat}`);
    this.#fit();
  }

  #tooLong(text) {
    return text.length > this.limit() && Array.from(text).length > this.limit();
  }

  #fit() {
    if (!GROWS_BY_ITSELF) {
      this.text.style.height = "auto";
      this.text.style.height = `${this.text.scrollHeight + this.text.offsetHeight - this.text.clientHeight}px`;
    }
    const tooLong = this.#tooLong(this.text.value);
    const words = tooLong ? `${Array.from(this.text.value).length.toLocaleString()} characters; a message has at most ${this.limit().toLocaleString()}.` : "";
    if (this.hint.textContent !== words) this.hint.textContent = words;
    this.hint.hidden = !tooLong;
    this.text.ariaInvalid = String(tooLong);
    this.button.disabled = tooLong || !this.text.value.trim();
  }
}
