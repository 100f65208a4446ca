// The media of one call: an RTCPeerConnection. Without trickle ICE a description goes out once its candidates are found,
// and one that comes without any is refused; with it they go beside the description, both ways.

const GATHERING = 3000; // ms after which what was found until then must do

const ANSWERING = 8000; // ms until an offer that got no answer is made again

/** The other one's description, or one's own, names no way to reach anybody. */
export class NoRoute extends Error {}

const hasCandidates = (sdp) => /^a=candidate:/m.test(sdp);

export class Peer {
  #pc;
  #turn = Promise.resolve(); // one negotiation after the other
  #waiting = []; // candidates that came before the description they belong to
  #directions = new Map(); // of the transceivers, before they were put on hold
  #unanswered = 0;
  remote = new MediaStream();
  local = null;

  /**
   * `polite`: takes its own offer back where two meet: whoever was called. `on`: candidates(found, complete),
   * offer(sdp) to be sent, changed(). `iceServers`: as in RTCPeerConnection's configuration.
   */
  constructor({ trickle, polite, iceServers, on }) {
    Object.assign(this, { trickle, polite, on });
    this.#pc = new RTCPeerConnection({ iceServers });
    this.#pc.ontrack = ({ track }) => {
      this.remote.addTrack(track);
      track.onmute = track.onunmute = track.onended = () => on.changed();
      on.changed();
    };
    this.#pc.onconnectionstatechange = () => on.changed();
    if (trickle) this.#pc.onicecandidate = ({ candidate }) => on.candidates(candidate ? [fromBrowser(candidate)] : [], !candidate);
  }

  /** What comes from microphone and camera. */
  send(stream) {
    this.local = stream;
    for (const track of stream.getTracks()) this.#pc.addTrack(track, stream);
  }

  get state() {
    return this.#pc.connectionState;
  }

  /** The first offer. */
  offer() {
    return this.#inTurn(() => this.#offer());
  }

  /** The answer to the first offer, made of these tracks. */
  answer(sdp, stream) {
    return this.#inTurn(async () => {
      await this.#take("offer", sdp);
      this.send(stream);
      return this.#answer();
    });
  }

  answered(sdp) {
    return this.#inTurn(() => this.#take("answer", sdp));
  }

  /** Say how things are now; `restart`: find other ways for the media. */
  renegotiate({ restart = false } = {}) {
    return this.#inTurn(async () => {
      this.on.offer(await this.#offer(restart));
      clearTimeout(this.#unanswered);
      this.#unanswered = setTimeout(() => {
        if (this.#pc.signalingState === "have-local-offer") this.renegotiate({ restart }).catch(() => {});
      }, ANSWERING);
    });
  }

  /** Their half of a negotiation; resolves with ours, or null where none is due. */
  update(half, sdp) {
    return this.#inTurn(async () => {
      const waits = this.#pc.signalingState === "have-local-offer";
      if (half === "answer") {
        if (waits) await this.#take("answer", sdp);
        return null;
      }
      if (waits && !this.polite) return null; // two offers met: ours counts
      await this.#take("offer", sdp); // takes ours back
      const answer = await this.#answer();
      if (waits) queueMicrotask(() => this.renegotiate().catch(() => {})); // and says it again
      return answer;
    });
  }

  async add(candidates) {
    if (!this.#pc.remoteDescription) return this.#waiting.push(...candidates);
    for (const candidate of candidates) await this.#pc.addIceCandidate(toBrowser(candidate)).catch(() => {}); // of an older generation, or nonsense
  }

  /** Hear nobody, be heard by nobody. Takes effect with `renegotiate`. */
  hold(held) {
    for (const transceiver of this.#pc.getTransceivers()) {
      if (transceiver.direction === "stopped") continue;
      if (held) this.#directions.set(transceiver, transceiver.direction);
      transceiver.direction = held ? "sendonly" : (this.#directions.get(transceiver) ?? "sendrecv");
      transceiver.receiver.track.enabled = !held;
    }
  }

  /** Whether the other one has put this one on hold: nothing of ours is wanted, and nothing comes. */
  get heldByThem() {
    const used = this.#pc.getTransceivers().filter(({ currentDirection }) => currentDirection && currentDirection !== "stopped");
    return used.length > 0 && used.every(({ currentDirection }) => currentDirection === "recvonly" || currentDirection === "inactive");
  }

  /** Send this picture instead of the one before, or none. Whether that must be negotiated. */
  async picture(track) {
    const before = this.local.getVideoTracks()[0];
    if (before) this.local.removeTrack(before);
    before?.stop();
    if (track) this.local.addTrack(track);
    const transceiver = this.#pc.getTransceivers().find(({ receiver, direction }) => receiver.track.kind === "video" && direction !== "stopped");
    if (!track) {
      await transceiver?.sender.replaceTrack(null);
      return false;
    }
    if (transceiver && /send/.test(transceiver.currentDirection ?? "")) {
      await transceiver.sender.replaceTrack(track);
      return false;
    }
    this.#pc.addTrack(track, this.local);
    return true;
  }

  /** Whether pictures come. (A track may say that it is muted, after a rollback, and play all the same.) */
  get pictures() {
    return this.#pc.getTransceivers().some(({ receiver, currentDirection }) => receiver.track.kind === "video" && /recv/.test(currentDirection ?? ""));
  }

  /** Bytes so far: {audio: {sent, received}, video: {sent, received}}. */
  async bytes() {
    const sum = { audio: { sent: 0, received: 0 }, video: { sent: 0, received: 0 } };
    for (const item of (await this.#pc.getStats()).values()) {
      if (item.type === "outbound-rtp") sum[item.kind].sent += item.bytesSent;
      if (item.type === "inbound-rtp") sum[item.kind].received += item.bytesReceived;
    }
    return sum;
  }

  /** Changes when the ways for the media are sought anew. */
  get ufrag() {
    return /^a=ice-ufrag:(\S+)/m.exec(this.#pc.localDescription?.sdp ?? "")?.[1];
  }

  close() {
    for (const track of this.local?.getTracks() ?? []) track.stop();
    clearTimeout(this.#unanswered);
    this.#pc.close();
  }

  #inTurn(work) {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  async #offer(restart = false) {
    const offer = await this.#pc.createOffer({ iceRestart: restart });
    await this.#pc.setLocalDescription(offer);
    return this.#complete(offer.sdp);
  }

  async #answer() {
    const answer = await this.#pc.createAnswer();
    await this.#pc.setLocalDescription(answer);
    return this.#complete(answer.sdp);
  }

  async #complete(sdp) {
    if (this.trickle) return sdp;
    await gathered(this.#pc);
    if (!hasCandidates(this.#pc.localDescription.sdp)) throw new NoRoute("no candidates were found here");
    return this.#pc.localDescription.sdp;
  }

  async #take(type, sdp) {
    if (!this.trickle && !hasCandidates(sdp)) throw new NoRoute("the description has no candidates");
    await this.#pc.setRemoteDescription({ type, sdp });
    await this.add(this.#waiting.splice(0));
  }
}

function gathered(pc) {
  return new Promise((resolve) => {
    // Begun anew, it says that it is complete for a moment still.
    const check = () => pc.iceGatheringState === "complete" && hasCandidates(pc.localDescription.sdp) && done();
    const done = () => {
      clearTimeout(late);
      pc.removeEventListener("icegatheringstatechange", check);
      resolve();
    };
    const late = setTimeout(done, GATHERING);
    pc.addEventListener("icegatheringstatechange", check);
    check();
  });
}

const fromBrowser = ({ candidate, sdpMid: mid, sdpMLineIndex: index, usernameFragment: ufrag }) => ({ candidate, mid, index, ufrag });
const toBrowser = ({ candidate, mid, index, ufrag }) => ({ candidate, sdpMid: mid ?? null, sdpMLineIndex: index ?? null, usernameFragment: ufrag ?? null });
