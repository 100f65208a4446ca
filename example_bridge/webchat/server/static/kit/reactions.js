// Reactions: which emoji are at hand, what may be one, and how those at a message are told. Pure.

export const AT_HAND = ["👍", "❤️", "😂", "😮", "😢", "🙏"];
const LONGEST = 64; // code points

/** What was typed, as a reaction; null if it cannot be one. */
export function asEmoji(typed) {
  const text = typed.trim();
  return text && !/\s/u.test(text) && Array.from(text).length <= LONGEST ? text : null;
}

/** `who`: pairs of emoji and those who gave it, [{id, name}]. Chips {emoji, count, mine, label}, in the order given. */
export function chipsOf(who, me) {
  return [...who].map(([emoji, people]) => {
    const mine = people.some(({ id }) => id === me);
    const names = people.filter(({ id }) => id !== me).map(({ name }) => name);
    return { emoji, count: people.length, mine, label: `${emoji}, ${inWords([...(mine ? ["you"] : []), ...names])}` };
  });
}

/** "Ann", "Ann and Bob", "Ann, Bob and Carl", "Ann, Bob, Carl and 5 more". */
export function inWords(names) {
  if (names.length < 2) return names[0] ?? "";
  if (names.length > 4) return `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`;
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

/** "Vera is writing …", or nothing. */
export function writingInWords(names) {
  return names.length ? `${inWords(names)} ${names.length === 1 ? "is" : "are"} writing …` : "";
}
