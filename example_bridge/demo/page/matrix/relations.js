// What events say of other events in one room: edits, redactions, reactions, receipts. Pure.

export class Relations {
  #edits = new Map(); // "target sender" -> event
  #gone = new Set(); // ids of redacted events
  #reactions = new Map(); // target -> [{event, sender, key}]
  #ranks = new Map(); // event -> its place in the timeline
  #first = 0;
  #last = 0;
  #receipts = new Map(); // user -> event

  /** Take an event that was not seen before, from the `end` or the `start` of the timeline; whether it is nothing by itself. */
  take(event, where) {
    this.#ranks.set(event.event_id, where === "end" ? ++this.#last : --this.#first);
    if (event.type === "m.room.redaction") {
      this.#gone.add(event.redacts ?? event.content?.redacts);
      return true;
    }
    const relation = event.content?.["m.relates_to"];
    if (relation?.rel_type === "m.replace" && event.content["m.new_content"]) {
      // Edits of others than the author count for nothing. Going back, the first one met is the latest.
      const key = `${relation.event_id} ${event.sender}`;
      if (where === "end" || !this.#edits.has(key)) this.#edits.set(key, event);
      return true;
    }
    if (event.type !== "m.reaction") return false;
    if (typeof relation?.key === "string" && relation.rel_type === "m.annotation") {
      const given = this.#reactions.get(relation.event_id) ?? [];
      const one = { event: event.event_id, sender: event.sender, key: relation.key };
      this.#reactions.set(relation.event_id, where === "end" ? [...given, one] : [one, ...given]);
    }
    return true;
  }

  /** Content of an m.receipt event. */
  receive(content) {
    for (const [event, { "m.read": readers = {} }] of Object.entries(content ?? {})) {
      for (const user of Object.keys(readers)) this.#receipts.set(user, event);
    }
  }

  /** The timeline begins anew. */
  forgetPlaces() {
    this.#ranks.clear();
  }

  isGone(event) {
    return this.#gone.has(event.event_id) || event.unsigned?.redacted_because !== undefined;
  }

  editOf(event) {
    const edit = this.#edits.get(`${event.event_id} ${event.sender}`);
    return edit && !this.isGone(edit) ? edit : undefined;
  }

  /** Emoji and the users who gave it, once each. */
  reactionsTo(target) {
    const found = new Map(); // key without selectors -> [as it came first, users]
    for (const { event, sender, key } of this.#reactions.get(target) ?? []) {
      if (this.#gone.has(event)) continue;
      if (!found.has(plain(key))) found.set(plain(key), [key, new Set()]);
      found.get(plain(key))[1].add(sender);
    }
    return new Map(found.values());
  }

  /** The event by which a user gave this reaction, to take it back. */
  reactionBy(user, target, key) {
    return (this.#reactions.get(target) ?? []).findLast((one) => one.sender === user && plain(one.key) === plain(key) && !this.#gone.has(one.event))?.event;
  }

  /** Who has read an event, by the receipts. */
  readersOf(event) {
    const rank = this.#ranks.get(event);
    return [...this.#receipts].filter(([, upTo]) => this.#ranks.get(upTo) >= rank).map(([user]) => user);
  }
}

// Clients differ in whether they say that an emoji shall be drawn as one (U+FE0F).
export function plain(key) {
  return key.replaceAll("\ufe0f", "");
}
