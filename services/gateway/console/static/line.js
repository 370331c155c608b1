// The telephone: a microphone, a loudspeaker, and the media socket between, spoken as Vobiz does.

import { farewell, post, socketUrl } from "./api.js";

const RECONNECT_MS = [400, 2000];
const OPEN_MS = 5000;
const MOST_BUFFERED_BYTES = 64_000;
const STABLE_FRAMES = 500;
const CLOSE_MS = 500;
const WORKER_LOST = 1011;
const NORMAL = new Set([1000, 1001]);

/** Something that keeps a call from beginning, in words for the caller. */
export class NoLine extends Error {}

const MICROPHONE = {
  NotAllowedError:
    "The microphone was refused. Allow it for this page in the browser's address bar, then try again.",
  NotFoundError: "No microphone was found. Connect one, then try again.",
  NotReadableError: "The microphone is in use by another program. Close that, then try again.",
  OverconstrainedError: "This microphone can't be used. Choose another one, then try again.",
};

/** Ask for the microphone; throws NoLine. */
export async function openMicrophone() {
  if (!window.isSecureContext || !navigator.mediaDevices) {
    throw new NoLine(
      "Browsers give the microphone to https pages and to localhost only. Open this page as " +
        "http://localhost, or put https in front of the gateway.",
    );
  }
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 },
    });
  } catch (error) {
    throw new NoLine(MICROPHONE[error.name] ?? `The microphone can't be used (${error.name}).`);
  }
}

/**
 * One call. Events, each with its `detail`: state {state}, levels {caller}|{agent},
 * figures {inHandMs, underruns}, ended {words, isFault}.
 */
export class Line extends EventTarget {
  constructor(call, microphone, context) {
    super();
    this.call = call;
    this.microphone = microphone;
    this.context = context;
    this.isOver = this.hasStopped = this.isMuted = false;
    this.tries = 0;
  }

  /** Begin: the graph of audio, then the socket. */
  async open() {
    const { audioWorklet, destination } = this.context;
    await Promise.all(["capture", "playback"].map((n) => audioWorklet.addModule(`static/${n}.js`)));
    this.capture = new AudioWorkletNode(this.context, "capture", { outputChannelCount: [1] });
    this.playback = new AudioWorkletNode(this.context, "playback", {
      numberOfInputs: 0,
      outputChannelCount: [1],
    });
    this.capture.port.onmessage = ({ data }) => this.onFrame(data);
    this.playback.port.onmessage = ({ data }) => this.onPlayback(data);
    this.context.createMediaStreamSource(this.microphone).connect(this.capture);
    // It gives out silence; a node that leads nowhere may not be run.
    this.capture.connect(destination);
    this.playback.connect(destination);
    await this.context.resume();
    for (const track of this.microphone.getTracks()) {
      track.onended = () => this.tell("state", { state: "microphone lost" });
    }
    // A telephone whose screen goes dark puts its browser to sleep.
    this.wake = navigator.wakeLock?.request("screen").catch(() => null);
    this.onHide = (event) => event.persisted || this.leave();
    window.addEventListener("pagehide", this.onHide);
    this.connect();
  }

  connect() {
    this.streamId = crypto.randomUUID();
    this.sequence = this.chunk = 0;
    this.playback.port.postMessage({ kind: "reset" });
    const socket = new WebSocket(socketUrl(this.call.media_path));
    const late = setTimeout(() => socket.close(), OPEN_MS);
    this.socket = socket;
    socket.onopen = () => {
      clearTimeout(late);
      this.beganMs = Date.now();
      this.send({
        event: "start",
        start: {
          callId: this.call.call_uuid,
          streamId: this.streamId,
          accountId: "console",
          tracks: ["inbound"],
          mediaFormat: { encoding: "audio/x-mulaw", sampleRate: 8000 },
        },
        extra_headers: "{}",
      });
      this.tell("state", { state: "connected" });
    };
    socket.onmessage = ({ data }) => this.onCommand(JSON.parse(data));
    socket.onclose = ({ code }) => {
      clearTimeout(late);
      if (this.socket === socket) this.onClosed(code);
    };
  }

