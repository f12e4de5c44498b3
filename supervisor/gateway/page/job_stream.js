// A job's events and output, each byte once: what there was, what comes, and on again after every loss of the connection.

import { open } from "./api.js";
import { bytesOf } from "./output.js";
import { Stream } from "./stream.js";
import { isFinal } from "./words.js";

const TAIL_BYTES = 256 * 1024; // Of what was printed before the page was opened, so much of each stream is shown.

/** `output` gets what is printed; `on.link` is told live and lost, `on.happened` of events, `on.failed` a Problem. */
export class JobStream {
  #job;
  #output;
  #on;
  #cursor = 0;
  #attempt = null;
  #printedTo = new Map(); // By attempt: how far each stream is shown.
  #over = false;
  #stream = null;
  #paused = false;

  constructor(job, output, on) {
    this.#job = job;
    this.#output = output;
    this.#on = on;
  }

  /** Goes on from the event `cursor`, at which the job was no further than `record`; raises Problem. */
  async begin(cursor, record) {
    this.#cursor = cursor;
    this.#over = isFinal(record.state);
    if (record.attempt > 0) {
      this.#attempt = record.attempt;
      this.#printedTo.set(this.#attempt, { stdout: 0, stderr: 0 });
      for (const stream of ["stdout", "stderr"]) await this.#tail(stream);
      // Of an attempt that is over nothing more is to be asked for.
      if (record.state !== "running") this.#attempt = null;
    }
    this.#connect();
  }

  pause() {
    this.#paused = true;
    this.#stream?.stop();
  }

  resume() {
    this.#paused = false;
    this.#stream?.start();
  }

  stop() {
    this.#stream?.stop();
    this.#stream = null;
    this.#paused = true;
  }

  /** How many bytes of the longer stream of `attempt` have come; null if it is not known. */
  reached(attempt) {
    const offsets = this.#printedTo.get(attempt);
    return offsets ? Math.max(offsets.stdout, offsets.stderr) : null;
  }

  async #tail(stream) {
    const path = `/jobs/${this.#job}/logs?stream=${stream}&attempt=${this.#attempt}`;
    let response;
    try {
      response = await open(`${path}&length=0`);
    } catch (error) {
      // An attempt that never became a process printed nothing; retention may have removed what another did.
      if (error.status === 404) return;
      throw error;
    }
    const from = Math.max(0, Number(response.headers.get("X-Stream-Size")) - TAIL_BYTES);
    let bytes = new Uint8Array(await (await open(`${path}&offset=${from}`)).arrayBuffer());
    this.#offsets()[stream] = from + bytes.length;
    if (from > 0) {
      this.#output.remark(`${stream}: the first ${from.toLocaleString("en")} bytes are not shown`);
      bytes = bytes.subarray(bytes.indexOf(10) + 1);
    }
    this.#output.write(stream, bytes);
  }

  // A final job's own stream has ended: it is watched among all events for being queued again.
  #connect() {
    if (this.#stream !== null) this.#stream.stop();
    this.#stream = new Stream({
      place: () => ({ path: this.#over ? `/events?job=${this.#job}` : `/jobs/${this.#job}/events${this.#place()}`, after: this.#cursor }),
      frame: (frame) => (frame.event === "output" ? this.#printed(frame.data) : this.#happened(frame)),
      state: this.#on.link,
      ended: () => this.#ended(),
      failed: this.#on.failed,
    });
    if (!this.#paused) this.#stream.start();
  }

  #place() {
    if (this.#attempt === null) return "";
    return `?${new URLSearchParams({ attempt: this.#attempt, ...this.#offsets() })}`;
  }

  #printed(piece) {
    this.#moveTo(piece.attempt);
    const bytes = bytesOf(piece);
    const known = this.#offsets()[piece.stream] - piece.offset;
    if (known >= bytes.length) return;
    if (known < 0) this.#output.remark(`${piece.stream}: ${(-known).toLocaleString("en")} bytes are missing`);
    this.#output.write(piece.stream, known > 0 ? bytes.subarray(known) : bytes);
    this.#offsets()[piece.stream] = piece.offset + bytes.length;
  }

  #happened(frame) {
    this.#cursor = frame.id;
    if (frame.event === "running") this.#moveTo(frame.data.attempt);
    this.#on.happened(frame);
    const final = isFinal(frame.data.state) && frame.event === frame.data.state;
    if (this.#over && frame.data.state && !isFinal(frame.data.state)) {
      this.#over = false;
      this.#connect();
    } else if (final) this.#over = true;
  }

  // The end of the job's stream, which comes after its last byte.
  #ended() {
    if (!this.#over) return false;
    queueMicrotask(() => this.#stream !== null && this.#connect());
    return true;
  }

  #moveTo(attempt) {
    if (attempt === this.#attempt) return;
    this.#attempt = attempt;
    // One that is told again, because it began while the page was opened, is not shown again.
    if (this.#printedTo.has(attempt)) return;
    this.#printedTo.set(attempt, { stdout: 0, stderr: 0 });
    if (attempt > 1) this.#output.remark(`attempt ${attempt}`);
  }

  #offsets() {
    return this.#printedTo.get(this.#attempt);
  }
}
