// One call at this page, from ringing to its end: who said what, and the media.

import { NoRoute, Peer } from "./peer.js";

const RESTART_AFTER = 2000; // ms without a connection until other ways are sought
const GIVE_UP_AFTER = 30000; // ms without a connection until it is over
const RINGS = 60000; // ms, unless the offer says otherwise
const GRACE = 2000; // ms
const REPLACEMENT = 5000; // ms in which a call that takes this one's place must come

/** States: "calling", "ringing" (at the other end), "incoming", "connecting", "connected", "lost", "over". */
export class Call {
  #peer = null;
  #candidates = []; // theirs, until there is something to give them to
  #timers = new Map();
  #work = Promise.resolve(); // changes that this person makes, one after the other
  muted = { audio: false, video: true };
  theirs = { audio: false, video: false };
  held = false;
  connectedAt = null;
  over = null; // {reason, mine}

  /** `say(frame)` sends one; `on`: changed(), over(). `offer` is what came in, if it did. */
  constructor({ id, chat, kind, trickle, iceServers = [], offer = null, say, on }) {
    Object.assign(this, { id, chat, kind, offer, on, iceServers, trickle: trickle || offer?.trickle === true });
    this.say = (frame) => say({ call: id, chat, ...frame });
    this.outgoing = offer === null;
    this.state = this.outgoing ? "calling" : "incoming";
    // The network says when it has rung long enough, unless that word is lost.
    if (offer) this.#after("ring", (offer.ring_ms ?? RINGS) + GRACE, () => this.state === "incoming" && this.#finish("unanswered", { mine: true }));
  }

  get local() {
    return this.#peer?.local ?? null;
  }

  get remote() {
    return this.#peer?.remote ?? null;
  }

  get heldByThem() {
    return this.state === "connected" && Boolean(this.#peer?.heldByThem);
  }

  get pictures() {
    return Boolean(this.#peer?.pictures) && !this.theirs.video && !this.held && !this.heldByThem;
  }

  async bytes() {
    return this.#peer?.bytes() ?? null;
  }

  get ufrag() {
    return this.#peer?.ufrag;
  }

  // -- what this person does

  async place() {
    const stream = await this.#devices(this.kind === "video");
    if (!stream) return;
    try {
      this.#open({ polite: false }).send(stream);
      const sdp = await this.#peer.offer();
      if (this.over) return;
      await this.say({ type: "call_offer", sdp, kind: this.kind, trickle: this.trickle });
    } catch (error) {
      this.#fail(error);
    }
  }

  async accept({ video }) {
    if (this.state !== "incoming") return;
    this.#is("connecting");
    const stream = await this.#devices(video);
    if (!stream) return;
    try {
      const sdp = await this.#open({ polite: true }).answer(this.offer.sdp, stream);
      await this.#peer.add(this.#candidates.splice(0));
      if (!this.over) await this.say({ type: "call_answer", sdp });
    } catch (error) {
      this.#fail(error);
    }
  }

  end(reason = null) {
    if (this.over) return;
    const declines = this.state === "incoming";
    this.say({ type: declines ? "call_reject" : "call_hang_up", reason: reason ?? (declines ? "declined" : "ended") });
    this.#finish(reason ?? (declines ? "declined" : "ended"), { mine: true });
  }

  mute(audio) {
    this.muted.audio = audio;
    this.#apply();
    this.#tellMuted();
  }

  hold(held) {
    this.held = held;
    this.#apply();
    this.#peer.hold(held);
    this.#renegotiate();
  }

  async video(on) {
    await this.#change(async () => {
      if (this.muted.video !== on || this.over) return; // so already
      const track = on ? (await navigator.mediaDevices.getUserMedia({ video: true })).getVideoTracks()[0] : null;
      this.muted.video = !on;
      const negotiate = await this.#peer.picture(track);
      this.#apply();
      this.#tellMuted();
      if (negotiate) await this.#renegotiate();
    });
  }

  reconnect() {
    this.#renegotiate({ restart: true });
  }

  // -- what the other one does

