import assert from "node:assert/strict";
import { test } from "node:test";
import { editContent, marksIn, textContent, userOf } from "../../../example_bridge/demo/page/matrix/content.js";
import { allowed } from "../../../example_bridge/demo/page/matrix/html.js";
import { Rooms } from "../../../example_bridge/demo/page/matrix/rooms.js";

// --- the sanitiser, on trees as a parser makes them ---
const text = (nodeValue) => ({ nodeType: 3, nodeValue, textContent: nodeValue, childNodes: [] });
const node = (nodeName, attributes = {}, ...children) => ({
  nodeType: 1, nodeName, childNodes: children, getAttribute: (name) => attributes[name] ?? null,
  textContent: children.map((child) => child.textContent).join(""),
});
const clean = (...children) => allowed(node("BODY", {}, ...children));

test("only what is in the table is made", () => {
  const table = [
    [node("SCRIPT", {}, text("alert(1)")), []],
    [node("STYLE", {}, text("*{}")), []],
    [node("IFRAME", { src: "https://a" }), []],
    [node("svg", {}, node("script", {}, text("x"))), []],
    [node("MX-REPLY", {}, text("quoted")), []],
    [node("FORM", { action: "https://a" }, text("x")), ["x"]],
    [node("IMG", { src: "x", onerror: "alert(1)" }), ["(image)"]],
    [node("IMG", { src: "mxc://a/b", alt: "smile" }), ["smile"]],
    [node("A", { href: "javascript:alert(1)" }, text("x")), ["x"]],
    [node("B", { onclick: "alert(1)", style: "color: red" }, text("x")), [{ tag: "strong", attributes: {}, children: ["x"] }]],
    [node("H1", {}, text("x")), [{ tag: "p", attributes: { class: "heading level-1" }, children: ["x"] }]],
    [node("OL", { start: "3", type: "i" }), [{ tag: "ol", attributes: { start: "3" }, children: [] }]],
    [node("A", { href: "https://matrix.to/#/@a:b" }, text("A")), [{ tag: "span", attributes: { class: "mention" }, children: ["A"] }]],
    [{ nodeType: 8, nodeValue: "comment", childNodes: [] }, []],
  ];
  for (const [given, expected] of table) assert.deepEqual(clean(given), expected, given.nodeName);
});

test("links open outside and know nothing of us", () => {
  const [link] = clean(node("A", { href: "https://a.example", target: "_self", ping: "https://b" }, text("x")));
  assert.deepEqual(link.attributes, { href: "https://a.example/", target: "_blank", rel: "noopener noreferrer" });
});

test("depth has an end, and no text is lost there", () => {
  let deep = text("at the bottom");
  for (let i = 0; i < 1000; i++) deep = node("DIV", {}, deep);
  let levels = 0;
  for (let tree = clean(deep); typeof tree[0] !== "string"; tree = tree[0].children) levels++;
  assert.ok(levels <= 101);
});

// --- rooms ---
const ME = "@alice:hs";
let number = 0;
const event = (type, content, more = {}) => ({ type, content, event_id: `$${++number}`, sender: "@vera:hs", origin_server_ts: number, ...more });
const member = (user, membership, displayname, more = {}) => event("m.room.member", { membership, displayname }, { state_key: user, sender: user, ...more });
const words = (body, more = {}) => event("m.room.message", { msgtype: "m.text", body }, more);
const joined = (events, more = {}) => ({ rooms: { join: { "!r": { ...more, timeline: { events, prev_batch: "p", ...more.timeline } } } } });
const bodies = (rooms) => rooms.items("!r", []).map((item) => item.text ?? item.content.aside ?? item.content.body);

function make() {
  const rooms = new Rooms({ me: ME });
  const bridge = event("m.bridge", { bridgebot: "@bot:hs", protocol: { displayname: "webchat" } }, { state_key: "x" });
  const state = { events: [member("@bot:hs", "join", "bot"), member("@vera:hs", "join", "Vera"), member(ME, "join", "Alice"), bridge] };
  rooms.take(joined([words("one")], { state, summary: { "m.heroes": ["@bot:hs", "@vera:hs"] } }));
  return rooms;
}

test("a room without a name is called after who is there, not after the bridge", () => {
  const rooms = make();
  assert.equal(rooms.title("!r"), "Vera");
  assert.equal(rooms.about("!r"), "bridged to webchat");
  rooms.take(joined([event("m.room.name", { name: "Tea" }, { state_key: "" })]));
  assert.equal(rooms.title("!r"), "Tea");
});

