// Files on their way out: after their messages, beside each other, again after a reload or a broken connection. Pure:
// storage, files and sending come from outside.

import { NotNow } from "./outbox.js";

const AT_ONCE = 2;

/** An entry is {id, local, state, sent, total, reason?}; its state is "waiting", "uploading" or "failed". */
export class Uploads {
  #entries = new Map(); // id -> entry
  #locals = new Map(); // id -> key of the blob, also of those that are through
  #aborts = new Map(); // id -> AbortController
  #open = false;

  /**
   * `send(id, blob, {signal, progress})` resolves when the network has it; it throws NotNow where a later try may work.
   * `gaveUp(id)` tells the network that it will not come. `changed(id)` is told.
   */
  constructor({ storage, blobs, send, gaveUp, changed = () => {} }) {
    Object.assign(this, { storage, blobs, send, gaveUp, changed });
    for (const key of storage.keys("upload ")) {
      const id = key.slice("upload ".length);
      const [local, failed] = JSON.parse(storage.get(key));
      this.#entries.set(id, { id, local, state: failed ? "failed" : "waiting", sent: 0, total: 0, reason: failed || "" });
      this.#locals.set(id, local);
    }
  }

  /** Keys of the blobs that are still needed. */
  get locals() {
    return [...this.#entries.values()].map(({ local }) => local);
  }

  of(id) {
    return this.#entries.get(id) ?? null;
  }

  /** The blob that was sent as this file from this page. */
  localOf(id) {
    return this.#locals.get(id) ?? null;
  }

  get busy() {
    return this.#entries.size > 0;
  }

  /** Its message goes out: bring it. A repeat does nothing. */
  add(id, local) {
    if (this.#locals.has(id)) return;
    this.#locals.set(id, local);
    this.#entries.set(id, { id, local, state: "waiting", sent: 0, total: 0, reason: "" });
    this.#keep(id);
    this.#go();
  }

  open() {
    this.#open = true;
    this.#go();
  }

  close() {
    this.#open = false;
  }

  retry(id) {
    const entry = this.#entries.get(id);
    if (entry?.state !== "failed") return;
    this.#become(entry, "waiting");
    this.#go();
  }

  /** It shall not go; nothing of it stays. */
  cancel(id) {
    const entry = this.#entries.get(id);
    if (!entry) return;
    this.#forget(entry);
    this.#aborts.get(id)?.abort();
    this.gaveUp(id);
  }

  /** Its message is deleted, or it is there: nothing is left to do. */
  done(id) {
    const entry = this.#entries.get(id);
    if (entry) this.#forget(entry);
    this.#aborts.get(id)?.abort();
  }

  /** The page is left, or the account: what is on its way stops, and begins again with the next visit. */
  end() {
    this.#open = false;
    for (const abort of this.#aborts.values()) abort.abort(new NotNow("left"));
  }

  #go() {
    for (const entry of this.#entries.values()) {
      if (!this.#open || this.#aborts.size >= AT_ONCE) return;
      if (entry.state === "waiting") this.#upload(entry);
    }
  }

  async #upload(entry) {
    const abort = new AbortController();
    this.#aborts.set(entry.id, abort);
    this.#become(entry, "uploading");
    let later = false;
    try {
      const blob = await this.blobs.get(entry.local);
      if (!blob) throw new Error("the file is no longer in this browser");
      entry.total = blob.size;
      await this.send(entry.id, blob, {
        signal: abort.signal,
        progress: (sent) => {
          entry.sent = sent;
          if (this.#entries.has(entry.id)) this.changed(entry.id);
        },
      });
      this.#forget(entry);
    } catch (error) {
      if (this.#entries.get(entry.id) !== entry) return; // cancelled, or done otherwise
      entry.sent = 0;
      later = error instanceof NotNow || !this.#open; // what breaks with the connection comes back with it
      this.#become(entry, later ? "waiting" : "failed", error.message);
    } finally {
      this.#aborts.delete(entry.id);
      if (!later) this.#go(); // else with the next open()
    }
  }

  #become(entry, state, reason = "") {
    Object.assign(entry, { state, reason });
    this.#keep(entry.id);
    this.changed(entry.id);
  }

  #keep(id) {
    const { local, state, reason } = this.#entries.get(id);
    this.storage.set(`upload ${id}`, JSON.stringify([local, state === "failed" ? reason : ""]));
  }

  #forget(entry) {
    this.#entries.delete(entry.id);
    this.storage.delete(`upload ${entry.id}`);
    this.blobs.delete(entry.local);
    this.changed(entry.id);
  }
}
