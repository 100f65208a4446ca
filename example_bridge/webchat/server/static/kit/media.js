// Files of messages on the screen: room for them is kept from the start, their bytes come when they are looked at, and
// one that has not arrived yet is waited for.

import { el, icon } from "./dom.js";
import { barsOf, boxOf, clockOf, inWords, kindOf, sizeInWords } from "./files.js";

const NEAR = "600px"; // how far outside of the window a file is fetched already
const FIRST_WAIT = 1000; // ms until a file that could not be had is asked for again; doubles up to
const LONGEST_WAIT = 30_000; // ms
const TRIES = 8;

export class Media {
  #nodes = new Map(); // file -> its node, which lives on when its message is drawn anew
  #seen = new IntersectionObserver((entries) => entries.forEach((one) => one.isIntersecting && this.#look(one.target)), { rootMargin: NEAR });
  #looks = new WeakMap(); // node -> what to do once it is on the screen
  #dialog = null;

  /**
   * `address(file)` promises where the browser can fetch it, and rejects with `{later: true}` if it is not there yet, or another
   * error if it never will be. `preview(file)`: an address of one's own copy, or null. `uploads` (uploads.js) knows what is on
   * its way out. `told`: a file that is "arriving" comes anew when it is there, so nobody needs to ask.
   */
  constructor({ address, preview = () => null, uploads, told = false }) {
    Object.assign(this, { address, preview, uploads, told });
  }

  /** The files of one message. */
  view(files) {
    return el("div", { class: "files" }, ...files.map((file) => this.#node(file)));
  }

  /** An upload has moved on. */
  changed(id) {
    this.#nodes.get(id)?.progress?.();
  }

  #node(file) {
    const key = file.id ?? file.local;
    const shows = JSON.stringify(file);
    const known = this.#nodes.get(key);
    if (known?.shows === shows) return known.node;
    const made = this.#make(file);
    this.#nodes.set(key, { ...made, shows });
    return made.node;
  }

  #make(file) {
    const kind = kindOf(file);
    const status = el("span", { class: "status" });
    const bar = el("progress", { "aria-label": `Sending ${file.name}`, max: 1, value: 0, hidden: true });
    const cancel = el("button", { type: "button", class: "link", text: "Cancel", hidden: true, on: { click: () => this.uploads.cancel(file.id) } });
    const again = el("button", { type: "button", class: "link", text: "Try again", hidden: true });
    const foot = el("div", { class: "foot" }, bar, status, cancel, again);
    const stage = { image: picture, sticker: picture, video: film, audio: sound, voice, file: paper }[kind];
    const body = el("div", { class: "stage" });
    const node = el("div", { class: `file is-${kind}`, role: "group", "aria-label": inWords(file) }, body, foot);
    const parts = { file, body, node, save: async () => {
      if (!this.preview(file)) say("Fetching …");
      say(await this.#save(file));
    }, enlarge: (url) => this.#enlarge(file, url) };
    const show = stage(parts);
    const say = (words) => status.textContent !== words && (status.textContent = words);

    const progress = () => {
      const upload = this.uploads?.of(file.id);
      bar.hidden = upload?.state !== "uploading";
      bar.value = upload?.total ? upload.sent / upload.total : 0;
      cancel.hidden = !upload;
      again.hidden = upload?.state !== "failed";
      node.classList.toggle("failed", upload?.state === "failed" || file.state === "failed");
      if (upload?.state === "uploading") say(`${sizeInWords(upload.sent)} of ${sizeInWords(upload.total)}`);
      else if (upload?.state === "waiting") say("Waiting to be sent");
      else if (upload?.state === "failed") say(`Not sent: ${upload.reason}`);
      else if (file.state === "failed") say("This file was not sent");
      else if (file.state === "arriving") say("Arriving …");
      else say("");
    };
    again.addEventListener("click", () => (this.uploads?.of(file.id) ? this.uploads.retry(file.id) : fetchIt()));

    // Asks for it until it is there; one's own copy will do.
    const fetchIt = async (tries = 0, wait = FIRST_WAIT) => {
      const own = this.preview(file);
      if (own) return show(own);
      if (!file.id || file.state === "failed" || (file.state === "arriving" && this.told)) return;
      again.hidden = true;
      try {
        show(await this.address(file), () => trouble("It could not be shown"));
        if (!this.uploads?.of(file.id)) say("");
      } catch (error) {
        if (error.later && tries < TRIES) {
          say("Arriving …");
          setTimeout(() => node.isConnected && fetchIt(tries + 1, Math.min(wait * 2, LONGEST_WAIT)), wait * (0.75 + Math.random() / 2));
        } else trouble(error.later ? "It has not arrived yet" : error.message);
      }
    };
    const trouble = (words) => {
      say(words);
      again.hidden = false;
    };
    progress();
    if (file.id && file.state !== "failed" && kind === "file") show(null); // nothing to fetch before it is wanted
    else {
      this.#looks.set(node, fetchIt);
      this.#seen.observe(node);
    }
    return { node, progress };
  }

  #look(node) {
    this.#seen.unobserve(node);
    this.#looks.get(node)?.();
  }

  // What went wrong, in words; else nothing.
  async #save(file) {
    try {
      const url = this.preview(file) ?? (await this.address(file));
      el("a", { href: url, download: file.name || "file" }).click();
    } catch (error) {
      return error.later ? "It has not arrived yet" : error.message;
    }
    return "";
  }