test("events that come again are there once; a hole starts the timeline anew", () => {
  const rooms = make();
  const two = words("two");
  rooms.take(joined([two]));
  rooms.take(joined([two]));
  assert.deepEqual(bodies(rooms), ["one", "two"]);
  rooms.take(joined([words("nine")], { timeline: { limited: true, prev_batch: "q" } }));
  assert.deepEqual(bodies(rooms), ["nine"]);
  assert.equal(rooms.before("!r"), "q");
});

test("earlier pages go in front; without an end there is nothing more", () => {
  const rooms = make();
  assert.equal(rooms.takeEarlier("!r", { chunk: [words("zero"), words("minus one")], end: "e" }), 2);
  assert.deepEqual(bodies(rooms), ["minus one", "zero", "one"]);
  assert.equal(rooms.before("!r"), "e");
  rooms.takeEarlier("!r", { chunk: [] });
  assert.equal(rooms.before("!r"), null);
});

test("edits of the sender and deletions are seen; those of others are not edits", () => {
  const rooms = make();
  const target = words("typo");
  const edit = (body, sender) =>
    event("m.room.message", { body: `* ${body}`, "m.new_content": { body }, "m.relates_to": { rel_type: "m.replace", event_id: target.event_id } }, { sender });
  rooms.take(joined([target, edit("right", "@vera:hs")]));
  assert.deepEqual(bodies(rooms), ["one", "right"]);
  rooms.take(joined([edit("forged", "@mallory:hs")]));
  assert.deepEqual(bodies(rooms), ["one", "right"]);
  rooms.take(joined([event("m.room.redaction", {}, { redacts: target.event_id })]));
  assert.deepEqual(bodies(rooms), ["one", "This message was deleted"]);
});

test("the echo of one's own words names the transaction", () => {
  const rooms = make();
  const own = words("mine", { sender: ME, unsigned: { transaction_id: "t1" } });
  assert.deepEqual(rooms.take(joined([own])), [{ id: own.event_id, nonce: "t1" }]);
  assert.equal(rooms.items("!r", []).at(-1).key, "t1");
});

test("invitations name who invites, and end with the joining", () => {
  const rooms = new Rooms({ me: ME });
  const state = [member("@vera:hs", "join", "Vera"), member(ME, "invite", "Alice", { sender: "@vera:hs" })];
  rooms.take({ rooms: { invite: { "!i": { invite_state: { events: state } } } } });
  assert.deepEqual(rooms.invitations(), [{ id: "!i", by: "Vera" }]);
  assert.equal(rooms.has("!i"), false);
  rooms.take({ rooms: { join: { "!i": { timeline: { events: [] } } } } });
  assert.deepEqual(rooms.invitations(), []);
});

test("content that is no text makes no trouble", () => {
  const rooms = make();
  rooms.take(joined([event("m.room.message", { body: { a: 1 } }), event("m.room.message", {}), member("@x:hs", "join", 7)]));
  assert.equal(rooms.items("!r", []).length, 4);
  assert.equal(rooms.list(() => [])[0].preview, "No messages yet");
});

// --- relations ---
const relates = (type, target, key, more = {}) => event(type, { "m.relates_to": { rel_type: "m.annotation", event_id: target, key } }, more);
const last = (rooms, unsent = []) => rooms.items("!r", unsent).findLast(({ kind }) => kind === "message");
const acting = (act) => ({ nonce: act.type, timestamp: 1, text: act.text ?? "", state: "waiting", act });

test("reactions are counted once for each person, and taken back by their redaction", () => {
  const rooms = make();
  const target = words("two");
  const [first, again, other] = [ME, ME, "@vera:hs"].map((sender) => relates("m.reaction", target.event_id, "+", { sender }));
  rooms.take(joined([target, first, again, other, relates("m.reaction", target.event_id, 7)]));
  assert.deepEqual(last(rooms).reactions, [{ emoji: "+", count: 2, mine: true, label: "+, you and Vera" }]);
  assert.equal(rooms.ownReaction("!r", target.event_id, "+"), again.event_id);
  rooms.take(joined([first, again].map(({ event_id: redacts }) => event("m.room.redaction", {}, { redacts }))));
  assert.deepEqual(last(rooms).reactions.map(({ count, mine }) => [count, mine]), [[1, false]]);
  assert.equal(rooms.ownReaction("!r", target.event_id, "+"), undefined);
  rooms.take(joined([relates("m.reaction", target.event_id, "❤️", { sender: ME }), relates("m.reaction", target.event_id, "❤")]));
  assert.deepEqual(last(rooms).reactions.map(({ emoji, count }) => [emoji, count]), [["+", 1], ["❤️", 2]]);
});

