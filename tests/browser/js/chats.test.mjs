import assert from "node:assert/strict";
import { test } from "node:test";
import { Chats } from "../../../example_bridge/webchat/server/static/chats.js";
import { openStorage } from "../../../example_bridge/webchat/server/static/kit/storage.js";
import { backing } from "./storage.mjs";

const me = { id: "vera", kind: "visitor", name: "Vera" };
const alice = { id: "alice", kind: "agent", name: "Alice" };

function make(kind = "direct", disk = backing()) {
  const chats = new Chats({ me, storage: openStorage("", disk) });
  let seq = 0;
  const take = (event) => chats.take({ chat: "c", seq: ++seq, timestamp: 1000 + seq, actor: "alice", ...event });
  take({ type: "chat", change: "created", timestamp: 5, info: { id: "c", kind, name: "" } });
  for (const member of [me, alice]) take({ type: "member", membership: "join", timestamp: 5, member });
  return { chats, take, say: (id, text, more = {}) => take({ type: "message", message: { id, sender: "alice", timestamp: 1000 + seq, text, ...more } }) };
}

test("a direct chat is called after the other one, and says nothing of coming in", () => {
  const { chats } = make();
  assert.equal(chats.title("c"), "Alice");
  assert.deepEqual(chats.items("c", []), []);
});

test("a chat's picture is where the page says that it can be had", () => {
  const chats = new Chats({ me, storage: openStorage("", backing()), picture: (address) => address && `${address}?token=t` });
  chats.take({ type: "chat", chat: "c", seq: 1, timestamp: 1, actor: "alice", info: { id: "c", kind: "group", avatar_url: "/api/media/f" } });
  assert.equal(chats.head("c").picture, "/api/media/f?token=t");
  chats.take({ type: "chat", chat: "c", seq: 2, timestamp: 1, actor: "alice", info: { id: "c", kind: "group" } });
  assert.equal(chats.head("c").picture, undefined);
});

test("unread counts last over a reload, one's own words do not count", () => {
  const disk = backing();
  const first = make("direct", disk);
  first.say("1", "a");
  first.chats.markRead("c");
  assert.equal(first.chats.unread, 0);
  first.say("2", "b");
  first.say("3", "c", { sender: "vera" });
  assert.equal(first.chats.unread, 1);
  const second = make("direct", disk);
  for (const id of ["1", "2"]) second.say(id, "again");
  assert.equal(second.chats.unread, 1);
});

test("own words keep their row from sending to sent", () => {
  const { chats, say } = make();
  const unsent = { nonce: "n", text: "x", timestamp: 1, state: "sending" };
  const before = chats.items("c", [unsent])[0].key;
  say("1", "x", { sender: "vera", nonce: "n" });
  assert.equal(chats.items("c", [])[0].key, before);
});

test("a message on behalf of somebody shows them, and who passed it on", () => {
  const { chats, say } = make();
  say("1", "x", { as: { name: "Bob", avatar_url: "https://a.example/b.png" } });
  const [item] = chats.items("c", []);
  assert.deepEqual([item.sender.name, item.via, item.sender.picture], ["Bob", "Alice", "https://a.example/b.png"]);
});

test("new names and members are told in words; unknown types leave no trace", () => {
  const { chats, take } = make("group");
  take({ type: "profile", profile: { ...alice, name: "Alicia" } });
  take({ type: "profile", profile: { ...alice, name: "Alicia", avatar_url: "https://a.example" } });
  take({ type: "chat", change: "changed", info: { id: "c", kind: "group", name: "Tea" } });
  take({ type: "member", membership: "leave", member: alice });
  take({ type: "poll", poll: {} });
  assert.deepEqual(chats.items("c", []).map(({ text }) => text), ["Alice is now Alicia", "Alicia named this conversation “Tea”", "Alice left"]);
  assert.equal(chats.title("c"), "Tea");
});

const one = (chats, unsent = []) => chats.items("c", unsent).find(({ kind }) => kind === "message");
const act = (type, more = {}) => ({ nonce: type, chat: "c", timestamp: 9, state: "waiting", act: { type, target: "1", ...more } });

test("edits count by their revision; superseded ones and those of what is gone do not", () => {
  const { chats, say, take } = make();
  say("1", "three", { revision: 3, edited_at: 7 });
  take({ type: "edit", target: "1", revision: 1, superseded: true });
  take({ type: "edit", target: "1", revision: 2, text: "two" });
  assert.deepEqual([one(chats).text, one(chats).edited], ["three", 7]);
  take({ type: "edit", target: "1", revision: 4, text: "four", mentions: [{ start: 0, end: 4, user: "vera" }] });
  assert.deepEqual([one(chats).text, one(chats).forMe], ["four", true]);
  take({ type: "reaction", target: "1", emoji: "x", added: true });
  take({ type: "delete", target: "1" });
  take({ type: "edit", target: "1", revision: 5, text: "five" });
  take({ type: "reaction", target: "1", emoji: "y", added: true });
  const { text, deleted, reactions, can } = one(chats);
  assert.deepEqual([text, deleted, reactions, Object.values(can).some(Boolean)], ["", true, [], false]);
  take({ type: "edit", target: "never seen", revision: 1, text: "x" });
});