  #enlarge(file, url) {
    this.#dialog ??= document.body.appendChild(el("dialog", { class: "light", "aria-label": "Picture" }));
    const dialog = this.#dialog;
    const close = el("button", { type: "button", class: "round", "aria-label": "Close", on: { click: () => dialog.close() } }, icon("close"));
    const save = el("button", { type: "button", class: "round", "aria-label": `Save ${file.name}`, on: { click: () => this.#save(file) } }, icon("save"));
    dialog.replaceChildren(el("div", { class: "tools" }, save, close), el("img", { src: url, alt: file.name }));
    dialog.onclick = ({ target }) => target === dialog && dialog.close();
    dialog.showModal();
  }
}

// Each of these fills a file's stage, and gives a function that shows the file from an address once there is one.

function frame({ file, body }) {
  const { width, height } = boxOf({ ...file, kind: kindOf(file) });
  body.style.setProperty("--w", `${width}px`);
  body.style.setProperty("--ratio", `${width} / ${height}`);
  body.classList.add("box");
}

function picture({ file, body, enlarge }) {
  frame({ file, body });
  body.append(icon("file"));
  return (url, failed) => {
    const img = el("img", { alt: file.name || inWords(file), src: url, decoding: "async" });
    img.addEventListener("error", () => {
      body.replaceChildren(icon("warning"));
      failed?.();
    });
    body.replaceChildren(el("button", { type: "button", "aria-label": `Enlarge ${file.name || "the picture"}`, on: { click: () => enlarge(url) } }, img));
  };
}

function film({ file, body }) {
  frame({ file, body });
  body.append(icon("play"));
  return (url, failed) => body.replaceChildren(played("video", file, url, failed));
}

function sound({ file, body }) {
  body.append(title(file));
  return (url, failed) => body.replaceChildren(title(file), played("audio", file, url, failed));
}

function played(tag, file, url, failed) {
  const player = el(tag, { controls: true, preload: "metadata", src: url, "aria-label": file.name || inWords(file), playsinline: true });
  player.addEventListener("error", () => failed?.());
  return player;
}

function title(file) {
  return el("span", { class: "label" }, el("bdi", { text: file.name || inWords(file) }), el("span", { class: "size", text: sizeInWords(file.size) }));
}

function voice({ file, body }) {
  const button = el("button", { type: "button", class: "round", "aria-label": "Play the voice message", disabled: true }, icon("play"));
  const bars = barsOf(file.waveform).map((height) => el("i", { vars: { "--h": height } }));
  const wave = el("span", { class: "wave", "aria-hidden": "true" }, ...bars);
  const time = el("span", { class: "time", text: clockOf(file.duration_ms) });
  body.append(button, wave, time);
  return (url, failed) => {
    const player = el("audio", { preload: "metadata", src: url });
    const length = () => (Number.isFinite(player.duration) ? player.duration : (file.duration_ms ?? 0) / 1000) || 1;
    const draw = () => {
      const at = player.currentTime / length();
      bars.forEach((bar, i) => bar.classList.toggle("past", i < at * bars.length));
      time.textContent = clockOf(player.currentTime > 0 ? player.currentTime * 1000 : (file.duration_ms ?? length() * 1000));
      button.replaceChildren(icon(player.paused ? "play" : "pause"));
      button.setAttribute("aria-label", player.paused ? "Play the voice message" : "Pause the voice message");
    };
    for (const event of ["timeupdate", "play", "pause", "ended", "loadedmetadata"]) player.addEventListener(event, draw);
    player.addEventListener("error", () => failed?.());
    button.disabled = false;
    button.addEventListener("click", () => (player.paused ? player.play().catch(() => failed?.()) : player.pause()));
    button.addEventListener("keydown", ({ key }) => {
      const step = { ArrowLeft: -5, ArrowRight: 5 }[key];
      if (step) player.currentTime = Math.min(length(), Math.max(0, player.currentTime + step));
    });
    wave.addEventListener("click", ({ clientX }) => {
      const { left, width } = wave.getBoundingClientRect();
      player.currentTime = (length() * (clientX - left)) / width;
    });
    body.append(player);
  };
}

function paper({ file, body, save }) {
  const button = el("button", { type: "button", class: "round", "aria-label": `Save ${file.name}`, title: "Save", disabled: true }, icon("save"));
  body.append(icon("file"), title(file), button);
  return () => {
    if (file.state === "arriving") return;
    button.disabled = false;
    button.onclick = save;
  };
}

/** A place, with the way to a map. */
export function placeView({ latitude, longitude, uncertainty_m: uncertainty }) {
  const words = `${latitude.toFixed(5)}, ${longitude.toFixed(5)}`;
  const href = `https://www.openstreetmap.org/?mlat=${latitude}&mlon=${longitude}#map=16/${latitude}/${longitude}`;
  return el("p", { class: "place" }, icon("place"), el("a", { href, target: "_blank", rel: "noopener noreferrer", text: words }),
    ...(uncertainty ? [el("span", { text: ` within ${Math.round(uncertainty)} m` })] : []));
}
