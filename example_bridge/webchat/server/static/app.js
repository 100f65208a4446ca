// The page of webchat: one account, its conversations, live. Everything a user wrote goes in by textContent only.
import { connect } from "/static/connection.js";
import { richText } from "/static/text.js";

const $ = (id) => document.getElementById(id);
const TOKEN = "webchat-token"; // in localStorage

let token = null;
let me = null;
let connection = null;
let current = null; // id of the chat that is shown
const people = new Map(); // account id -> account
const chats = new Map(); // chat id -> {info, lines: [], pending: Map(nonce -> line), unread}

async function api(method, path, body) {
  const response = await fetch(path, {
    method,
    headers: token ? { Authorization: `Bearer ${token}` } : {},
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw Object.assign(new Error(answer.message), { code: answer.code });
  return answer;
}

// -- coming and going

async function enter() {
  me = await api("GET", "/api/me");
  localStorage.setItem(TOKEN, token);
  $("login").hidden = true;
  $("chat").hidden = false;
  $("me").textContent = me.name;
  connection = connect(token, {
    event: take,
    status: (text) => ($("status").textContent = text),
    unauthorized: () => leave("You have been logged out."),
  });
  await showPeople();
  draw();
}

function leave(reason = "") {
  connection?.close();
  localStorage.removeItem(TOKEN);
  token = me = connection = current = null;
  people.clear();
  chats.clear();
  $("chat").hidden = true;
  $("login").hidden = false;
  $("login-error").textContent = reason;
}

$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = $("login-name").value.trim();
  token = $("login-token").value.trim() || null;
  try {
    if (!token) token = (await api("POST", "/api/accounts", { name, kind: "visitor" })).token;
    await enter();
  } catch (error) {
    leave(error.message);
  }
});
$("logout").addEventListener("click", () => leave());

// -- what the network tells

function chatOf(id) {
  if (!chats.has(id)) chats.set(id, { info: { id, kind: "group" }, members: new Set(), lines: [], pending: new Map() });
  return chats.get(id);
}

function take(event) {
  const chat = chatOf(event.chat);
  switch (event.type) {
    case "message": {
      const mine = event.message.nonce && chat.pending.get(event.message.nonce);
      if (mine) {
        chat.lines.splice(chat.lines.indexOf(mine), 1);
        chat.pending.delete(event.message.nonce);
      }
      // Before what is still on its way: that will get a higher number.
      const at = chat.lines.findIndex((line) => line.state);
      chat.lines.splice(at < 0 ? chat.lines.length : at, 0, { message: event.message });
      if (event.chat !== current && event.message.sender !== me.id) chat.unread = true;
      break;
    }
    case "chat":
      chat.info = event.info;
      break;
    case "member":
      people.set(event.member.id, event.member);
      if (event.membership === "join") chat.members.add(event.member.id);
      else chat.members.delete(event.member.id);
      chat.lines.push({ notice: `${event.member.name} ${event.membership === "join" ? "came in" : "left"}` });
      break;
    case "profile":
      people.set(event.profile.id, event.profile);
      break;
    default: // a type of the future
      return;
  }
  drawSoon();
}

// -- sending

async function send(chat, line) {
  line.state = "sending";
  drawSoon();
  try {
    await connection.send({ chat: chat.info.id, text: line.message.text, nonce: line.message.nonce });
    if (line.state) line.state = "sent"; // until the echo puts the real message in its place
  } catch (error) {
    line.state = "failed";
    line.reason = error.message;
  }
  drawSoon();
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value;
  if (!current || !text.trim()) return;
  const chat = chats.get(current);
  const line = { message: { sender: me.id, text, nonce: randomNonce(), timestamp: Date.now() } };
  chat.lines.push(line);
  chat.pending.set(line.message.nonce, line);
  $("text").value = "";
  send(chat, line);
});
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("composer").requestSubmit();
  }
});

function randomNonce() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

$("new-chat").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!$("person").value) return;
  try {
    const chat = await api("POST", "/api/chats", { kind: "direct", members: [$("person").value] });
    chatOf(chat.id); // its events come over the stream
    show(chat.id);
  } catch (error) {
    $("status").textContent = error.message;
  }
});

// -- drawing

async function showPeople() {
  const { accounts } = await api("GET", "/api/accounts");
  for (const account of accounts) people.set(account.id, account);
  const others = accounts.filter((account) => account.id !== me.id);
  $("person").replaceChildren(...others.map((account) => new Option(`${account.name} (${account.kind})`, account.id)));
}
$("person").addEventListener("focus", () => showPeople().catch(() => {}));

function nameOf(account) {
  return people.get(account)?.name ?? account;
}

function titleOf(chat) {
  if (chat.info.name) return chat.info.name;
  const others = [...chat.members].filter((account) => account !== me.id);
  return others.map(nameOf).join(", ") || "Just you";
}

function show(id) {
  current = id;
  chats.get(id).unread = false;
  draw();
  $("text").focus();
}

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function drawLine(chat, line) {
  if (line.notice) return element("li", "notice", line.notice);
  const { message } = line;
  const item = element("li", line.state ?? "");
  item.append(element("strong", "sender", message.as?.name ?? nameOf(message.sender)), " ");
  item.append(element("time", "state", new Date(message.timestamp).toLocaleTimeString()));
  if (line.state) item.append(" ", element("span", "state", line.state + (line.reason ? `: ${line.reason}` : "")));
  if (line.state === "failed") {
    const again = element("button", "retry", "Try again");
    again.addEventListener("click", () => { // the same nonce: if the first did arrive, it stays one message
      line.reason = "";
      send(chat, line);
    });
    item.append(" ", again);
  }
  const text = element("div", "text");
  text.append(richText(message));
  item.append(text);
  return item;
}

let drawing = false;
function drawSoon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
}

function draw() {
  if (!me) return;
  $("chats").replaceChildren(
    ...[...chats].map(([id, chat]) => {
      const item = document.createElement("li");
      const button = element("button", "", (chat.unread ? "● " : "") + titleOf(chat));
      button.type = "button";
      button.setAttribute("aria-current", String(id === current));
      button.addEventListener("click", () => show(id));
      item.append(button);
      return item;
    }),
  );
  const chat = chats.get(current);
  $("title").textContent = chat ? titleOf(chat) : "Choose a conversation";
  $("composer").hidden = !chat;
  const list = $("messages");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  list.replaceChildren(...(chat ? chat.lines.map((line) => drawLine(chat, line)) : []));
  if (atEnd) list.scrollTop = list.scrollHeight;
}

// A link may log one in: #token=TOKEN, and &chat=ID to open that chat. A fragment never leaves the browser; out of the
// address bar too, so that the token is not copied or shown along with the address.
function followLink() {
  const link = new URLSearchParams(location.hash.slice(1));
  if (!link.has("token")) return false;
  history.replaceState(null, "", location.pathname + location.search);
  leave();
  token = link.get("token");
  enter().then(
    () => {
      current = link.get("chat"); // shown as soon as its first event comes
      draw();
    },
    (error) => leave(error.code === "unauthorized" ? "This link is no longer valid." : error.message),
  );
  return true;
}
window.addEventListener("hashchange", followLink); // followed in a page that is open already

if (!followLink()) {
  token = localStorage.getItem(TOKEN);
  if (token) enter().catch((error) => leave(error.code === "unauthorized" ? "" : error.message));
  else leave();
}