  hear(frame) {
    if (this.over) return;
    if (frame.type === "call_ringing" && this.state === "calling") this.#is("ringing");
    else if (frame.type === "call_candidates") this.#hearCandidates(frame.candidates ?? []);
    else if (frame.type === "call_answer" && ["calling", "ringing"].includes(this.state)) {
      this.#is("connecting");
      this.#peer.answered(frame.sdp).then(() => this.on.changed(), (error) => this.#fail(error));
    } else if (frame.type === "call_update") this.#hearUpdate(frame);
    else if (frame.type === "call_mute") {
      this.theirs = { audio: frame.audio, video: frame.video };
      this.on.changed();
    } else if (frame.type === "call_reject" || frame.type === "call_hang_up") this.#finish(frame.reason ?? (frame.type === "call_reject" ? "declined" : "ended"), { mine: false });
  }

  /** The two have called each other, and the other call counts: it is about to come. */
  awaitReplacement() {
    this.#is("connecting");
    this.#after("replacement", REPLACEMENT, () => this.#finish("ended", { mine: false }));
  }

  /** It is over, and nobody has to be told. */
  finish(reason, { mine }) {
    this.#finish(reason, { mine });
  }

  #hearCandidates(candidates) {
    if (this.#peer) this.#peer.add(candidates);
    else this.#candidates.push(...candidates);
  }

  async #hearUpdate({ half, sdp }) {
    try {
      const answer = await this.#peer?.update(half, sdp);
      if (answer && !this.over) this.say({ type: "call_update", half: "answer", sdp: answer });
      this.on.changed();
    } catch (error) {
      console.info(`a change of the call was not possible: ${error.message}`); // it goes on as it was
    }
  }

  // -- inside

  async #devices(video) {
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video });
      this.muted.video = !video;
      if (!this.over) return stream;
      for (const track of stream.getTracks()) track.stop();
    } catch (error) {
      console.info(`no microphone or camera: ${error.message}`);
      if (!this.over) {
        if (!this.outgoing) this.say({ type: "call_reject", reason: "no_device" });
        this.#finish("no_device", { mine: true });
      }
    }
    return null;
  }

  #open({ polite }) {
    this.#peer = new Peer({
      trickle: this.trickle,
      iceServers: this.iceServers,
      polite,
      on: {
        candidates: (candidates, complete) => this.over || this.say({ type: "call_candidates", candidates, complete }),
        offer: (sdp) => this.over || this.say({ type: "call_update", half: "offer", sdp }),
        changed: () => this.#peerChanged(),
      },
    });
    return this.#peer;
  }

  #peerChanged() {
    if (this.over) return;
    const state = this.#peer.state;
    if (state === "connected") {
      this.#stop("restart", "give up");
      this.connectedAt ??= Date.now();
      if (this.state !== "connected") this.#is("connected");
    } else if (["disconnected", "failed"].includes(state) && this.state !== "lost") {
      if (this.connectedAt === null) return state === "failed" ? this.end("no_route") : undefined;
      this.#is("lost");
      this.#after("restart", RESTART_AFTER, () => this.reconnect());
      this.#after("give up", GIVE_UP_AFTER, () => this.end("lost"));
    }
    this.on.changed();
  }

  #renegotiate(how) {
    return this.#peer.renegotiate(how).catch((error) => console.info(`a change of the call was not possible: ${error.message}`));
  }

  #change(work) {
    this.#work = this.#work.then(work).catch((error) => console.info(`the call could not be changed: ${error.message}`));
    return this.#work;
  }

  #apply() {
    for (const track of this.local?.getAudioTracks() ?? []) track.enabled = !this.muted.audio && !this.held;
    for (const track of this.local?.getVideoTracks() ?? []) track.enabled = !this.held;
    this.on.changed();
  }

  #tellMuted() {
    this.say({ type: "call_mute", ...this.muted });
  }

  #fail(error) {
    console.info(`the call failed: ${error.message}`);
    this.end(error instanceof NoRoute ? "no_route" : "failed");
  }

  #is(state) {
    this.state = state;
    this.on.changed();
  }

  #finish(reason, { mine }) {
    if (this.over) return;
    this.over = { reason, mine };
    this.state = "over";
    this.#stop(...this.#timers.keys());
    this.#peer?.close();
    this.on.over();
  }

  #after(name, ms, then) {
    this.#stop(name);
    this.#timers.set(name, setTimeout(then, ms));
  }

  #stop(...names) {
    for (const name of names) {
      clearTimeout(this.#timers.get(name));
      this.#timers.delete(name);
    }
  }
}
