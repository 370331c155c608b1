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

/** A transcript that follows a call's events. */
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
    this.isEmpty = true;
  }

  /** Take an event of the call; those that say nothing here are passed over. */
  on(event) {
    const isNear = this.isNearEnd();
    const act = this[`on_${event.kind}`];
    if (act) act.call(this, event);
    if (isNear) this.element.scrollTop = this.element.scrollHeight;
  }

  isNearEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.element;
    return scrollHeight - scrollTop - clientHeight < NEAR_PX;
  }

  add(who, ...parts) {
    if (this.isEmpty) this.element.replaceChildren();
    this.isEmpty = false;
    const line = turnLine(who, parts);
    line.firstChild.textContent = this.names[who];
    this.element.append(line);
    return { line, said: line.lastChild };
  }

  note(...parts) {
    this.add("note", ...parts);
  }

  on_caller_partial({ text }) {
    if (!text) return;
    this.partial ??= this.add("caller");
    this.partial.line.classList.add("partial");
    this.partial.said.textContent = text;
  }

  on_caller({ text, is_understood }) {
    this.closeAgent();
    const entry = this.partial ?? this.add("caller");
    this.partial = null;
    entry.line.classList.remove("partial");
    entry.said.replaceChildren(text || "…");
    if (is_understood === false) entry.said.append(" ", h("small", {}, "not understood"));
    announce(`${this.names.caller}: ${text}`);
  }

  on_agent({ text }) {
    if (!text) return;
    if (!this.open || !text.startsWith(this.open.text)) {
      this.closeAgent();
      this.open = this.add("agent");
      this.open.words = h("span");
      this.open.said.append(this.open.words);
      if (this.latency) this.showLatency();
    }
    this.open.text = text;
    this.open.words.textContent = text;
  }

  on_interrupted({ text }) {
    if (!this.open) {
      this.open = this.add("agent");
      this.open.words = h("span");
      this.open.said.append(this.open.words);
      this.open.text = "";
    }
    const { said, words, text: shown } = this.open;
    const lost = shown.startsWith(text) ? shown.slice(text.length) : "";
    words.textContent = text;
    words.after(" ", lost.trim() ? h("s", {}, lost.trim()) : "", h("small", { class: "cut" }, " interrupted"));
    said.parentElement.classList.add("interrupted");
    this.open.text = text;
    this.closeAgent();
  }

  on_latency(event) {
    this.latency = event;
    if (this.open && !this.open.hasLatency) this.showLatency();
  }

  showLatency() {
    this.open.hasLatency = true;
    this.open.said.append(" ", h("small", { title: "from your last word to the agent's first sound" }, ms(this.latency.total)));
    this.latency = null;
  }

  on_keys({ who, text }) {
    this.note(`${this.names[who] ?? who} pressed `, h("kbd", {}, text));
  }

  on_tool({ name, outcome, took_ms: took }) {
    this.note("Tool ", h("code", {}, name), ` ${outcome ?? ""} after ${ms(took)}`);
  }

  on_resumed() {
    this.note("Another worker has taken the call over");
  }

  on_ended() {
    this.closeAgent();
  }

  closeAgent() {
    if (this.open) announce(`Agent: ${this.open.text}`);
    this.open = null;
  }
}
