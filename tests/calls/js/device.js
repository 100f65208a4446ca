// One device of a Matrix user in a page, by matrix-js-sdk, the call stack of Element. tests/support/device.py drives it.

import { CallEvent, ClientEvent, createClient, createNewMatrixCall } from "matrix-js-sdk";
import { CallState } from "matrix-js-sdk/lib/webrtc/call.js";
import { CallEventHandlerEvent } from "matrix-js-sdk/lib/webrtc/callEventHandler.js";

let client;
const calls = new Map(); // call id -> {call, states, ended?, errors}
let latest = null;

function watch(call) {
  const seen = { call, states: [call.state], errors: [], peer: call.peerConn };
  calls.set(call.callId, seen);
  latest = call.callId;
  call.on(CallEvent.State, (state) => seen.states.push(state));
  call.on(CallEvent.PeerConnectionCreated, (peer) => (seen.peer = peer));
  call.on(CallEvent.Hangup, () => (seen.ended = { by: call.hangupParty, reason: call.hangupReason }));
  call.on(CallEvent.Error, (error) => seen.errors.push(`${error.code}: ${error.message}`));
  call.on(CallEvent.Replaced, (other) => {
    seen.replaced = other.callId;
    if (!calls.has(other.callId)) watch(other);
  });
  return call;
}

const find = (id) => calls.get(id ?? latest) ?? null;
const callOf = (id) => {
  const seen = find(id);
  if (!seen) throw new Error(`no call ${id ?? ""}`);
  return seen.call;
};

window.device = {
  async start(options) {
    client = createClient(options);
    client.on(CallEventHandlerEvent.Incoming, watch);
    const synced = new Promise((resolve) => client.on(ClientEvent.Sync, (state) => state === "PREPARED" && resolve()));
    await client.startClient({ initialSyncLimit: 30 });
    await synced;
  },

  async stop() {
    client.stopClient();
  },

  /** The id of a call that is being placed. `lifetime`: so many ms it may ring there, in place of the SDK's minute. */
  async place(room, invitee, video, lifetime) {
    const call = watch(createNewMatrixCall(client, room, { invitee }));
    if (lifetime) {
      const send = client.sendEvent;
      client.sendEvent = (where, type, content, ...more) => {
        if (type === "m.call.invite") client.sendEvent = send;
        return send.call(client, where, type, type === "m.call.invite" ? { ...content, lifetime } : content, ...more);
      };
    }
    await call.placeCall(true, video);
    return call.callId;
  },

  answer: (id, video) => callOf(id).answer(true, video),
  reject: (id) => callOf(id).reject(),
  hangup: (id) => callOf(id).hangup("user_hangup", false),
  mute: (id, muted) => callOf(id).setMicrophoneMuted(muted),
  hold: (id, held) => callOf(id).setRemoteOnHold(held),
  video: (id, on) => callOf(id).setLocalVideoMuted(!on),
  restartIce: (id) => callOf(id).peerConn.restartIce(),

  /** What a person could tell of a call; null if there is none. */
  about(id) {
    const seen = find(id);
    if (!seen) return null;
    const { call } = seen;
    const over = call.state === CallState.Ended;
    return {
      id: call.callId,
      room: call.roomId,
      state: call.state,
      states: seen.states,
      direction: call.direction,
      type: call.type,
      ended: seen.ended ?? null,
      replaced: seen.replaced ?? null,
      errors: seen.errors,
      held_by_them: !over && Boolean(call.peerConn) && call.isLocalOnHold(),
      held_by_us: !over && call.isRemoteOnHold(),
      muted: call.isMicrophoneMuted(),
      feeds: call.getRemoteFeeds().map((feed) => ({
        stream: feed.stream.id, purpose: feed.purpose, audio_muted: feed.isAudioMuted(), video_muted: feed.isVideoMuted(),
        tracks: feed.stream.getTracks().map(({ kind }) => kind),
      })),
    };
  },

  calls: () => [...calls.keys()],

  /** Bytes of media so far, by kind and direction; zeros before there is a connection. */
  async bytes(id) {
    const sum = { audio: { sent: 0, received: 0 }, video: { sent: 0, received: 0 } };
    const stats = await find(id)?.peer?.getStats();
    for (const item of stats?.values() ?? []) {
      if (item.type === "outbound-rtp") sum[item.kind].sent += item.bytesSent;
      if (item.type === "inbound-rtp") sum[item.kind].received += item.bytesReceived;
    }
    return sum;
  },

  /** The ufrag that this end uses now: another one after an ICE restart. */
  ufrag(id) {
    return /a=ice-ufrag:(\S+)/.exec(find(id)?.peer?.localDescription?.sdp ?? "")?.[1] ?? null;
  },

  /** What a timeline shows: id, type, content as edits have left it, and which edit that is. */
  timeline(room) {
    return (client.getRoom(room)?.getLiveTimeline().getEvents() ?? []).map((event) => ({
      id: event.getId(), type: event.getType(), sender: event.getSender(), content: event.getContent(),
      edit: event.replacingEventId() ?? null, relation: event.getRelation()?.rel_type ?? null,
    }));
  },

  /** The authenticated address that this SDK makes of an mxc:// URI. */
  address: (mxc, width, height, method) => client.mxcUrlToHttp(mxc, width, height, method, false, true, true),

  /** What `fetch` gets there, with the token, and after how long: {status, body, seconds, type}. */
  async get(address, timeoutMs = 60_000) {
    const began = performance.now();
    const since = () => (performance.now() - began) / 1000;
    try {
      const response = await fetch(address, { headers: { Authorization: `Bearer ${client.getAccessToken()}` }, signal: AbortSignal.timeout(timeoutMs) });
      const body = await response.blob();
      const type = response.headers.get("content-type");
      return { status: response.status, type, size: body.size, text: type?.includes("json") ? await body.text() : "", cache: response.headers.get("cache-control"), seconds: since() };
    } catch (error) {
      return { status: 0, type: null, size: 0, text: String(error), seconds: since() };
    }
  },

  /** When each event's content changes by an edit, as a component that draws it would hear. */
  listen(room) {
    const heard = [];
    client.getRoom(room).on("Room.timeline", (event) => heard.push({ what: "timeline", id: event.getId(), type: event.getType(), relation: event.getRelation()?.rel_type ?? null }));
    client.on("Event.replaced", (event) => heard.push({ what: "replaced", id: event.getId(), content: event.getContent() }));
    window.heard = heard;
  },
};

document.title = "ready";
