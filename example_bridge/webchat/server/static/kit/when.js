// Points in time in words. `at` and `now` are milliseconds since 1970; days are those of the reader.

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const dayFormat = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const yearFormat = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });
const shortFormat = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** A key that is the same for all moments of one day. */
export function dayOf(at) {
  const date = new Date(at);
  return `${date.getFullYear()}-${date.getMonth() + 1}-${date.getDate()}`;
}

export function clock(at) {
  return clockFormat.format(at);
}

function yesterday(now) {
  const date = new Date(now);
  date.setDate(date.getDate() - 1); // a day is not always 24 hours
  return date.getTime();
}

export function dayInWords(at, now) {
  if (dayOf(at) === dayOf(now)) return "Today";
  if (dayOf(at) === dayOf(yesterday(now))) return "Yesterday";
  return (new Date(at).getFullYear() === new Date(now).getFullYear() ? dayFormat : yearFormat).format(at);
}

/** For a list: the time if it was today, else the day. */
export function briefly(at, now) {
  return dayOf(at) === dayOf(now) ? clock(at) : shortFormat.format(at);
}
