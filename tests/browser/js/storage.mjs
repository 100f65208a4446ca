/** Storage as browsers have it. */
export function backing() {
  const map = new Map();
  return {
    getItem: (key) => map.get(key) ?? null,
    setItem: (key, value) => map.set(key, value),
    removeItem: (key) => map.delete(key),
    key: (i) => [...map.keys()][i],
    get length() {
      return map.size;
    },
  };
}
