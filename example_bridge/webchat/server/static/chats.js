// What this account knows: people, conversations and what was said in them. Events go in, what views show comes out. Pure.

/** `me` is the account; `storage` keeps how far each conversation was read. */
export class Chats {
  #chats = new Map(); // id -> chat
  #people = new Map(); // id -> account

  constructor({ me, storage }) {
    Object.assign(this, { me, storage });
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
      this.#chats.set(id, { info: { id, kind: "group", name: "" }, members: new Set(), names: new Map(), lines: [], seq: 0, read, unread: 0 });
    }
    return this.#chats.get(id);
  }

  /** One event of the stream. The message it brought, if it did. Types that are not known yet leave no trace. */
  take(event) {
    const chat = this.#chat(event.chat);
    chat.seq = event.seq;
    return EVENTS[event.type]?.call(this, chat, event) ?? null;
  }

  message(chat, { seq, message }) {
    chat.lines.push({ message, seq });
    if (message.sender !== this.me.id && seq > chat.read) chat.unread++;
    return message;
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

  membership(chat, { seq, timestamp, membership, member }) {
    this.#people.set(member.id, member);
    chat.names.set(member.id, member.name);
    if (membership === "join") chat.members.add(member.id);
    else chat.members.delete(member.id);
    // Between two people, and of those who were there from the beginning, it goes without saying.
    if (chat.info.kind === "group" && timestamp !== chat.founded) chat.lines.push({ notice: `${member.name} ${membership === "join" ? "came in" : "left"}`, seq, timestamp });
  }

  profile(chat, { seq, timestamp, profile }) {
    // Each conversation remembers the name it knew: every one of them is told of the change.
    const before = chat.names.get(profile.id);
    chat.names.set(profile.id, profile.name);
    this.#people.set(profile.id, profile);
    if (before && before !== profile.name) chat.lines.push({ notice: `${before} is now ${profile.name}`, seq, timestamp });
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

  /** What was said, in order, and after it what is still on its way. */
  items(id, unsent) {
    const chat = this.#chats.get(id);
    return [...chat.lines.map((line) => this.#item(line)), ...unsent.map((entry) => this.#own(entry))];
  }

  #item({ message, notice, seq, timestamp }) {
    if (!message) return { key: `#${seq}`, kind: "notice", timestamp, text: notice };
    const sender = this.person(message.sender);
    const mine = message.sender === this.me.id && !message.as;
    return {
      // The nonce, so that the line in which it was "sending" goes on living.
      key: message.nonce ?? message.id,
      version: message.id,
      kind: "message",
      timestamp: message.timestamp,
      mine,
      sender: message.as
        ? { id: `${sender.id} for ${message.as.name}`, name: message.as.name, picture: message.as.avatar_url }
        : { id: sender.id, name: sender.name, picture: sender.avatar_url },
      via: message.as ? sender.name : undefined,
      state: mine ? "sent" : undefined,
      content: message,
    };
  }

  #own({ nonce, text, timestamp, state, reason }) {
    const sender = { id: this.me.id, name: this.me.name, picture: this.me.avatar_url };
    return { key: nonce, version: nonce, kind: "message", timestamp, mine: true, sender, state, reason, content: { text } };
  }

  /** Name and picture of a conversation, for its entry and above it. */
  head(id) {
    const chat = this.#chats.get(id);
    const other = [...chat.members].find((account) => account !== this.me.id);
    const one = chat.info.kind === "direct" ? this.person(other ?? this.me.id) : null;
    return { title: this.title(id), colour: one?.id ?? id, picture: chat.info.avatar_url ?? one?.avatar_url };
  }

  /** Entries of the list, the one with the latest word first. */
  list(unsentOf) {
    const entries = [...this.#chats].map(([id, chat]) => {
      const waiting = unsentOf(id).at(-1);
      const said = chat.lines.findLast(({ message }) => message);
      const last = waiting ? this.#own(waiting) : said && this.#item(said);
      return {
        id,
        ...this.head(id),
        preview: last ? (last.mine ? "You: " : "") + last.content.text.slice(0, 200).replaceAll("\n", " ") : "No messages yet",
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
    if (chat.read === chat.seq) return;
    chat.read = chat.seq;
    chat.unread = 0;
    this.storage.set(`read ${id}`, String(chat.seq));
  }
}

// What each type of event does. More types will come: edits, deletions, reactions, polls.
const EVENTS = {
  message: Chats.prototype.message,
  chat: Chats.prototype.info,
  member: Chats.prototype.membership,
  profile: Chats.prototype.profile,
};
