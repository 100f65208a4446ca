// The long poll of /sync, for ever: one answer after the other, with backoff while there is none.

import { NotNow } from "/kit/outbox.js";
import { MatrixError } from "./client.js";

const POLL = 30_000; // ms that the homeserver may keep the request while nothing happens
const PATIENCE = POLL + 15_000; // ms after which a request counts as lost
const FIRST_WAIT = 500; // ms until the first try after a failure; doubles up to
const LONGEST_WAIT = 15_000; // ms
const FILTER = {
  presence: { types: [] },
  account_data: { types: [] },
  room: { timeline: { limit: 40 }, state: { lazy_load_members: true }, ephemeral: { types: ["m.receipt", "m.typing"] }, account_data: { types: [] } },
};

/** `on`: answer(sync), state("connecting" | "ready" | "lost"), loggedOut(). Gives {tryNow}. */
export function keepSyncing(client, on) {
  let since = null;
  let wake = () => {};

  async function run() {
    on.state("connecting");
    for (let wait = FIRST_WAIT, lost = false; ; ) {
      try {
        const timeout = since === null || lost ? 0 : POLL; // at once after a failure, so that one sees that it is over
        const answer = await client.sync({ since, timeout, filter: FILTER, signal: AbortSignal.timeout(PATIENCE) });
        on.answer(answer);
        if (since === null || lost) on.state("ready");
        since = answer.next_batch;
        lost = false;
        wait = FIRST_WAIT;
      } catch (error) {
        if (error.errcode === "M_UNKNOWN_TOKEN") return on.loggedOut();
        if (!(error instanceof NotNow || error instanceof MatrixError)) console.error(error); // a fault of this page
        if (!lost) on.state("lost");
        lost = true;
        await new Promise((resolve) => {
          wake = resolve;
          setTimeout(resolve, Math.max(error.retryAfter ?? 0, wait * (0.5 + Math.random() / 2)));
        });
        wait = Math.min(wait * 2, LONGEST_WAIT);
      }
    }
  }

  run();
  const tryNow = () => wake();
  window.addEventListener("online", tryNow);
  return { tryNow };
}
