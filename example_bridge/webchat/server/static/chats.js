// What this account knows: people, conversations and what was said in them. Events go in, what views show comes out. Pure.

import { actsByTarget, actsInWords } from "./kit/acts.js";
import { summary } from "./kit/files.js";
import { chipsOf } from "./kit/reactions.js";
import { lineOf } from "./call/words.js";
import { edit, media, react, remove, saidOf, withActs } from "./said.js";

const QUOTED = 200; // code units of a message that are quoted above an answer

/** `me` is the account; `storage` keeps how far each conversation was read; `picture` says where a chat's picture can be had. */
export class Chats {
  #chats = new Map(); // id -> chat
  #people = new Map(); // id -> account

  constructor({ me, storage, picture = (address) => address }) {
    Object.assign(this, { me, storage, picture });
    this.#people.set(me.id, me);
  }

  learnPeople(accounts) {
    for (const account of accounts) this.#people.set(account.id, account);
  }

  person(id) {
    return this.#people.get(id) ?? { id, name: id };
  }

  has(id) {
    return this.#chats.has(id);
  }

  #chat(id) {
    if (!this.#chats.has(id)) {
      const read = Number(this.storage.get(`read ${id}`) ?? 0);
      this.#chats.set(id, { info: { id, kind: "group", name: "" }, members: new Set(), names: new Map(), lines: [], said: new Map(),
        roles: {}, readers: new Map(), writing: new Map(), seq: 0, read, unread: 0, over: false });
    }
    return this.#chats.get(id);
  }

  /** One event of the stream. The message it brought, if it did. Types that are not known yet leave no trace. */
  take(event) {
    const chat = this.#chat(event.chat);
    chat.seq = event.seq;
    return EVENTS[event.type]?.call(this, chat, event) ?? null;
  }

  /** A frame beside the events: who has read how far, who writes. `now` is in ms. */
  hear({ type, chat: id, account, seq, typing, expires_ms: expires }, now = Date.now()) {
    const chat = this.#chats.get(id);
    if (!chat) return;
    if (type === "typing") {
      if (typing) chat.writing.set(account, now + expires);
      else chat.writing.delete(account);
    } else if (type === "receipt") {
      chat.readers.set(account, Math.max(seq, chat.readers.get(account) ?? 0));
      if (account === this.me.id) this.#readUpTo(chat, seq); // in another window, or at another device
    }
  }

  /** Names of those who write now. */
  writing(id, now = Date.now()) {
    return [...this.#chats.get(id).writing].filter(([account, until]) => account !== this.me.id && until > now).map(([account]) => this.person(account).name);
  }

  message(chat, { seq, message }) {
    const said = saidOf(message, seq);
    chat.lines.push({ said, seq });
    chat.said.set(message.id, said);
    if (!message.as) chat.writing.delete(message.sender);
    if (message.sender !== this.me.id && seq > chat.read) chat.unread++;
    return message;
  }

  changed(chat, event) {
    const said = chat.said.get(event.target);
    if (said) CHANGES[event.type](said, event);
  }

  role(chat, { seq, timestamp, member, role, roles }) {
    chat.roles = roles ?? { ...chat.roles, [member.id]: role };
    chat.lines.push({ notice: `${member.name} is now ${role === "member" ? "a member like others" : role}`, seq, timestamp });
  }

  over(chat, { seq, timestamp, actor }) {
    chat.over = true;
    chat.writing.clear();
    chat.lines.push({ notice: `${this.person(actor).name} deleted this conversation`, seq, timestamp });
  }

  info(chat, { seq, timestamp, actor, change, info }) {
    const before = chat.info.name;
    chat.info = info;
    if (change === "created") chat.founded = timestamp;
    if (change === "changed" && info.name !== before) {
      const text = info.name ? `${this.person(actor).name} named this conversation “${info.name}”` : `${this.person(actor).name} took the name away`;
      chat.lines.push({ notice: text, seq, timestamp });
    }
  }

  membership(chat, { seq, timestamp, actor, membership, member, role }) {
    this.#people.set(member.id, member);
    chat.names.set(member.id, member.name);
    if (membership === "join") chat.members.add(member.id);
    else chat.members.delete(member.id);
    if (membership !== "join") chat.writing.delete(member.id);
    const { [member.id]: _, ...others } = chat.roles;
    chat.roles = membership === "join" && role ? { ...others, [member.id]: role } : others;
    // Between two people, and of those who were there from the beginning, it goes without saying.
    if (chat.info.kind !== "group" || timestamp === chat.founded) return;
    chat.lines.push({ notice: MEMBERSHIPS[membership]?.(member.name, actor === member.id ? null : this.person(actor).name) ?? "", seq, timestamp });
  }

  profile(chat, { seq, timestamp, profile }) {
    // Each conversation remembers the name it knew: every one of them is told of the change.
    const before = chat.names.get(profile.id);
    chat.names.set(profile.id, profile.name);
    this.#people.set(profile.id, profile);
    if (before && before !== profile.name) chat.lines.push({ notice: `${before} is now ${profile.name}`, seq, timestamp });
  }

  called(chat, event) {
    chat.lines.push({ notice: lineOf(event, this.me.id, (id) => this.person(id).name), seq: event.seq, timestamp: event.timestamp });
  }

  /** Whether the other one can be called. */
  callable(id) {
    return this.writable(id) && this.#chats.get(id).info.kind === "direct" && this.#chats.get(id).members.size === 2;
  }

  /** How the conversation is called. */
  title(id) {
    const chat = this.#chats.get(id);
    if (chat.info.name) return chat.info.name;
    const others = [...chat.members].filter((account) => account !== this.me.id);
    return others.map((account) => this.person(account).name).join(", ") || "Just you";
  }

  /** In words, for under the title. */
  about(id) {
    const chat = this.#chats.get(id);
    return chat.info.kind === "direct" ? "" : `${chat.members.size} ${chat.members.size === 1 ? "member" : "members"}`;
  }

  /** Whether one can say something there. */
  writable(id) {
    const chat = this.#chats.get(id);
    return chat.members.has(this.me.id) && !chat.over;
  }

  // What admins and moderators of a group may, and every agent in it.
  #moderates(chat) {
    return chat.info.kind === "group" && (this.me.kind === "agent" || ["moderator", "admin"].includes(chat.roles[this.me.id]));
  }

  /** Who can be mentioned: {id, name, picture?, mark}. */
  mentionable(id) {
    const chat = this.#chats.get(id);
    const people = [...chat.members].filter((account) => account !== this.me.id).map((account) => this.person(account));
    const all = this.#moderates(chat) ? [{ id: "everybody", name: "everybody", mark: { room: true } }] : [];
    return [...people.map(({ id: user, name, avatar_url: picture }) => ({ id: user, name, picture, mark: { user } })), ...all];
  }

  /** What was said, in order, and after it what is still on its way. */
  items(id, unsent) {
    const chat = this.#chats.get(id);
    const acts = actsByTarget(unsent);
    const lines = chat.lines.map((line) => (line.said ? this.#item(chat, line.said, acts.get(line.said.message.id)) : noticeOf(line)));
    return [...lines, ...unsent.filter(({ act }) => !act).map((entry) => this.#own(entry, chat))];
  }

  /** One's own latest message, to change it. */
  lastOwn(id, unsent) {
    return this.items(id, unsent).findLast(({ can }) => can?.edit) ?? null;
  }

  #item(chat, before, entries = []) {
    const { message, reactions, seq } = withActs(before, entries, this.me.id);
    const { state, trouble } = actsInWords(entries);
    const sender = this.person(message.sender);
    const own = message.sender === this.me.id;
    const mine = own && !message.as;
    const there = chat.members.has(this.me.id) && !chat.over && !message.deleted;
    return {
      id: message.id,
      // The nonce, so that the line in which it was "sending" goes on living.
      key: message.nonce ?? message.id,
      version: `${message.id} ${message.revision ?? 0} ${message.deleted ? "deleted" : message.text} ${(message.files ?? []).map(({ state }) => state)}`,
      kind: "message",
      timestamp: message.timestamp,
      mine,
      sender: message.as
        ? { id: `${sender.id} for ${message.as.name}`, name: message.as.name, picture: message.as.avatar_url }
        : { id: sender.id, name: sender.name, picture: sender.avatar_url },
      via: message.as ? sender.name : undefined,
      state: mine ? (state ?? "sent") : undefined,
      text: message.text,
      content: message,
      reply: this.#quote(chat, message.reply_to),
      edited: message.edited_at,
      deleted: message.deleted === true,
      forMe: !own && (message.mentions ?? []).some((mention) => this.isMe(mention, chat)),
      reactions: chipsOf([...reactions].map(([emoji, who]) => [emoji, [...who].map((account) => this.person(account))]), this.me.id),
      readers: mine ? [...chat.readers].filter(([account, upTo]) => account !== this.me.id && upTo >= seq).map(([account]) => this.person(account).name) : [],
      trouble,
      can: { react: there, reply: there, edit: there && mine, remove: there && (own || this.#moderates(chat)) },
    };
  }

  /** Whether a mention means this account. */
  isMe({ user, room, role }, chat = null) {
    return user === this.me.id || room === true || (role !== undefined && chat?.roles[this.me.id] === role);
  }

  #quote(chat, id) {
    if (!id) return undefined;
    const message = chat.said.get(id)?.message;
    if (!message) return { id, name: "", text: "A message that is not here", known: false };
    const name = message.sender === this.me.id && !message.as ? "You" : (message.as?.name ?? this.person(message.sender).name);
    return { id, name, text: message.deleted ? GONE : summary(message).slice(0, QUOTED), known: true };
  }

  #own({ nonce, text, timestamp, state, reason, more }, chat) {
    const sender = { id: this.me.id, name: this.me.name, picture: this.me.avatar_url };
    const reply = this.#quote(chat, more?.reply_to);
    return { key: nonce, version: nonce, kind: "message", timestamp, mine: true, sender, state, reason, text, reply, content: { text, ...more } };
  }

  /** Name and picture of a conversation, for its entry and above it. */
  head(id) {
    const chat = this.#chats.get(id);
    const other = [...chat.members].find((account) => account !== this.me.id);
    const one = chat.info.kind === "direct" ? this.person(other ?? this.me.id) : null;
    return { title: this.title(id), colour: one?.id ?? id, picture: this.picture(chat.info.avatar_url) ?? one?.avatar_url };
  }

  /** Entries of the list, the one with the latest word first. */
  list(unsentOf) {
    const entries = [...this.#chats].map(([id, chat]) => {
      const unsent = unsentOf(id);
      const waiting = unsent.findLast(({ act }) => !act);
      const said = chat.lines.findLast((line) => line.said)?.said;
      const last = waiting ? this.#own(waiting, chat) : said && this.#item(chat, said, actsByTarget(unsent).get(said.message.id));
      return {
        id,
        ...this.head(id),
        preview: last ? (last.mine ? "You: " : "") + (last.deleted ? GONE : summary(last.content).slice(0, 200)).replaceAll("\n", " ") : "No messages yet",
        timestamp: last?.timestamp ?? 0,
        unread: chat.unread,
      };
    });
    return entries.sort((a, b) => b.timestamp - a.timestamp);
  }

  get unread() {
    return [...this.#chats.values()].reduce((sum, chat) => sum + chat.unread, 0);
  }

  /** Everything in it has been seen. */
  markRead(id) {
    const chat = this.#chats.get(id);
    this.#readUpTo(chat, chat.seq);
  }

  #readUpTo(chat, seq) {
    if (seq <= chat.read) return;
    chat.read = seq;
    chat.unread = chat.lines.filter(({ said }) => said && said.seq > seq && said.message.sender !== this.me.id).length;
    this.storage.set(`read ${chat.info.id}`, String(seq));
  }

  /** How far this account has read, if the network does not know it yet; else 0. */
  readUntold(id) {
    const chat = this.#chats.get(id);
    return this.writable(id) && chat.read > (chat.readers.get(this.me.id) ?? 0) ? chat.read : 0;
  }
}

/** What stands where a message was. */
export const GONE = "Message deleted";

function noticeOf({ notice, seq, timestamp }) {
  return { key: `#${seq}`, kind: "notice", timestamp, text: notice };
}

const CHANGES = { edit, delete: remove, reaction: react, media };

const MEMBERSHIPS = {
  join: (name) => `${name} came in`,
  leave: (name, by) => (by ? `${by} removed ${name}` : `${name} left`),
  ban: (name, by) => `${by ?? "Somebody"} banned ${name}`,
  unban: (name) => `${name} may come in again`,
};

// What each type of event does. More types will come.
const EVENTS = {
  message: Chats.prototype.message,
  edit: Chats.prototype.changed,
  delete: Chats.prototype.changed,
  reaction: Chats.prototype.changed,
  media: Chats.prototype.changed,
  chat: Chats.prototype.info,
  chat_deleted: Chats.prototype.over,
  member: Chats.prototype.membership,
  role: Chats.prototype.role,
  profile: Chats.prototype.profile,
  call: Chats.prototype.called,
};
