// One account's stream: hello with cursors, reconnects with backoff, sends with their answers matched by `ref`.

import { NotNow } from "./kit/outbox.js";

const FIRST_WAIT = 500; // ms until the first try to reconnect; doubles up to
const LONGEST_WAIT = 15000; // ms
const ANSWER_TIMEOUT = 20000; // ms until a send without an answer counts as failed

/** `on`: event(event), signal(frame), state("connecting" | "ready" | "lost"), unauthorized(). */
export function connect(token, on) {
  const cursors = {}; // chat -> seq seen last
  const waiting = new Map(); // ref -> {resolve, reject}
  let socket = null;
  let closed = false;
  let wait = FIRST_WAIT;
  let lastRef = 0;
  let timer = 0;

  function open() {
    clearTimeout(timer);
    timer = 0;
    on.state("connecting");
    const url = new URL("/api/stream", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("token", token);
    socket = new WebSocket(url);
    socket.onopen = () => socket.send(JSON.stringify({ type: "hello", cursors }));
    socket.onmessage = ({ data }) => take(data);
    socket.onclose = ({ code }) => lost(code);
  }

  function take(data) {
    let frame;
    try {
      frame = JSON.parse(data);
    } catch {
      return; // nonsense, which PROTOCOL.md says to ignore
    }
    const asker = waiting.get(frame?.ref);
    if (frame?.type === "event" && Number.isInteger(frame.event?.seq)) {
      const { chat, seq } = frame.event;
      const seen = cursors[chat] ?? 0;
      if (seq <= seen) return; // a repeat
      if (seq > seen + 1) return socket.close(); // something is missing: ask again from the cursor
      cursors[chat] = seq;
      on.event(frame.event);
    } else if (frame?.type === "receipt" || frame?.type === "typing" || frame?.type?.startsWith?.("call_")) {
      on.signal(frame);
    } else if (frame?.type === "ready") {
      wait = FIRST_WAIT;
      on.state("ready");
    } else if (frame?.type === "sent") {
      asker?.resolve(frame);
    } else if (frame?.type === "error") {
      asker?.reject(new Error(frame.message));
    }
  }

  async function lost(code) {
    for (const asker of [...waiting.values()]) asker.reject(new NotNow("the connection was lost"));
    if (closed) return;
    on.state("lost");
    // A refused upgrade tells a page nothing: ask whether the token still counts.
    const refused = code === 4401 || (await fetch("/api/me", { headers: { Authorization: `Bearer ${token}` } })
      .then((response) => response.status === 401, () => false));
    if (closed) return;
    if (refused) return on.unauthorized();
    timer = setTimeout(open, wait * (0.5 + Math.random() / 2));
    wait = Math.min(wait * 2, LONGEST_WAIT);
  }

  // Resolves with the answer once the message, or the act that `request.type` names, is on the network's disk. Rejects with NotNow when the connection broke
  // before it came, with any other error when the network refused or kept silent.
  function send(request) {
    return new Promise((resolve, reject) => {
      if (socket.readyState !== WebSocket.OPEN) return reject(new NotNow("offline"));
      const ref = `r${++lastRef}`;
      const give = (up) => (value) => {
        clearTimeout(late);
        waiting.delete(ref);
        up(value);
      };
      const late = setTimeout(() => waiting.get(ref)?.reject(new Error("no answer")), ANSWER_TIMEOUT);
      waiting.set(ref, { resolve: give(resolve), reject: give(reject) });
      socket.send(JSON.stringify({ type: "send", ...request, ref }));
    });
  }

  /** An act that nobody waits for, and that is out of date when the connection is back: reading, writing. */
  function tell(act) {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(act));
  }

  /** Do not wait any longer with the next try. */
  function tryNow() {
    if (timer) open();
  }

  function close() {
    closed = true;
    clearTimeout(timer);
    socket.close();
  }

  window.addEventListener("online", tryNow);
  open();
  return { send, tell, close, tryNow };
}
