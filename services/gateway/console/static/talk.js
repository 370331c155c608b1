// The view with the telephone.

import { follow, get, post } from "./api.js";
import { announce, clock, figure, h, icon, ms, words } from "./dom.js";
import { Line, NoLine, openMicrophone } from "./line.js";
import { stageBar, Transcript } from "./transcript.js";

const KEYS = [..."123456789*0#"];
const HINT = "What you and the agent say appears here, word by word.";
const SILENT_DB = -60;

export class TalkView {
  constructor() {
    this.title = "Talk";
    this.line = null;
    this.transcript = new Transcript({ caller: "You" });
    this.transcript.clear(HINT);
    this.agents = [];
    this.element = h("section", { class: "talk" }, this.makePhone(), this.makeConversation(), this.makeFigures());
    document.addEventListener("keydown", (event) => this.onKey(event));
    this.showIdle();
  }

  // --- what there is to see -------------------------------------------------------------------

  makePhone() {
    this.heading = h("h1", {});
    this.select = h("select", { id: "agent", onchange: () => this.showHint() });
    this.hint = h("p", { class: "greeting" });
    this.timer = h("span", { class: "timer" }, "0:00");
    this.state = h("span", { class: "pill" });
    this.problem = h("p", { class: "problem", role: "alert" });
    this.button = h("button", { type: "button", class: "call", onclick: () => this.onButton() });
    this.muteButton = h("button", { type: "button", class: "round", "aria-pressed": "false", onclick: () => this.onMute() });
    this.keysButton = h(
      "button",
      { type: "button", class: "round", "aria-expanded": "false", "aria-controls": "keypad", "aria-label": "Keypad", onclick: () => this.onKeypad() },
      icon("keypad"),
    );
    this.keypad = h(
      "div",
      { class: "keypad", id: "keypad", hidden: true, role: "group", "aria-label": "Keypad" },
      KEYS.map((key) => h("button", { type: "button", "data-key": key, onclick: () => this.press(key) }, key)),
    );
    this.levels = { caller: meter("You"), agent: meter("Agent") };
    this.choice = h(
      "div",
      { class: "choice" },
      h("label", { for: "agent" }, "Agent"),
      this.select,
      this.hint,
    );
    this.during = h(
      "div",
      { class: "during", hidden: true },
      h("div", { class: "call-line" }, this.state, this.timer),
      this.levels.caller.row,
      this.levels.agent.row,
    );
    this.note = h("p", { class: "note" }, "Your microphone becomes a call through the real path.");
    this.controls = h("div", { class: "controls" }, this.muteButton, this.button, this.keysButton);
    return h(
      "div",
      { class: "card phone" },
      this.heading,
      this.choice,
      this.during,
      this.problem,
      this.controls,
      this.keypad,
      this.note,
    );
  }

  makeConversation() {
    return h("div", { class: "card conversation" }, h("h2", {}, "Conversation"), this.transcript.element);
  }

  makeFigures() {
    this.total = figure("Turn latency", "from your last word to the agent's first sound");
    this.bargeIn = figure("Barge-in", "from your first sound until the agent's audio was cleared");
    this.inHand = figure("In hand", "the least that was left to play when more of the agent's audio came");
    this.underruns = figure("Underruns", "how often the agent's audio ran dry in mid-speech");
    this.stages = h("div", { class: "last-turn" });
    const figures = [this.total, this.bargeIn, this.inHand, this.underruns].map((f) => f.row);
    return h("div", { class: "card feel" }, h("h2", {}, "How it feels"), h("dl", { class: "figures" }, figures), this.stages);
  }

  async show() {
    if (this.agents.length) return;
    try {
      this.agents = (await get("agents")).agents;
    } catch (error) {
      this.problem.textContent = error.message;
      return;
    }
    const options = this.agents.map(({ name }) => h("option", { value: name }, words(name)));
    this.select.replaceChildren(...options);
    if (this.agents.some(({ name }) => name === "default")) this.select.value = "default";
    this.showHint();
    this.button.disabled = !this.agents.length;
    if (!this.agents.length) this.problem.textContent = "No worker is running, so there is nobody to talk to yet.";
  }

  showHint() {
    const agent = this.agents.find(({ name }) => name === this.select.value);
    this.hint.textContent = agent?.greeting ? `“${agent.greeting}”` : "";
  }

  showIdle() {
    this.heading.textContent = "Talk to an agent";
    this.element.classList.remove("is-live");
    this.choice.hidden = this.note.hidden = false;
    this.during.hidden = this.muteButton.hidden = this.keysButton.hidden = this.keypad.hidden = true;
    this.button.className = "call";
    this.button.disabled = false;
    this.button.replaceChildren(icon("phone"), h("span", {}, "Talk"));
    this.keysButton.setAttribute("aria-expanded", "false");
  }

  showLive() {
    this.heading.textContent = words(this.select.value || "default");
    this.element.classList.add("is-live");
    this.choice.hidden = this.note.hidden = true;
    this.during.hidden = this.muteButton.hidden = this.keysButton.hidden = false;
    this.button.className = "call is-hangup";
    this.button.replaceChildren(icon("hangup"), h("span", {}, "Hang up"));
    this.showMute(false);
    this.transcript.clear("Connecting…");
    this.stages.replaceChildren();
    for (const { value } of [this.total, this.bargeIn, this.inHand, this.underruns]) value.textContent = "–";
  }

