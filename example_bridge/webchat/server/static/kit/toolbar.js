// What one can do to a message. There is one toolbar, which goes to the message under the pointer or with the focus.

import { el, icon } from "./dom.js";
import { AT_HAND, asEmoji } from "./reactions.js";

const KEYS = { r: "reply", e: "edit", "+": "react", Delete: "remove" };

export class Toolbar {
  #row = null;
  #node = null;
  #pane = "actions";

  /** `act`: reply(row), edit(row), remove(row), react(row, emoji, added). A row's `can` says which of them it is for. */
  constructor({ act }) {
    this.act = act;
    this.element = el("div", { class: "actions", tabindex: "-1" });
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.#back();
    });
  }

  /** Where the focus is, or a menu is open, it stays. */
  get busy() {
    return this.#node !== null && (this.#pane !== "actions" || this.element.contains(document.activeElement));
  }

  /** Go to a row and its node; null: go away. */
  go(row, node) {
    const can = row?.can ?? {};
    if (!Object.values(can).some(Boolean)) [row, node] = [null, null];
    if (node === this.#node) {
      this.#row = row;
      return;
    }
    this.#row = row;
    this.#node = node;
    this.#show("actions");
    if (node) node.append(this.element);
    else this.element.remove();
  }

  /** A key on the message itself; whether it was one of ours. */
  takes(event) {
    const name = KEYS[event.key];
    if (!name || event.ctrlKey || event.metaKey || event.altKey || !this.#row?.can?.[name]) return false;
    this.#do(name);
    return true;
  }

  #do(name) {
    if (name === "react" || name === "remove") this.#show(name, { focus: true });
    else this.act[name](this.#row);
  }

  #back() {
    this.#node?.focus();
    this.#show("actions");
  }

  #done(name, ...more) {
    const row = this.#row;
    this.#back();
    this.act[name](row, ...more);
  }

  #show(pane, { focus = false } = {}) {
    this.#pane = pane;
    const [role, label, parts] = { actions: () => this.#actions(), react: () => this.#emoji(), remove: () => this.#question() }[pane]();
    this.element.setAttribute("role", role);
    this.element.setAttribute("aria-label", label);
    this.element.dataset.pane = pane;
    // A focus that goes with its button is lost to the message, too.
    if (this.element.contains(document.activeElement)) this.element.focus();
    this.element.replaceChildren(...parts);
    if (focus) this.element.querySelector("button").focus();
  }

  #actions() {
    const can = this.#row?.can ?? {};
    const button = (name, label, shape) =>
      can[name] ? [el("button", { type: "button", "aria-label": label, title: label, on: { click: () => this.#do(name) } }, icon(shape))] : [];
    return ["toolbar", "Message", [
      ...button("react", "React", "smile"), ...button("reply", "Reply", "reply"), ...button("edit", "Edit", "pen"), ...button("remove", "Delete", "bin"),
    ]];
  }

  #emoji() {
    const mine = (emoji) => this.#row.reactions?.some((chip) => chip.mine && chip.emoji === emoji) ?? false;
    const buttons = AT_HAND.map((emoji) =>
      el("button", { type: "button", class: "emoji", "aria-pressed": String(mine(emoji)), text: emoji, on: { click: () => this.#done("react", emoji, !mine(emoji)) } }));
    const other = el("input", { "aria-label": "Another emoji", placeholder: "Other", autocomplete: "off", enterkeyhint: "done", maxlength: "128" });
    const form = el("form", {}, other);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const emoji = asEmoji(other.value);
      other.ariaInvalid = String(emoji === null);
      if (emoji !== null) this.#done("react", emoji, true);
    });
    return ["group", "React", [...buttons, form]];
  }

  #question() {
    const yes = el("button", { type: "button", class: "link", text: "Delete", on: { click: () => this.#done("remove") } });
    const no = el("button", { type: "button", class: "link", text: "Keep", on: { click: () => this.#back() } });
    return ["group", "Delete this message?", [el("span", { text: "Delete it for everybody?" }), yes, no]];
  }
}
