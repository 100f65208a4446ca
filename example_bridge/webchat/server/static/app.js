// The page of webchat: puts state, connection, outbox and views together.

import { makeApi } from "./api.js";
import { Calls } from "./call/calls.js";
import { callButtons, CallPanel } from "./call/panel.js";
import { Chats } from "./chats.js";
import { connect } from "./connection.js";
import { makeFiles } from "./files.js";
import { Banner } from "./kit/banner.js";
import { Composer } from "./kit/composer.js";
import { el, icon, oncePerFrame } from "./kit/dom.js";
import { ConversationList } from "./kit/list.js";
import { placeView } from "./kit/media.js";
import { NotNow, Outbox } from "./kit/outbox.js";
import { avatar } from "./kit/person.js";
import { writingInWords } from "./kit/reactions.js";
import { openStorage } from "./kit/storage.js";
import { Timeline } from "./kit/timeline.js";
import { PeopleDialog } from "./people.js";
import { richText } from "./text.js";

const $ = (id) => document.getElementById(id);
const browser = openStorage("webchat ");

/** One account in this page, from coming in to leaving. */
class Visit {
  #current = null;
  #told = new Map(); // chat -> how far the network was told that it was read
  #awaited = false; // a conversation that was opened just now, and of which nothing has come yet

  constructor({ token, me, info, left }) {
    Object.assign(this, { me, left });
    this.api = makeApi(token);
    this.storage = openStorage(`webchat ${me.id} `);
    this.chats = new Chats({ me, storage: this.storage, picture: (address) => this.files.picture(address) });
    this.files = makeFiles({ token, api: this.api, me, storage: this.storage });
    this.draw = oncePerFrame(() => this.#draw());
    this.outbox = new Outbox({
      storage: this.storage,
      send: (entry) => this.#send(entry),
      changed: () => this.draw(),
    });
    this.banner = new Banner({ tryNow: () => this.connection.tryNow() });
    this.list = new ConversationList({
      label: "Conversations",
      open: (id) => this.open(id, { byPerson: true }),
      empty: "Nobody has written yet. Begin a conversation with the button above.",
    });
    this.timeline = new Timeline({
      label: "Messages",
      body: ({ content }) => this.#body(content),
      retry: (nonce) => this.outbox.retry(nonce),
      discard: (nonce) => this.outbox.discard(nonce),
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
      send: (chat, text, more) => this.#say(chat, text, more),
      edit: (chat, { id }, text, { mentions, format }) => this.outbox.act(chat, { type: "edit", target: id, text, mentions, format }),
      people: (chat) => this.chats.mentionable(chat),
      last: (chat) => this.chats.lastOwn(chat, this.outbox.of(chat)),
      writing: (chat, typing) => this.connection.tell({ type: "typing", chat, typing }),
      limit: () => info.max_text_length,
      largest: () => info.max_upload_size,
      escape: () => this.close(),
    });
    this.composer.show(null);
    this.calls = new Calls({
      me,
      trickle: new URLSearchParams(location.search).has("trickle"),
      iceServers: info.ice_servers,
      send: (frame) => this.connection.send(frame),
      bye: ({ chat, ...frame }) => navigator.sendBeacon(`/api/chats/${encodeURIComponent(chat)}/acts?token=${encodeURIComponent(token)}`, JSON.stringify(frame)),
      changed: () => this.panel.draw(),
    });
    this.panel = new CallPanel({ calls: this.calls, about: (chat) => this.chats.head(chat) });
    this.callButtons = callButtons((kind) => this.calls.place(this.#current, kind));
    $("call").replaceChildren(this.panel.element);
    $("call-buttons").replaceChildren(...this.callButtons);
    this.composer.dropOn($("content"));
    this.#resume();
    $("list").replaceChildren(this.list.element);
    $("banner").replaceChildren(this.banner.element);
    $("content").replaceChildren(this.timeline.element, this.writing, this.composer.element);
    $("my-name").textContent = me.name;
    document.querySelector(".side .titles p").textContent = me.kind;
    $("my-picture").replaceChildren(avatar({ id: me.id, name: me.name, picture: me.avatar_url }));
    this.#current = this.storage.get("current");
    this.connection = connect(token, {
      event: (event) => this.#take(event),
      signal: (signal) => this.#hear(signal),
      state: (state) => this.#connectionIs(state),
      unauthorized: () => this.left("You have been logged out."),
    });
    this.draw();
  }

  #say(chat, text, { mentions, reply, files }) {
    for (const { blob, file } of files) this.files.blobs.put(file.local, blob);
    const more = { ...(mentions.length && { mentions }), ...(reply && { reply_to: reply.id }), ...(files.length && { files: files.map(({ file }) => file) }) };
    this.outbox.add(chat, text, more);
  }

  // Files that were on their way when the page was left.
  async #resume() {
    const { blobs, uploads } = this.files;
    const unsent = [...this.outbox.chats()].flatMap((chat) => this.outbox.of(chat)).flatMap(({ more }) => more?.files ?? []);
    const locals = [...uploads.locals, ...unsent.map(({ local }) => local)];
    await blobs.keepOnly(locals);
    await Promise.all(locals.map((local) => blobs.load(local)));
    this.draw();
  }

  // What the stream will know it by: a message by its id, an act by its place among the chat's events.
  async #send({ chat, text, nonce, more, act }) {
    const files = more?.files ?? [];
    for (const file of files) {
      await this.#reserve(file);
      // Before the message: once it has arrived, a page that is left must still know what to bring.
      this.files.uploads.add(file.id, file.local);
    }
    const sent = files.length ? { ...more, files: files.map(({ local, ...file }) => file) } : more;
    const { id, seq } = await this.connection.send({ ...(act ?? { text, ...sent }), chat, nonce });
    return act ? `${chat} ${seq}` : id;
  }

