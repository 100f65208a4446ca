// Files in Matrix events, and how this view gets and sends them: authenticated media, places reserved before their bytes
// (MSC2246). https://spec.matrix.org/latest/client-server-api/#content-repository

import { Blobs } from "/kit/blobs.js";
import { kindOf } from "/kit/files.js";
import { Media } from "/kit/media.js";
import { NotNow } from "/kit/outbox.js";
import { Uploads } from "/kit/uploads.js";

const KINDS = { "m.image": "image", "m.video": "video", "m.audio": "audio", "m.file": "file", "m.sticker": "sticker" };
const TYPES = { image: "m.image", sticker: "m.image", video: "m.video", audio: "m.audio", voice: "m.audio", file: "m.file" };
const WAIT = 20_000; // ms that the homeserver waits for bytes that are not there yet

const whole = (value) => (Number.isFinite(value) && value >= 0 ? value : undefined);

/** The file of a message's content as the kit has it, or none: an array. Anybody may have written anything there. */
export function filesOf(content, type = "m.room.message") {
  const kind = type === "m.sticker" ? "sticker" : KINDS[content?.msgtype];
  if (!kind || !mediaId(content.url)) return [];
  const info = content.info ?? {};
  const voice = content["org.matrix.msc3245.voice"] !== undefined || content["m.voice"] !== undefined;
  const more = content["org.matrix.msc1767.audio"] ?? {};
  const waveform = Array.isArray(more.waveform) ? more.waveform.filter(whole) : [];
  return [{
    id: content.url, kind: kind === "audio" && voice ? "voice" : kind, name: String(content.filename ?? content.body ?? ""),
    mimetype: typeof info.mimetype === "string" ? info.mimetype : "", size: whole(info.size),
    width: whole(info.w), height: whole(info.h), duration_ms: whole(info.duration ?? more.duration), waveform,
  }];
}

/** The words beside a file: the body, where it is not the file's name. */
export function captionOf(content) {
  return content.filename !== undefined && content.body !== content.filename ? String(content.body ?? "") : "";
}

/** The place of an m.location, or null. */
export function placeOf(content) {
  const found = content?.msgtype === "m.location" && /^geo:(-?[\d.]+),(-?[\d.]+)(?:.*;u=([\d.]+))?/.exec(content.geo_uri ?? "");
  if (!found) return null;
  const [latitude, longitude, uncertainty] = found.slice(1).map((one) => (one === undefined ? undefined : Number(one)));
  return Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180 ? { latitude, longitude, uncertainty_m: uncertainty } : null;
}

/** A message with a file. `words` is the content of its caption, as textContent makes it. */
export function fileContent({ id, name, mimetype, size, width, height, duration_ms: duration, waveform, ...file }, words) {
  const kind = kindOf({ ...file, mimetype });
  const { body, ...rest } = words;
  const info = { mimetype: mimetype || "application/octet-stream", size, w: width, h: height, duration };
  const voice = kind === "voice" && { "org.matrix.msc3245.voice": {}, "org.matrix.msc1767.audio": { duration, waveform } };
  return { ...rest, ...voice, msgtype: TYPES[kind], body: body || name, filename: name, url: id, info };
}

/** [server, id] of an mxc address, or null: it becomes part of an address here. */
export function mediaId(mxc) {
  const found = typeof mxc === "string" && /^mxc:\/\/((?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9.-]*)(?::\d{1,5})?)\/([A-Za-z0-9_-]+)$/.exec(mxc);
  return found ? [found[1], found[2]] : null;
}

/** {blobs, uploads, media} of a user. */
export function makeFiles({ client, storage }) {
  const fetched = new Map(); // mxc -> promise of an address in this page
  const blobs = new Blobs(`matrix ${client.user}`);
  const uploads = new Uploads({
    storage,
    blobs,
    send: (mxc, blob, on) => client.upload(mediaId(mxc), blob, on),
    gaveUp: () => {}, // a homeserver forgets a place by itself that nothing comes to
    changed: (mxc) => media.changed(mxc),
  });
  const media = new Media({
    uploads,
    preview: ({ id, local }) => blobs.url(local ?? uploads.localOf(id)),
    address: ({ id }) => {
      if (!fetched.has(id)) {
        const promise = client.download(mediaId(id), WAIT).then((blob) => URL.createObjectURL(blob));
        fetched.set(id, promise);
        promise.catch(() => fetched.delete(id));
      }
      return fetched.get(id);
    },
  });
  return { blobs, uploads, media };
}

/** An error of a request as the kit understands it: `later` where the file may still come. */
export function asLater(error) {
  return Object.assign(error, { later: error instanceof NotNow || error.errcode === "M_NOT_YET_UPLOADED" });
}
