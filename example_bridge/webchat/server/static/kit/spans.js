// What is marked in a text that is being written: finding the @ one is typing, and keeping marks where they belong. Pure.
// Offsets count UTF-16 code units, as a text field's do.

const LONGEST_QUERY = 40; // code units after an @; longer than that nobody searches

/** The mention that is being typed before the caret: {start, query}; null if none is. */
export function queryAt(text, caret) {
  const start = text.slice(0, caret).lastIndexOf("@");
  if (start < 0 || caret - start > LONGEST_QUERY || (start > 0 && /[\p{L}\p{N}@]/u.test(text[start - 1]))) return null;
  const query = text.slice(start + 1, caret);
  return /\n|\s\s|^\s/u.test(query) ? null : { start, query };
}

/** Those whose name, or a word of it, begins with what was typed; the best first. People are {id, name}. */
export function candidates(people, query, limit = 6) {
  const typed = plain(query);
  const rank = ({ name }) => (plain(name).startsWith(typed) ? 0 : plain(name).split(/[\s\p{P}]+/u).some((word) => word.startsWith(typed)) ? 1 : 2);
  return people
    .map((person) => ({ person, at: rank(person) }))
    .filter(({ at }) => at < 2)
    .sort((a, b) => a.at - b.at)
    .slice(0, limit)
    .map(({ person }) => person);
}

function plain(text) {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}

/**
 * The spans {start, end, ...} after a text became another. Those behind the change move with it; one that was changed inside
 * is gone, or, with `grow`, has the change in it.
 */
export function moved(spans, before, after, { grow = false } = {}) {
  const shorter = Math.min(before.length, after.length);
  let head = 0;
  while (head < shorter && before[head] === after[head]) head++;
  let tail = 0;
  while (tail < shorter - head && before.at(-1 - tail) === after.at(-1 - tail)) tail++;
  const [from, to, by] = [head, before.length - tail, after.length - before.length];
  return spans.flatMap((span) => {
    if (span.end <= from) return [span];
    if (span.start >= to) return [{ ...span, start: span.start + by, end: span.end + by }];
    const inside = span.start <= from && to <= span.end;
    return grow && inside && span.end + by > span.start ? [{ ...span, end: span.end + by }] : [];
  });
}

/** A text in which what was typed from `start` to `caret` has become the mention `mark` of a person called `name`. */
export function withMention(text, start, caret, name, mark) {
  const words = `@${name}`;
  const after = text.slice(caret);
  const space = /^\s/u.test(after) ? "" : " ";
  return { text: text.slice(0, start) + words + space + after, caret: start + words.length + 1, mention: { start, end: start + words.length, ...mark } };
}
