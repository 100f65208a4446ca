// Records a voice message: press to begin, again to send. How loud it was is measured on the way.

import { el, icon } from "./dom.js";
import { clockOf, waveformOf } from "./files.js";

const TYPES = ["audio/ogg;codecs=opus", "audio/webm;codecs=opus", "audio/mp4"];
const PEAK_EVERY = 100; // ms

export class Recorder {
  #running = null; // {recorder, stream, context, timer, began, peaks, keep}

  /** `done(blob, {kind, duration_ms, waveform})`. */
  constructor({ done, complain }) {
    Object.assign(this, { done, complain });
    this.type = globalThis.MediaRecorder && TYPES.find((type) => MediaRecorder.isTypeSupported(type));
    this.time = el("span", { class: "time", role: "timer" });
    this.start = el("button", { type: "button", class: "round", "aria-label": "Record a voice message", title: "Record a voice message", on: { click: () => this.#begin() } }, icon("mic"));
    this.stop = el("button", { type: "button", class: "round live", "aria-label": "Send the voice message", title: "Send", on: { click: () => this.#end(true) } }, icon("send"));
    this.drop = el("button", { type: "button", class: "round", "aria-label": "Discard the recording", title: "Discard", on: { click: () => this.cancel() } }, icon("close"));
    this.element = el("div", { class: "recorder" }, this.start);
    this.offer(true);
  }

  /** Whether there is room for it: nothing else is being said. */
  offer(free) {
    this.element.hidden = !this.#running && !(free && this.type && navigator.mediaDevices);
  }

  cancel() {
    this.#end(false);
  }

  async #begin() {
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch {
      return this.complain("The browser does not let this page use a microphone.");
    }
    const recorder = new MediaRecorder(stream, { mimeType: this.type });
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const run = { recorder, stream, context, began: performance.now(), peaks: [], keep: false, pieces: [] };
    run.timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      run.peaks.push(samples.reduce((most, one) => Math.max(most, Math.abs(one)), 0));
      this.time.textContent = clockOf(performance.now() - run.began);
    }, PEAK_EVERY);
    recorder.ondataavailable = ({ data }) => run.pieces.push(data);
    recorder.onstop = () => this.#stopped(run);
    this.#running = run;
    this.time.textContent = clockOf(0);
    this.element.replaceChildren(this.drop, this.time, this.stop);
    this.stop.focus();
    recorder.start();
  }

  #end(keep) {
    const run = this.#running;
    if (!run) return;
    run.keep = keep;
    this.#running = null;
    run.duration = Math.round(performance.now() - run.began);
    clearInterval(run.timer);
    run.recorder.stop();
    for (const track of run.stream.getTracks()) track.stop();
    run.context.close();
    this.element.replaceChildren(this.start);
  }

  #stopped({ keep, pieces, peaks, duration }) {
    if (!keep) return;
    const type = this.type.split(";")[0];
    const blob = new File(pieces, `voice.${type.split("/")[1]}`, { type });
    this.done(blob, { kind: "voice", duration_ms: duration, waveform: waveformOf(peaks) });
  }
}
