import assert from "node:assert/strict";
import { test } from "node:test";
import { asEmoji, chipsOf, inWords, writingInWords } from "../../../example_bridge/webchat/server/static/kit/reactions.js";
import { candidates, moved, queryAt, withMention } from "../../../example_bridge/webchat/server/static/kit/spans.js";

test("the mention that is being typed", () => {
  const table = [
    ["@", 1, ""], ["hi @ve", 6, "ve"], ["hi @Vera Ve", 11, "Vera Ve"], ["a@b.example", 11, null], ["@ve", 0, null], ["hi", 2, null],
    ["@ no", 4, null], ["@a  b", 5, null], ["@a\nb", 4, null], [`@${"x".repeat(50)}`, 51, null], ["👋@v", 4, "v"], ["@a @b", 5, "b"],
  ];
  for (const [text, caret, query] of table) assert.equal(queryAt(text, caret)?.query ?? null, query, text);
});

test("candidates: by the beginning, then by a word; accents do not matter", () => {
  const people = ["Anna Berg", "Bea", "Zoë", "Émile"].map((name) => ({ id: name, name }));
  const names = (query) => candidates(people, query).map(({ name }) => name);
  assert.deepEqual(names("be"), ["Bea", "Anna Berg"]);
  assert.deepEqual(names("zoe"), ["Zoë"]);
  assert.deepEqual(names("em"), ["Émile"]);
  assert.deepEqual(names("x"), []);
  assert.equal(names("").length, 4);
});

test("marks move with the text around them and go when they are changed", () => {
  const marks = [{ start: 3, end: 8, user: "v" }];
  const table = [
    ["hi @Vera!", "hello @Vera!", [6, 11]], ["hi @Vera!", "hi @Vera, yes", [3, 8]], ["hi @Vera!", "hi @Vea!", null], ["hi @Vera!", "", null],
    ["hi @Vera!", "hi 👋@Vera!", [5, 10]], ["hi @Vera!", "hi @Vera!", [3, 8]],
  ];
  for (const [before, after, expected] of table) {
    const [found] = moved(marks, before, after);
    assert.deepEqual(found ? [found.start, found.end] : null, expected, after);
  }
  assert.deepEqual(moved([{ start: 0, end: 4 }], "bold", "boold", { grow: true }), [{ start: 0, end: 5 }]);
  assert.deepEqual(moved([{ start: 0, end: 4 }], "bold", "", { grow: true }), []);
});

test("a chosen name takes the place of what was typed", () => {
  assert.deepEqual(withMention("hi @ve!", 3, 6, "Vera 👋", { user: "v" }), { text: "hi @Vera 👋 !", caret: 12, mention: { start: 3, end: 11, user: "v" } });
  assert.equal(withMention("@v there", 0, 2, "V", {}).text, "@V there");
});

test("what may be a reaction", () => {
  const table = [["👍", "👍"], [" ok ", "ok"], ["a b", null], ["", null], ["  ", null], ["x".repeat(65), null], ["👍".repeat(64), "👍".repeat(64)], ["<b>", "<b>"]];
  for (const [typed, expected] of table) assert.equal(asEmoji(typed), expected, typed);
});

test("people in words", () => {
  const table = [[[], ""], [["A"], "A"], [["A", "B"], "A and B"], [["A", "B", "C", "D"], "A, B, C and D"], [["A", "B", "C", "D", "E"], "A, B, C and 2 more"]];
  for (const [names, expected] of table) assert.equal(inWords(names), expected);
  assert.equal(writingInWords([]), "");
  assert.equal(writingInWords(["Vera"]), "Vera is writing …");
  assert.equal(writingInWords(["Vera", "Bob"]), "Vera and Bob are writing …");
  assert.deepEqual(chipsOf([["a", [{ id: "b", name: "Bob" }]]], "v"), [{ emoji: "a", count: 1, mine: false, label: "a, Bob" }]);
});
