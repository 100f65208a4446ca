// The page's files: to the network with progress, and from it by addresses that <img> and <video> understand.

import { Blobs } from "./kit/blobs.js";
import { Media } from "./kit/media.js";
import { NotNow } from "./kit/outbox.js";
import { Uploads } from "./kit/uploads.js";

const FILES = "/api/media/";

/** {blobs, uploads, media, picture} of an account. */
export function makeFiles({ token, api, me, storage }) {
  const blobs = new Blobs(`webchat ${me.id}`);
  const uploads = new Uploads({
    storage,
    blobs,
    send: (id, blob, on) => put(`${FILES}${encodeURIComponent(id)}`, token, blob, on),
    // Should this be lost, the message says "arriving" for ever: its sender can delete it.
    gaveUp: (id) => api("DELETE", `${FILES}${encodeURIComponent(id)}`).catch(() => {}),
    changed: (id) => media.changed(id),
  });
  // The browser asks for pictures (and for ranges) by itself, but cannot be given a header for it.
  const withToken = (path) => `${path}?token=${encodeURIComponent(token)}`;
  const media = new Media({
    uploads,
    told: true,
    preview: ({ id, local }) => blobs.url(local ?? uploads.localOf(id)),
    address: async ({ id }) => withToken(`${FILES}${encodeURIComponent(id)}`),
  });
  // A chat's picture may be a file of this network, or be anywhere on the web.
  const picture = (address) => (address?.startsWith(FILES) ? withToken(location.origin + address) : address);
  return { blobs, uploads, media, picture };
}

// fetch() does not tell how far an upload is.
function put(path, token, blob, { signal, progress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", path);
    request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = ({ loaded }) => progress(loaded);
    request.onload = () => {
      // An earlier try has brought it; or nobody wants it any more, for its message is deleted.
      if (request.status < 300 || request.status === 409 || request.status === 404) return resolve();
      let words = `status ${request.status}`;
      try {
        words = JSON.parse(request.responseText).message;
      } catch {
        // something between us and the network: the status has to do
      }
      reject(new Error(words));
    };
    request.onerror = () => reject(navigator.onLine ? new Error("the connection broke") : new NotNow("offline"));
    request.onabort = () => reject(new Error("cancelled"));
    signal.addEventListener("abort", () => request.abort());
    request.send(blob);
  });
}