  // The message goes first, in its place; its files follow, however long they take.
  async #reserve(file) {
    await this.composer.tray.measured(file.local);
    if (file.id) return;
    const { name, mimetype, size } = file;
    try {
      file.id = (await this.api("POST", "/api/media", { name, mimetype, size })).id;
    } catch (error) {
      throw error.code && error.code !== "unavailable" ? error : new NotNow(error.message);
    }
  }

  #body(content) {
    const parts = document.createDocumentFragment();
    if (content.files?.length) parts.append(this.files.media.view(content.files));
    if (content.location) parts.append(placeView(content.location));
    if (content.text || content.deleted) parts.append(body(richText(content, (mention) => this.chats.isMe(mention))));
    return parts;
  }

  #take(event) {
    const message = this.chats.take(event);
    if (event.type === "call") this.calls.ended(event);
    if (message) this.outbox.seen(message);
    if (event.type === "media") this.files.uploads.done(event.file);
    this.outbox.seen({ id: `${event.chat} ${event.seq}`, nonce: event.nonce });
    this.draw();
  }

  #hear(signal) {
    if (signal.type.startsWith("call_")) return this.calls.hear(signal);
    this.chats.hear(signal);
    if (signal.type === "typing" && signal.typing) setTimeout(() => this.draw(), signal.expires_ms + 50);
    this.draw();
  }

  // What has been on the screen counts as read; who wrote it shall know.
  #tellRead(id) {
    const seq = this.chats.readUntold(id);
    if (document.body.dataset.connection !== "ready" || seq <= (this.#told.get(id) ?? 0)) return;
    this.#told.set(id, seq);
    this.connection.tell({ type: "read", chat: id, seq });
  }

  #connectionIs(state) {
    this.banner.show(state);
    document.body.dataset.connection = state;
    if (state === "ready") {
      this.outbox.open();
      this.files.uploads.open();
      this.calls.ready();
    } else {
      this.outbox.close();
      this.files.uploads.close();
      this.#told.clear(); // nobody knows whether it arrived
    }
    this.draw();
  }

  /** Show a conversation. `byPerson`: asked for just now, so that the keyboard follows. */
  open(id, { byPerson = false } = {}) {
    if (byPerson && !history.state?.open) history.pushState({ open: true }, ""); // for the Back of a phone
    this.#current = id;
    this.#awaited = byPerson;
    this.storage.set("current", id);
    this.#draw();
  }

  /** Back to the list, where there is no room for both. */
  close() {
    if (getComputedStyle($("back")).display === "none") return this.list.focus();
    if (history.state?.open) history.back(); // comes back as popstate
    else this.closed();
  }

  closed() {
    if (getComputedStyle($("back")).display === "none") return;
    this.#current = null;
    this.storage.delete("current");
    this.#draw();
    this.list.focus();
  }

  #draw() {
    if (this.over) return;
    const id = this.chats.has(this.#current) ? this.#current : null;
    $("chat").dataset.open = id === null ? "list" : "chat";
    const seen = id !== null && document.visibilityState === "visible";
    if (id !== null) {
      this.timeline.show(id, this.chats.items(id, this.outbox.of(id)));
      if (seen && this.timeline.atEnd) this.chats.markRead(id);
      this.#tellRead(id);
      const { title, colour, picture } = this.chats.head(id);
      $("title").textContent = title;
      $("about").textContent = this.chats.about(id);
      const looks = `${colour}\n${title}\n${picture}`;
      if ($("picture").dataset.looks !== looks) {
        $("picture").dataset.looks = looks;
        $("picture").replaceChildren(avatar({ id: colour, name: title, picture }));
      }
    } else {
      $("title").textContent = "Choose a conversation";
      $("about").textContent = "";
      $("picture").replaceChildren();
      delete $("picture").dataset.looks;
    }
    $("content").classList.toggle("nothing", id === null);
    const words = id === null ? "" : writingInWords(this.chats.writing(id));
    if (this.writing.textContent !== words) this.writing.textContent = words;
    this.composer.show(id !== null && this.chats.writable(id) ? id : null);
    if (this.#awaited && id !== null) {
      this.#awaited = false;
      this.composer.focus();
    }
    for (const button of this.callButtons) button.hidden = id === null || !this.chats.callable(id);
    this.list.show(this.chats.list((chat) => this.outbox.of(chat)), id);
    document.title = `${this.chats.unread ? `(${this.chats.unread}) ` : ""}webchat`;
  }

  /** End it. `forget`: nothing of this account stays in the browser. */
  end({ forget = false } = {}) {
    this.over = true;
    this.calls.close();
    this.panel.close();
    this.connection.close();
    this.files.uploads.end();
    if (forget) this.files.blobs.keepOnly([]);
    if (forget) for (const key of this.storage.keys()) this.storage.delete(key);
  }
}

