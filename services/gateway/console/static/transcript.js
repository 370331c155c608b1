// A call's words as they come, and what one turn's waiting was made of.

import { announce, h, ms } from "./dom.js";

export const STAGES = ["endpointing", "transcription", "brain", "synthesis", "platform"];
const WHO = { caller: "Caller", agent: "Agent", note: "" };
const NEAR_PX = 80;

/** A bar of a turn's stages, each as long as it took, and the same in words. */
export function stageBar(latency) {
  const known = STAGES.filter((stage) => latency[stage] >= 1);
  const bar = h("div", { class: "bar", "aria-hidden": "true" });
  for (const stage of known) {
    const part = h("span", { class: `stage ${stage}`, title: `${stage} ${ms(latency[stage])}` });
    part.style.flexGrow = latency[stage];
    bar.append(part);
  }
  const legend = known.map((stage) =>
    h("li", {}, h("i", { class: `dot ${stage}`, "aria-hidden": "true" }), `${stage} `, h("b", {}, ms(latency[stage]))),
  );
  return h("div", { class: "stages" }, bar, h("ul", { class: "legend" }, legend));
}

/** One line of a transcript. `parts` are what was said, as nodes or texts. */
export function turnLine(who, parts, extra = {}) {
  return h(
    extra.onclick ? "button" : "div",
    { class: `turn ${who}`, type: extra.onclick ? "button" : null, ...extra },
    h("span", { class: "who" }, WHO[who] ?? who),
    h("span", { class: "said" }, parts),
  );
}

/**
 * A transcript that follows a call's events. What was said has a place `n` in the call's record, and
 * may be told again: then the line that is there already is set right.
 */
export class Transcript {
  constructor({ caller = "Caller" } = {}) {
    this.names = { ...WHO, caller };
    this.element = h("div", { class: "transcript", role: "region", tabindex: "0", "aria-label": "Transcript" });
    this.clear();
  }

  /** Begin anew; `hint` stands there until somebody speaks. */
  clear(hint = "") {
    this.element.replaceChildren(hint ? h("p", { class: "empty" }, hint) : "");
    this.partial = this.open = this.latency = null;
    this.entries = new Map();
    this.isEmpty = true;
  }

  /** Take an event of the call; those that say nothing here are passed over. */
  on(event) {
    const { scrollHeight, scrollTop, clientHeight } = this.element;
    const isNearEnd = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    this[`on_${event.kind}`]?.(event);
    if (isNearEnd) this.element.scrollTop = this.element.scrollHeight;
  }

  add(who, ...parts) {
    if (this.isEmpty) this.element.replaceChildren();
    this.isEmpty = false;
    const line = turnLine(who, parts);
    line.firstChild.textContent = this.names[who];
    this.element.append(line);
    return { who, line, said: line.lastChild, text: "" };
  }

  note(...parts) {
    this.add("note", ...parts);
  }

  on_caller_partial({ text }) {
    this.partial ??= this.add("caller");
    this.partial.line.classList.add("partial");
    this.partial.said.textContent = text;
  }

  on_caller({ n, text, is_understood: isUnderstood }) {
    const isKnown = this.entries.has(n);
    const entry = this.entries.get(n) ?? this.partial ?? this.add("caller");
    if (entry === this.partial) this.partial = null;
    // An answer may be on its way before the question is told.
    if (this.open && !isKnown) this.open.line.before(entry.line);
    entry.line.classList.remove("partial");
    entry.said.replaceChildren(text || "…", isUnderstood === false ? h("small", {}, " not understood") : "");
    this.settle(entry, n, text);
  }

  on_agent({ text }) {
    // The agent has paused for the caller, or is late: what is on its way is less than stands here.
    if (!text || this.open?.text.includes(text)) return;
    // Until it is told how it ended, it is the same answer, even if some of it is missing now.
    this.open ??= this.addAgent();
    this.open.text = text;
    this.open.words.textContent = text;
  }

  addAgent() {
    const entry = this.add("agent");
    entry.words = h("span");
    entry.end = h("span");
    entry.said.append(entry.words, " ", entry.end);
    if (this.latency) this.showLatency(entry);
    return entry;
  }

  on_said({ n, text }) {
    const entry = this.entries.get(n) ?? this.open ?? this.addAgent();
    entry.words.textContent = text;
    this.settle(entry, n, text);
    if (entry === this.open) this.open = null;
  }

  on_interrupted({ n, text }) {
    if (this.entries.get(n)?.isCut) return;
    const entry = this.entries.get(n) ?? this.open ?? this.addAgent();
    const lost = entry.text.startsWith(text) ? entry.text.slice(text.length).trim() : "";
    entry.isCut = true;
    entry.words.textContent = text;
    entry.end.prepend(lost ? h("s", {}, lost) : "", h("small", { class: "cut" }, " interrupted "));
    entry.line.classList.add("interrupted");
    this.settle(entry, n, text);
    if (entry === this.open) this.open = null;
  }

  /** What was told from a place on is said anew: the caller goes on, and it was one turn. */
  on_take_back({ n }) {
    for (const [place, { line }] of this.entries) {
      if (place < n) continue;
      line.remove();
      this.entries.delete(place);
    }
  }

  on_latency(latency) {
    if (this.open && !this.open.hasLatency) {
      this.latency = latency;
      this.showLatency(this.open);
    } else this.latency = latency;
  }

  showLatency(entry) {
    const title = "from the caller's last word to the agent's first sound";
    entry.hasLatency = true;
    entry.end.append(h("small", { title }, ms(this.latency.total)));
    this.latency = null;
  }

  on_keys({ who, text }) {
    this.note(`${this.names[who]} pressed `, h("kbd", {}, text));
  }

  on_tool({ name, outcome, took_ms: took }) {
    this.note("Tool ", h("code", {}, name), ` ${outcome ?? ""} after ${ms(took)}`);
  }

  on_resumed() {
    this.note("Another worker has taken the call over");
  }

  on_ended() {
    this.open = null;
    if (this.partial) this.partial.line.remove();
    this.partial = null;
  }

  /** A line is as it stays; screen readers hear it once. */
  settle(entry, n, text) {
    const isNew = !this.entries.has(n);
    if (n !== undefined) this.entries.set(n, entry);
    entry.text = text;
    if (isNew) announce(`${this.names[entry.who]}: ${text}`);
  }
}
