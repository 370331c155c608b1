// In the audio thread: the network's playback queue, as Vobiz has it. Audio is played in order; a
// checkpoint is reached when all before it has been played; a clear empties the queue and voids its
// checkpoints.

import { DECODED, SILENCE } from "./g711.js";
import { Resampler } from "./resample.js";

const STEP = 16;
const DRY_LIMIT = 8000;
const STATS_EVERY = 400;
const PAUSE = 160; // what comes sooner after other audio came at one go with it

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(8000, sampleRate);
    this.ready = [];
    this.step = new Float32Array(STEP);
    this.position = 0; // samples that have left the queue
    this.end = 0; // samples that have entered it
    this.taken = 0; // samples that time has taken, silence included
    this.pushedAt = -PAUSE;
    this.underruns = 0;
    this.inHandMs = null; // the least that was left to play when more of an utterance came
    this.power = this.steps = 0;
    this.empty();
    this.port.onmessage = ({ data }) => this.on(data);
  }

  empty() {
    this.chunks = [];
    this.offset = 0;
    this.checkpoints = [];
    this.position = this.end;
    this.checkpointAt = -1;
    this.isFresh = true;
    this.dry = 0;
  }

  on({ kind, bytes, name }) {
    if (kind === "audio") this.push(bytes);
    else if (kind === "checkpoint") this.mark(name);
    else {
      this.empty();
      if (kind === "clear") this.port.postMessage({ kind: "cleared" });
    }
  }

  push(bytes) {
    if (this.isWithin()) {
      if (this.dry > 0) this.underruns += 1;
      if (this.taken - this.pushedAt >= PAUSE) {
        this.inHandMs = Math.min(this.inHandMs ?? Infinity, (this.end - this.position) / 8);
      }
    }
    this.pushedAt = this.taken;
    this.dry = 0;
    this.isFresh = false;
    this.chunks.push(bytes);
    this.end += bytes.length;
  }

  /** Whether what comes goes on with an utterance: no checkpoint, clear or pause has ended it. */
  isWithin() {
    const last = this.checkpoints.length ? this.checkpoints.at(-1).at : this.checkpointAt;
    return !this.isFresh && this.dry < DRY_LIMIT && last !== this.end;
  }

  mark(name) {
    if (this.position < this.end) this.checkpoints.push({ at: this.end, name });
    else if (!this.isFresh) this.reach(name);
  }

  reach(name) {
    this.checkpointAt = this.position;
    this.port.postMessage({ kind: "played", name });
  }

  /** The queue's next sample, silence when it is empty. */
  next() {
    this.taken += 1;
    if (this.position === this.end) {
      this.dry += 1;
      return DECODED[SILENCE];
    }
    const sample = DECODED[this.chunks[0][this.offset]];
    this.offset += 1;
    this.position += 1;
    if (this.offset === this.chunks[0].length) {
      this.chunks.shift();
      this.offset = 0;
    }
    while (this.checkpoints.length && this.checkpoints[0].at <= this.position) {
      this.reach(this.checkpoints.shift().name);
    }
    return sample;
  }

  process(_, [output]) {
    const channel = output[0];
    while (this.ready.length < channel.length) {
      for (let n = 0; n < STEP; n += 1) {
        this.step[n] = this.next() / 32768;
        this.power += this.step[n] * this.step[n];
      }
      this.ready.push(...this.resampler.push(this.step));
      this.steps += STEP;
    }
    channel.set(this.ready.splice(0, channel.length));
    if (this.steps >= STATS_EVERY) this.tell();
    return true;
  }

  tell() {
    const level = Math.sqrt(this.power / this.steps);
    this.port.postMessage({ kind: "stats", level, underruns: this.underruns, inHandMs: this.inHandMs });
    this.power = this.steps = 0;
  }
}

registerProcessor("playback", Playback);
