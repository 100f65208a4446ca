import assert from "node:assert/strict";
import { test } from "node:test";
import { captionOf, fileContent, filesOf, mediaId, placeOf } from "../../../example_bridge/demo/page/matrix/files.js";
import { textContent } from "../../../example_bridge/demo/page/matrix/content.js";
import { barsOf, boxOf, clockOf, inWords, kindOf, sizeInWords, summary, waveformOf } from "../../../example_bridge/webchat/server/static/kit/files.js";
import { NotNow } from "../../../example_bridge/webchat/server/static/kit/outbox.js";
import { openStorage } from "../../../example_bridge/webchat/server/static/kit/storage.js";
import { Uploads } from "../../../example_bridge/webchat/server/static/kit/uploads.js";
import { Chats } from "../../../example_bridge/webchat/server/static/chats.js";
import { backing } from "./storage.mjs";

test("sizes, times and kinds in words", () => {
  assert.deepEqual([0, 999, 1000, 1_500_000, 12_345_678, 3e9, undefined].map(sizeInWords), ["0 B", "999 B", "1.0 KB", "1.5 MB", "12 MB", "3.0 GB", ""]);
  assert.deepEqual([0, 900, 61_000, undefined, -5].map(clockOf), ["0:00", "0:01", "1:01", "0:00", "0:00"]);
  assert.deepEqual([{ mimetype: "image/png" }, { mimetype: "text/html" }, { kind: "hologram" }, { kind: "voice" }].map(kindOf), ["image", "file", "file", "voice"]);
  assert.equal(inWords({ kind: "voice", name: "v.ogg" }), "Voice message");
  assert.equal(summary({ text: "words", files: [{ kind: "image" }] }), "words");
  assert.equal(summary({ files: [{ kind: "image", name: "a.png" }] }), "Picture: a.png");
  assert.equal(summary({ files: [{}, {}] }), "2 files");
  assert.equal(summary({ location: {} }), "Place");
});

test("room for a picture keeps its shape and has its limits", () => {
  assert.deepEqual(boxOf({ width: 1600, height: 800 }), { width: 320, height: 160 });
  assert.deepEqual(boxOf({ width: 1, height: 100_000 }), { width: 64, height: 320 });
  assert.deepEqual(boxOf({ width: -3, height: 7 }), { width: 240, height: 180 });
});

test("waveforms of any length become as many bars as there is room for", () => {
  assert.equal(barsOf([], 5).length, 5);
  assert.deepEqual(barsOf([0, 512, 1024, 512], 4), [0.08, 0.5, 1, 0.5]);
  assert.equal(barsOf([1024], 7).length, 7);
  assert.equal(waveformOf(Array(1000).fill(0.3)).length, 100);
  assert.deepEqual(waveformOf([]), []);
});

/** A network whose answers come when the test says so. */
function make(disk = backing()) {
  const asked = [];
  const gaveUp = [];
  const blobs = { get: async (key) => (key === "lost" ? null : { size: 10, key }), delete: async () => {} };
  const uploads = new Uploads({
    storage: openStorage("x ", disk), blobs, gaveUp: (id) => gaveUp.push(id),
    send: (id, blob, on) => new Promise((resolve, reject) => asked.push({ id, resolve, reject, ...on })),
  });
  return { uploads, asked, gaveUp, disk, state: (id) => uploads.of(id)?.state ?? null };
}
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("two go at once, the third follows; what is through is forgotten", async () => {
  const { uploads, asked, state } = make();
  for (const id of ["a", "b", "c", "a"]) uploads.add(id, `local ${id}`);
  assert.equal(state("a"), "waiting");
  uploads.open();
  await settled();
  assert.deepEqual(asked.map(({ id }) => id), ["a", "b"]);
  asked[0].progress(4);
  assert.deepEqual([uploads.of("a").sent, uploads.of("a").total], [4, 10]);
  asked[0].resolve();
  await settled();
  assert.deepEqual([state("a"), asked[2].id, uploads.localOf("a")], [null, "c", "local a"]);
  uploads.add("a", "local a"); // its message went out twice
  assert.equal(state("a"), null);
});

test("a failure waits for a person, a lost connection does not, and a reload forgets neither", async () => {
  const { uploads, asked, disk, state } = make();
  for (const id of ["a", "b"]) uploads.add(id, id);
  uploads.open();
  await settled();
  asked[0].reject(new Error("no room"));
  asked[1].reject(new NotNow("offline"));
  await settled();
  assert.deepEqual([state("a"), uploads.of("a").reason, state("b")], ["failed", "no room", "waiting"]);
  const again = make(disk);
  assert.deepEqual([again.state("a"), again.state("b"), again.uploads.locals], ["failed", "waiting", ["a", "b"]]);
  again.uploads.open();
  await settled();
  assert.deepEqual(again.asked.map(({ id }) => id), ["b"]);
  again.uploads.retry("a");
  await settled();
  assert.deepEqual(again.asked.map(({ id }) => id), ["b", "a"]);
});