  /** Send a message; audio is left out while the network is behind. */
  send(message, { isAudio = false } = {}) {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    if (isAudio && this.socket.bufferedAmount > MOST_BUFFERED_BYTES) return;
    this.socket.send(JSON.stringify({ sequenceNumber: this.sequence, ...message }));
    this.sequence += 1;
  }

  onFrame({ frame, level }) {
    this.tell("levels", { caller: this.isMuted ? 0 : level });
    if (this.socket.readyState !== WebSocket.OPEN) return;
    this.chunk += 1;
    if (this.chunk === STABLE_FRAMES) this.tries = 0;
    const media = {
      track: "inbound",
      timestamp: String(this.beganMs + 20 * this.chunk),
      chunk: this.chunk,
      payload: btoa(String.fromCharCode(...frame)),
    };
    this.send({ streamId: this.streamId, event: "media", media }, { isAudio: true });
  }

  onCommand(command) {
    switch (command.event) {
      case "playAudio":
        return this.play(command.media);
      case "checkpoint":
        return this.playback.port.postMessage({ kind: "checkpoint", name: command.name });
      case "clearAudio":
        return this.playback.port.postMessage({ kind: "clear" });
      case "stop":
        this.hasStopped = true;
        return setTimeout(() => this.socket.close(), CLOSE_MS);
      default:
        return undefined;
    }
  }

  play(media) {
    if (media.contentType !== "audio/x-mulaw") return;
    const bytes = Uint8Array.from(atob(media.payload), (letter) => letter.charCodeAt(0));
    this.playback.port.postMessage({ kind: "audio", bytes }, [bytes.buffer]);
  }

  onPlayback({ kind, name, level, inHandMs, underruns }) {
    if (kind === "played") this.send({ event: "playedStream", name, streamId: this.streamId });
    if (kind === "cleared") this.send({ event: "clearedAudio", streamId: this.streamId });
    if (kind !== "stats") return;
    this.tell("levels", { agent: level });
    this.tell("figures", { inHandMs, underruns });
  }

  /** Press a key: one of 0-9, * and #. */
  press(digit) {
    const timestamp = String(this.beganMs + 20 * this.chunk);
    const dtmf = { track: "inbound", digit, timestamp };
    this.send({ event: "dtmf", streamId: this.streamId, dtmf });
  }

  mute(isMuted) {
    this.isMuted = isMuted;
    this.capture.port.postMessage({ isMuted });
  }

  onClosed(code) {
    if (this.isOver) return;
    if (this.hasStopped && code === WORKER_LOST) {
      return this.end("The agent was lost, and no other could go on.", true, "agent");
    }
    if (this.hasStopped || NORMAL.has(code)) {
      return this.end("The agent has ended the call.", false, "agent");
    }
    // As the network does: the same address again, once or twice.
    const wait = RECONNECT_MS[this.tries];
    if (wait === undefined) return this.end("The line was lost and did not come back.", true, "caller");
    this.tries += 1;
    this.tell("state", { state: "reconnecting" });
    return setTimeout(() => this.isOver || this.connect(), wait);
  }

  /** Hang up. */
  hangUp() {
    this.end("You have hung up.", false, "caller");
  }

  /** The page goes away. */
  leave() {
    if (this.isOver) return;
    farewell(`talk/${this.call.call_id}/hangup`, { source: "caller" });
    this.release();
  }

  end(words, isFault, source) {
    if (this.isOver) return;
    post(`talk/${this.call.call_id}/hangup`, { source }).catch(() => {});
    this.release();
    this.tell("ended", { words, isFault });
  }

  release() {
    this.isOver = true;
    window.removeEventListener("pagehide", this.onHide);
    this.socket?.close(1000);
    for (const track of this.microphone.getTracks()) track.stop();
    this.wake?.then((lock) => lock?.release());
    this.context.close();
  }

  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
