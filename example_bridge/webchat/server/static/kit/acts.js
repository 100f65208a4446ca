// What the outbox holds that is no message, but done to one. Pure.

const REFUSED = { edit: "Not changed", delete: "Not deleted", react: "Reaction not sent" };

/** What a row says of the acts on it that are on their way, or were refused: {state?, trouble?: {words, nonce}}. */
export function actsInWords(entries) {
  const failed = entries.findLast(({ state }) => state === "failed");
  const changes = entries.findLast(({ act, state }) => act.type !== "react" && (state === "waiting" || state === "sending"));
  return {
    state: changes?.state,
    trouble: failed && { words: `${REFUSED[failed.act.type]}: ${failed.reason}`, nonce: failed.nonce },
  };
}

/** Entries of an outbox by what they act on. */
export function actsByTarget(entries) {
  const found = new Map();
  for (const entry of entries) {
    if (!entry.act) continue;
    if (!found.has(entry.act.target)) found.set(entry.act.target, []);
    found.get(entry.act.target).push(entry);
  }
  return found;
}
