// What this person has said and the server has not confirmed. It is in storage before it is sent, and goes out again
// after a reload or a broken connection, under the same nonce: the server makes one message of all repeats. Pure:
// storage, sending and time come from outside.

/** An error of `send` after which nobody knows, or it is known that it did not arrive: it will be sent again by itself. */
export class NotNow extends Error {}

/**
 * An entry is {nonce, chat, text, timestamp, state, reason?, more?, act?}: `more` is what else belongs to the words (an answer's
 * target, mentions); `act` is there when it is no message, but something done to one: {type, target, ...}. Its state is
 *   "waiting"  until there is a connection, or what was said before it in the same chat is through
 *   "sending"  on its way
 *   "sent"     the server has it; shown until the stream brings the real message
 *   "failed"   refused; a person decides
 */
export class Outbox {
  #entries = new Map(); // nonce -> entry, in the order in which they were said
  #arrived = new Set(); // ids of messages that the stream has brought
  #busy = new Set(); // chats in which one is on its way
  #open = false;
  #opened = 0; // how often

  /** `send(entry)` gives the id of what it made, by which the stream will know it, or throws NotNow or any other error; `changed(chat)` is told. */
  constructor({ storage, send, changed, now = Date.now, nonce = randomNonce }) {
    Object.assign(this, { storage, send, changed, now, nonce });
    const kept = storage.keys("unsent ").map((key) => parse(storage.get(key))).filter(Boolean);
    kept.sort((a, b) => a.timestamp - b.timestamp || a.order - b.order);
    for (const entry of kept) {
      if (entry.state !== "failed") entry.state = "waiting";
      this.#entries.set(entry.nonce, entry);
    }
    this.order = Math.max(0, ...kept.map((entry) => entry.order)); // two may be said in one millisecond
  }

  of(chat) {
    return [...this.#entries.values()].filter((entry) => entry.chat === chat);
  }

  chats() {
    return new Set([...this.#entries.values()].map((entry) => entry.chat));
  }

  /** Whether anything would be lost if this browser forgot everything. */
  get holdsUnsent() {
    return [...this.#entries.values()].some((entry) => entry.state !== "sent");
  }

  /** Say something. */
  add(chat, text, more = {}) {
    this.#begin(chat, { text, more });
  }

  /** Do something: an edit, a deletion, a reaction. It waits its turn as words do. */
  act(chat, act) {
    this.#begin(chat, { text: act.text ?? "", act });
  }

  #begin(chat, what) {
    const entry = { nonce: this.nonce(), chat, ...what, timestamp: this.now(), order: ++this.order, state: "waiting" };
    this.#keep(entry);
    this.#entries.set(entry.nonce, entry);
    this.#go(chat);
  }

  /** The connection is there, and the stream has brought everything that was said before. */
  open() {
    this.#open = true;
    this.#opened++;
    for (const chat of this.chats()) this.#go(chat);
  }

  /** The connection is gone: what has no answer yet waits. */
  close() {
    this.#open = false;
  }

  /** The stream has brought what was said or done. */
  seen({ id, nonce }) {
    this.#arrived.add(id);
    for (const entry of this.#entries.values()) if (entry.nonce === nonce || (entry.id ?? null) === id) this.#forget(entry);
  }

  retry(nonce) {
    const entry = this.#entries.get(nonce);
    if (entry?.state !== "failed") return;
    this.#become(entry, "waiting");
    this.#go(entry.chat);
  }

  discard(nonce) {
    const entry = this.#entries.get(nonce);
    if (entry?.state === "failed") this.#forget(entry);
  }

  async #go(chat) {
    this.changed(chat);
    if (this.#busy.has(chat)) return;
    this.#busy.add(chat);
    try {
      for (let entry; this.#open && (entry = this.of(chat).find(({ state }) => state === "waiting")); ) {
        this.#become(entry, "sending");
        const opened = this.#opened;
        try {
          const id = await this.send(entry);
          if (!this.#entries.has(entry.nonce)) continue; // its echo was quicker than the answer
          this.storage.delete(`unsent ${entry.nonce}`);
          if (this.#arrived.has(id)) this.#forget(entry);
          else this.#become(Object.assign(entry, { id }), "sent", "", false);
        } catch (error) {
          if (!this.#entries.has(entry.nonce)) continue;
          this.#become(entry, error instanceof NotNow ? "waiting" : "failed", error.message);
          // Until open() is called again, unless it was meanwhile.
          if (error instanceof NotNow && opened === this.#opened) break;
        }
      }
    } finally {
      this.#busy.delete(chat);
    }
  }

  #become(entry, state, reason = "", keep = true) {
    entry.state = state;
    entry.reason = reason;
    if (keep) this.#keep(entry);
    this.changed(entry.chat);
  }

  // One key for each: two windows of one browser never overwrite what the other has to say.
  #keep(entry) {
    this.storage.set(`unsent ${entry.nonce}`, JSON.stringify(entry));
  }

  #forget(entry) {
    this.#entries.delete(entry.nonce);
    this.storage.delete(`unsent ${entry.nonce}`);
    this.changed(entry.chat);
  }
}

function parse(json) {
  try {
    const entry = JSON.parse(json);
    return typeof entry?.nonce === "string" && typeof entry.text === "string" ? entry : null;
  } catch {
    return null;
  }
}

export function randomNonce() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
