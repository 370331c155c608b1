// A call on one time axis: both sides' sound, turns, interruptions and what the platform did. Drawn
// on a canvas, which can be zoomed, moved, and saved as a picture.

const HEIGHT = 320;
const LANES = { caller: [34, 124], agent: [132, 222] };
const MARKS_TOP = 230;
const SPANS_TOP = 258;
const AXIS = HEIGHT - 18;
const GUTTER = 58;
const LEAST_LOUD = 0.05;
const LEAST_VISIBLE_MS = 400;
const STEPS_MS = [100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000, 300_000];
const MARK_COLOURS = { clear: "bad", cleared: "bad", checkpoint: "soft", resume: "resume", worker: "resume", barge_in: "bad" };
export const LEGEND = [
  ["turn", "turn"],
  ["barge-in", "interruption"],
  ["clear", "audio cleared"],
  ["checkpoint", "checkpoint heard"],
  ["resume", "another worker"],
];

export class Timeline {
  /** `call` has durationMs, turns (who, at_ms, until_ms), marks and waveform (or null). */
  constructor(canvas, call) {
    this.canvas = canvas;
    this.call = call;
    this.playheadMs = null;
    this.fit();
  }

  get durationMs() {
    return Math.max(1000, this.call.durationMs);
  }

  fit() {
    [this.fromMs, this.toMs] = [0, this.durationMs];
  }

  /** Make what is seen so many times longer or shorter, about a point of time. */
  zoom(factor, aboutMs = (this.fromMs + this.toMs) / 2) {
    const span = Math.max(LEAST_VISIBLE_MS, Math.min(this.durationMs, (this.toMs - this.fromMs) * factor));
    const share = (aboutMs - this.fromMs) / (this.toMs - this.fromMs);
    this.move(aboutMs - span * share, span);
  }

  /** Begin at another time; stays within the call. */
  move(fromMs, span = this.toMs - this.fromMs) {
    this.fromMs = Math.max(0, Math.min(this.durationMs - span, fromMs));
    this.toMs = this.fromMs + span;
    this.draw();
  }

  timeAt(clientX) {
    const box = this.canvas.getBoundingClientRect();
    const share = (clientX - box.left - GUTTER) / (box.width - GUTTER);
    return Math.max(0, Math.min(this.durationMs, this.fromMs + share * (this.toMs - this.fromMs)));
  }

  draw() {
    const width = this.canvas.clientWidth;
    if (!width) return;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = width * ratio;
    this.canvas.height = HEIGHT * ratio;
    const context = this.canvas.getContext("2d");
    context.scale(ratio, ratio);
    this.paint(context, width);
  }

  /** The whole call as a PNG blob, with a title. */
  picture(title) {
    const canvas = document.createElement("canvas");
    const [width, scale] = [1400, 2];
    canvas.width = width * scale;
    canvas.height = (HEIGHT + 40) * scale;
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    const colours = coloursOf(this.canvas);
    context.fillStyle = colours.card;
    context.fillRect(0, 0, width, HEIGHT + 40);
    context.fillStyle = colours.ink;
    context.font = "600 15px system-ui, sans-serif";
    context.fillText(title, 14, 26);
    context.translate(0, 40);
    const seen = [this.fromMs, this.toMs];
    this.fit();
    this.paint(context, width - 14, { hasPlayhead: false });
    [this.fromMs, this.toMs] = seen;
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  paint(context, width, { hasPlayhead = true } = {}) {
    const pen = new Pen(context, coloursOf(this.canvas), width, this.fromMs, this.toMs);
    context.clearRect(0, 0, width, HEIGHT);
    pen.axis();
    for (const turn of this.call.turns) pen.turn(turn);
    for (const [who, lane] of Object.entries(LANES)) pen.lane(who, lane, this.call.waveform, this.durationMs);
    for (const mark of this.call.marks) pen.mark(mark);
    if (hasPlayhead && this.playheadMs !== null) pen.line(this.playheadMs, 22, AXIS, pen.colours.ink, 1.5);
  }
}

/** Draws pieces of one picture; times outside of it are cut off. */
class Pen {
  constructor(context, colours, width, fromMs, toMs) {
    Object.assign(this, { context, colours, width, fromMs, toMs });
    this.spanRow = 0;
    this.spanEnds = [];
  }

  x(atMs) {
    return GUTTER + ((atMs - this.fromMs) / (this.toMs - this.fromMs)) * (this.width - GUTTER);
  }

  clip(draw) {
    this.context.save();
    this.context.beginPath();
    this.context.rect(GUTTER, 0, this.width - GUTTER, HEIGHT);
    this.context.clip();
    draw();
    this.context.restore();
  }

  text(text, x, y, colour, align = "left") {
    this.context.fillStyle = colour;
    this.context.font = "11px system-ui, sans-serif";
    this.context.textAlign = align;
    this.context.fillText(text, x, y);
  }

  line(atMs, top, bottom, colour, width = 1, dash = []) {
    this.clip(() => {
      this.context.strokeStyle = colour;
      this.context.lineWidth = width;
      this.context.setLineDash(dash);
      this.context.beginPath();
      this.context.moveTo(this.x(atMs), top);
      this.context.lineTo(this.x(atMs), bottom);
      this.context.stroke();
    });
  }

  axis() {
    const { soft, line } = this.colours;
    const wanted = ((this.toMs - this.fromMs) * 80) / (this.width - GUTTER);
    const step = STEPS_MS.find((ms) => ms >= wanted) ?? 600_000;
    for (let at = Math.ceil(this.fromMs / step) * step; at <= this.toMs; at += step) {
      this.line(at, 22, AXIS, line);
      if (this.x(at) < this.width - 34) this.text(axisTime(at, step), this.x(at) + 4, HEIGHT - 5, soft);
    }
  }

