// The demo's page: fetches what it needs to know, then shows both sides.

import { el } from "/kit/dom.js";
import { openStorage } from "/kit/storage.js";
import { MatrixView } from "./matrix/view.js";

const $ = (id) => document.getElementById(id);
const browser = openStorage("demo ");

// The link carries a key, for everybody on this machine can reach the port. It leaves the address bar, and stays here.
function takeKey() {
  const link = new URLSearchParams(location.hash.slice(1));
  if (link.has("key")) {
    browser.set("key", link.get("key"));
    history.replaceState(null, "", location.pathname);
  }
  return browser.get("key") ?? "";
}

async function fetchSession() {
  let response;
  try {
    response = await fetch("/session", { headers: { Authorization: `Bearer ${takeKey()}` } });
  } catch {
    throw new Error("The demo does not answer. Is make demo still running?");
  }
  if (!response.ok) throw new Error("This page opens only by the link that make demo prints. Open that link.");
  return response.json();
}

function show(session) {
  const { webchat, matrix } = session;
  $("webchat-who").textContent = `as the visitor ${webchat.name}`;
  $("webchat-link").href = webchat.link;
  $("webchat-link").textContent = new URL(webchat.link).host;
  $("webchat-link").title = "Open in a tab of its own";
  $("matrix-who").textContent = `as the agent ${matrix.name}`;
  $("matrix-address").textContent = new URL(matrix.homeserver).host;
  $("tab-webchat").textContent = `Webchat · ${webchat.name}`;
  $("tab-matrix").textContent = `Matrix · ${matrix.name}`;
  for (const id of ["sides", "tabs", "own"]) $(id).hidden = false;
  $("webchat-page").src = webchat.link;
  $("matrix-view").append(new MatrixView(matrix).element);
  showCredentials({ Homeserver: matrix.homeserver, User: matrix.user_id, Password: matrix.password });
}

function showCredentials(credentials) {
  for (const [name, value] of Object.entries(credentials)) {
    const copy = el("button", { type: "button", class: "link", text: "Copy", "aria-label": `Copy: ${name}` });
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(value).then(() => (copy.textContent = "Copied"), () => (copy.textContent = "Select it"));
    });
    $("credentials").append(el("div", {}, el("dt", { text: name }), el("dd", {}, el("code", { text: value }), copy)));
  }
  $("own").addEventListener("click", () => $("own-client").showModal());
}

// Where there is room for one side only. Left and right go from tab to tab.
function showTab(name, { focus = false } = {}) {
  $("sides").dataset.shown = name;
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const selected = tab.getAttribute("aria-controls") === name;
    tab.setAttribute("aria-selected", String(selected));
    tab.tabIndex = selected ? 0 : -1;
    if (selected && focus) tab.focus();
  }
}
for (const tab of document.querySelectorAll("[role=tab]")) {
  tab.addEventListener("click", () => showTab(tab.getAttribute("aria-controls")));
  tab.addEventListener("keydown", ({ key }) => {
    if (key === "ArrowLeft" || key === "ArrowRight") showTab($("sides").dataset.shown === "webchat" ? "matrix" : "webchat", { focus: true });
  });
}
showTab("webchat");

fetchSession().then(show).catch((error) => ($("trouble").textContent = error.message));