test("answers quote; old clients' quotes in the text are left out", () => {
  const rooms = make();
  const target = words("what?");
  const answer = (body, id) => event("m.room.message", { msgtype: "m.text", body, "m.relates_to": { "m.in_reply_to": { event_id: id } } });
  rooms.take(joined([target, answer("> <@a:hs> what?\n> more\n\nthis", target.event_id)]));
  assert.deepEqual([last(rooms).text, last(rooms).reply.text, last(rooms).reply.known], ["this", "what?", true]);
  rooms.take(joined([answer("> not a quote of ours", "$unknown")]));
  assert.equal(last(rooms).reply.known, false);
});

test("receipts of people tick one's own words; those of the bot do not", () => {
  const rooms = make();
  const own = words("mine", { sender: ME });
  const next = words("next");
  rooms.take(joined([own, next]));
  const receipt = (user, id) => rooms.take(joined([], { ephemeral: { events: [{ type: "m.receipt", content: { [id]: { "m.read": { [user]: { ts: 1 } } } } }] } }));
  const readers = () => rooms.items("!r", []).find(({ id }) => id === own.event_id).readers;
  receipt("@bot:hs", next.event_id);
  assert.deepEqual(readers(), []);
  receipt("@vera:hs", next.event_id);
  assert.deepEqual(readers(), ["Vera"]);
  rooms.take(joined([], { ephemeral: { events: [{ type: "m.typing", content: { user_ids: [ME, "@vera:hs"] } }] } }));
  assert.deepEqual(rooms.writing("!r"), ["Vera"]);
});

test("what one does shows at once, on Matrix too", () => {
  const rooms = make();
  const own = words("mine", { sender: ME });
  rooms.take(joined([own]));
  const target = own.event_id;
  const shown = last(rooms, [acting({ type: "edit", target, text: "other" }), acting({ type: "react", target, emoji: "+", added: true })]);
  assert.deepEqual([shown.text, shown.state, shown.reactions.length], ["other", "waiting", 1]);
  assert.equal(last(rooms, [acting({ type: "delete", target })]).deleted, true);
  assert.equal(last(rooms).text, "mine");
});

test("contents: what is typed is text, mentions are links and are named", () => {
  const mentions = [{ start: 4, end: 6, user: "@a:hs" }];
  const made = textContent("<b> @A & x\ny", { mentions, reply: "$1" });
  assert.equal(made.formatted_body, '&#60;b&#62; <a href="https://matrix.to/#/%40a%3Ahs">@A</a> &#38; x<br>y');
  assert.deepEqual([made["m.mentions"], made["m.relates_to"]], [{ user_ids: ["@a:hs"] }, { "m.in_reply_to": { event_id: "$1" } }]);
  assert.deepEqual(textContent("x"), { msgtype: "m.text", body: "x", "m.mentions": {} });
  const edited = editContent("$1", "y");
  assert.deepEqual([edited.body, edited["m.new_content"].body, edited["m.relates_to"]], ["* y", "y", { rel_type: "m.replace", event_id: "$1" }]);
  assert.deepEqual(marksIn("hi @Ann and @Annabel", [{ id: "1", name: "Annabel" }, { id: "2", name: "Ann" }, { id: "3", name: "Bob" }]), [
    { start: 3, end: 7, user: "2" }, { start: 12, end: 20, user: "1" },
  ]);
  for (const [href, user] of [["https://matrix.to/#/%40a%3Ahs", "@a:hs"], ["https://matrix.to/#/@a:hs?via=x", "@a:hs"], ["https://matrix.to/#/!r:hs", null], ["https://matrix.to/#/@%", null], [null, null]]) {
    assert.equal(userOf(href), user);
  }
  const me = (href) => allowed(node("BODY", {}, node("A", { href }, text("x"))), ME)[0].attributes.class;
  assert.deepEqual([me(`https://matrix.to/#/${ME}`), me("https://matrix.to/#/@b:hs")], ["mention me", "mention"]);
});
