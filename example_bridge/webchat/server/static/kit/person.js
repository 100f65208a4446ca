// How a person without a picture looks: initials, and a colour that is always the same for them.

import { el } from "./dom.js";

/** One or two letters. */
export function initials(name) {
  const words = name.normalize("NFC").split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  if (!words.length) return Array.from(name.trim())[0] ?? "?";
  const picked = words.length > 1 ? [words[0], words[words.length - 1]] : [words[0]];
  return picked.map((word) => Array.from(word)[0].toLocaleUpperCase()).join("");
}

/** Degrees on the colour wheel, from an id. */
export function hue(id) {
  let hash = 2166136261; // FNV-1a
  for (const point of id) hash = Math.imul(hash ^ point.codePointAt(0), 16777619) >>> 0;
  return ((hash ^ (hash >>> 13)) % 24) * 15; // the lowest bits alone differ too little
}

/** The picture, or the initials when there is none or it does not load. Decoration: the name is beside it. */
export function avatar({ id, name, picture }) {
  const made = el("span", { class: "avatar", "aria-hidden": "true", vars: { "--hue": hue(id) }, text: initials(name) });
  if (picture && /^https?:\/\//i.test(picture)) {
    const image = el("img", { src: picture, alt: "", loading: "lazy", referrerpolicy: "no-referrer" });
    image.addEventListener("error", () => image.remove());
    made.append(image);
  }
  return made;
}