  turn({ who, at_ms: at, until_ms: until, is_interrupted: isInterrupted }) {
    const lane = LANES[who];
    if (!lane) return;
    this.clip(() => {
      const [x, end] = [this.x(at), this.x(until)];
      this.context.fillStyle = this.colours[who];
      this.context.globalAlpha = 0.12;
      this.context.beginPath();
      this.context.roundRect(x, lane[0], Math.max(3, end - x), lane[1] - lane[0], 5);
      this.context.fill();
      this.context.globalAlpha = 1;
      if (isInterrupted) {
        this.context.fillStyle = this.colours.bad;
        this.context.fillRect(end - 2.5, lane[0], 2.5, lane[1] - lane[0]);
      }
    });
  }

  lane(who, [top, bottom], waveform, durationMs) {
    const middle = (top + bottom) / 2;
    this.text(who === "caller" ? "Caller" : "Agent", 0, middle + 4, this.colours.ink);
    this.context.fillStyle = this.colours.line;
    this.context.fillRect(GUTTER, middle - 0.5, this.width - GUTTER, 1);
    const peaks = waveform?.[who];
    if (!peaks?.length) return;
    const loudest = Math.max(LEAST_LOUD, ...[waveform.caller, waveform.agent].map((side) => maximum(side)));
    this.clip(() => {
      this.context.fillStyle = this.colours[who];
      const perMs = peaks.length / (waveform.duration_ms || durationMs);
      const msPerPixel = (this.toMs - this.fromMs) / (this.width - GUTTER);
      for (let x = GUTTER; x < this.width; x += 1) {
        const at = this.fromMs + (x - GUTTER) * msPerPixel;
        const first = Math.floor(at * perMs);
        const last = Math.max(first + 1, Math.floor((at + msPerPixel) * perMs));
        let peak = 0;
        for (let n = first; n < last && n < peaks.length; n += 1) peak = Math.max(peak, peaks[n]);
        // The ear hears ratios: a root lets quiet speech be seen.
        const height = (peak / loudest) ** 0.65 * (bottom - top - 8);
        if (height >= 0.5) this.context.fillRect(x, middle - height / 2, 1, height);
      }
    });
  }

  mark(mark) {
    const { kind, at_ms: at, until_ms: until } = mark;
    const colour = this.colours[MARK_COLOURS[kind] ?? "soft"];
    if (kind === "span") this.span(mark);
    else if (kind === "barge_in") this.bargeIn(at, until ?? at + (mark.ms ?? 0), mark, colour);
    else if (kind === "checkpoint") this.clip(() => this.tick(this.x(at), colour));
    else if (kind === "cleared") this.line(at, LANES.agent[0], LANES.agent[1], colour, 1, [1, 3]);
    else {
      const isWorker = kind === "resume" || kind === "worker";
      this.line(at, isWorker ? 22 : LANES.agent[0], MARKS_TOP + 12, colour, 1.5, [4, 3]);
      if (isWorker) this.clip(() => this.text(mark.name ?? "resumed", this.x(at) + 4, MARKS_TOP + 20, colour));
    }
  }

  bargeIn(at, until, { ms }, colour) {
    this.clip(() => {
      this.context.fillStyle = colour;
      this.context.globalAlpha = 0.25;
      this.context.fillRect(this.x(at), LANES.caller[0], Math.max(2, this.x(until) - this.x(at)), LANES.agent[1] - LANES.caller[0]);
      this.context.globalAlpha = 1;
      this.text(`${Math.round(ms ?? until - at)} ms`, this.x(until) + 4, LANES.caller[0] - 4, colour);
    });
  }

  tick(x, colour) {
    this.context.fillStyle = colour;
    this.context.beginPath();
    this.context.moveTo(x, MARKS_TOP);
    this.context.lineTo(x - 4, MARKS_TOP + 8);
    this.context.lineTo(x + 4, MARKS_TOP + 8);
    this.context.fill();
  }

  /** What a provider took, on the first of three rows that is free then. */
  span({ at_ms: at, until_ms: until, name = "" }) {
    const free = this.spanEnds.findIndex((end) => end <= at);
    const row = free >= 0 ? free : Math.min(this.spanEnds.length, 2);
    this.spanEnds[row] = until;
    this.clip(() => {
      const [x, y] = [this.x(at), SPANS_TOP + row * 14];
      const width = Math.max(2, this.x(until) - x);
      this.context.fillStyle = this.colours[STAGE_OF[name.split(/[ :./]/)[0]] ?? "soft"];
      this.context.globalAlpha = 0.8;
      this.context.beginPath();
      this.context.roundRect(x, y, width, 10, 3);
      this.context.fill();
      this.context.globalAlpha = 1;
      if (width > 8 * name.length) this.text(name, x + 4, y + 9, this.colours.card);
    });
  }
}

const maximum = (values) => values.reduce((most, value) => Math.max(most, value), 0);

const STAGE_OF = { stt: "transcription", transcription: "transcription", llm: "brain", brain: "brain", tts: "synthesis", synthesis: "synthesis", endpointing: "endpointing", tool: "platform" };

function coloursOf(element) {
  const style = getComputedStyle(element);
  const names = ["ink", "soft", "line", "card", "caller", "agent", "bad", "resume", "endpointing", "transcription", "brain", "synthesis", "platform"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

function axisTime(ms, step) {
  const minutes = Math.floor(ms / 60_000);
  const seconds = (ms % 60_000) / 1000;
  const text = step < 1000 ? seconds.toFixed(1) : String(Math.round(seconds));
  return `${minutes}:${text.padStart(step < 1000 ? 4 : 2, "0")}`;
}
