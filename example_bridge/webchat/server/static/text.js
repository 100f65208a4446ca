// Text with spans -> DOM. Offsets count code points, which JavaScript's strings do not: hence Array.from.

function linkTo(value) {
  try {
    const url = new URL(value);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

export function richText({ text, format = [], mentions = [] }) {
  const points = Array.from(text);
  const spans = [...format, ...mentions.map((mention) => ({ ...mention, style: "mention" }))];
  const cuts = new Set([0, points.length]);
  for (const { start, end } of spans) cuts.add(start).add(end);
  const edges = [...cuts].sort((a, b) => a - b);
  const fragment = document.createDocumentFragment();
  for (let i = 0; i + 1 < edges.length; i++) {
    const over = spans.filter(({ start, end }) => start <= edges[i] && edges[i + 1] <= end && start < end);
    const href = linkTo(over.find(({ style }) => style === "link")?.value ?? "");
    const piece = document.createElement(href ? "a" : "span");
    if (href) {
      piece.href = href;
      piece.target = "_blank";
      piece.rel = "noopener noreferrer";
    }
    for (const { style } of over) if (/^[a-z_]+$/.test(style)) piece.classList.add(style);
    piece.textContent = points.slice(edges[i], edges[i + 1]).join("");
    fragment.append(piece);
  }
  return fragment;
}
