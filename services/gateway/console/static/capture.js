// In the audio thread: the microphone as frames of 20 ms, mu-law at 8 kHz, at the pace of the sound
// card. Timers play no part, so a tab in the background keeps its pace.

import { encode, SILENCE } from "./g711.js";
import { Resampler } from "./resample.js";

const FRAME = 160;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(sampleRate, 8000);
    this.frame = new Uint8Array(FRAME);
    this.length = 0;
    this.power = 0;
    this.isMuted = false;
    this.silence = new Float32Array(128);
    this.port.onmessage = ({ data }) => (this.isMuted = data.isMuted);
  }

  process([input]) {
    // A microphone that was pulled out gives no channel: the line hears silence, not nothing.
    for (const sample of this.resampler.push(input[0] ?? this.silence)) this.take(sample);
    return true;
  }

  take(sample) {
    const pcm = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
    this.power += sample * sample;
    this.frame[this.length] = this.isMuted ? SILENCE : encode(pcm);
    this.length += 1;
    if (this.length < FRAME) return;
    this.port.postMessage({ frame: this.frame, level: Math.sqrt(this.power / FRAME) });
    this.frame = new Uint8Array(FRAME);
    this.length = this.power = 0;
  }
}

registerProcessor("capture", Capture);
