// Where one writes. Every keystroke is kept as a draft; sending takes it away only after the outbox has the words.

import { el, icon } from "./dom.js";
import { MentionPicker } from "./picker.js";
import { moved, withMention } from "./spans.js";

const GROWS_BY_ITSELF = CSS.supports("field-sizing", "content");
const WRITING_AGAIN = 4000; // ms after which others are told once more that one writes

export class Composer {
  #chat = null;
  #before = ""; // the text that the marks belong to
  #marks = { mentions: [], format: [] };
  #about = null; // {kind: "reply" | "edit", item}
  #told = 0; // when others were told last that one writes; 0 if they think one does not

  /**
   * `send(chat, text, {mentions, reply})` and `edit(chat, item, text, {mentions, format})` keep the words; `limit()` is the most
   * code points a message may have. `people(chat)` are those who can be mentioned, {id, name, picture?, mark}; `last(chat)` is
   * the own message that arrow-up edits; `writing(chat, whether)` tells others.
   */
  constructor({ storage, send, edit, limit = () => Infinity, escape, people = () => [], last = () => null, writing = () => {} }) {
    Object.assign(this, { storage, send, edit, limit, last, writing });
    this.text = el("textarea", {
      rows: "1", "aria-label": "Message", placeholder: "Write a message", enterkeyhint: "send", dir: "auto", autocomplete: "off",
    });
    this.button = el("button", { class: "send", "aria-label": "Send", title: "Send (Enter)" }, icon("send"));
    this.hint = el("p", { class: "hint", role: "status", hidden: true });
    this.what = el("span", { class: "what" });
    this.quoted = el("span", { class: "quoted", dir: "auto" });
    const cancel = el("button", { type: "button", class: "round", "aria-label": "Cancel", title: "Cancel (Escape)", on: { click: () => this.cancel() } }, icon("close"));
    this.context = el("div", { class: "context", role: "status", hidden: true }, el("div", {}, this.what, this.quoted), cancel);
    this.picker = new MentionPicker({ text: this.text, people: () => people(this.#chat), picked: (...choice) => this.#mention(...choice) });
    this.element = el("form", { class: "composer", "aria-label": "Write" }, this.picker.element, this.context, this.hint, this.text, this.button);
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.text.addEventListener("input", () => {
      this.#changed();
      this.picker.update();
      this.#tell();
    });
    this.text.addEventListener("keydown", (event) => {
      // While an input method composes, Enter chooses a word. Some browsers tell so only by the key code 229.
      if (event.isComposing || event.keyCode === 229) return;
      if (this.picker.takes(event)) event.preventDefault();
      else if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        this.#submit();
      } else if (event.key === "ArrowUp" && !this.text.value && this.#chat !== null) {
        const item = this.last(this.#chat);
        if (!item) return;
        event.preventDefault();
        this.change(item);
      } else if (event.key === "Escape") {
        if (this.#about) this.cancel();
        else escape?.();
      }
    });
  }

  /** Write to this conversation from now on; null hides the composer. */
  show(chat) {
    if (chat === this.#chat) return;
    this.#quiet();
    this.#chat = chat;
    this.element.hidden = chat === null;
    this.#set(null);
    this.picker.close();
  }

  focus() {
    this.text.focus();
  }

  /** What is written next answers this. */
  reply(item) {
    this.#set({ kind: "reply", item });
    this.focus();
  }

  /** What is written next takes the place of this. */
  change(item) {
    this.#set({ kind: "edit", item });
    this.focus();
    this.text.setSelectionRange(this.text.value.length, this.text.value.length);
  }

  cancel() {
    this.#set(null);
    this.focus();
  }

  // Answering keeps what is written; editing puts the old words there, and after it comes the draft again.
  #set(about) {
    const stays = about?.kind === "reply" && this.#about?.kind !== "edit";
    this.#about = about;
    this.context.hidden = !about;
    this.what.replaceChildren(...(about ? [about.kind === "edit" ? "Edit your message" : "Answer to ", ...(about.kind === "edit" ? [] : [el("bdi", { text: about.item.mine ? "yourself" : about.item.sender.name })])] : []));
    this.quoted.textContent = about ? about.item.text.slice(0, 200) : "";
    this.element.classList.toggle("edits", about?.kind === "edit");
    if (!stays) {
      const { item } = about?.kind === "edit" ? about : {};
      this.text.value = item ? item.text : this.#chat === null ? "" : (this.storage.get(`draft ${this.#chat}`) ?? "");
      this.#marks = item ? { mentions: item.content.mentions ?? [], format: item.content.format ?? [] } : { mentions: this.#keptMentions(), format: [] };
      this.#before = this.text.value;
    }
    this.#fit();
  }

  #keptMentions() {
    try {
      const kept = JSON.parse(this.storage.get(`marks ${this.#chat}`) ?? "[]");
      return Array.isArray(kept) ? kept.filter(({ start, end }) => start < end && end <= this.text.value.length) : [];
    } catch {
      return [];
    }
  }

  #mention(person, start, caret) {
    const made = withMention(this.text.value, start, caret, person.name, person.mark);
    this.text.value = made.text;
    this.text.setSelectionRange(made.caret, made.caret);
    this.#follow();
    this.#marks.mentions = [...this.#marks.mentions, made.mention].sort((a, b) => a.start - b.start);
    this.#changed();
  }

  #submit() {
    const text = this.text.value;
    if (this.#chat === null || !text.trim() || this.#tooLong(text)) return;
    this.#told = 0; // the message itself tells that the writing is over
    const { mentions, format } = this.#marks;
    if (this.#about?.kind === "edit") {
      const { item } = this.#about;
      if (text !== item.text) this.edit(this.#chat, item, text, { mentions, format });
      this.#set(null);
    } else {
      this.send(this.#chat, text, { mentions, reply: this.#about?.item });
      this.text.value = "";
      this.#changed();
      this.#set(null);
    }
    this.picker.close();
    this.focus();
  }

  // The marks go with the text.
  #follow() {
    const { mentions, format } = this.#marks;
    const now = this.text.value;
    this.#marks = { mentions: moved(mentions, this.#before, now), format: moved(format, this.#before, now, { grow: true }) };
    this.#before = now;
  }

  #changed() {
    if (this.#chat === null) return;
    this.#follow();
    if (this.#about?.kind !== "edit") {
      this.#keep("draft", this.text.value);
      this.#keep("marks", this.#marks.mentions.length ? JSON.stringify(this.#marks.mentions) : "");
    }
    this.#fit();
  }

  #keep(name, value) {
    if (value) this.storage.set(`${name} ${this.#chat}`, value);
    else this.storage.delete(`${name} ${this.#chat}`);
  }

  #tell(now = Date.now()) {
    if (!this.text.value.trim()) this.#quiet();
    else if (now - this.#told >= WRITING_AGAIN) {
      this.#told = now;
      this.writing(this.#chat, true);
    }
  }

  #quiet() {
    if (this.#told && this.#chat !== null) this.writing(this.#chat, false);
    this.#told = 0;
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
