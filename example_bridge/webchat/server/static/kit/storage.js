// What outlives a reload. Falls back to memory where the browser keeps nothing (private windows, a full disk).

/** `prefix` parts the accounts that use one browser. */
export function openStorage(prefix, backing = ownStorage()) {
  const memory = new Map();
  return {
    get(key) {
      if (memory.has(prefix + key)) return memory.get(prefix + key);
      try {
        return backing.getItem(prefix + key);
      } catch {
        return null;
      }
    },
    set(key, value) {
      try {
        backing.setItem(prefix + key, value);
        memory.delete(prefix + key);
      } catch {
        memory.set(prefix + key, value);
      }
    },
    delete(key) {
      memory.delete(prefix + key);
      try {
        backing.removeItem(prefix + key);
      } catch {
        // Nothing can be kept there, so there is nothing to take away.
      }
    },
    /** All keys that begin with `start`, without the prefix. */
    keys(start = "") {
      const found = new Set([...memory.keys()].filter((key) => key.startsWith(prefix + start)));
      try {
        for (let i = 0; i < backing.length; i++) if (backing.key(i).startsWith(prefix + start)) found.add(backing.key(i));
      } catch {
        // as above
      }
      return [...found].map((key) => key.slice(prefix.length));
    },
  };
}

function ownStorage() {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined; // every use throws, and memory takes over
  }
}
