// The dialog in which one picks a person to write to.

import { el } from "./kit/dom.js";
import { avatar } from "./kit/person.js";

export class PeopleDialog {
  #accounts = [];

  constructor(dialog, opened) {
    Object.assign(this, { dialog, opened });
    this.search = dialog.querySelector("input");
    this.list = dialog.querySelector("ul");
    this.error = dialog.querySelector(".error");
    this.search.addEventListener("input", () => this.#draw());
    this.search.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      this.list.querySelector("button")?.click();
    });
  }

  /** `visit` is whose conversation it will be. */
  async open(visit) {
    this.visit = visit;
    this.search.value = "";
    this.error.textContent = "";
    this.#draw();
    this.dialog.showModal();
    this.search.focus();
    try {
      const { accounts } = await visit.api("GET", "/api/accounts");
      visit.chats.learnPeople(accounts);
      this.#accounts = accounts.filter(({ id }) => id !== visit.me.id);
      this.#draw();
    } catch {
      this.error.textContent = "The network does not say who is there. Close this, and try again later.";
    }
  }

  #draw() {
    const words = this.search.value.trim().toLocaleLowerCase();
    const found = this.#accounts.filter(({ name }) => name.toLocaleLowerCase().includes(words)).slice(0, 50);
    this.list.replaceChildren(
      ...found.map((account) =>
        el("li", {}, el("button", { type: "button", on: { click: () => this.#choose(account) } },
          avatar({ id: account.id, name: account.name, picture: account.avatar_url }),
          el("bdi", { text: account.name }), el("span", { class: "kind", text: account.kind }))),
      ),
    );
  }

  async #choose(account) {
    try {
      const chat = await this.visit.api("POST", "/api/chats", { kind: "direct", members: [account.id] });
      this.dialog.close();
      this.opened(chat.id); // its events come over the stream
    } catch (error) {
      this.error.textContent = error.code ? error.message : "The network does not answer. Try again later.";
    }
  }
}
