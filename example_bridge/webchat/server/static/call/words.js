// Calls in words. Pure.

/** Why a call is over, to the person at this page. `mine`: this person, or this person's side, brought it about. */
export function whyInWords(reason, { mine, name }) {
  if (reason === "declined") return mine ? "Declined" : `${name} declined`;
  return {
    ended: "Call ended",
    busy: `${name} is in another call`,
    unanswered: mine ? "Missed" : `${name} did not answer`,
    offline: `${name} cannot be reached`,
    elsewhere: "Answered on another page",
    replaced: "Call ended",
    unsupported: `${name} cannot take this call`,
    no_device: mine ? "No microphone or camera can be used here" : `${name} has no microphone or camera`,
    no_route: "No connection between the two of you could be made",
    lost: "The connection was lost",
  }[reason] ?? "The call failed";
}

/** The line that a call leaves in its chat, to `me`. */
export function lineOf({ actor, by, reason, kind, duration_ms: talked }, me, nameOf) {
  const own = actor === me;
  const what = kind === "video" ? "video call" : "call";
  if (talked !== undefined) return `${capital(what)} ended after ${lengthInWords(talked)}${reason === "lost" ? " (connection lost)" : ""}`;
  if (own) {
    if (by === me) return `You gave up the ${what}`;
    if (reason === "declined") return `${nameOf(by)} declined your ${what}`;
    if (reason === "busy") return `${nameOf(by)} was in another call`;
    if (reason === "unanswered") return `Your ${what} was not answered`;
    return `Your ${what} did not come about`;
  }
  if (reason === "declined" && by === me) return `You declined a ${what} from ${nameOf(actor)}`;
  return `Missed ${what} from ${nameOf(actor)}`;
}

/** As on a clock: "0:07", "1:02:03". */
export function clock(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

function lengthInWords(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return seconds === 1 ? "1 second" : `${seconds} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const capital = (text) => text[0].toUpperCase() + text.slice(1);