function body(nodes) {
  const made = document.createElement("div");
  made.className = "body";
  made.dir = "auto";
  made.append(nodes);
  return made;
}

// -- coming and going

let visit = null;

async function enter(token, chat = null) {
  const api = makeApi(token);
  const [me, info] = await Promise.all([api("GET", "/api/me"), api("GET", "/api/info")]);
  visit?.end();
  browser.set("token", token);
  $("entrance").hidden = true;
  $("chat").hidden = false;
  visit = new Visit({ token, me, info, left: leave });
  if (chat) visit.open(chat);
}

function leave(reason = "", { forget = false } = {}) {
  visit?.end({ forget });
  visit = null;
  browser.delete("token");
  $("chat").hidden = true;
  $("entrance").hidden = false;
  $("login-error").textContent = reason;
  $("login-name").focus();
}

// The network may be away while the page is opened: that is no reason to forget who one is.
async function enterOrWait(token, chat, invalid) {
  for (let wait = 500; ; wait = Math.min(wait * 2, 10_000)) {
    try {
      return await enter(token, chat);
    } catch (error) {
      if (error.code === "unauthorized") return leave(invalid);
      if (error.code) return leave(error.message);
      $("entrance").hidden = false;
      $("login-error").textContent = "The network does not answer. Trying again …";
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}

$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const given = $("login-token").value.trim();
  const name = $("login-name").value.trim();
  try {
    if (!given && !name) throw new Error("Give a name, or a token.");
    const token = given || (await makeApi(null)("POST", "/api/accounts", { name, kind: "visitor" })).token;
    await enter(token);
    $("login").reset();
  } catch (error) {
    $("login-error").textContent = error.code || !(error instanceof TypeError) ? error.message : "The network does not answer.";
  }
});

$("logout").append(icon("leave"));
$("logout").addEventListener("click", () => {
  const question = "Some messages are not sent yet. Log out, and lose them?";
  if ((!visit.outbox.holdsUnsent && !visit.files.uploads.busy) || confirm(question)) leave("", { forget: true });
});
$("back").append(icon("back"));
$("back").addEventListener("click", () => visit.close());
window.addEventListener("popstate", () => visit?.closed());
document.addEventListener("visibilitychange", () => visit?.draw());

$("new").append(icon("plus"));
const people = new PeopleDialog($("people"), (id) => visit.open(id, { byPerson: true }));
$("new").addEventListener("click", () => people.open(visit));

// A link may log one in: #token=TOKEN, and &chat=ID to open that chat. A fragment never leaves the browser; out of the
// address bar too, so that the token is not copied or shown along with the address.
function followLink() {
  const link = new URLSearchParams(location.hash.slice(1));
  if (!link.has("token")) return false;
  history.replaceState(null, "", location.pathname + location.search);
  enterOrWait(link.get("token"), link.get("chat"), "This link is no longer valid.");
  return true;
}
window.addEventListener("hashchange", followLink); // followed in a page that is open already

if (!followLink()) {
  const token = browser.get("token");
  if (token) enterOrWait(token, null, "");
  else leave();
}
