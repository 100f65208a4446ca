// Where one writes. Every keystroke is kept as a draft; sending takes it away only after the outbox has the words.

import { el, icon } from "./dom.js";
import { MentionPicker } from "./picker.js";
import { Recorder } from "./recorder.js";
import { moved, withMention } from "./spans.js";
import { Tray, takeFiles } from "./tray.js";

const GROWS_BY_ITSELF = CSS.supports("field-sizing", "content");
const WRITING_AGAIN = 4000; // ms after which others are told once more that one writes

export class Composer {
  #chat = null;
  #before = ""; // the text that the marks belong to
  #marks = { mentions: [], format: [] };
  #about = null; // {kind: "reply" | "edit", item}
  #said = ""; // a complaint that stands above the text
  #told = 0; // when others were told last that one writes; 0 if they think one does not

  /**
   * `send(chat, text, {mentions, reply})` and `edit(chat, item, text, {mentions, format})` keep the words; `limit()` is the most
   * code points a message may have. `people(chat)` are those who can be mentioned, {id, name, picture?, mark}; `last(chat)` is
   * the own message that arrow-up edits; `writing(chat, whether)` tells others. `largest()`: bytes of one file. `send` gets what
   * was attached as `files`, [{blob, file}].
   */
  constructor({ storage, send, edit, limit = () => Infinity, escape, people = () => [], last = () => null, writing = () => {}, largest = () => Infinity }) {
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
    this.tray = new Tray({ limit: largest, changed: () => this.#fit(), complain: (words) => this.#say(words) });
    this.recorder = new Recorder({ done: (blob, more) => this.#sendVoice(blob, more), complain: (words) => this.#say(words) });
    this.picker = new MentionPicker({ text: this.text, people: () => people(this.#chat), picked: (...choice) => this.#mention(...choice) });
    this.element = el("form", { class: "composer", "aria-label": "Write" }, this.picker.element, this.context, this.hint, this.tray.element, this.tray.input, this.tray.button, this.text, el("div", { class: "ends" }, this.recorder.element, this.button));
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.text.addEventListener("input", () => {
      this.#said = "";
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
    this.#said = "";
    this.recorder.cancel();
    this.tray.show(chat);
    this.element.hidden = chat === null;
    this.#set(null);
    this.picker.close();
  }

  focus() {
    this.text.focus();
  }

  /** Let files be dropped on `target`, too. */
  dropOn(target) {
    takeFiles(target, this.text, (files) => this.attach(files));
  }

  attach(files) {
    if (this.#about?.kind === "edit") this.#set(null); // a message gets no more files
    this.#said = "";
    this.tray.add(files);
    this.focus();
  }

  #sendVoice(blob, more) {
    this.tray.add([blob], more);
    this.#submit();
  }

  // Words above the text, until something else is done.
  #say(words) {
    this.#said = words;
    this.#fit();
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
    const edits = this.#about?.kind === "edit";
    if (this.#chat === null || this.#tooLong(text) || !(text.trim() || (edits ? this.#about.item.content.files?.length : !this.tray.empty))) return;
    this.#said = "";
    this.#told = 0; // the message itself tells that the writing is over
    const { mentions, format } = this.#marks;
    if (edits) {
      const { item } = this.#about;
      if (text !== item.text) this.edit(this.#chat, item, text, { mentions, format });
      this.#set(null);
    } else {
      this.send(this.#chat, text, { mentions, reply: this.#about?.item, files: this.tray.take() });
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
    const words = tooLong ? `${Array.from(this.text.value).length.toLocaleString()} characters; a message has at most ${this.limit().toLocaleString()}.` : this.#said;
    if (this.hint.textContent !== words) this.hint.textContent = words;
    this.hint.hidden = !words;
    this.text.ariaInvalid = String(tooLong);
    const something = this.text.value.trim() !== "" || (this.#about?.kind === "edit" ? this.#about.item.content.files?.length > 0 : !this.tray.empty);
    this.button.disabled = tooLong || !something;
    this.recorder.offer(!something && !this.#about);
  }
}
