// The HTML that Matrix messages may carry, rebuilt from an allow-list. The browser's parser reads it into a document that
// runs nothing; from there only tags and attributes of the tables below are made anew: nothing is ever copied.

import { el } from "/kit/dom.js";
import { followable, withLinks } from "/kit/links.js";
import { userOf, wordsOf } from "./content.js";

// Tag -> the tag that is made of it. Headings become bold paragraphs: a message has no part in the page's outline.
const TAGS = {
  P: "p", DIV: "div", BLOCKQUOTE: "blockquote", UL: "ul", OL: "ol", LI: "li", PRE: "pre", CODE: "code", HR: "hr", BR: "br",
  B: "strong", STRONG: "strong", I: "em", EM: "em", U: "u", S: "s", DEL: "s", STRIKE: "s", SUB: "sub", SUP: "sup", SPAN: "span",
  A: "a", TABLE: "table", THEAD: "thead", TBODY: "tbody", TR: "tr", TH: "th", TD: "td", CAPTION: "caption",
  DETAILS: "details", SUMMARY: "summary",
  H1: "p", H2: "p", H3: "p", H4: "p", H5: "p", H6: "p",
};
// With everything in them. All other unknown tags give way to their children.
const DROPPED = new Set(["SCRIPT", "STYLE", "TEMPLATE", "IFRAME", "OBJECT", "EMBED", "NOSCRIPT", "TITLE", "HEAD", "SVG", "MATH", "SELECT", "TEXTAREA", "MX-REPLY"]);
const DEEPEST = 100; // the specification's limit

/** A parsed node's content as strings and {tag, attributes, children}. Pure: needs nodeType, nodeName, childNodes, getAttribute. */
export function allowed(node, me = null, depth = 0) {
  return [...node.childNodes].flatMap((child) => {
    if (child.nodeType === 3) return [child.nodeValue];
    if (child.nodeType !== 1) return [];
    const name = child.nodeName.toUpperCase();
    if (DROPPED.has(name)) return [];
    if (name === "IMG") return [child.getAttribute("alt") || child.getAttribute("title") || "(image)"];
    const children = depth < DEEPEST ? allowed(child, me, depth + 1) : [child.textContent];
    const tag = TAGS[name];
    if (!tag) return children;
    const made = attributesOf(name, child, me);
    if (!made) return children;
    const { tag: instead = tag, ...attributes } = made;
    return [{ tag: instead, attributes, children }];
  });
}

// The attributes that are made; null where the tag makes no sense without.
function attributesOf(name, node, me) {
  if (name === "A") {
    const href = followable(node.getAttribute("href"));
    if (!href) return null;
    const user = userOf(href);
    if (user) return { tag: "span", class: user === me ? "mention me" : "mention" };
    return { href, target: "_blank", rel: "noopener noreferrer" };
  }
  if (/^H[1-6]$/.test(name)) return { class: `heading level-${name[1]}` };
  if (name === "OL" && /^\d{1,9}$/.test(node.getAttribute("start") ?? "")) return { start: node.getAttribute("start") };
  if (name === "PRE") return { tabindex: "0", "aria-label": "code" };
  if (name === "SPAN" && node.getAttribute("data-mx-spoiler") !== null) {
    const reason = node.getAttribute("data-mx-spoiler");
    return { tag: "button", type: "button", class: "spoiler", "aria-label": `Spoiler${reason ? `: ${reason}` : ""}, show` };
  }
  return {};
}

function build(tree) {
  return tree.map((part) => {
    if (typeof part === "string") return document.createTextNode(part);
    const made = el(part.tag, part.attributes, ...build(part.children));
    if (part.attributes.class === "spoiler") {
      made.addEventListener("click", () => made.replaceWith(el("span", { class: "revealed" }, ...made.childNodes)), { once: true });
    }
    return made;
  });
}

// The one place where a string becomes nodes; the page's policy allows no other. The document it fills is inert.
const policy = globalThis.trustedTypes?.createPolicy("matrix-html", { createHTML: (html) => html });

function parse(html) {
  return new DOMParser().parseFromString(policy ? policy.createHTML(html) : html, "text/html").body;
}

/** What a message's content looks like; mentions of the user `me` stand out. */
export function messageBody(content, me = null) {
  if (content.aside) return el("div", { class: "body" }, el("p", { class: "aside", text: content.aside }));
  const text = wordsOf(content);
  if (content.format === "org.matrix.custom.html" && typeof content.formatted_body === "string") {
    return el("div", { class: "body html", dir: "auto" }, ...build(allowed(parse(content.formatted_body), me)));
  }
  // Without an address that this view understands; else files.js shows it.
  const kind = { "m.image": "Image", "m.file": "File", "m.audio": "Audio", "m.video": "Video" }[content.msgtype];
  const words = kind ? `${kind}: ${text}` : content.msgtype === "m.emote" ? `* ${text}` : text;
  const nodes = withLinks(words).map(({ text: piece, href }) =>
    href ? el("a", { href, target: "_blank", rel: "noopener noreferrer", text: piece }) : piece,
  );
  return el("div", { class: "body", dir: "auto" }, el("p", { class: kind ? "aside" : undefined }, ...nodes));
}
