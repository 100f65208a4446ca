// The small list of people under an @ that is being typed. The focus stays in the text; up, down, Enter, Tab and Escape work it.

import { el } from "./dom.js";
import { avatar } from "./person.js";
import { candidates, queryAt } from "./spans.js";

export class MentionPicker {
  #found = [];
  #at = 0;
  #query = null;
  #refused = -1; // where an @ begins whose list was sent away

  /** `people()` gives {id, name, picture?, mark}; `picked(person, start, caret)` is told which was chosen. */
  constructor({ text, people, picked }) {
    Object.assign(this, { text, people, picked });
    this.element = el("ul", { class: "mentions", id: "mention-list", role: "listbox", "aria-label": "People", hidden: true });
    text.setAttribute("aria-autocomplete", "list");
    text.setAttribute("aria-controls", "mention-list");
    text.addEventListener("blur", () => this.close());
    text.addEventListener("click", () => this.update());
  }

  /** The text or the caret has changed. */
  update() {
    const { value, selectionStart, selectionEnd } = this.text;
    this.#query = selectionStart === selectionEnd ? queryAt(value, selectionStart) : null;
    if (this.#query?.start !== this.#refused) this.#refused = -1;
    this.#found = this.#query && this.#refused < 0 ? candidates(this.people(), this.#query.query) : [];
    this.#at = 0;
    this.#draw();
  }

  close() {
    this.#found = [];
    this.#draw();
  }

  /** Whether a key was for the list. */
  takes(event) {
    if (!this.#found.length) return false;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) this.#at = (this.#at + step + this.#found.length) % this.#found.length;
    else if ((event.key === "Enter" && !event.shiftKey) || (event.key === "Tab" && !event.shiftKey)) return this.#pick(this.#found[this.#at]);
    else if (event.key === "Escape") {
      this.#refused = this.#query.start;
      this.#found = [];
    } else return false;
    this.#draw();
    return true;
  }

  #pick(person) {
    const { start } = this.#query;
    this.close();
    this.picked(person, start, this.text.selectionStart);
    return true;
  }

  #draw() {
    this.element.hidden = !this.#found.length;
    this.element.replaceChildren(
      ...this.#found.map((person, i) => {
        const option = el("li", { id: `mention-${i}`, role: "option", "aria-selected": String(i === this.#at) },
          avatar({ id: person.id, name: person.name, picture: person.picture }), el("bdi", { text: person.name }));
        option.addEventListener("pointerdown", (event) => {
          event.preventDefault(); // the focus stays where it is
          this.#pick(person);
        });
        return option;
      }),
    );
    if (this.#found.length) this.text.setAttribute("aria-activedescendant", `mention-${this.#at}`);
    else this.text.removeAttribute("aria-activedescendant");
  }
}
