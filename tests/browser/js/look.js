// What can be measured of a page's look. Each gives what is wrong, in words. Run by look.py in the page itself.

({
  // Text with less than 4.5 : 1 against what is behind it (WCAG 2.2, 1.4.3).
  contrast() {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 1;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    // Any colour that CSS knows, laid over another, as red, green, blue.
    const over = (colours) => {
      context.fillStyle = "#fff";
      context.fillRect(0, 0, 1, 1);
      for (const colour of colours) {
        context.fillStyle = colour;
        context.fillRect(0, 0, 1, 1);
      }
      return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const light = (rgb) => {
      const [r, g, b] = rgb.map((part) => ((part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const found = [];
    for (const element of document.querySelectorAll("body *")) {
      const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.nodeValue.trim());
      if (!own || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
      if (element.closest(":disabled, .spoiler")) continue;
      const grounds = [];
      for (let at = element; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
      const [a, b] = [light(over([...grounds, getComputedStyle(element).color])), light(over(grounds))];
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (contrast < 4.5) found.push(`${element.className || element.localName} "${element.textContent.slice(0, 20)}": ${contrast.toFixed(2)}`);
    }
    return found;
  },

  // Names, landmarks, lists, references, sizes of targets.
  basics() {
    const found = [];
    const visible = (element) => element.checkVisibility({ visibilityProperty: true });
    const name = (element) =>
      element.getAttribute("aria-label") ||
      (element.getAttribute("aria-labelledby") || "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" ").trim() ||
      [...(element.labels ?? [])].map((label) => label.textContent).join(" ").trim() ||
      (element.matches("input, textarea, select") ? "" : element.textContent.trim()) || element.title;
    if (!document.documentElement.lang) found.push("no language");
    if (!document.title) found.push("no title");
    if (document.querySelectorAll("main:not([hidden])").length !== 1) found.push("not one main");
    const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
    for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) found.push(`id twice: ${id}`);
    for (const element of document.querySelectorAll("button, a[href], input, textarea, select, [role=tab], nav, section, dialog, iframe, [role=log]")) {
      if (visible(element) && !name(element)) found.push(`no name: ${element.outerHTML.slice(0, 100)}`);
    }
    for (const image of document.querySelectorAll("img:not([alt])")) found.push(`no alt: ${image.outerHTML.slice(0, 100)}`);
    for (const list of document.querySelectorAll("ul, ol")) {
      for (const child of list.children) if (child.localName !== "li") found.push(`${child.localName} in a list`);
    }
    for (const element of document.querySelectorAll("[aria-labelledby], [aria-controls]")) {
      for (const attribute of ["aria-labelledby", "aria-controls"]) {
        for (const id of (element.getAttribute(attribute) ?? "").split(" ").filter(Boolean)) {
          if (!document.getElementById(id)) found.push(`${attribute} names nothing: ${id}`);
        }
      }
    }
    for (const element of document.querySelectorAll("*")) {
      const scrolls = element.scrollHeight > element.clientHeight + 1 && /auto|scroll/.test(getComputedStyle(element).overflowY);
      if (scrolls && visible(element) && element.tabIndex < 0 && !element.querySelector("a[href], button, textarea, input")) {
        found.push(`scrolls, but not by keyboard: ${element.className}`);
      }
    }
    for (const target of document.querySelectorAll("button")) {
      const { width, height } = target.getBoundingClientRect();
      if (visible(target) && !target.matches(".link, .spoiler") && (width < 24 || height < 24)) found.push(`small: ${name(target)} ${width}x${height}`);
    }
    return found;
  },

  // What is wider than the screen.
  sticksOut() {
    const found = [];
    const room = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth > room) found.push(`the page: ${document.documentElement.scrollWidth} > ${room}`);
    for (const element of document.querySelectorAll("body *")) {
      if (!element.checkVisibility({ visibilityProperty: true }) || element.closest("pre, table, .who, .round, svg")) continue;
      const { left, right, width } = element.getBoundingClientRect();
      if (width && (left < -0.5 || right > room + 0.5)) found.push(`${element.className || element.localName}: ${left}..${right}`);
    }
    for (const log of document.querySelectorAll(".log")) {
      if (log.scrollWidth > log.clientWidth) found.push(`log: ${log.scrollWidth} > ${log.clientWidth}`);
    }
    return found;
  },
})