test("what is cancelled stops, and is told; what is lost says so", async () => {
  const { uploads, asked, gaveUp, state } = make();
  uploads.add("a", "a");
  uploads.add("b", "lost");
  uploads.open();
  await settled();
  uploads.cancel("a");
  assert.deepEqual([asked[0].signal.aborted, gaveUp, state("a")], [true, ["a"], null]);
  asked[0].reject(new Error("cancelled"));
  await settled();
  assert.deepEqual([state("a"), uploads.of("b").reason], [null, "the file is no longer in this browser"]);
  assert.equal(uploads.busy, true);
  uploads.done("b");
  assert.equal(uploads.busy, false);
});

test("a conversation knows what became of its files", () => {
  const chats = new Chats({ me: { id: "me", name: "Me" }, storage: openStorage("x ", backing()) });
  const said = { id: "m", chat: "c", sender: "you", timestamp: 1, text: "", files: [{ id: "f", name: "a.png", kind: "image" }] };
  chats.take({ type: "chat", chat: "c", seq: 1, timestamp: 1, actor: "you", info: { id: "c", kind: "group", name: "C" } });
  chats.take({ type: "message", chat: "c", seq: 2, timestamp: 1, actor: "you", message: said });
  const file = () => chats.items("c", []).at(-1).content.files?.[0];
  const before = chats.items("c", []).at(-1).version;
  chats.take({ type: "media", chat: "c", seq: 3, timestamp: 1, actor: "you", target: "m", file: "f", state: "there", size: 7, mimetype: "image/png" });
  assert.deepEqual(file(), { id: "f", name: "a.png", kind: "image", state: "there", size: 7, mimetype: "image/png" });
  assert.notEqual(chats.items("c", []).at(-1).version, before);
  assert.equal(chats.list(() => [])[0].preview, "Picture: a.png");
  chats.take({ type: "delete", chat: "c", seq: 4, timestamp: 1, actor: "you", target: "m" });
  assert.equal(file(), undefined);
});

test("files of Matrix events, however they are written", () => {
  const image = { msgtype: "m.image", body: "words", filename: "a.png", url: "mxc://hs/abc", info: { mimetype: "image/png", size: 5, w: 3, h: "x" } };
  assert.deepEqual(filesOf(image), [{ id: "mxc://hs/abc", kind: "image", name: "a.png", mimetype: "image/png", size: 5, width: 3, height: undefined, duration_ms: undefined, waveform: [] }]);
  assert.equal(captionOf(image), "words");
  assert.equal(captionOf({ body: "a.png", filename: "a.png" }), "");
  for (const url of ["https://a/b", "mxc://../admin", "mxc://hs/%2e%2e", "mxc://hs/a?b", "mxc://hs/a/b", "mxc://hs", 7, null]) {
    assert.deepEqual([filesOf({ ...image, url }), mediaId(url)], [[], null], String(url));
  }
  assert.deepEqual(mediaId("mxc://[::1]:8448/aB_-9"), ["[::1]:8448", "aB_-9"]);
  assert.equal(filesOf({ body: "s", url: "mxc://hs/s" }, "m.sticker")[0].kind, "sticker");
  const voice = { id: "mxc://hs/v", kind: "voice", name: "v.ogg", mimetype: "audio/ogg", size: 9, duration_ms: 900, waveform: [1, 2] };
  const sent = fileContent(voice, textContent(""));
  assert.deepEqual([sent.msgtype, sent.body, sent.filename], ["m.audio", "v.ogg", "v.ogg"]);
  assert.deepEqual(filesOf(sent), [{ ...voice, width: undefined, height: undefined }]);
  assert.equal(captionOf(fileContent(voice, textContent("listen"))), "listen");
});

test("places", () => {
  assert.deepEqual(placeOf({ msgtype: "m.location", geo_uri: "geo:60.1,-24.9;u=35" }), { latitude: 60.1, longitude: -24.9, uncertainty_m: 35 });
  assert.equal(placeOf({ msgtype: "m.location", geo_uri: "geo:1,2,3" }).uncertainty_m, undefined);
  for (const geo of ["geo:91,0", "geo:a,b", "javascript:1", undefined]) assert.equal(placeOf({ msgtype: "m.location", geo_uri: geo }), null);
});
