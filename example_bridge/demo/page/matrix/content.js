// What this view sends: contents of events, from words and what belongs to them. And what it reads of relations. Pure.

/** A message. `mentions`: [{start, end, user}] in code units; `reply`: the event that it answers. */
export function textContent(body, { mentions = [], reply } = {}) {
  const content = { msgtype: "m.text", body, "m.mentions": mentions.length ? { user_ids: [...new Set(mentions.map(({ user }) => user))] } : {} };
  if (mentions.length) Object.assign(content, { format: "org.matrix.custom.html", formatted_body: html(body, mentions) });
  if (reply) content["m.relates_to"] = { "m.in_reply_to": { event_id: reply } };
  return content;
}

/** The change of `target` into `body`. https://spec.matrix.org/latest/client-server-api/#event-replacements */
export function editContent(target, body, mentions = []) {
  const fresh = textContent(body, { mentions });
  const fallback = { ...fresh, body: `* ${body}`, ...(fresh.formatted_body && { formatted_body: `* ${fresh.formatted_body}` }) };
  return { ...fallback, "m.mentions": {}, "m.new_content": fresh, "m.relates_to": { rel_type: "m.replace", event_id: target } };
}

export function reactionContent(target, key) {
  return { "m.relates_to": { rel_type: "m.annotation", event_id: target, key } };
}

function html(body, mentions) {
  let made = "";
  let from = 0;
  for (const { start, end, user } of mentions) {
    made += `${escaped(body.slice(from, start))}<a href="https://matrix.to/#/${encodeURIComponent(user)}">${escaped(body.slice(start, end))}</a>`;
    from = end;
  }
  return (made + escaped(body.slice(from))).replaceAll("\n", "<br>");
}

/** Where a text names people, [{id, name}], as a text field marks them. */
export function marksIn(text, people) {
  const marks = people.flatMap(({ id, name }) => {
    const start = text.indexOf(`@${name}`);
    return start < 0 ? [] : [{ start, end: start + name.length + 1, user: id }];
  });
  return marks.sort((a, b) => a.start - b.start).filter((mark, i, all) => i === 0 || all[i - 1].end <= mark.start);
}

function escaped(text) {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

/** What a message answers, or null. */
export function answered(content) {
  const id = content?.["m.relates_to"]?.["m.in_reply_to"]?.event_id;
  return typeof id === "string" ? id : null;
}

/** The words of a message that people see, without the quote that old clients put before an answer. */
export function wordsOf(content) {
  const body = typeof content?.body === "string" ? content.body : "";
  return answered(content) && body.startsWith("> ") ? body.replace(/^(> .*\n)+\n?/, "") : body;
}

/** The user whom a matrix.to address means, or null. */
export function userOf(href) {
  const found = /^https:\/\/matrix\.to\/#\/((?:@|%40)[^?]+)/i.exec(href ?? "");
  try {
    return found && decodeURIComponent(found[1]);
  } catch {
    return null;
  }
}
