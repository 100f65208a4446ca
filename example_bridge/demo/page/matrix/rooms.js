// What /sync has told about rooms. Answers go in, what views show comes out. Pure.

const NAMELESS = "Empty room";

export class Rooms {
  #rooms = new Map(); // id -> room

  /** `me` is the user id. */
  constructor({ me }) {
    this.me = me;
  }

  has(id) {
    return this.#rooms.get(id)?.membership === "join";
  }

  #room(id) {
    if (!this.#rooms.has(id)) {
      this.#rooms.set(id, {
        id, membership: "join", state: new Map(), events: [], known: new Map(), edits: new Map(), gone: new Set(),
        before: null, heroes: [], unread: 0, invitedBy: null,
      });
    }
    return this.#rooms.get(id);
  }

  /** One answer of /sync. The events it brought, as the outbox wants them: {id, nonce}. */
  take({ rooms = {} }) {
    const seen = [];
    for (const [id, news] of Object.entries(rooms.join ?? {})) {
      const room = this.#room(id);
      room.membership = "join";
      room.heroes = news.summary?.["m.heroes"] ?? room.heroes;
      room.unread = news.unread_notifications?.notification_count ?? room.unread;
      for (const event of news.state?.events ?? []) this.#setState(room, event);
      const { events = [], limited, prev_batch: before = null } = news.timeline ?? {};
      if (limited && room.events.length) {
        // Between what is known and this there is a hole: what is above it can be fetched again.
        room.events = [];
        room.known.clear();
      }
      if (!room.events.length) room.before = before;
      if (events.some(({ type }) => type === "m.room.create")) room.before = null; // there is nothing before it
      for (const event of events) {
        if (event.state_key !== undefined) this.#setState(room, event);
        this.#add(room, event, "end");
        seen.push({ id: event.event_id, nonce: event.unsigned?.transaction_id });
      }
    }
    for (const [id, { invite_state: state }] of Object.entries(rooms.invite ?? {})) {
      const room = this.#room(id);
      room.membership = "invite";
      for (const event of state?.events ?? []) this.#setState(room, event);
      room.invitedBy = room.state.get(`m.room.member ${this.me}`)?.sender ?? null;
    }
    for (const id of Object.keys(rooms.leave ?? {})) this.#rooms.delete(id);
    return seen;
  }

  /** A page of /messages before what is known; how many lines it brought. */
  takeEarlier(id, { chunk, state = [], end = null }) {
    const room = this.#room(id);
    for (const event of state) if (!room.state.has(stateKey(event))) this.#setState(room, event);
    const count = this.items(id, []).length;
    for (const event of chunk) this.#add(room, event, "start");
    // Nothing is before a room's creation; homeservers that offer more after it have nothing to give.
    room.before = chunk.length && !chunk.some(({ type }) => type === "m.room.create") ? end : null;
    return this.items(id, []).length - count;
  }

  #setState(room, event) {
    const key = stateKey(event);
    room.state.set(key, event);
  }

  #add(room, event, where) {
    if (room.known.has(event.event_id)) return;
    room.known.set(event.event_id, event);
    if (event.type === "m.room.redaction") {
      room.gone.add(event.redacts ?? event.content?.redacts);
      return;
    }
    const relation = event.content?.["m.relates_to"];
    if (relation?.rel_type === "m.replace" && event.content["m.new_content"]) {
      // Edits of others than the author count for nothing. Going back, the first one met is the latest.
      const key = `${relation.event_id} ${event.sender}`;
      if (where === "end" || !room.edits.has(key)) room.edits.set(key, event);
      return;
    }
    if (where === "end") room.events.push(event);
    else room.events.unshift(event);
  }

  /** From where earlier events can be fetched; null if there are none. */
  before(id) {
    return this.#room(id).before;
  }

  /** Rooms to which somebody has invited, and who. */
  invitations() {
    return [...this.#rooms.values()]
      .filter(({ membership }) => membership === "invite")
      .map((room) => ({ id: room.id, by: room.invitedBy ? this.#name(room, room.invitedBy) : "somebody" }));
  }

  title(id) {
    const room = this.#room(id);
    const name = room.state.get("m.room.name ")?.content?.name;
    if (name) return name;
    return this.#partners(room).map((user) => this.#name(room, user)).join(", ") || NAMELESS;
  }

  /** In words, for under the title. */
  about(id) {
    const room = this.#room(id);
    const network = bridgeOf(room)?.protocol?.displayname;
    return room.state.get("m.room.topic ")?.content?.topic ?? (network ? `bridged to ${network}` : "");
  }

  // With whom one speaks there. Bots that only serve the room (MSC4171), as a bridge's (MSC2346), have no part in its name.
  #partners(room) {
    const named = room.state.get("io.element.functional_members ")?.content?.service_members;
    const servants = [...(Array.isArray(named) ? named : []), bridgeOf(room)?.bridgebot];
    const heroes = room.heroes.length ? room.heroes : this.#others(room);
    const people = heroes.filter((user) => !servants.includes(user));
    return people.length ? people : heroes;
  }

  #others(room) {
    return [...room.state.values()]
      .filter((event) => event.type === "m.room.member" && event.state_key !== this.me && ["join", "invite"].includes(event.content?.membership))
      .map((event) => event.state_key);
  }

  #name(room, user) {
    const name = displayName(room.state.get(`m.room.member ${user}`));
    if (!name) return user;
    const twin = [...room.state.values()].some(
      (event) => event.type === "m.room.member" && event.state_key !== user && event.content?.membership === "join" && displayName(event) === name,
    );
    return twin ? `${name} (${user})` : name;
  }

  #item(room, event) {
    const common = { key: event.unsigned?.transaction_id ?? event.event_id, id: event.event_id, timestamp: event.origin_server_ts };
    if (event.type === "m.room.message" || event.type === "m.room.encrypted" || event.type === "m.sticker") {
      const edit = room.edits.get(`${event.event_id} ${event.sender}`);
      const redacted = room.gone.has(event.event_id) || event.unsigned?.redacted_because;
      const mine = event.sender === this.me;
      return {
        ...common,
        kind: "message",
        version: redacted ? `${event.event_id} gone` : (edit?.event_id ?? event.event_id),
        mine,
        sender: { id: event.sender, name: this.#name(room, event.sender) },
        state: mine ? "sent" : undefined,
        content: redacted
          ? { aside: "This message was deleted" }
          : event.type === "m.room.encrypted"
            ? { aside: "Encrypted: this small view cannot read it" }
            : { ...(edit?.content["m.new_content"] ?? event.content), edited: edit !== undefined },
      };
    }
    if (event.type === "m.room.member" && this.#goesWithoutSaying(room, event)) return null;
    const text = NOTICES[event.type]?.(event, (user) => this.#name(room, user));
    return text ? { ...common, kind: "notice", text } : null;
  }

  // The maker's own coming in, and the invitation of somebody who has come.
  #goesWithoutSaying(room, { content, state_key: user }) {
    if (content?.membership === "join") return room.state.get("m.room.create ")?.sender === user && user !== this.me;
    return content?.membership === "invite" && room.state.get(`m.room.member ${user}`)?.content?.membership === "join";
  }

  /** What was said, in order, and after it what is still on its way. */
  items(id, unsent) {
    const room = this.#room(id);
    const own = unsent.map(({ nonce, text, timestamp, state, reason }) => ({
      key: nonce, version: nonce, kind: "message", timestamp, mine: true, state, reason,
      sender: { id: this.me, name: this.#name(room, this.me) }, content: { msgtype: "m.text", body: text },
    }));
    return [...room.events.map((event) => this.#item(room, event)).filter(Boolean), ...own];
  }

  /** The id of the last event in it. */
  lastEvent(id) {
    return this.#room(id).events.at(-1)?.event_id ?? null;
  }

  unread(id) {
    return this.#room(id).unread;
  }

  /** The homeserver is being told that all of it was seen; its next count is the truth. */
  markRead(id) {
    this.#room(id).unread = 0;
  }

  /** Entries of the list, the one with the latest word first. */
  list(unsentOf) {
    const entries = [...this.#rooms.values()].filter(({ membership }) => membership === "join").map((room) => {
      const items = this.items(room.id, unsentOf(room.id));
      const last = items.findLast((item) => item.kind === "message");
      const words = last?.content.aside ?? last?.content.body;
      return {
        id: room.id,
        title: this.title(room.id),
        colour: this.#partners(room)[0] ?? room.id,
        preview: typeof words === "string" ? (last.mine ? "You: " : "") + words.slice(0, 200).replaceAll("\n", " ") : "No messages yet",
        timestamp: last?.timestamp ?? room.events.at(-1)?.origin_server_ts ?? 0,
        unread: room.unread,
      };
    });
    return entries.sort((a, b) => b.timestamp - a.timestamp);
  }
}

function stateKey(event) {
  return `${event.type} ${event.state_key ?? ""}`;
}

// MSC2346: what a bridge says of itself in a room of its own.
function bridgeOf(room) {
  return [...room.state.values()].find(({ type }) => type === "m.bridge" || type === "uk.half-shot.bridge")?.content;
}

function displayName(member) {
  const name = member?.content?.displayname;
  return typeof name === "string" && name.trim() ? name : null;
}

// What an event that is no message says in words; nothing of those that concern only machines.
const NOTICES = {
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
