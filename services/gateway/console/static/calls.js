// The list of calls, newest first, and a search in it.

import { get } from "./api.js";
import { clock, h, ms, when, words } from "./dom.js";

const SEARCH_AFTER_MS = 250;
const PAGE = 50;

export class CallsView {
  constructor() {
    this.title = "Calls";
    this.query = h("input", {
      type: "search",
      id: "query",
      placeholder: "Number, agent, end or id",
      oninput: () => this.searchSoon(),
    });
    this.body = h("tbody", {});
    this.table = h(
      "table",
      { class: "list" },
      h(
        "thead",
        {},
        h("tr", {}, ["When", "Agent", "From", "To", "Length", "Turns", "Latency", "End"].map((name) => h("th", { scope: "col" }, name))),
      ),
      this.body,
    );
    this.note = h("p", { class: "empty", role: "status" });
    this.older = h("button", { type: "button", class: "plain", hidden: true, onclick: () => this.load(this.next) }, "Older calls");
    this.element = h(
      "section",
      { class: "calls" },
      h(
        "div",
        { class: "heading" },
        h("h1", {}, "Calls"),
        h("form", { class: "search", role: "search", onsubmit: (event) => event.preventDefault() }, h("label", { for: "query", class: "hidden" }, "Search calls"), this.query),
      ),
      h("div", { class: "card" }, this.table, this.note, this.older),
    );
  }

  show() {
    return this.load();
  }

  searchSoon() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.load(), SEARCH_AFTER_MS);
  }

  /** Load the newest calls that fit, or those before a time. */
  async load(before = null) {
    const asked = (this.asked = {});
    const parameters = new URLSearchParams({ q: this.query.value, limit: PAGE });
    if (before) parameters.set("before", before);
    let found;
    try {
      found = await get(`calls?${parameters}`);
    } catch (error) {
      this.note.textContent = error.message;
      return;
    }
    if (asked !== this.asked) return;
    const rows = found.calls.map(row);
    if (before) this.body.append(...rows);
    else this.body.replaceChildren(...rows);
    this.next = found.next;
    this.older.hidden = !found.next;
    this.table.hidden = !this.body.children.length;
    const none = this.query.value ? "No call fits that." : "No calls yet. The first one is a click away, under Talk.";
    this.note.textContent = this.body.children.length ? "" : none;
  }
}

function row(call) {
  const cell = (label, ...children) => h("td", { "data-label": label }, children);
  const { turns, turn_latency_median_ms: median } = call.summary ?? {};
  return h(
    "tr",
    {},
    cell("When", h("a", { href: `#calls/${call.call_id}` }, when(call.created_at))),
    cell("Agent", call.agent ?? "–"),
    cell("From", call.from_number || "–"),
    cell("To", call.to_number || "–"),
    cell("Length", call.duration_s ? clock(call.duration_s) : "–"),
    cell("Turns", turns ?? "–"),
    cell("Latency", ms(median)),
    cell("End", endOf(call)),
  );
}

/** How a call ended, as a word with its class's colour; its state while it lasts. */
export function endOf({ state, end_class: kind, end_reason: reason, ended_at: endedAt }) {
  if (!endedAt) return h("span", { class: "pill", "data-state": state }, words(state));
  return h("span", { class: `pill end-${kind ?? "unknown"}` }, words(reason ?? state));
}
