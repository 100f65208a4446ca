// Files that are on their way out, kept over a reload where the browser can. Falls back to memory.

const STORE = "blobs";

export class Blobs {
  #memory = new Map();
  #urls = new Map();

  /** `name` parts the accounts that use one browser. */
  constructor(name) {
    this.db = open(name).catch(() => null);
  }

  /** Keeps it; at once in memory, so that nothing waits for the disk. */
  async put(key, blob) {
    this.#memory.set(key, blob);
    await this.#do("readwrite", (store) => store.put(blob, key));
  }

  /** The file, or null. */
  async get(key) {
    return this.#memory.get(key) ?? (await this.#do("readonly", (store) => store.get(key))) ?? null;
  }

  async delete(key) {
    await this.#do("readwrite", (store) => store.delete(key));
  }

  /** Remove all but these. */
  async keepOnly(keys) {
    const wanted = new Set(keys);
    const all = (await this.#do("readonly", (store) => store.getAllKeys())) ?? [];
    for (const key of all) if (!wanted.has(key)) await this.delete(key);
  }

  /** An address of it in this page; null where it is not in memory (yet). */
  url(key) {
    const blob = this.#memory.get(key);
    if (!blob) return null;
    if (!this.#urls.has(key)) this.#urls.set(key, URL.createObjectURL(blob));
    return this.#urls.get(key);
  }

  /** Bring it to memory, so that `url` knows it. */
  async load(key) {
    const blob = await this.get(key);
    if (blob) this.#memory.set(key, blob);
  }

  async #do(mode, ask) {
    const db = await this.db;
    if (!db) return null;
    return new Promise((resolve) => {
      try {
        const transaction = db.transaction(STORE, mode);
        const request = ask(transaction.objectStore(STORE));
        transaction.oncomplete = () => resolve(request.result);
        transaction.onabort = transaction.onerror = () => resolve(null); // a full disk: memory has it
      } catch {
        resolve(null);
      }
    });
  }
}

function open(name) {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = request.onblocked = () => reject(request.error);
  });
}
