// The small Matrix view: rooms, timeline, composer, over the plain client-server API.

import { Banner } from "/kit/banner.js";
import { Composer } from "/kit/composer.js";
import { el, icon, oncePerFrame } from "/kit/dom.js";
import { ConversationList } from "/kit/list.js";
import { placeView } from "/kit/media.js";
import { NotNow, Outbox } from "/kit/outbox.js";
import { avatar } from "/kit/person.js";
import { writingInWords } from "/kit/reactions.js";
import { openStorage } from "/kit/storage.js";
import { Timeline } from "/kit/timeline.js";
import { MatrixClient } from "./client.js";
import { editContent, reactionContent, textContent } from "./content.js";
import { captionOf, fileContent, makeFiles } from "./files.js";
import { messageBody } from "./html.js";
import { Rooms } from "./rooms.js";
import { keepSyncing } from "./sync.js";

const AGAIN = 2000; // ms after which a send that found no homeserver is tried again while /sync still waits

export class MatrixView {
  #current = null;
  #joining = new Map(); // room -> "asking", or why it failed
  largest = Infinity; // bytes of one file
  #read = null; // the last event that was acknowledged

  /** `session`: homeserver, user_id, name, access_token, room (shown at first). */
  constructor(session) {
    this.client = new MatrixClient({ homeserver: session.homeserver, token: session.access_token, user: session.user_id });
    this.rooms = new Rooms({ me: session.user_id });
    this.storage = openStorage(`matrix ${session.user_id} `);
    this.files = makeFiles({ client: this.client, storage: this.storage });
    this.draw = oncePerFrame(() => this.#draw());
    this.outbox = new Outbox({ storage: this.storage, send: (entry) => this.#send(entry), changed: () => this.draw() });
    this.banner = new Banner({ tryNow: () => this.sync.tryNow() });
    this.invitations = el("div", { role: "status" });
    this.list = new ConversationList({
      label: "Rooms", open: (id) => this.open(id, { byPerson: true }), empty: "No rooms yet. When somebody writes at the webchat, one appears.",
    });
    this.timeline = new Timeline({
      label: "Events of the room",
      body: ({ content }) => this.#body(content),
      retry: (nonce) => this.outbox.retry(nonce),
      discard: (nonce) => this.outbox.discard(nonce),
      earlier: () => this.#earlier(),
      empty: "Nothing has been said here yet.",
      act: {
        reply: (row) => this.composer.reply(row),
        edit: (row) => this.composer.change(row),
        remove: ({ id }) => this.outbox.act(this.#current, { type: "delete", target: id }),
        react: ({ id }, emoji, added) => this.outbox.act(this.#current, { type: "react", target: id, emoji, added }),
      },
    });
    this.writing = el("p", { class: "writing", role: "status" });
    this.composer = new Composer({
      storage: this.storage,
      send: (room, text, more) => this.#say(room, text, more),
      largest: () => this.largest,
      edit: (room, { id }, text, { mentions }) => this.outbox.act(room, { type: "edit", target: id, text, mentions }),
      escape: () => this.close(),
      people: (room) => this.rooms.mentionable(room),
      last: (room) => this.rooms.lastOwn(room, this.outbox.of(room)),
      // Nobody misses it if it does not arrive.
      writing: (room, typing) => this.client.setTyping(room, typing).catch(() => {}),
    });
    this.composer.show(null);
    this.#build(session);
    this.composer.dropOn(this.content);
    this.#resume();
    this.#current = this.storage.get("current") ?? session.room;
    document.addEventListener("visibilitychange", () => this.draw());
    this.sync = keepSyncing(this.client, {
      answer: (answer) => this.#take(answer),
      state: (state) => this.#connectionIs(state),
      loggedOut: () => this.#connectionIs("lost"),
    });
    this.draw();
  }

  #build({ name, user_id: user }) {
    this.back = el("button", { type: "button", class: "round back", "aria-label": "Back to the rooms", on: { click: () => this.close() } }, icon("back"));
    this.picture = el("span");
    this.title = el("h3", { id: "matrix-title" });
    this.about = el("p");
    this.content = el("div", { class: "content" }, this.timeline.element, this.writing, this.composer.element);
    this.element = el(
      "div",
      { class: "app matrix" },
      el(
        "section",
        { class: "side", "aria-label": "Rooms" },
        el("header", { class: "bar" }, avatar({ id: user, name }), el("div", { class: "titles" }, el("h3", { text: name }), el("p", { text: user, title: user }))),
        el("div", { class: "scroll" }, this.invitations, this.list.element),
      ),
      el(
        "section",
        { class: "pane", "aria-labelledby": "matrix-title" },
        el("header", { class: "bar" }, this.back, this.picture, el("div", { class: "titles" }, this.title, this.about)),
        this.banner.element,
        this.content,
      ),
    );
  }

  #take(answer) {
    for (const event of this.rooms.take(answer)) this.outbox.seen(event);
    for (const { id } of this.rooms.invitations()) if (!this.#joining.has(id)) this.#join(id);
    this.draw();
  }

  // A message of Matrix has one file: the words go with the first.
  #say(room, text, { mentions, reply, files }) {
    for (const { blob, file } of files) this.files.blobs.put(file.local, blob);
    this.outbox.add(room, text, { mentions, reply: reply?.id, ...(files.length && { files: [files[0].file] }) });
    for (const { file } of files.slice(1)) this.outbox.add(room, "", { mentions: [], files: [file] });
  }

  // Files that were on their way when the page was left; and how large one may be.
  async #resume() {
    const { blobs, uploads } = this.files;
    const unsent = [...this.outbox.chats()].flatMap((room) => this.outbox.of(room)).flatMap(({ more }) => more?.files ?? []);
    const locals = [...uploads.locals, ...unsent.map(({ local }) => local)];
    await blobs.keepOnly(locals);
    await Promise.all(locals.map((local) => blobs.load(local)));
    this.draw();
    this.largest = await this.client.largestUpload().catch(() => Infinity); // then the homeserver says so itself
  }

  // The message goes first, in its place; the file follows.
  async #sendFile(room, nonce, text, more) {
    const [file] = more.files;
    await this.composer.tray.measured(file.local);
    file.id ??= await this.client.reserve();
    const { local, ...known } = file;
    this.files.uploads.add(file.id, local); // first: once the message is there, a page that is left must know what to bring
    return this.client.send(room, nonce, fileContent(known, textContent(text, more)));
  }

  #body(content) {
    const parts = document.createDocumentFragment();
    const { files = [], location, url, ...words } = content;
    if (files.length) parts.append(this.files.media.view(files));
    if (location) parts.append(placeView(location));
    if (!files.length && !location) parts.append(messageBody(content, this.client.user));
    else if (files.length && (files[0].local ? content.body : captionOf(content))) {
      parts.append(messageBody({ ...words, msgtype: "m.text" }, this.client.user));
    }
    return parts;
  }

