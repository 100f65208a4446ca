// Small helpers over the DOM. Text always goes in as text: nothing here takes HTML.

const SVG = "http://www.w3.org/2000/svg";

// 24 x 24, drawn with strokes.
const SHAPES = {
  send: "M5 12h13M12 5l7 7-7 7",
  back: "M15 5l-7 7 7 7",
  plus: "M12 5v14M5 12h14",
  leave: "M10 5H6a1 1 0 0 0-1 1v12a1 1 0 0 0 1 1h4M14 8l4 4-4 4M18 12H9",
  down: "M12 5v13M6 12l6 6 6-6",
  clock: "M12 4a8 8 0 1 0 0 16a8 8 0 0 0 0-16M12 8v4l3 2",
  tick: "M5 13l4.5 4.5L19 7",
  ticks: "M2 13l4.5 4.5L16 7M12 16.5l1 1L22.5 7",
  reply: "M10 6L4 12l6 6M4 12h10a6 6 0 0 1 6 6",
  pen: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  bin: "M5 7h14M10 7V4.5h4V7M7 7l1 13h8l1-13M10.5 11v5M13.5 11v5",
  smile: "M12 4a8 8 0 1 0 0 16a8 8 0 0 0 0-16M9 9.9v.1M15 9.9v.1M8.5 14a4 4 0 0 0 7 0",
  warning: "M12 4.5L3.5 19h17zM12 10v4M12 16.6v.1",
  phone: "M6 4h3l1.5 4.5-2 1.5a11 11 0 0 0 5.5 5.5l1.5-2L20 15v3a2 2 0 0 1-2 2A14 14 0 0 1 4 6a2 2 0 0 1 2-2",
  hangup: "M3 14.5v-2c5-4.5 13-4.5 18 0v2a1.5 1.5 0 0 1-1.9 1.4l-2.8-.8a1.5 1.5 0 0 1-1.1-1.4V12a13 13 0 0 0-6.4 0v1.7a1.5 1.5 0 0 1-1.1 1.4l-2.8.8A1.5 1.5 0 0 1 3 14.5",
  camera: "M4 7h9a1 1 0 0 1 1 1v8a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V8a1 1 0 0 1 1-1M14 11l6-3.5v9L14 13",
  clip: "M20 11.5l-8 8a5 5 0 0 1-7-7l8.5-8.5a3.3 3.3 0 0 1 4.7 4.7L9.9 17a1.6 1.6 0 0 1-2.3-2.3l7.6-7.6",
  file: "M7 3.5h7l4 4V20a.5.5 0 0 1-.5.5h-10.500a.5.5 0 0 1-.5-.5V4a.5.5 0 0 1 .5-.5M14 3.5V8h4",
  play: "M8 5.5v13l10.500-6.500z",
  pause: "M8.5 6v12M15.500 6v12",
  save: "M12 4v11M7 10.500l5 5l5-5M5 19.500h14",
  mic: "M12 4a2.500 2.500 0 0 0-2.500 2.500v5a2.500 2.500 0 0 0 5 0v-5A2.500 2.500 0 0 0 12 4M6 11.500a6 6 0 0 0 12 0M12 17.500V21",
  place: "M12 21c-4-5-6.500-8-6.500-11a6.500 6.500 0 0 1 13 0c0 3-2.500 6-6.500 11M12 7.500a2.500 2.500 0 1 0 0 5a2.500 2.500 0 0 0 0-5",
  close: "M6 6l12 12M18 6L6 18",
};

/** An element. `properties`: class, text, on: {event: listener}, vars: {"--x": 1}; all else are attributes. */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    else if (name === "class") made.className = value;
    else if (name === "text") made.textContent = value;
    else if (name === "on") for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    else if (name === "vars") for (const [key, to] of Object.entries(value)) made.style.setProperty(key, String(to));
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children);
  return made;
}

/** One of our drawings; says nothing to a screen reader. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", SHAPES[name]);
  svg.append(path);
  return svg;
}

/**
 * Make the children of `parent` those of `items`, keeping the nodes of those that stay: focus, selection and scroll
 * survive, and a screen reader hears of new ones only.
 */
export function reconcile(parent, items, { key, make, update }) {
  const wanted = new Set(items.map((item) => String(key(item))));
  const kept = new Map();
  for (const child of [...parent.children]) {
    if (wanted.has(child.dataset.key)) kept.set(child.dataset.key, child);
    else child.remove();
  }
  let at = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let node = kept.get(name);
    if (!node) {
      node = make(item);
      node.dataset.key = name;
    }
    update(node, item);
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
}

/** A function that runs `draw` once before the next frame, however often it is called. */
export function oncePerFrame(draw) {
  let asked = false;
  const run = () => {
    if (!asked) return;
    asked = false;
    draw();
  };
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(run);
    setTimeout(run, 200); // a page in the background has no frames, but counts what is unread in its title
  };
}
