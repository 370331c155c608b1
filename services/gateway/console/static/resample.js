// A change of sample rate by a windowed sinc: flat to 3.3 kHz, 70 dB down from 3.9 kHz on when one
// of the rates is 8 kHz. It delays by 32 samples of the lower rate, 4 ms.

const ZERO_CROSSINGS = 32;
const CUTOFF = 0.9;
const KAISER_BETA = 6.76;
const MOST_PHASES = 512;

export class Resampler {
  constructor(fromHz, toHz) {
    const scale = Math.min(fromHz, toHz) / fromHz;
    this.fromHz = fromHz;
    this.toHz = toHz;
    this.half = Math.ceil(ZERO_CROSSINGS / scale);
    this.phases = Math.min(toHz / gcd(fromHz, toHz), MOST_PHASES);
    this.rows = Array.from({ length: this.phases }, (_, n) => row(this.half, n / this.phases, scale));
    this.buffer = new Float32Array(16_384);
    this.kept = this.half - 1;
    this.index = 0;
    this.rest = 0;
  }

  /** Take samples in; give those out that they complete. */
  push(input) {
    const taps = 2 * this.half;
    this.buffer.set(input, this.kept);
    const end = this.kept + input.length;
    const out = [];
    while (this.index + taps <= end) {
      const weights = this.rows[Math.floor((this.rest / this.toHz) * this.phases + 1e-6)];
      let sum = 0;
      for (let n = 0; n < taps; n += 1) sum += this.buffer[this.index + n] * weights[n];
      out.push(sum);
      this.rest += this.fromHz;
      const whole = Math.floor(this.rest / this.toHz);
      this.index += whole;
      this.rest -= whole * this.toHz;
    }
    const used = Math.min(this.index, end);
    this.buffer.copyWithin(0, used, end);
    this.kept = end - used;
    this.index -= used;
    return out;
  }
}

function row(half, fraction, scale) {
  const weights = new Float32Array(2 * half);
  let sum = 0;
  for (let n = 0; n < weights.length; n += 1) {
    const x = n - (half - 1) - fraction;
    weights[n] = sinc(CUTOFF * scale * x) * kaiser(x / half);
    sum += weights[n];
  }
  // Every phase passes a steady level unchanged, else the level would hum at the lower rate.
  return weights.map((weight) => weight / sum);
}

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

const kaiser = (x) => (Math.abs(x) >= 1 ? 0 : bessel(KAISER_BETA * Math.sqrt(1 - x * x)) / bessel(KAISER_BETA));

function bessel(x) {
  let sum = 1;
  let term = 1;
  for (let n = 1; n < 30; n += 1) {
    term *= (x / (2 * n)) ** 2;
    sum += term;
  }
  return sum;
}

function gcd(a, b) {
  return b ? gcd(b, a % b) : a;
}
