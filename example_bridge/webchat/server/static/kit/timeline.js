// The list of what was said, as people see it. Stays at the end when it is there; keeps its place when it is not.

import { el, icon, reconcile } from "./dom.js";
import { avatar } from "./person.js";
import { rowsOf } from "./rows.js";
import { bubbleOf, drawChips, metaOf } from "./message.js";
import { Toolbar } from "./toolbar.js";

const AT_END = 48; // px from the end that still count as being there
const SHOWN = 150; // rows at first; more on demand, so that a long history costs nothing

export class Timeline {
  #id = null;
  #items = [];
  #shown = SHOWN;
  #bodies = new WeakMap(); // node -> what its body shows
  #rowOf = new WeakMap(); // node -> its row
  #fresh = 0; // messages that came while the reader was further up
  #count = 0;
  #lastKey = null;
  #wasAtEnd = true; // before the room for it changed

  /**
   * `body(item)` gives the node of a message's content; `retry(key)` and `discard(key)` are for those that failed.
   * `earlier()`, if the server may have more than is here, fetches it. `act` is what people do to messages (toolbar.js).
   */
  constructor({ label, body, retry, discard, earlier, empty, act = {} }) {
    Object.assign(this, { body, retry, discard, earlier, act });
    this.toolbar = new Toolbar({ act });
    this.more = el("button", { type: "button", class: "quiet more", text: "Show earlier messages" });
    this.more.addEventListener("click", () => this.#showEarlier());
    this.rows = el("ol", { class: "rows" });
    this.empty = el("p", { class: "empty", text: empty });
    // A log tells a screen reader what is added; it scrolls by keyboard, so it takes the focus.
    this.root = el("div", { class: "log", role: "log", "aria-label": label, tabindex: "0" }, this.more, this.empty, this.rows);
    this.jump = el("button", { type: "button", class: "jump", hidden: true }, icon("down"), el("span"));
    this.jump.addEventListener("click", () => {
      this.#toEnd();
      this.root.focus();
    });
    this.element = el("div", { class: "timeline" }, this.root, this.jump);
    this.root.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#listen();
    // The keyboard of a phone, or a composer that grows, takes room from below; a file that comes takes it from above.
    const stay = new ResizeObserver(() => this.#wasAtEnd && this.#toEnd());
    stay.observe(this.root);
    stay.observe(this.rows);
  }

  // The toolbar follows pointer and focus. Up and down go from message to message.
  #listen() {
    const messageOf = (target) => target.closest?.(".message");
    const go = (node) => this.toolbar.go(node ? this.#rowOf.get(node) : null, node ?? null);
    this.root.addEventListener("pointerover", ({ target }) => {
      const node = messageOf(target);
      if (node && !this.toolbar.busy) go(node);
    });
    this.root.addEventListener("pointerleave", ({ pointerType }) => pointerType === "mouse" && !this.toolbar.busy && go(null));
    this.root.addEventListener("focusin", ({ target }) => go(messageOf(target)));
    this.root.addEventListener("focusout", ({ relatedTarget }) => !this.root.contains(relatedTarget) && go(null));
    this.root.addEventListener("keydown", (event) => {
      const { target, key } = event;
      if (target !== this.root && !target.matches(".message")) return;
      const all = [...this.rows.querySelectorAll(":scope > .message")];
      const at = all.indexOf(target);
      const next = key === "ArrowUp" ? all.at(at < 0 ? -1 : Math.max(0, at - 1)) : key === "ArrowDown" && at >= 0 ? all[at + 1] : null;
      if (next) next.focus();
      else if (key === "Escape" && at >= 0) this.root.focus();
      else if (!(at >= 0 && this.toolbar.takes(event))) return;
      event.preventDefault();
    });
  }

  /** Show the message with this id, and put the focus there; whether it is here. */
  jumpTo(id) {
    const at = this.#items.findIndex((item) => item.id === id);
    if (at < 0) return false;
    if (this.#items.length - at > this.#shown) {
      this.#shown = this.#items.length - at + 10;
      this.#draw();
    }
    const node = [...this.rows.children].find((child) => this.#rowOf.get(child)?.id === id);
    node.scrollIntoView({ block: "center" });
    node.focus({ preventScroll: true });
    return true;
  }

  get atEnd() {
    return this.#atEnd;
  }

  /** Show `items` of the conversation `id`; `complete` when the server has nothing earlier. */
  show(id, items, { complete = true, now = Date.now() } = {}) {
    const other = id !== this.#id;
    if (other) {
      Object.assign(this.root, { ariaBusy: "true" }); // a whole conversation is not news
      this.rows.replaceChildren();
      this.#shown = SHOWN;
      this.#fresh = 0;
    }
    const stay = other || this.#atEnd;
    const came = other ? 0 : items.length - this.#count;
    const newest = items.at(-1);
    const grew = came > 0 && newest.key !== this.#lastKey;
    if (grew && !stay && newest.kind === "message" && !newest.mine) this.#fresh += came;
    const ours = grew && newest.mine && newest.state !== undefined;
    this.#id = id;
    this.#items = items;
    this.#count = items.length;
    this.#lastKey = newest?.key ?? null;
    this.complete = complete;
    if (!stay && grew && !ours) this.#shown += came; // what is being read must not move away
    this.#draw(now);
    if (stay || ours) this.#toEnd();
    this.#showJump();
    if (other) requestAnimationFrame(() => (this.root.ariaBusy = null));
  }

  #draw(now = Date.now()) {
    const items = this.#items.slice(-this.#shown);
    this.more.hidden = this.complete && items.length === this.#items.length;
    this.empty.hidden = this.#items.length > 0 || !this.complete;
    reconcile(this.rows, rowsOf(items, now), {
      key: (row) => row.key,
      make: (row) => this.#make(row),
      update: (node, row) => this.#update(node, row),
    });
  }

  #make(row) {
    if (row.kind === "day") return el("li", { class: "day" }, el("span", { text: row.text }));
    if (row.kind === "notice") return el("li", { class: "notice" });
    return el(
      "li",
      { class: "message", tabindex: "-1" },
      el("div", { class: "who" }, el("bdi", { class: "name" }), el("span", { class: "via" })),
      el("div", { class: "picture" }),
      el("div", { class: "bubble" }),
      el("div", { class: "reactions" }),
      el("div", { class: "meta" }),
    );
  }

  #update(node, row) {
    if (row.kind === "day") return;
    if (row.kind === "notice") {
      if (node.textContent !== row.text) node.replaceChildren(el("span", { text: row.text }));
      return;
    }
    this.#rowOf.set(node, row);
    if (node.contains(this.toolbar.element)) this.toolbar.go(row, node);
    const marks = { mine: row.mine, first: row.first, last: row.last, deleted: row.deleted, "for-me": row.forMe, trouble: row.trouble };
    node.className = ["message", ...Object.keys(marks).filter((name) => marks[name]), row.state].filter(Boolean).join(" ");
    const [who, picture, bubble, reactions, meta] = node.children;
    this.#once(who, `${row.sender.name}\n${row.via ?? ""}`, () => {
      who.style.setProperty("--hue", avatar(row.sender).style.getPropertyValue("--hue"));
      who.children[0].textContent = row.mine ? "You" : row.sender.name;
      who.children[1].textContent = row.via ? `via ${row.via}` : "";
    });
    this.#once(picture, row.first ? `${row.sender.id}\n${row.sender.name}\n${row.sender.picture ?? ""}` : "", () =>
      picture.replaceChildren(...(row.first ? [avatar(row.sender)] : [])),
    );
    this.#once(bubble, JSON.stringify([row.version ?? row.key, row.reply, row.edited]), () =>
      bubble.replaceChildren(...bubbleOf(row, this.body(row), (id) => this.jumpTo(id))),
    );
    this.#once(reactions, JSON.stringify(row.reactions ?? []), () =>
      drawChips(reactions, row.reactions ?? [], (emoji, added) => this.act.react(this.#rowOf.get(node), emoji, added)),
    );
    const said = JSON.stringify([row.timestamp, row.state, row.reason, row.readers, row.trouble]);
    this.#once(meta, said, () => meta.replaceChildren(...metaOf(row, this)));
  }

  // Draw a part of a row only when what it shows has changed.
  #once(node, shows, draw) {
    if (this.#bodies.get(node) === shows) return;
    this.#bodies.set(node, shows);
    draw();
  }

  async #showEarlier() {
    const before = this.root.scrollHeight - this.root.scrollTop;
    if (this.#shown < this.#items.length || this.complete) {
      this.#shown += SHOWN;
      this.#draw();
    } else {
      this.more.disabled = true;
      this.more.textContent = "Fetching …";
      try {
        const came = await this.earlier();
        this.#shown += came;
        this.#count += came;
        this.#draw();
        this.more.textContent = "Show earlier messages";
      } catch {
        this.more.textContent = "That did not work. Try again";
      }
      this.more.disabled = false;
    }
    this.root.scrollTop = this.root.scrollHeight - before;
    if (this.more.hidden) this.root.focus();
  }

  get #atEnd() {
    return this.root.scrollHeight - this.root.scrollTop - this.root.clientHeight < AT_END;
  }

  #toEnd() {
    this.root.scrollTop = this.root.scrollHeight;
    this.#fresh = 0;
  }

  #scrolled() {
    this.#wasAtEnd = this.#atEnd;
    if (this.#atEnd) this.#fresh = 0;
    this.#showJump();
  }

  #showJump() {
    this.jump.hidden = this.#atEnd;
    this.jump.lastElementChild.textContent =
      this.#fresh === 0 ? "To the end" : this.#fresh === 1 ? "1 new message" : `${this.#fresh} new messages`;
  }
}
