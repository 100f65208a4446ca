import assert from "node:assert/strict";
import { test } from "node:test";
import { NotNow, Outbox } from "../../../example_bridge/webchat/server/static/kit/outbox.js";
import { openStorage } from "../../../example_bridge/webchat/server/static/kit/storage.js";
import { backing } from "./storage.mjs";

/** A server whose answers come when the test says so. */
function make(disk = backing()) {
  const asked = [];
  let number = 0;
  const outbox = new Outbox({
    storage: openStorage("x ", disk),
    send: (entry) => new Promise((resolve, reject) => asked.push({ ...entry, resolve, reject })),
    changed: () => {},
    now: () => 1000,
    nonce: () => `n${++number}`,
  });
  return { outbox, asked, disk, states: (chat = "c") => outbox.of(chat).map(({ text, state }) => `${text}: ${state}`) };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test("what is said without a connection waits, then goes out in order, one by one", async () => {
  const { outbox, asked, states } = make();
  outbox.add("c", "one");
  outbox.add("c", "two");
  await settled();
  assert.deepEqual(states(), ["one: waiting", "two: waiting"]);
  outbox.open();
  await settled();
  assert.deepEqual(states(), ["one: sending", "two: waiting"]);
  asked[0].resolve("m1");
  await settled();
  assert.deepEqual(states(), ["one: sent", "two: sending"]);
  outbox.seen({ id: "m1", nonce: "n1" });
  assert.deepEqual(states(), ["two: sending"]);
});

test("one conversation does not wait for another", async () => {
  const { outbox, asked } = make();
  outbox.open();
  outbox.add("c", "one");
  outbox.add("d", "two");
  await settled();
  assert.deepEqual(asked.map(({ text }) => text), ["one", "two"]);
});

test("the echo may be quicker than the answer, with the nonce or without", async () => {
  const { outbox, asked, states } = make();
  outbox.open();
  outbox.add("c", "one");
  outbox.seen({ id: "m1", nonce: "n1" });
  asked[0].resolve("m1");
  await settled();
  assert.deepEqual(states(), []);
  outbox.add("c", "two");
  outbox.seen({ id: "m2" });
  asked[1].resolve("m2");
  await settled();
  assert.deepEqual(states(), []);
});

test("a broken connection makes it wait, and it goes out again under the same nonce", async () => {
  const { outbox, asked, states } = make();
  outbox.open();
  outbox.add("c", "one");
  outbox.close();
  asked[0].reject(new NotNow("lost"));
  await settled();
  assert.deepEqual(states(), ["one: waiting"]);
  outbox.open();
  await settled();
  assert.deepEqual(asked.map(({ nonce }) => nonce), ["n1", "n1"]);
});

test("a connection that is back before the failure is known does not leave it lying", async () => {
  const { outbox, asked } = make();
  outbox.open();
  outbox.add("c", "one");
  outbox.close();
  outbox.open();
  asked[0].reject(new NotNow("lost"));
  await settled();
  assert.equal(asked.length, 2);
});

test("a refusal is shown, holds up nobody, and is tried again under the same nonce when asked", async () => {
  const { outbox, asked, states } = make();
  outbox.open();
  outbox.add("c", "one");
  outbox.add("c", "two");
  asked[0].reject(new Error("too long"));
  await settled();
  assert.deepEqual(states(), ["one: failed", "two: sending"]);
  assert.equal(outbox.of("c")[0].reason, "too long");
  asked[1].resolve("m2");
  await settled();
  outbox.retry("n1");
  await settled();
  assert.equal(asked[2].nonce, "n1");
});

test("what failed can be discarded; what is on its way cannot", async () => {
  const { outbox, asked, states } = make();
  outbox.open();
  outbox.add("c", "one");
  outbox.discard("n1");
  assert.deepEqual(states(), ["one: sending"]);
  asked[0].reject(new Error("no"));
  await settled();
  outbox.discard("n1");
  assert.deepEqual(states(), []);
});

test("a reload keeps all that has no answer, in order, and forgets what has one", async () => {
  const first = make();
  first.outbox.open();
  for (const text of ["one", "two", "three"]) first.outbox.add("c", text);
  first.asked[0].resolve("m1");
  await settled();
  first.asked[1].reject(new Error("no"));
  await settled();
  assert.deepEqual(first.states(), ["one: sent", "two: failed", "three: sending"]);
  const second = make(first.disk);
  assert.deepEqual(second.states(), ["two: failed", "three: waiting"]);
  assert.ok(second.outbox.holdsUnsent);
  second.outbox.open();
  await settled();
  assert.deepEqual(second.asked.map(({ nonce }) => nonce), ["n3"]);
});

test("what is stored and makes no sense is left alone", () => {
  const disk = backing();
  disk.setItem("x unsent 1", "{nonsense");
  disk.setItem("x unsent 2", "null");
  assert.deepEqual(make(disk).states(), []);
});

test("storage that keeps nothing costs nothing but the reload", () => {
  const full = { ...backing(), setItem: () => { throw new Error("full"); } };
  const storage = openStorage("x ", full);
  storage.set("draft", "words");
  assert.equal(storage.get("draft"), "words");
  assert.deepEqual(storage.keys("dr"), ["draft"]);
  storage.delete("draft");
  assert.equal(storage.get("draft"), null);
});

test("what is done waits its turn like words, outlives a reload, and ends with its event", async () => {
  const first = make();
  first.outbox.add("c", "one", { reply_to: "m0" });
  first.outbox.act("c", { type: "react", target: "m0", emoji: "a", added: true });
  const { outbox, asked } = make(first.disk);
  outbox.open();
  await settled();
  assert.deepEqual(asked.map(({ text, more }) => [text, more]), [["one", { reply_to: "m0" }]]);
  asked[0].resolve("m1");
  await settled();
  assert.deepEqual([asked[1].nonce, asked[1].act.emoji], ["n2", "a"]);
  asked[1].resolve("c 7");
  await settled();
  assert.deepEqual(outbox.of("c").map(({ state }) => state), ["sent", "sent"]);
  outbox.seen({ id: "m1", nonce: undefined });
  outbox.seen({ id: "c 6", nonce: undefined });
  assert.equal(outbox.of("c").length, 1);
  outbox.seen({ id: "c 7", nonce: undefined }); // it found everything as it wanted to have it: the event is another's
  assert.deepEqual(outbox.of("c"), []);
});
