// Server-sent events by fetch, as EventSource cannot send a token: frames, and a stream that goes on after every loss.

import { open, Problem } from "./api.js";

const PAUSES_MS = [200, 400, 800, 1600, 3200, 6000];
const SILENCE_MS = 60_000; // The gateway says at least that it is there; a machine that slept does not notice the end.

/** Takes the text of a stream apart. What is not complete yet waits for the rest. */
export class FrameReader {
  #rest = "";

  push(text) {
    const blocks = (this.#rest + text).split("\n\n");
    this.#rest = blocks.pop();
    return blocks.map(parse).filter((frame) => frame !== null);
  }
}

function parse(block) {
  const frame = { id: null, event: "message", data: null };
  const data = [];
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    if (colon <= 0) continue;
    const value = line.slice(colon + 1).replace(/^ /, "");
    const name = line.slice(0, colon);
    if (name === "id") frame.id = Number(value);
    else if (name === "event") frame.event = value;
    else if (name === "data") data.push(value);
  }
  if (!data.length) return null;
  frame.data = JSON.parse(data.join("\n"));
  return frame;
}

/** Listeners: `place()` says where to go on, {path, after}; `frame` gets each; `state` is told live and lost;
 *  `ended()` whether the end that came is the end; `failed` gets a Problem that no repetition cures. */
export class Stream {
  #listeners;
  #stop = null;

  constructor(listeners) {
    this.#listeners = listeners;
  }

  start() {
    if (this.#stop !== null) return;
    this.#stop = new AbortController();
    this.#run(this.#stop.signal).catch((error) => console.error(error));
  }

  stop() {
    this.#stop?.abort();
    this.#stop = null;
  }

  async #run(signal) {
    for (let tries = 0; !signal.aborted; tries += 1) {
      let heard = false;
      try {
        await this.#once(signal, () => (heard = true));
        if (signal.aborted || this.#listeners.ended()) return;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Problem && [400, 401, 403, 404].includes(error.status)) {
          this.#listeners.failed(error);
          return;
        }
      }
      if (heard) tries = 0;
      this.#listeners.state("lost");
      await pause(PAUSES_MS[Math.min(tries, PAUSES_MS.length - 1)] * (0.75 + Math.random() / 2), signal);
    }
  }

  async #once(signal, heard) {
    const attempt = new AbortController();
    const give_up = () => attempt.abort();
    signal.addEventListener("abort", give_up);
    let silence = setTimeout(give_up, SILENCE_MS);
    try {
      const { path, after } = this.#listeners.place();
      const response = await open(path, { headers: { "Last-Event-ID": String(after) }, signal: attempt.signal });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const frames = new FrameReader();
      for (let first = true; ; first = false) {
        const { value, done } = await reader.read();
        if (done || signal.aborted) return;
        clearTimeout(silence);
        silence = setTimeout(give_up, SILENCE_MS);
        if (first) this.#listeners.state("live");
        for (const frame of frames.push(value)) {
          if (frame.event === "problem") throw new Problem(503, frame.data.code, frame.data.detail);
          heard();
          this.#listeners.frame(frame);
          if (signal.aborted) return;
        }
      }
    } finally {
      clearTimeout(silence);
      signal.removeEventListener("abort", give_up);
      attempt.abort();
    }
  }
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    const now = () => {
      clearTimeout(timer);
      resolve();
    };
    signal.addEventListener("abort", now, { once: true });
    addEventListener("online", now, { once: true, signal });
  });
}

/** Runs `load` soon after each call of `soon()`, never twice at once, never more often than all `least_ms`, and resting
 *  `rest` times as long as it took: what costs the daemon much is asked for seldom. */
export class Refresh {
  #load;
  #least_ms;
  #rest;
  #busy = false;
  #wanted = false;
  #stopped = false;
  #timer = null;

  constructor(load, least_ms, rest = 0) {
    this.#load = load;
    this.#least_ms = least_ms;
    this.#rest = rest;
  }

  soon() {
    this.#wanted = true;
    if (!this.#busy && !this.#stopped) this.#run();
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #run() {
    this.#busy = true;
    this.#wanted = false;
    const began_ms = performance.now();
    const failed = await this.#load().then(() => false, report);
    const least_ms = Math.max(this.#least_ms, this.#rest * (performance.now() - began_ms), failed ? 1000 : 0);
    this.#timer = setTimeout(() => {
      this.#busy = false;
      if ((this.#wanted || failed) && !this.#stopped) this.#run();
    }, least_ms);
  }
}

/** True if it may go well later. */
function report(error) {
  if (!(error instanceof Problem)) console.error(error);
  return error instanceof Problem && (error.status === 0 || error.status === 429 || error.status >= 500);
}
