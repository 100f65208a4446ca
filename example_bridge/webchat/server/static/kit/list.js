// The list of conversations. Up and down go through it, Enter opens.

import { el, reconcile } from "./dom.js";
import { avatar } from "./person.js";
import { briefly } from "./when.js";

export class ConversationList {
  constructor({ label, open, empty }) {
    this.open = open;
    this.items = el("ul", { class: "conversations" });
    this.empty = el("p", { class: "empty", text: empty });
    this.element = el("nav", { "aria-label": label }, this.items, this.empty);
    this.items.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const at = event.target.closest("li");
      if (!step || !at) return;
      event.preventDefault();
      (step > 0 ? at.nextElementSibling : at.previousElementSibling)?.querySelector("button")?.focus();
    });
  }

  /** Entries are {id, title, picture?, preview, timestamp?, unread, label?}; `current` is the id of the open one. */
  show(entries, current, now = Date.now()) {
    this.empty.hidden = entries.length > 0;
    reconcile(this.items, entries, {
      key: (entry) => entry.id,
      make: (entry) =>
        el(
          "li",
          {},
          el(
            "button",
            { type: "button", class: "conversation", on: { click: () => this.open(entry.id) } },
            el("span", { class: "picture" }),
            el("bdi", { class: "title" }),
            el("time"),
            el("span", { class: "preview", dir: "auto" }),
            el("span", { class: "unread" }),
          ),
        ),
      update: (node, entry) => this.#update(node.firstElementChild, entry, entry.id === current, now),
    });
  }

  #update(button, entry, current, now) {
    const [picture, title, time, preview, unread] = button.children;
    const looks = `${entry.id}\n${entry.title}\n${entry.picture ?? ""}`;
    if (picture.dataset.looks !== looks) {
      picture.dataset.looks = looks;
      picture.replaceChildren(avatar({ id: entry.colour ?? entry.id, name: entry.title, picture: entry.picture }));
    }
    set(title, entry.title);
    set(time, entry.timestamp ? briefly(entry.timestamp, now) : "");
    set(preview, entry.preview);
    const words = entry.unread ? `${entry.unread > 99 ? "99+" : entry.unread}` : "";
    if (unread.textContent !== words) unread.replaceChildren(words);
    unread.ariaLabel = words ? `${words} unread` : null;
    unread.role = words ? "img" : null; // so that the label is read instead of the bare number
    unread.hidden = !words;
    button.classList.toggle("has-unread", entry.unread > 0);
    if (current) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }

  /** Move the focus to the open conversation, or the first one. */
  focus() {
    (this.items.querySelector("[aria-current]") ?? this.items.querySelector("button"))?.focus();
  }
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
