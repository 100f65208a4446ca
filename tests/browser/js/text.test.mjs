import assert from "node:assert/strict";
import { test } from "node:test";
import { followable, withLinks } from "../../../example_bridge/webchat/server/static/kit/links.js";
import { hue, initials } from "../../../example_bridge/webchat/server/static/kit/person.js";
import { rowsOf } from "../../../example_bridge/webchat/server/static/kit/rows.js";
import { toBlocks } from "../../../example_bridge/webchat/server/static/text.js";

const plain = (blocks) => blocks.map(({ style, pieces }) => `${style}(${pieces.map(({ text }) => text).join("|")})`).join(" ");

test("spans count UTF-16 units", () => {
  const [block] = toBlocks({ text: "👋 bold", format: [{ start: 3, end: 7, style: "bold" }] });
  assert.deepEqual(block.pieces, [{ styles: [], text: "👋 " }, { styles: ["bold"], text: "bold" }]);
});

test("spans that overlap, lie outside or make no sense do no harm", () => {
  const format = [
    { start: 0, end: 3, style: "bold" }, { start: 2, end: 5, style: "italic" }, { start: -1, end: 99, style: "bold" },
    { start: 4, end: 4, style: "bold" }, { start: 1, end: 2, style: "constructor" }, { start: "0", end: null, style: "bold" },
  ];
  const [block] = toBlocks({ text: "abcdef", format });
  assert.equal(block.pieces.map(({ text }) => text).join(""), "abcdef");
  assert.deepEqual(block.pieces.find(({ text }) => text === "c").styles, ["bold", "italic"]);
});

test("blocks stand on lines of their own, without empty ones beside them", () => {
  const text = "first\none\ntwo\nlast";
  const format = [{ start: 6, end: 9, style: "list_item", level: 1 }, { start: 10, end: 13, style: "list_item", level: 1 }];
  assert.equal(plain(toBlocks({ text, format })), "plain(first) list_item(one) list_item(two) plain(last)");
});

test("only harmless addresses become links", () => {
  for (const value of ["javascript:alert(1)", "data:text/html,x", "vbscript:x", " javascript:x", "//x", "file:///etc/passwd", null, undefined, {}]) {
    assert.equal(followable(value), null, String(value));
  }
  assert.equal(followable("https://matrix.org"), "https://matrix.org/");
  const [block] = toBlocks({ text: "x", format: [{ start: 0, end: 1, style: "link", value: "javascript:alert(1)" }] });
  assert.equal(block.pieces[0].href, undefined);
});

test("addresses in plain text", () => {
  const table = [
    ["see https://a.example/b.", ["see ", "https://a.example/b", "."]],
    ["(https://a.example)", ["(", "https://a.example", ")"]],
    ["https://a.example/x_(y)", ["https://a.example/x_(y)"]],
    ["https://a.example/\u202Egpj.exe", ["https://a.example/", "\u202Egpj.exe"]],
    ["http://", ["http://"]],
    ["", []],
  ];
  for (const [text, expected] of table) assert.deepEqual(withLinks(text).map((piece) => piece.text), expected, text);
});

test("no addresses are looked for in code", () => {
  const [block] = toBlocks({ text: "http://a.example", format: [{ start: 0, end: 16, style: "code" }] });
  assert.equal(block.pieces[0].href, undefined);
});

test("initials and colours", () => {
  const table = [["Vera", "V"], ["Alice van Aalto", "AA"], ["élan vital", "ÉV"], ["👋", "👋"], ["  ", "?"], ["", "?"], ["李雷", "李"]];
  for (const [name, expected] of table) assert.equal(initials(name), expected, name);
  assert.equal(hue("vera"), hue("vera"));
  assert.ok(new Set(["alice", "bruno", "vera", "carol", "dave"].map(hue)).size >= 4);
});

const at = (...rest) => new Date(2026, ...rest).getTime();
const said = (key, id, timestamp, more = {}) => ({ key, kind: "message", timestamp, sender: { id, name: id }, ...more });

test("rows: days are parted, and what one says in a row stands together", () => {
  const rows = rowsOf(
    [said("1", "a", at(0, 1, 23, 59)), said("2", "a", at(0, 2, 0, 0)), said("3", "a", at(0, 2, 0, 1)), said("4", "b", at(0, 2, 0, 2)), said("5", "b", at(0, 2, 0, 30))],
    at(0, 2, 12),
  );
  assert.deepEqual(
    rows.map((row) => (row.kind === "day" ? row.text : `${row.key}${row.first ? " first" : ""}${row.last ? " last" : ""}`)),
    ["Yesterday", "1 first last", "Today", "2 first", "3 last", "4 first last", "5 first last"],
  );
});

test("rows: who speaks for somebody else is another group; keys of rows never repeat", () => {
  const rows = rowsOf(
    [said("1", "a", at(0, 2)), said("2", "a", at(0, 2), { via: "Relay" }), said("3", "a", at(0, 1)), said("4", "a", at(0, 2))], at(0, 2),
  );
  assert.ok(rows.filter(({ kind }) => kind === "message").every(({ first }) => first));
  assert.equal(new Set(rows.map(({ key }) => key)).size, rows.length);
});