  #connectionIs(state) {
    this.banner.show(state);
    this.element.dataset.connection = state;
    if (state === "ready") for (const one of [this.outbox, this.files.uploads]) one.open();
    if (state === "lost") for (const one of [this.outbox, this.files.uploads]) one.close();
    this.draw();
  }

  async #send({ chat, text, nonce, more, act }) {
    try {
      if (more?.files) return await this.#sendFile(chat, nonce, text, more);
      if (!act) return await this.client.send(chat, nonce, textContent(text, more));
      if (act.type === "edit") return await this.client.send(chat, nonce, editContent(act.target, text, act.mentions));
      if (act.type === "delete") return await this.client.redact(chat, nonce, act.target);
      if (act.added) return await this.client.send(chat, nonce, reactionContent(act.target, act.emoji), "m.reaction");
      const own = this.#ownReaction(chat, act);
      return own ? await this.client.redact(chat, nonce, own) : act.target; // gone already
    } catch (error) {
      if (error.errcode === "M_DUPLICATE_ANNOTATION") return act.target; // there already
      if (error instanceof NotNow) {
        setTimeout(() => this.element.dataset.connection === "ready" && this.outbox.open(), Math.max(AGAIN, error.retryAfter ?? 0));
      }
      throw error;
    }
  }

  // /sync may not have brought it yet.
  #ownReaction(room, { target, emoji }) {
    const given = ({ state, act }) => state === "sent" && act?.added && act.target === target && act.emoji === emoji;
    return this.rooms.ownReaction(room, target, emoji) ?? this.outbox.of(room).findLast(given)?.id;
  }

  // The demo's person accepts every invitation: here that is what makes a bridged conversation appear.
  async #join(room) {
    this.#joining.set(room, "asking");
    this.draw();
    try {
      await this.client.join(room);
      this.#joining.delete(room); // /sync brings the room itself
    } catch (error) {
      this.#joining.set(room, error.message);
    }
    this.draw();
  }

  async #earlier() {
    const room = this.#current;
    const page = await this.client.earlier(room, this.rooms.before(room));
    const came = this.rooms.takeEarlier(room, page);
    this.#draw();
    return came;
  }

  open(id, { byPerson = false } = {}) {
    this.#current = id;
    this.storage.set("current", id);
    this.#draw();
    if (byPerson) this.composer.focus();
  }

  close() {
    if (getComputedStyle(this.back).display !== "none") {
      this.#current = null;
      this.storage.delete("current");
      this.#draw();
    }
    this.list.focus();
  }

  #draw() {
    const id = this.rooms.has(this.#current) ? this.#current : null;
    this.element.dataset.open = id === null ? "list" : "chat";
    this.content.classList.toggle("nothing", id === null);
    if (id !== null) {
      this.timeline.show(id, this.rooms.items(id, this.outbox.of(id)), { complete: this.rooms.before(id) === null });
      this.#acknowledge(id);
    }
    const entries = this.rooms.list((room) => this.outbox.of(room));
    const entry = entries.find((one) => one.id === id);
    this.title.textContent = entry ? entry.title : "Choose a room";
    this.about.textContent = entry ? this.rooms.about(id) : "";
    const looks = entry ? `${entry.colour}\n${entry.title}` : "";
    if (this.picture.dataset.looks !== looks) {
      this.picture.dataset.looks = looks;
      this.picture.replaceChildren(...(entry ? [avatar({ id: entry.colour, name: entry.title })] : []));
    }
    const words = id === null ? "" : writingInWords(this.rooms.writing(id));
    if (this.writing.textContent !== words) this.writing.textContent = words;
    this.composer.show(id);
    this.list.show(entries, id);
    this.#drawInvitations();
  }

  // What has been on the screen counts as read: the homeserver is told, and counts from there.
  #acknowledge(id) {
    const event = this.rooms.lastEvent(id);
    if (!event || event === this.#read || !this.rooms.unread(id) || document.visibilityState !== "visible") return;
    if (!this.timeline.atEnd || !this.element.checkVisibility({ visibilityProperty: true })) return;
    this.#read = event;
    this.rooms.markRead(id);
    this.client.markRead(id, event).catch(() => (this.#read = null)); // once more with the next event
  }

  #drawInvitations() {
    const shown = this.rooms.invitations().map(({ id, by }) => {
      const state = this.#joining.get(id);
      const failed = state !== undefined && state !== "asking";
      const words = failed ? `Could not join the room of ${by}: ${state}` : `${by} has invited you. Joining …`;
      return el("div", { class: "invitation" }, el("span", { text: words }),
        ...(failed ? [el("button", { type: "button", class: "link", text: "Join", on: { click: () => this.#join(id) } })] : []));
    });
    this.invitations.replaceChildren(...shown);
  }
}
