// The calls of one account at this page: at most one at a time. Frames of the stream go in, frames for it come out.

import { NotNow } from "../kit/outbox.js";
import { Call } from "./call.js";

const SHOWN = 6000; // ms that a call which is over stays to be seen
const REMEMBERED = 100; // calls that are over

const newId = () => `call-${crypto.randomUUID?.() ?? [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;

export class Calls {
  #leg = newId().replace("call", "page");
  #unsaid = []; // frames that the connection did not take
  #saying = Promise.resolve();
  #shown = 0;
  #known = new Set(); // ids of calls that are over
  current = null;

  /** `send(frame)` resolves when the network has it; `bye(frame)` tells it while the page goes; `trickle`: how candidates go; `iceServers`: who helps to find them. */
  constructor({ me, trickle, iceServers, send, bye, changed }) {
    Object.assign(this, { me, trickle, iceServers, send, bye, changed });
    this.leaves = () => this.#leave();
    window.addEventListener("pagehide", this.leaves);
  }

  /** Call whoever is in this direct chat. */
  place(chat, kind) {
    if (this.busy) return;
    this.#show(new Call(this.#with({ id: newId(), chat, kind }))).place();
  }

  get busy() {
    return this.current !== null && !this.current.over;
  }

  /** What the network tells of calls. */
  hear(frame) {
    if (frame.type === "call_offer") return this.#hearOffer(frame);
    const call = this.current;
    if (["call_reject", "call_hang_up"].includes(frame.type) && frame.reason !== "elsewhere") this.#isOver(frame.call);
    if (!call || call.id !== frame.call || call.over) return;
    const own = frame.account === this.me.id;
    if (own && frame.leg === this.#leg) return; // said by this page
    if (own && call.state !== "incoming") {
      if (frame.type === "call_hang_up" && frame.reason !== "elsewhere") call.finish("ended", { mine: true }); // on another page
      return;
    }
    if (frame.reason === "replaced" && call.outgoing && ["call_reject", "call_hang_up"].includes(frame.type)) return this.#replaced(call);
    if (own) return call.finish(frame.reason ?? "declined", { mine: true });
    call.hear(frame);
  }

  /** A call's line has come: should its end have been missed, this is it. */
  ended({ call, reason, by }) {
    this.#isOver(call);
    if (this.current?.id === call && !this.current.over) this.current.finish(reason, { mine: by === this.me.id });
  }

  /** The stream is there (again). */
  ready() {
    const frames = this.#unsaid.splice(0);
    for (const frame of frames) this.#say(frame);
  }

  dismiss() {
    if (this.current?.over) this.current = null;
    this.changed();
  }

  close() {
    this.#leave();
    window.removeEventListener("pagehide", this.leaves);
    this.current = null;
  }

  #hearOffer(offer) {
    const call = this.current;
    if (this.#known.has(offer.call)) return; // it comes behind its own end
    if (call?.id === offer.call || offer.account === this.me.id) return; // a repeat; one's own, from another page
    const crossing = this.busy && call.outgoing && call.chat === offer.chat && call.state !== "connected";
    if (crossing && (offer.replaces === call.id || call.replaced)) return this.#take(offer, call);
    if (crossing) {
      call.crossing = offer; // whichever the network had first counts
      return;
    }
    if (this.busy) return; // the network says so by itself
    const ringing = this.#show(new Call(this.#with({ id: offer.call, chat: offer.chat, kind: offer.kind ?? "audio", offer })));
    ringing.say({ type: "call_ringing" });
  }

  #replaced(call) {
    call.replaced = true;
    if (call.crossing) this.#take(call.crossing, call);
    else call.awaitReplacement();
  }

  #take(offer, before) {
    this.current = null;
    before.finish("replaced", { mine: false });
    const call = this.#show(new Call(this.#with({ id: offer.call, chat: offer.chat, kind: offer.kind ?? "audio", offer })));
    call.accept({ video: before.kind === "video" });
  }

  #isOver(id) {
    this.#known.add(id);
    if (this.#known.size > REMEMBERED) this.#known.delete(this.#known.values().next().value);
  }

  #with(parts) {
    return {
      trickle: this.trickle,
      iceServers: this.iceServers,
      say: (frame) => this.#say({ leg: this.#leg, ...frame }),
      on: { changed: () => this.changed(), over: () => this.#over() },
      ...parts,
    };
  }

  #show(call) {
    clearTimeout(this.#shown);
    this.current = call;
    this.changed();
    return call;
  }

  #over() {
    clearTimeout(this.#shown);
    this.#shown = setTimeout(() => this.dismiss(), SHOWN);
    this.changed();
  }

  // One after the other; what the connection did not take is said when it is back.
  #say(frame) {
    this.#saying = this.#saying.then(() => this.#trySaying(frame));
    return this.#saying;
  }

  async #trySaying(frame) {
    // Given up before the network heard of it: it must not ring for a moment now. Should it have heard, this ends it.
    if (frame.type === "call_hang_up") this.#unsaid = this.#unsaid.filter(({ call }) => call !== frame.call);
    if (this.#unsaid.length) return void this.#unsaid.push(frame);
    try {
      await this.send(frame);
    } catch (error) {
      if (error instanceof NotNow) this.#unsaid.push(frame);
      else this.#refused(frame, error);
    }
  }

  #refused(frame, error) {
    console.info(`the network did not take ${frame.type}: ${error.message}`);
    const call = this.current;
    if (call?.id !== frame.call || call.over) return;
    if (frame.type === "call_offer" || frame.type === "call_answer") call.finish("failed", { mine: true });
  }

  #leave() {
    if (!this.busy || this.current.state === "incoming") return;
    const { id, chat } = this.current;
    this.bye({ type: "call_hang_up", call: id, chat, leg: this.#leg });
    this.current.finish("ended", { mine: true });
  }
}
