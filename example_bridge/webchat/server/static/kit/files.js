// What is said and measured of files. Pure.

const MAX_BOX = 320; // px, of a picture in a message
const MIN_BOX = 64;
const KINDS = { image: "Picture", video: "Video", audio: "Audio", voice: "Voice message", sticker: "Sticker", file: "File" };

/** How a file is shown: what the network says, else by its type. */
export function kindOf({ kind, mimetype = "" }) {
  if (kind in KINDS) return kind;
  const major = mimetype.split("/")[0];
  return ["image", "video", "audio"].includes(major) ? major : "file";
}

/** "Picture: cat.png", "Voice message". */
export function inWords(file) {
  const kind = kindOf(file);
  return file.name && kind !== "voice" && kind !== "sticker" ? `${KINDS[kind]}: ${file.name}` : KINDS[kind];
}

/** What a list or a quote shows of a message with files or a place. */
export function summary({ text = "", files = [], location }) {
  if (text) return text;
  if (files.length > 1) return `${files.length} files`;
  return files.length ? inWords(files[0]) : location ? "Place" : "";
}

export function sizeInWords(bytes) {
  if (!Number.isFinite(bytes)) return "";
  const units = ["B", "KB", "MB", "GB", "TB"];
  let at = 0;
  while (bytes >= 999.5 && at < units.length - 1) [bytes, at] = [bytes / 1000, at + 1];
  return `${at && bytes < 9.95 ? bytes.toFixed(1) : Math.round(bytes)} ${units[at]}`;
}

export function clockOf(ms) {
  const seconds = Math.max(0, Math.round((ms || 0) / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** Room for a picture before it is there, {width, height} in px. Its measures may be anybody's invention. */
export function boxOf({ width, height, kind }) {
  const most = kind === "sticker" ? 160 : MAX_BOX;
  if (!(width > 0 && height > 0)) return { width: Math.min(240, most), height: Math.min(180, most) };
  const scale = Math.min(1, most / width, most / height);
  const fit = (side) => Math.round(Math.min(most, Math.max(MIN_BOX, side * scale)));
  return { width: fit(width), height: fit(height) };
}

/** A waveform (0 to 1024) as `count` bars from 0 to 1; a flat one where there is none. */
export function barsOf(waveform = [], count = 36) {
  if (!waveform.length) return Array(count).fill(0.15);
  const loudest = Math.max(...waveform, 1);
  return Array.from({ length: count }, (_, i) => {
    const from = Math.floor((i * waveform.length) / count);
    const part = waveform.slice(from, Math.max(from + 1, Math.floor(((i + 1) * waveform.length) / count)));
    return Math.max(0.08, Math.max(...part) / loudest);
  });
}

/** Peaks (any scale) as the waveform that goes over the wire. */
export function waveformOf(peaks, most = 100) {
  const bars = peaks.length ? barsOf(peaks, Math.min(most, peaks.length)) : [];
  return bars.map((bar) => Math.round(bar * 1024));
}
