// Files that were chosen, dropped or pasted and go with the next message; and what can be measured of them beforehand.

import { el, icon, reconcile } from "./dom.js";
import { inWords, kindOf, sizeInWords } from "./files.js";
import { randomNonce } from "./outbox.js";

const MEASURED_WITHIN = 3000; // ms; a file that no browser understands says nothing

export class Tray {
  #trays = new Map(); // conversation -> chosen files
  #chat = null;
  #measuring = new Map(); // local -> promise

  /** `limit()`: bytes of one file. `changed()` is told; `complain(words)` about files that cannot go. */
  constructor({ limit = () => Infinity, changed, complain }) {
    Object.assign(this, { limit, changed, complain });
    this.element = el("ul", { class: "tray", "aria-label": "Files to send", hidden: true });
    this.input = el("input", { type: "file", multiple: true, hidden: true, tabindex: "-1", "aria-label": "Files" });
    this.input.addEventListener("change", () => {
      this.add([...this.input.files]);
      this.input.value = "";
    });
    this.button = el("button", { type: "button", class: "round attach", "aria-label": "Attach files", title: "Attach files", on: { click: () => this.input.click() } }, icon("clip"));
  }

  show(chat) {
    this.#chat = chat;
    this.#draw();
  }

  get empty() {
    return !this.#trays.get(this.#chat)?.length;
  }

  /** Files, of the browser's kind; `more` is known of all of them. */
  add(files, more = {}) {
    if (this.#chat === null) return;
    const tray = this.#trays.get(this.#chat) ?? [];
    for (const blob of files) {
      if (blob.size > this.limit()) {
        this.complain(`${blob.name || "This file"} is too large: ${sizeInWords(blob.size)}; at most ${sizeInWords(this.limit())} can be sent.`);
        continue;
      }
      const kind = kindOf({ mimetype: blob.type });
      const file = { local: randomNonce(), name: blob.name || "file", mimetype: blob.type.split(";")[0], size: blob.size, kind, ...more };
      const chosen = { blob, file, url: kind === "image" ? URL.createObjectURL(blob) : null };
      this.#measuring.set(file.local, measure(blob, kind).then((found) => Object.assign(file, { ...found, ...more })));
      tray.push(chosen);
    }
    this.#trays.set(this.#chat, tray);
    this.#draw();
  }

  /** What is in it, [{blob, file}]; it is empty then. The files may still be `measured`. */
  take() {
    const taken = this.#trays.get(this.#chat) ?? [];
    this.#trays.delete(this.#chat);
    this.#draw();
    for (const { url } of taken) if (url) URL.revokeObjectURL(url);
    return taken;
  }

  /** Resolves when all is known of a file that can be. */
  async measured(local) {
    await this.#measuring.get(local);
    this.#measuring.delete(local);
  }

  #draw() {
    const tray = this.#trays.get(this.#chat) ?? [];
    this.element.hidden = !tray.length;
    reconcile(this.element, tray, {
      key: ({ file }) => file.local,
      make: (chosen) => {
        const { file, url } = chosen;
        const picture = url ? el("img", { src: url, alt: "" }) : icon(file.kind === "file" ? "file" : "play");
        const away = el("button", { type: "button", class: "round", "aria-label": `Remove ${file.name}`, title: "Remove", on: { click: () => this.#remove(chosen) } }, icon("close"));
        return el("li", {}, picture, el("span", { class: "words" }, el("bdi", { text: file.name, title: inWords(file) }), el("span", { class: "size", text: sizeInWords(file.size) })), away);
      },
      update: () => {},
    });
    this.changed();
  }

  #remove(chosen) {
    const tray = this.#trays.get(this.#chat);
    tray.splice(tray.indexOf(chosen), 1);
    this.#draw();
  }
}

/** Lets files be dropped on `target`, and pasted into `text`. */
export function takeFiles(target, text, add) {
  let inside = 0; // enter and leave come for every child
  const mark = () => target.classList.toggle("dropping", inside > 0);
  const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  target.addEventListener("dragenter", (event) => carries(event) && (inside++, mark()));
  target.addEventListener("dragleave", (event) => carries(event) && (inside--, mark()));
  target.addEventListener("dragover", (event) => carries(event) && event.preventDefault());
  target.addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    inside = 0;
    mark();
    add([...event.dataTransfer.files]);
  });
  text.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    add(files);
  });
}

/** {width?, height?, duration_ms?}, as far as this browser can tell. */
async function measure(blob, kind) {
  if (kind === "file") return {};
  const url = URL.createObjectURL(blob);
  try {
    return await Promise.race([
      kind === "image" ? measurePicture(url) : measurePlayed(url, kind),
      new Promise((resolve) => setTimeout(resolve, MEASURED_WITHIN, {})),
    ]);
  } catch {
    return {};
  } finally {
    URL.revokeObjectURL(url);
  }
}

async function measurePicture(url) {
  const picture = new Image();
  picture.src = url;
  await picture.decode();
  return { width: picture.naturalWidth, height: picture.naturalHeight };
}

function measurePlayed(url, kind) {
  return new Promise((resolve, reject) => {
    const player = document.createElement(kind === "video" ? "video" : "audio");
    player.preload = "metadata";
    player.onerror = reject;
    player.onloadedmetadata = () =>
      resolve({
        ...(Number.isFinite(player.duration) && { duration_ms: Math.round(player.duration * 1000) }),
        ...(player.videoWidth > 0 && { width: player.videoWidth, height: player.videoHeight }),
      });
    player.src = url;
  });
}
