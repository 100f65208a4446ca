// What /sync has told about rooms. Answers go in, what views show comes out. Pure.

import { actsByTarget, actsInWords } from "/kit/acts.js";
import { summary } from "/kit/files.js";
import { chipsOf } from "/kit/reactions.js";
import { answered, marksIn, wordsOf } from "./content.js";
import { captionOf, filesOf, placeOf } from "./files.js";
import { NOTICES, displayName } from "./notices.js";
import { Relations, plain } from "./relations.js";

const NAMELESS = "Empty room";
const GONE = "This message was deleted";

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
        id, membership: "join", state: new Map(), events: [], known: new Map(), relations: new Relations(),
        typing: [], before: null, heroes: [], unread: 0, invitedBy: null,
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
        room.relations.forgetPlaces();
      }
      if (!room.events.length) room.before = before;
      if (events.some(({ type }) => type === "m.room.create")) room.before = null; // there is nothing before it
      for (const event of events) {
        if (event.state_key !== undefined) this.#setState(room, event);
        this.#add(room, event, "end");
        seen.push({ id: event.event_id, nonce: event.unsigned?.transaction_id });
      }
    }
    for (const [id, { ephemeral }] of Object.entries(rooms.join ?? {})) this.#hear(this.#room(id), ephemeral?.events ?? []);
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
    if (room.relations.take(event, where)) return;
    if (where === "end") room.events.push(event);
    else room.events.unshift(event);
  }

  #hear(room, events) {
    for (const { type, content } of events) {
      if (type === "m.typing" && Array.isArray(content?.user_ids)) room.typing = content.user_ids;
      else if (type === "m.receipt") room.relations.receive(content);
    }
  }

  /** Names of those who write now. */
  writing(id) {
    const room = this.#room(id);
    return room.typing.filter((user) => user !== this.me).map((user) => this.#name(room, user));
  }

  /** Who can be mentioned: {id, name, mark}. */
  mentionable(id) {
    const room = this.#room(id);
    const servants = servantsOf(room);
    return this.#others(room).filter((user) => !servants.includes(user)).map((user) => ({ id: user, name: this.#name(room, user), mark: { user } }));
  }

  /** The event by which this user gave a reaction. */
  ownReaction(id, target, emoji) {
    return this.#room(id).relations.reactionBy(this.me, target, emoji);
  }

  /** One's own latest message, to change it. */
  lastOwn(id, unsent) {
    return this.items(id, unsent).findLast(({ can }) => can?.edit) ?? null;
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

  // With whom one speaks there. Those who only serve the room have no part in its name.
  #partners(room) {
    const servants = servantsOf(room);
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

  #item(room, event, acts = []) {
    const common = { key: event.unsigned?.transaction_id ?? event.event_id, id: event.event_id, timestamp: event.origin_server_ts };
    if (event.type === "m.room.message" || event.type === "m.room.encrypted" || event.type === "m.sticker") {
      return { ...common, ...this.#message(room, event, acts) };
    }
    if (event.type === "m.room.member" && this.#goesWithoutSaying(room, event)) return null;
    const text = NOTICES[event.type]?.(event, (user) => this.#name(room, user));
    return text ? { ...common, kind: "notice", text } : null;
  }

  #message(room, event, acts) {
    const { relations } = room;
    const edit = relations.editOf(event);
    const mine = event.sender === this.me;
    const alive = acts.filter(({ state }) => state !== "failed");
    const change = alive.findLast(({ act }) => act.type === "edit");
    const gone = relations.isGone(event) || alive.some(({ act }) => act.type === "delete");
    const sealed = event.type === "m.room.encrypted";
    const { state, trouble } = actsInWords(acts);
    const now = change ? { msgtype: "m.text", body: change.text } : (edit?.content["m.new_content"] ?? event.content);
    const content = gone ? { aside: GONE } : sealed ? { aside: "Encrypted: this small view cannot read it" } : now;
    const reactions = gone ? new Map() : relations.reactionsTo(event.event_id);
    for (const { act } of gone ? [] : alive) {
      if (act.type !== "react") continue;
      const key = [...reactions.keys()].find((one) => plain(one) === plain(act.emoji)) ?? act.emoji;
      const who = reactions.get(key) ?? new Set();
      if (act.added) reactions.set(key, who.add(this.me));
      else if (who.delete(this.me) && !who.size) reactions.delete(key);
    }
    const people = (users) => [...users].map((user) => ({ id: user, name: this.#name(room, user) }));
    const servants = servantsOf(room);
    const named = Array.isArray(content["m.mentions"]?.user_ids) ? content["m.mentions"].user_ids.filter((user) => typeof user === "string") : [];
    const files = gone || sealed ? [] : filesOf(content, event.type);
    const location = placeOf(content);
    const words = wordsOf(content === event.content ? content : { ...content, "m.relates_to": event.content["m.relates_to"] });
    const text = gone ? GONE : files.length ? captionOf(content) : words;
    const readers = mine ? relations.readersOf(event.event_id).filter((user) => user !== this.me && !servants.includes(user)) : [];
    return {
      kind: "message",
      version: gone ? `${event.event_id} gone` : (change?.nonce ?? edit?.event_id ?? event.event_id),
      mine,
      sender: { id: event.sender, name: this.#name(room, event.sender) },
      state: mine ? (state ?? "sent") : undefined,
      text,
      content: { ...content, files, location, ...(mine && { mentions: change?.act.mentions ?? marksIn(text, people(named)) }) },
      reply: gone ? undefined : this.#quote(room, answered(event.content)),
      edited: gone ? undefined : (edit?.origin_server_ts ?? change?.timestamp),
      deleted: gone,
      forMe: !mine && !gone && named.includes(this.me),
      reactions: chipsOf([...reactions].map(([emoji, users]) => [emoji, people(users)]), this.me),
      readers: people(readers).map(({ name }) => name),
      trouble,
      can: { react: !gone, reply: !gone, edit: !gone && !sealed && mine && content.msgtype === "m.text", remove: !gone && mine },
    };
  }

  #quote(room, id) {
    if (!id) return undefined;
    const event = room.known.get(id);
    if (!event) return { id, name: "", text: "An earlier message", known: false };
    const content = room.relations.editOf(event)?.content["m.new_content"] ?? event.content;
    const text = room.relations.isGone(event) ? GONE : linesOf(content, event.type).slice(0, 200);
    return { id, name: event.sender === this.me ? "You" : this.#name(room, event.sender), text, known: true };
  }

  // The maker's own coming in, and the invitation of somebody who has come.
  #goesWithoutSaying(room, { content, state_key: user }) {
    if (content?.membership === "join") return room.state.get("m.room.create ")?.sender === user && user !== this.me;
    return content?.membership === "invite" && room.state.get(`m.room.member ${user}`)?.content?.membership === "join";
  }

  /** What was said, in order, and after it what is still on its way. */
  items(id, unsent) {
    const room = this.#room(id);
    const acts = actsByTarget(unsent);
    const own = unsent.filter(({ act }) => !act).map(({ nonce, text, timestamp, state, reason, more }) => ({
      key: nonce, version: nonce, kind: "message", timestamp, mine: true, state, reason,
      sender: { id: this.me, name: this.#name(room, this.me) }, text, content: { msgtype: "m.text", body: text, files: more?.files ?? [] },
      reply: this.#quote(room, more?.reply),
    }));
    return [...room.events.map((event) => this.#item(room, event, acts.get(event.event_id))).filter(Boolean), ...own];
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
      const words = last?.content.aside ?? (last ? summary({ text: last.text, files: last.content.files }) || undefined : undefined);
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

// What a quote shows of a message.
function linesOf(content, type) {
  const files = filesOf(content, type);
  return files.length ? summary({ text: captionOf(content), files }) : wordsOf(content);
}

function stateKey(event) {
  return `${event.type} ${event.state_key ?? ""}`;
}

// MSC2346: what a bridge says of itself in a room of its own.
function bridgeOf(room) {
  return [...room.state.values()].find(({ type }) => type === "m.bridge" || type === "uk.half-shot.bridge")?.content;
}

// Bots that only serve the room (MSC4171), as a bridge's (MSC2346).
function servantsOf(room) {
  const named = room.state.get("io.element.functional_members ")?.content?.service_members;
  return [...(Array.isArray(named) ? named : []), bridgeOf(room)?.bridgebot];
}
