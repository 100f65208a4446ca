// A message's text with its spans -> blocks -> DOM. Offsets count UTF-16 code units, as JavaScript's strings do.

import { el } from "./kit/dom.js";
import { followable, withLinks } from "./kit/links.js";

const INLINE = { bold: "strong", italic: "em", underline: "u", strike: "s", code: "code" };
const BLOCKS = ["code_block", "quote", "heading", "list_item"];

/**
 * Blocks {style, level, ordinal, language, pieces}, style "plain" where there is none; a piece is {text, styles: [..], href?,
 * mention?, spoiler?}. Pure: all that is decided is decided here.
 */
export function toBlocks({ text, format = [], mentions = [] }) {
  const spans = [...format, ...mentions.map((mention) => ({ ...mention, style: "mention" }))].filter(
    ({ start, end }) => Number.isInteger(start) && Number.isInteger(end) && 0 <= start && start < end && end <= text.length,
  );
  const cuts = new Set([0, text.length]);
  for (const { start, end } of spans) cuts.add(start).add(end);
  const edges = [...cuts].sort((a, b) => a - b);
  const blocks = [];
  for (let i = 0; i + 1 < edges.length; i++) {
    const over = spans.filter(({ start, end }) => start <= edges[i] && edges[i + 1] <= end);
    const around = over.find(({ style }) => BLOCKS.includes(style)) ?? null;
    let block = blocks.at(-1);
    if (!block || block.span !== around) {
      block = { ...blockOf(around), span: around, pieces: [] };
      blocks.push(block);
    }
    block.pieces.push(...piecesOf(text.slice(edges[i], edges[i + 1]), over));
  }
  trimBreaks(blocks);
  return blocks.filter(({ pieces }) => pieces.length).map(({ span, ...block }) => block);
}

function blockOf(span) {
  if (!span) return { style: "plain" };
  return { style: span.style, level: Math.min(6, Math.max(1, span.level || 1)), ordinal: span.ordinal, language: span.value };
}

function piecesOf(text, over) {
  const styles = over.map(({ style }) => style).filter((style) => style in INLINE);
  const spoiler = over.find(({ style }) => style === "spoiler");
  const mention = over.find(({ style }) => style === "mention");
  const href = followable(over.find(({ style }) => style === "link")?.value);
  const piece = { styles };
  if (spoiler) piece.spoiler = spoiler.value ?? "";
  if (mention) {
    piece.mention = mention.user ?? mention.role ?? "room";
    piece.who = { user: mention.user, room: mention.room, role: mention.role };
  }
  if (href) return [{ ...piece, text, href }];
  const isCode = styles.includes("code") || over.some(({ style }) => style === "code_block");
  return isCode || mention ? [{ ...piece, text }] : withLinks(text).map((part) => ({ ...piece, ...part }));
}

// A block stands on lines of its own: the line break beside it is not another, empty line.
function trimBreaks(blocks) {
  blocks.forEach((block, i) => {
    if (block.style !== "plain") return;
    const first = block.pieces[0];
    if (i > 0) first.text = first.text.replace(/^\n/, "");
    const last = block.pieces.at(-1);
    if (i + 1 < blocks.length) last.text = last.text.replace(/\n$/, "");
    block.pieces = block.pieces.filter(({ text }) => text !== "");
  });
}

/** The nodes of a message's text. `isMe(mention)` says which mentions mean the reader. */
export function richText(message, isMe = () => false) {
  if (message.deleted) return el("p", { class: "aside", text: "Message deleted" });
  const fragment = document.createDocumentFragment();
  let list = null; // the <ol> or <ul> that is being filled
  for (const block of toBlocks(message)) {
    const pieces = block.pieces.map((piece) => nodeOf(piece, isMe));
    if (block.style !== "list_item") list = null;
    switch (block.style) {
      case "code_block":
        fragment.append(el("pre", { tabindex: "0", "aria-label": block.language || "code" }, el("code", {}, ...pieces)));
        break;
      case "quote":
        fragment.append(el("blockquote", { class: `level-${block.level}` }, ...pieces));
        break;
      case "heading":
        // A heading inside a message is none of the page: it would confuse who goes from heading to heading.
        fragment.append(el("p", { class: `heading level-${block.level}` }, ...pieces));
        break;
      case "list_item": {
        const tag = Number.isInteger(block.ordinal) ? "ol" : "ul";
        if (list?.localName !== tag || list.dataset.level !== String(block.level)) {
          list = el(tag, { class: `level-${block.level}`, "data-level": block.level });
          fragment.append(list);
        }
        list.append(el("li", { value: block.ordinal }, ...pieces));
        break;
      }
      default:
        fragment.append(el("p", {}, ...pieces));
    }
  }
  return fragment;
}

function nodeOf({ text, styles, href, mention, who, spoiler }, isMe) {
  let node = document.createTextNode(text);
  for (const style of styles) node = el(INLINE[style], {}, node);
  if (mention !== undefined) node = el("span", { class: isMe(who) ? "mention me" : "mention" }, node);
  if (href) node = el("a", { href, target: "_blank", rel: "noopener noreferrer" }, node);
  if (spoiler !== undefined) node = spoilerOf(node, spoiler);
  return node;
}

function spoilerOf(node, reason) {
  const label = reason ? `Spoiler: ${reason}` : "Spoiler";
  const hidden = el("button", { type: "button", class: "spoiler", "aria-label": `${label}, show` }, node);
  hidden.addEventListener("click", () => hidden.replaceWith(el("span", { class: "revealed" }, node)), { once: true });
  return hidden;
}
