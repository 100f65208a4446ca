// The Matrix client-server API, as far as a small view needs it. https://spec.matrix.org/latest/client-server-api/

import { NotNow } from "/kit/outbox.js";
import { asLater } from "./files.js";

/** An answer that is an error; `errcode` as in the specification. */
export class MatrixError extends Error {
  constructor(status, { errcode = "M_UNKNOWN", error = `status ${status}`, retry_after_ms: retryAfter = 0 }) {
    super(error);
    Object.assign(this, { status, errcode, retryAfter });
  }
}

export class MatrixClient {
  constructor({ homeserver, token, user }) {
    Object.assign(this, { homeserver, token, user });
  }

  /** `path` below /_matrix/client/; `binary`: the answer is a file. Throws NotNow where a later try may work, else MatrixError. */
  async request(method, path, { query = {}, body, signal, root = "client", binary = false } = {}) {
    const url = new URL(`${this.homeserver}/_matrix/${root}/${path}`);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, String(value));
    let response, answer;
    try {
      response = await fetch(url, {
        method,
        signal,
        headers: { Authorization: `Bearer ${this.token}`, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
      answer = binary && response.ok ? await response.blob() : await response.json();
    } catch (error) {
      throw new NotNow(response && !response.ok ? `status ${response.status}` : error.message);
    }
    if (response.ok) return answer;
    const error = new MatrixError(response.status, answer);
    if (response.status >= 500 || error.errcode === "M_LIMIT_EXCEEDED") {
      throw Object.assign(new NotNow(error.message), { retryAfter: error.retryAfter });
    }
    throw error;
  }

  // -- media: https://spec.matrix.org/latest/client-server-api/#content-repository

  /** Bytes that one file may have. */
  async largestUpload() {
    return (await this.request("GET", "v1/media/config"))["m.upload.size"] ?? Infinity;
  }

  /** A place for a file, an mxc address, before its bytes are there. */
  async reserve() {
    return (await this.request("POST", "v1/create", { root: "media", body: {} })).content_uri;
  }

  /** Fill a place. fetch() does not tell how far it is. */
  upload([server, id], blob, { signal, progress }) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("PUT", `${this.homeserver}/_matrix/media/v3/upload/${encodeURIComponent(server)}/${encodeURIComponent(id)}`);
      request.setRequestHeader("Authorization", `Bearer ${this.token}`);
      request.setRequestHeader("Content-Type", blob.type || "application/octet-stream");
      request.upload.onprogress = ({ loaded }) => progress(loaded);
      request.onload = () => {
        if (request.status < 300 || request.status === 409) return resolve(); // 409: an earlier try has brought it
        reject(new Error(`the homeserver answered with status ${request.status}`));
      };
      request.onerror = () => reject(navigator.onLine ? new Error("the connection broke") : new NotNow("offline"));
      request.onabort = () => reject(new Error("cancelled"));
      signal.addEventListener("abort", () => request.abort());
      request.send(blob);
    });
  }

  /** A file. The homeserver waits `timeout` ms for one that is not there yet. */
  async download([server, id], timeout) {
    const path = `v1/media/download/${encodeURIComponent(server)}/${encodeURIComponent(id)}`;
    try {
      return await this.request("GET", path, { query: { timeout_ms: timeout }, binary: true });
    } catch (error) {
      throw asLater(error);
    }
  }

  sync({ since, timeout, filter, signal }) {
    const query = { timeout, filter: JSON.stringify(filter), ...(since ? { since } : {}) };
    return this.request("GET", "v3/sync", { query, signal });
  }

  /** The event's id. The same `transaction` again makes no second event. */
  async send(room, transaction, content, type = "m.room.message") {
    const path = `v3/rooms/${encodeURIComponent(room)}/send/${type}/${encodeURIComponent(transaction)}`;
    return (await this.request("PUT", path, { body: content })).event_id;
  }

  /** Take back an event; the id of the redaction. */
  async redact(room, transaction, event) {
    const path = `v3/rooms/${encodeURIComponent(room)}/redact/${encodeURIComponent(event)}/${encodeURIComponent(transaction)}`;
    return (await this.request("PUT", path, { body: {} })).event_id;
  }

  /** Tell others that this person writes, for `timeout` ms at most, or does no longer. */
  setTyping(room, typing, timeout = 10_000) {
    const path = `v3/rooms/${encodeURIComponent(room)}/typing/${encodeURIComponent(this.user)}`;
    return this.request("PUT", path, { body: typing ? { typing, timeout } : { typing } });
  }

  /** One page of what was before `from`, the latest first. */
  earlier(room, from) {
    const query = { dir: "b", from, limit: 50, filter: JSON.stringify({ lazy_load_members: true }) };
    return this.request("GET", `v3/rooms/${encodeURIComponent(room)}/messages`, { query });
  }

  join(room) {
    return this.request("POST", `v3/join/${encodeURIComponent(room)}`, { body: {} });
  }

  markRead(room, event) {
    const path = `v3/rooms/${encodeURIComponent(room)}/receipt/m.read/${encodeURIComponent(event)}`;
    return this.request("POST", path, { body: {} });
  }
}
