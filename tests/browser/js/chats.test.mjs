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
