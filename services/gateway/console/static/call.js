// One call as a page: what was heard, drawn, played and read together.

import { follow, get } from "./api.js";
import { clock, figure, h, icon, ms, when, words } from "./dom.js";
import { endOf } from "./calls.js";
import { LEGEND, Timeline } from "./timeline.js";
import { stageBar, Transcript, turnLine } from "./transcript.js";
import { spokenTurns } from "./turns.js";

const BINS = 4000;
const PAN_SHARE = 0.2;
const NOTE_MS = 1000;

export class CallView {
  constructor() {
    this.title = "Call";
    this.element = h("section", { class: "one-call" });
    window.addEventListener("resize", () => this.timeline?.draw());
    window.addEventListener("parley-theme", () => this.timeline?.draw());
  }

  async show(callId) {
    this.hide();
    this.callId = callId;
    this.element.replaceChildren(h("p", { class: "empty" }, "Loading…"));
    try {
      const found = await get(`calls/${encodeURIComponent(callId)}`);
      if (this.callId !== callId) return;
      await this.draw(found);
    } catch (error) {
      this.element.replaceChildren(back(), h("p", { class: "notice", role: "alert" }, error.message));
    }
  }

  hide() {
    this.callId = null;
    this.unfollow?.();
    this.unfollow = this.timeline = null;
    this.audio?.pause();
    this.audio = null;
  }

  async draw({ record, marks = [], recording }) {
    const head = h("div", { class: "heading" }, h("div", {}, back(), h("h1", {}, titleOf(record))), endOf(record));
    this.element.replaceChildren(head, facts(record));
    if (!record.ended_at) return this.followLive(record);
    const waveform = recording?.has_audio ? await get(`calls/${record.call_id}/waveform?bins=${BINS}`).catch(() => null) : null;
    const lastMs = Math.max(0, ...record.transcript.map((e) => e.until_ms ?? e.at_ms), ...marks.map((m) => m.until_ms ?? m.at_ms));
    const durationMs = waveform?.duration_ms ?? recording?.duration_ms ?? lastMs + 500;
    if (this.callId !== record.call_id) return undefined;
    const turns = spokenTurns(record.transcript, marks, durationMs);
    this.lines = lines(record.transcript, turns, (atMs) => this.hear(atMs));
    this.element.append(
      this.picture({ durationMs, turns, marks, waveform }, record, recording),
      h("div", { class: "card" }, h("h2", {}, "Transcript"), h("div", { class: "transcript is-whole" }, this.lines.map(({ line }) => line))),
    );
    this.timeline.draw();
    return undefined;
  }

  followLive(record) {
    const transcript = new Transcript();
    transcript.clear("The call is in progress. What is said from now on appears here.");
    this.element.append(h("div", { class: "card" }, h("h2", {}, "Live"), transcript.element));
    this.unfollow = follow(`calls/${record.call_id}/live`, (event) => {
      transcript.on(event);
      if (event.kind === "ended") setTimeout(() => this.callId === record.call_id && this.show(record.call_id), 1500);
    });
  }

  // --- the picture ----------------------------------------------------------------------------

  picture(call, record, recording) {
    const canvas = h("canvas", {
      tabindex: "0",
      role: "img",
      "aria-label": describe(call),
      "aria-keyshortcuts": "ArrowLeft ArrowRight + -",
    });
    this.timeline = new Timeline(canvas, call);
    this.listen(canvas);
    const tool = (label, text, act) => h("button", { type: "button", class: "plain", "aria-label": label, onclick: act }, text);
    const url = `api/calls/${record.call_id}`;
    if (recording?.has_audio) this.makeAudio(`${url}/recording.wav`);
    return h(
      "div",
      { class: "card" },
      h(
        "div",
        { class: "row wrap" },
        h("h2", {}, "What was heard"),
        h(
          "div",
          { class: "row" },
          tool("Zoom in", "+", () => this.timeline.zoom(0.5)),
          tool("Zoom out", "−", () => this.timeline.zoom(2)),
          tool("Show the whole call", "Fit", () => (this.timeline.fit(), this.timeline.draw())),
        ),
      ),
      canvas,
      h("ul", { class: "legend marks" }, LEGEND.map(([kind, text]) => h("li", {}, h("i", { class: `key ${kind}`, "aria-hidden": "true" }), text))),
      this.audio ?? h("p", { class: "empty" }, "This call has no recording."),
      h(
        "div",
        { class: "row wrap downloads" },
        recording?.has_audio ? h("a", { class: "plain", href: `${url}/recording.wav`, download: `${record.call_id}.wav` }, icon("down"), "WAV") : null,
        h("a", { class: "plain", href: url, download: `${record.call_id}.json` }, icon("down"), "JSON"),
        h("button", { type: "button", class: "plain", onclick: () => this.savePicture(record) }, icon("down"), "Picture"),
      ),
    );
  }

