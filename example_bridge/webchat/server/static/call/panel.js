// The call that is under way, as a card over the page: who, how long, and what can be done about it.

import { el, icon } from "../kit/dom.js";
import { avatar } from "../kit/person.js";
import { clock, whyInWords } from "./words.js";

/** For the bar above a conversation. */
export function callButtons(place) {
  return [["audio", "phone", "Call"], ["video", "camera", "Video call"]].map(([kind, shape, label]) =>
    el("button", { class: "round", type: "button", hidden: true, "aria-label": label, title: label, on: { click: () => place(kind) } }, icon(shape)));
}

function action(shape, label, click, { kind = "", toggle = false } = {}) {
  const button = el("button", { type: "button", class: `act ${kind}`, "aria-pressed": toggle ? "false" : undefined, on: { click } },
    icon(shape), el("span", { text: label }));
  return button;
}

export class CallPanel {
  #second = 0;
  #shown = null; // the call that it was drawn for

  /** `about(chat)` gives {title, colour, picture}. */
  constructor({ calls, about }) {
    Object.assign(this, { calls, about });
    const call = () => calls.current;
    this.who = el("strong", { class: "who" });
    this.face = el("span", { class: "face" });
    this.status = el("p", { class: "status", role: "status" });
    this.time = el("span", { class: "time", "aria-label": "Length of the call" });
    this.stage = el("video", { class: "stage", autoplay: true, playsinline: true });
    this.mirror = el("video", { class: "mirror", autoplay: true, playsinline: true, "aria-label": "You" });
    this.mirror.muted = true;
    this.buttons = {
      accept: action("phone", "Accept", () => call().accept({ video: false }), { kind: "good" }),
      acceptVideo: action("camera", "With video", () => call().accept({ video: true }), { kind: "good" }),
      decline: action("hangup", "Decline", () => call().end(), { kind: "bad" }),
      mute: action("mic", "Mute", () => call().mute(!call().muted.audio), { toggle: true }),
      hold: action("pause", "Hold", () => call().hold(!call().held), { toggle: true }),
      video: action("camera", "Video", () => call().video(call().muted.video), { toggle: true }),
      hangUp: action("hangup", "Hang up", () => call().end(), { kind: "bad" }),
      close: action("close", "Close", () => calls.dismiss()),
    };
    this.element = el("section", { class: "call", hidden: true },
      el("div", { class: "pictures" }, this.stage, this.mirror),
      el("header", {}, this.face, el("div", {}, this.who, this.status), this.time),
      el("div", { class: "acts" }, ...Object.values(this.buttons)));
  }

  draw() {
    const call = this.calls.current;
    this.element.hidden = call === null;
    this.element.call = call;
    clearInterval(this.#second);
    if (!call) return this.#release();
    const { title, colour, picture } = this.about(call.chat);
    if (this.#shown !== call) {
      this.#shown = call;
      this.element.setAttribute("aria-label", `Call with ${title}`);
      this.face.replaceChildren(avatar({ id: colour, name: title, picture }));
    }
    this.element.dataset.state = call.state;
    // A call that comes in interrupts a screen reader; what follows is said when there is time.
    this.status.setAttribute("role", call.state === "incoming" ? "alert" : "status");
    this.#text(this.who, title);
    this.#text(this.status, this.#words(call, title));
    this.#pictures(call);
    this.#showButtons(call);
    const tick = () => this.#text(this.time, call.connectedAt === null || call.over ? "" : clock(Date.now() - call.connectedAt));
    tick();
    if (call.connectedAt !== null && !call.over) this.#second = setInterval(tick, 1000);
  }

  close() {
    clearInterval(this.#second);
    this.element.hidden = true;
    this.#release();
  }

  #words(call, name) {
    const { state } = call;
    if (state === "over") return whyInWords(call.over.reason, { mine: call.over.mine, name });
    if (state === "connected") {
      if (call.held) return `You have put ${name} on hold`;
      if (call.heldByThem) return `${name} has put you on hold`;
      const muted = [call.muted.audio && "You are muted", call.theirs.audio && `${name} is muted`].filter(Boolean).join(" · ");
      return muted || "Connected";
    }
    if (state === "incoming") return `${call.kind === "video" ? "Video call" : "Call"} from ${name}`;
    return { calling: "Calling …", ringing: "Ringing …", connecting: "Connecting …", lost: "The connection is lost. Trying again …" }[state];
  }

  #showButtons(call) {
    const { buttons } = this;
    const before = this.element.contains(document.activeElement) ? document.activeElement : null;
    const talking = call.state === "connected" || call.state === "lost";
    const incoming = call.state === "incoming";
    buttons.accept.hidden = !incoming;
    buttons.acceptVideo.hidden = !incoming || call.kind !== "video";
    buttons.decline.hidden = !incoming;
    for (const name of ["mute", "hold", "video"]) buttons[name].hidden = !talking;
    buttons.hangUp.hidden = incoming || Boolean(call.over);
    buttons.close.hidden = !call.over;
    buttons.mute.setAttribute("aria-pressed", call.muted.audio);
    buttons.hold.setAttribute("aria-pressed", call.held);
    buttons.video.setAttribute("aria-pressed", !call.muted.video);
    // Who pressed a button that is gone now stays in the card.
    if (before?.hidden) Object.values(buttons).findLast((button) => !button.hidden)?.focus();
  }

  #pictures(call) {
    const theirs = call.pictures;
    const own = (call.local?.getVideoTracks().length ?? 0) > 0;
    this.#play(this.stage, call.remote);
    this.#play(this.mirror, own ? call.local : null);
    this.stage.classList.toggle("heard-only", !theirs); // it still plays what is said
    this.stage.setAttribute("aria-label", theirs ? `Picture of ${this.who.textContent}` : "");
    this.mirror.hidden = !own;
    this.element.classList.toggle("seen", theirs || own);
  }

  #play(video, stream) {
    if (video.srcObject === stream) return;
    video.srcObject = stream;
    if (stream) video.play().catch(() => {}); // a browser that wants to be touched first has been: the call was taken
  }

  #release() {
    this.#shown = null;
    this.#play(this.stage, null);
    this.#play(this.mirror, null);
  }

  #text(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }
}
