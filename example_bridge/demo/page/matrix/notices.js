// State events in words. Pure.

/** The name in an m.room.member event, or null. */
export function displayName(member) {
  const name = member?.content?.displayname;
  return typeof name === "string" && name.trim() ? name : null;
}

/** What an event that is no message says in words; nothing of those that concern only machines. */
export const NOTICES = {
  "m.room.member": (event, name) => {
    const now = event.content?.membership;
    const before = event.unsigned?.prev_content ?? event.prev_content;
    const who = displayName(event) ?? displayName({ content: before }) ?? event.state_key;
    if (now === "join" && before?.membership === "join") {
      const old = displayName({ content: before });
      return old && old !== who ? `${old} is now ${who}` : null;
    }
    if (now === "join") return `${who} joined`;
    if (now === "invite") return `${name(event.sender)} invited ${who}`;
    if (now === "leave") return event.sender === event.state_key ? `${who} left` : `${name(event.sender)} removed ${who}`;
    if (now === "ban") return `${name(event.sender)} banned ${who}`;
    return null;
  },
  "m.room.create": (event, name) => `${name(event.sender)} made this room`,
  "m.room.name": (event) => (event.content?.name ? `The room is called “${event.content.name}”` : null),
  "m.room.tombstone": () => "This room has been replaced by another",
};
