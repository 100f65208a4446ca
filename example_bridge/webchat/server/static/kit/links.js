// Addresses: which ones may become links, and where there are some in plain text. Pure.

const SCHEMES = ["http:", "https:", "mailto:"];
// Not the bracket or full stop that ends the sentence around an address.
const ADDRESS = /https?:\/\/[^\s<>"'\u0000-\u001f\u2028-\u202e\u2066-\u2069]+/giu;

/** The address as it may be followed, or null. */
export function followable(value) {
  try {
    const url = new URL(value);
    return SCHEMES.includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** Text as pieces {text, href?}; joined again they are the text. */
export function withLinks(text) {
  const pieces = [];
  let from = 0;
  for (const match of text.matchAll(ADDRESS)) {
    const address = match[0].replace(/[.,;:!?…]+$/u, "").replace(/\)+$/u, (end) => (match[0].includes("(") ? end : ""));
    const href = followable(address);
    if (!href) continue;
    if (match.index > from) pieces.push({ text: text.slice(from, match.index) });
    pieces.push({ text: address, href });
    from = match.index + address.length;
  }
  if (from < text.length) pieces.push({ text: text.slice(from) });
  return pieces;
}
