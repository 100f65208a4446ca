// From what was said to rows on the screen: days are parted, what one person says in a row stands together. Pure.

import { dayInWords, dayOf } from "./when.js";

const TOGETHER = 5 * 60 * 1000; // ms; after a longer silence a new group begins

/**
 * An item is {key, kind: "message" or "notice", timestamp, ...}; a message has sender {id, name}, mine, and maybe via, state.
 * Rows are the same with `first` and `last` of their group, and {key, kind: "day", text} before each new day.
 */
export function rowsOf(items, now) {
  const rows = [];
  let day = null;
  let previous = null;
  for (const item of items) {
    const itsDay = dayOf(item.timestamp);
    if (itsDay !== day) {
      rows.push({ key: `day ${itsDay}`, kind: "day", text: dayInWords(item.timestamp, now) });
      day = itsDay;
      previous = null;
    }
    if (item.kind !== "message") {
      rows.push(item);
      previous = null;
      continue;
    }
    const goesOn = previous !== null && sameGroup(previous, item);
    const row = { ...item, first: !goesOn, last: true };
    if (goesOn) previous.last = false;
    rows.push(row);
    previous = row;
  }
  return withoutRepeatedDays(rows);
}

function sameGroup(before, after) {
  return (
    before.sender.id === after.sender.id &&
    before.sender.name === after.sender.name &&
    before.via === after.via &&
    after.timestamp - before.timestamp < TOGETHER
  );
}

// Clocks of servers differ: a day may come back, and keys must not repeat.
function withoutRepeatedDays(rows) {
  const seen = new Map();
  return rows.map((row) => {
    if (row.kind !== "day") return row;
    const times = (seen.get(row.key) ?? 0) + 1;
    seen.set(row.key, times);
    return times === 1 ? row : { ...row, key: `${row.key} (${times})` };
  });
}