  listen(canvas) {
    const { timeline } = this;
    let drag = null;
    canvas.addEventListener("pointerdown", (event) => {
      drag = { x: event.clientX, fromMs: timeline.fromMs, hasMoved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!drag) return;
      drag.hasMoved ||= Math.abs(event.clientX - drag.x) > 4;
      const msPerPixel = (timeline.toMs - timeline.fromMs) / canvas.clientWidth;
      if (drag.hasMoved) timeline.move(drag.fromMs - (event.clientX - drag.x) * msPerPixel);
    });
    canvas.addEventListener("pointerup", (event) => {
      if (drag && !drag.hasMoved) this.hear(timeline.timeAt(event.clientX));
      drag = null;
    });
    canvas.addEventListener("pointercancel", () => (drag = null));
    canvas.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && Math.abs(event.deltaX) < Math.abs(event.deltaY)) return;
        event.preventDefault();
        const msPerPixel = (timeline.toMs - timeline.fromMs) / canvas.clientWidth;
        if (event.ctrlKey) timeline.zoom(2 ** (event.deltaY / 100), timeline.timeAt(event.clientX));
        else timeline.move(timeline.fromMs + event.deltaX * msPerPixel);
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (event) => {
      const span = timeline.toMs - timeline.fromMs;
      const acts = {
        ArrowLeft: () => timeline.move(timeline.fromMs - span * PAN_SHARE),
        ArrowRight: () => timeline.move(timeline.fromMs + span * PAN_SHARE),
        "+": () => timeline.zoom(0.5),
        "-": () => timeline.zoom(2),
      };
      if (!acts[event.key]) return;
      event.preventDefault();
      acts[event.key]();
    });
  }

  async savePicture(record) {
    const blob = await this.timeline.picture(`${titleOf(record)} · ${record.call_id}`);
    const url = URL.createObjectURL(blob);
    h("a", { href: url, download: `${record.call_id}.png` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }

  // --- hearing it -----------------------------------------------------------------------------

  makeAudio(src) {
    this.audio = h("audio", { controls: true, preload: "metadata", src, "aria-label": "Recording, caller left, agent right" });
    const step = () => {
      this.showPosition();
      if (this.audio && !this.audio.paused) requestAnimationFrame(step);
    };
    this.audio.addEventListener("play", step);
    this.audio.addEventListener("seeked", step);
  }

  hear(atMs) {
    if (!this.audio) {
      this.showPosition(atMs);
      return;
    }
    this.audio.currentTime = atMs / 1000;
    this.audio.play().catch(() => {});
  }

  showPosition(atMs = this.audio ? this.audio.currentTime * 1000 : 0) {
    const { timeline } = this;
    if (!timeline) return;
    timeline.playheadMs = atMs;
    const isOut = atMs < timeline.fromMs || atMs > timeline.toMs;
    if (isOut) timeline.move(atMs - (timeline.toMs - timeline.fromMs) * PAN_SHARE);
    else timeline.draw();
    for (const { line, from, until } of this.lines) line.classList.toggle("is-now", atMs >= from && atMs < until);
  }
}

const back = () => h("a", { class: "back", href: "#calls" }, "All calls");

function titleOf({ agent, created_at: createdAt }) {
  return `${agent ?? "Call"}, ${when(createdAt)}`;
}

function facts(record) {
  const { summary = {}, milestones = {} } = record;
  const pairs = [
    ["From", record.from_number],
    ["To", record.to_number],
    ["Length", record.duration_s ? clock(record.duration_s) : null],
    ["Turns", summary.turns],
    ["Interruptions", summary.interruptions],
    ["Median latency", summary.turn_latency_median_ms === undefined ? null : ms(summary.turn_latency_median_ms)],
    ["Worst latency", summary.turn_latency_max_ms === undefined ? null : ms(summary.turn_latency_max_ms)],
    ["First audio", milestones.first_audio === undefined ? null : ms(milestones.first_audio)],
    ["Worker", record.worker_id],
    ["Hung up by", record.hangup_source],
  ];
  const rows = pairs
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([label, value]) => {
      const { row, value: element } = figure(label);
      element.textContent = value;
      return row;
    });
  return h("dl", { class: "figures card" }, rows);
}

/** The transcript's lines with the time each lasts; a spoken one is a button that plays it. */
function lines(transcript, turns, hear) {
  let spoken = 0;
  return transcript.map((entry) => {
    const { who, at_ms: at, kind } = entry;
    const from = at;
    const end = kind ? at + NOTE_MS : turns[spoken].until_ms;
    spoken += kind ? 0 : 1;
    if (kind) {
      const line = turnLine("note", note(entry));
      line.prepend(h("time", {}, clock(at / 1000)));
      return { line, from, until: end };
    }
    const parts = [h("span", {}, entry.text || "…")];
    if (entry.is_interrupted) parts.push(h("small", { class: "cut" }, " interrupted"));
    if (entry.is_understood === false) parts.push(h("small", {}, " not understood"));
    if (entry.latency_ms) parts.push(h("small", {}, ` ${ms(entry.latency_ms.total)}`));
    const line = turnLine(who, parts, { onclick: () => hear(at), title: `Hear it, at ${clock(at / 1000)}` });
    line.prepend(h("time", {}, clock(at / 1000)));
    if (!entry.latency_ms) return { line, from, until: end };
    return { line: h("div", { class: "turn-group" }, line, stageBar(entry.latency_ms)), from, until: end };
  });
}

function note({ kind, who, text, name, outcome, took_ms: took, entries }) {
  if (kind === "tool") return ["Tool ", h("code", {}, name), ` ${words(outcome)} after ${ms(took)}`];
  if (kind === "keys") return [`${who === "agent" ? "Agent" : "Caller"} pressed `, h("kbd", {}, text)];
  return [`${entries ?? "Some"} entries were left out: the call was very long`];
}

function describe({ durationMs, turns, marks }) {
  const count = (kind) => marks.filter((mark) => mark.kind === kind).length;
  return (
    `Both sides of the call over ${clock(durationMs / 1000)}: ${turns.length} turns, ${count("barge_in")} interruptions, ` +
    `${count("resume")} changes of worker. The transcript below says what was said when.`
  );
}