test("reactions are sets of people, in the order in which they came", () => {
  const { chats, say, take } = make();
  say("1", "x");
  const react = (actor, emoji, added) => take({ type: "reaction", target: "1", actor, emoji, added });
  for (const given of [["alice", "a", true], ["vera", "b", true], ["vera", "a", true], ["alice", "a", true], ["alice", "b", false]]) react(...given);
  assert.deepEqual(one(chats).reactions, [
    { emoji: "a", count: 2, mine: true, label: "a, you and Alice" }, { emoji: "b", count: 1, mine: true, label: "b, you" },
  ]);
  react("vera", "b", false);
  assert.deepEqual(one(chats).reactions.map(({ emoji }) => emoji), ["a"]);
});

test("what one does shows at once; what was refused does not, and says so", () => {
  const { chats, say } = make();
  say("1", "x", { sender: "vera" });
  const done = one(chats, [act("edit", { text: "y" }), act("react", { emoji: "a", added: true })]);
  assert.deepEqual([done.text, done.state, done.reactions.length], ["y", "waiting", 1]);
  assert.equal(one(chats, [act("delete")]).deleted, true);
  const refused = one(chats, [{ ...act("edit", { text: "y" }), state: "failed", reason: "no" }]);
  assert.deepEqual([refused.text, refused.state, refused.trouble], ["x", "sent", { words: "Not changed: no", nonce: "edit" }]);
  assert.deepEqual([one(chats).text, one(chats).reactions], ["x", []]);
});

test("answers quote what is there now", () => {
  const { chats, say, take } = make();
  say("1", "first");
  say("2", "second", { reply_to: "1" });
  say("3", "third", { reply_to: "0" });
  const quotes = () => chats.items("c", []).map(({ reply }) => reply?.text);
  assert.deepEqual(quotes(), [undefined, "first", "A message that is not here"]);
  take({ type: "delete", target: "1" });
  assert.equal(quotes()[1], "Message deleted");
});

test("who has read is told by names; one's own reading elsewhere counts", () => {
  const { chats, say } = make();
  say("1", "a", { sender: "vera" }); // seq 4
  chats.hear({ type: "receipt", chat: "c", account: "alice", seq: 3 });
  assert.deepEqual(one(chats).readers, []);
  chats.hear({ type: "receipt", chat: "c", account: "alice", seq: 4 });
  chats.hear({ type: "receipt", chat: "c", account: "vera", seq: 4 });
  assert.deepEqual(one(chats).readers, ["Alice"]);
  say("2", "b");
  assert.equal(chats.unread, 1);
  assert.equal(chats.readUntold("c"), 0);
  chats.markRead("c");
  assert.equal(chats.readUntold("c"), 5);
  chats.hear({ type: "receipt", chat: "c", account: "vera", seq: 5 });
  assert.equal(chats.readUntold("c"), 0);
});

test("writing ends with time, a word, or the message", () => {
  const { chats, say } = make();
  const writes = (typing, account = "alice") => chats.hear({ type: "typing", chat: "c", account, typing, expires_ms: 10 }, 100);
  writes(true);
  writes(true, "vera");
  assert.deepEqual([chats.writing("c", 109), chats.writing("c", 110)], [["Alice"], []]);
  writes(false);
  assert.deepEqual(chats.writing("c", 101), []);
  writes(true);
  say("1", "done");
  assert.deepEqual(chats.writing("c", 101), []);
  chats.hear({ type: "typing", chat: "unknown", account: "alice", typing: true, expires_ms: 10 });
});

test("who may do what: one's own, moderators in groups, nobody when it is over", () => {
  const { chats, say, take } = make("group");
  say("1", "x");
  const can = () => Object.entries(one(chats).can).filter(([, may]) => may).map(([name]) => name).join(" ");
  assert.equal(can(), "react reply");
  assert.deepEqual(chats.mentionable("c").map(({ name }) => name), ["Alice"]);
  take({ type: "role", member: me, role: "moderator", roles: { vera: "moderator" } });
  assert.equal(can(), "react reply remove");
  assert.deepEqual(chats.mentionable("c").map(({ name }) => name), ["Alice", "everybody"]);
  take({ type: "chat_deleted" });
  assert.equal(can(), "");
  assert.equal(chats.writable("c"), false);
});