  showMute(isMuted) {
    this.muteButton.setAttribute("aria-pressed", isMuted);
    this.muteButton.setAttribute("aria-label", "Mute");
    this.muteButton.replaceChildren(icon(isMuted ? "muted" : "mic"));
  }

  showState(state) {
    this.state.textContent = words(state);
    this.state.dataset.state = state;
  }

  // --- the call -------------------------------------------------------------------------------

  onButton() {
    if (this.line) this.line.hangUp();
    else this.begin();
  }

  async begin() {
    this.problem.textContent = "";
    this.button.disabled = true;
    // Made in the click itself: browsers let only those be heard.
    const context = new AudioContext({ latencyHint: "interactive" });
    let microphone = null;
    let call = null;
    try {
      microphone = await openMicrophone();
      call = await post("talk", { agent: this.select.value || "default" });
      await this.connect(call, microphone, context);
    } catch (error) {
      if (!(error instanceof NoLine) && error.status === undefined) console.error(error);
      for (const track of microphone?.getTracks() ?? []) track.stop();
      context.close();
      // A place is kept for it that others may want.
      if (call) post(`talk/${call.call_id}/hangup`, { source: "caller" }).catch(() => {});
      this.line = null;
      this.showIdle();
      this.problem.textContent = error.message;
    }
  }

  async connect(call, microphone, context) {
    this.line = new Line(call, microphone, context);
    this.showLive();
    this.showState("connecting");
    this.line.addEventListener("state", ({ detail }) => this.showState(detail.state));
    this.line.addEventListener("levels", ({ detail }) => this.onLevels(detail));
    this.line.addEventListener("figures", ({ detail }) => this.onFigures(detail));
    this.line.addEventListener("ended", ({ detail }) => this.onEnded(detail));
    await this.line.open();
    this.beganMs = performance.now();
    this.ticking = setInterval(() => this.tick(), 500);
    this.unfollow = follow(`calls/${call.call_id}/live`, (event) => this.onEvent(event));
    this.button.disabled = false;
    this.button.focus();
    window.dispatchEvent(new CustomEvent("parley-call", { detail: "0:00" }));
  }

  tick() {
    const text = clock((performance.now() - this.beganMs) / 1000);
    this.timer.textContent = text;
    window.dispatchEvent(new CustomEvent("parley-call", { detail: text }));
  }

  onEvent(event) {
    this.transcript.on(event);
    if (event.kind === "state") this.showState(event.state);
    if (event.kind === "barge_in") this.bargeIn.value.textContent = ms(event.ms);
    if (event.kind === "latency") {
      this.total.value.textContent = ms(event.total);
      this.stages.replaceChildren(h("h3", {}, "Where the last turn's time went"), stageBar(event));
    }
  }

  onLevels({ caller, agent }) {
    if (caller !== undefined) this.levels.caller.set(caller);
    if (agent !== undefined) this.levels.agent.set(agent);
  }

  onFigures({ inHandMs, underruns }) {
    this.inHand.value.textContent = inHandMs === null ? "–" : ms(inHandMs);
    this.underruns.value.textContent = underruns;
  }

  onEnded({ words: text, isFault }) {
    clearInterval(this.ticking);
    // The last words may still be under way.
    setTimeout(this.unfollow, 1500);
    const { call_id: id } = this.line.call;
    this.line = null;
    this.showIdle();
    if (isFault) this.problem.textContent = text;
    this.transcript.note(`${text} `, h("a", { href: `#calls/${id}` }, "See the whole call"));
    announce(text);
    window.dispatchEvent(new CustomEvent("parley-call", { detail: null }));
    this.button.focus();
  }

  onMute() {
    this.line.mute(!this.line.isMuted);
    this.showMute(this.line.isMuted);
  }

  onKeypad() {
    this.keypad.hidden = !this.keypad.hidden;
    this.keysButton.setAttribute("aria-expanded", !this.keypad.hidden);
    if (!this.keypad.hidden) this.keypad.firstChild.focus();
  }

  onKey(event) {
    const isElsewhere = !this.element.isConnected || event.target.matches("input, select, textarea");
    if (!this.line || isElsewhere || event.ctrlKey || event.metaKey || event.altKey) return;
    if (KEYS.includes(event.key)) this.press(event.key);
  }

  press(key) {
    this.line.press(key);
    const button = this.keypad.querySelector(`[data-key="${CSS.escape(key)}"]`);
    button.classList.add("is-pressed");
    setTimeout(() => button.classList.remove("is-pressed"), 150);
  }
}

function meter(label) {
  const bar = h("span", { class: "level-bar" });
  const row = h("div", { class: "level", "aria-hidden": "true" }, h("span", {}, label), h("span", { class: "level-track" }, bar));
  const set = (level) => {
    const db = Math.max(SILENT_DB, 20 * Math.log10(level + 1e-6));
    bar.style.transform = `scaleX(${1 - db / SILENT_DB})`;
  };
  return { row, set };
}
