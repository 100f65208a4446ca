// One message as it is now: what edits, deletions and reactions make of it, and what this person's own acts will. Pure.
// The rules are those of PROTOCOL.md ("Events").

/** What is kept of a message: {message, seq, reactions: emoji -> set of accounts}. */
export function saidOf(message, seq) {
  return { message, seq, reactions: new Map() };
}

export function edit(said, { revision, text, format, mentions, superseded, timestamp }) {
  const { message } = said;
  if (superseded || message.deleted || revision < (message.revision ?? 0)) return;
  said.message = { ...message, text, format, mentions, revision, edited_at: timestamp };
}

export function remove(said) {
  const { text, format, mentions, reply_to: target, files, location, ...rest } = said.message;
  said.message = { ...rest, text: "", deleted: true };
  said.reactions.clear();
}

/** A file has arrived, or will not. */
export function media(said, { file: id, state, size, mimetype }) {
  const { message } = said;
  const files = (message.files ?? []).map((file) => (file.id === id ? { ...file, state, size, mimetype: file.mimetype || mimetype } : file));
  if (files.length) said.message = { ...message, files };
}

export function react(said, { actor, emoji, added }) {
  if (said.message.deleted) return;
  const who = said.reactions.get(emoji) ?? new Set();
  if (added) said.reactions.set(emoji, who.add(actor));
  else if (who.delete(actor) && !who.size) said.reactions.delete(emoji);
}

/** As it will be when the entries of the outbox that act on it have arrived; what was refused changes nothing. */
export function withActs(said, entries, me) {
  if (!entries.length) return said;
  const reactions = new Map([...said.reactions].map(([emoji, who]) => [emoji, new Set(who)]));
  const will = { ...said, reactions };
  for (const { act, state, timestamp } of entries) {
    if (state === "failed") continue;
    if (act.type === "edit") edit(will, { ...act, revision: (will.message.revision ?? 0) + 1, timestamp });
    else if (act.type === "delete") remove(will);
    else if (act.type === "react") react(will, { ...act, actor: me });
  }
  return will;
}
