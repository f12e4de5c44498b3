// What is known of a job beside its output: times, limits against use, attempts, result, the files that it left.

import { ask, save } from "./api.js";
import { announce, h, section, setText } from "./elements.js";
import { Table } from "./table.js";
import { bytes, count, duration, elapsed, ending, isFinal, moment, now_s, seconds, visible } from "./words.js";

const LONGEST_JSON = 20_000;
const NEAR = 0.8;

export class Facts {
  #job;
  #reached;
  #record = null;
  #use = null; // Of the attempt that runs, as its keeper measured it last.
  #list = h("dl", { class: "facts" });
  #limits = h("div", { class: "limits" });
  #attempts = attemptTable();
  #result = h("pre", { tabindex: "0", "aria-label": "Result" });
  #resultSection = section("Result", { hidden: true }, this.#result);
  #files = h("ul", { class: "files" });
  #filesSection = section("Artifacts", { hidden: true }, this.#files);

  /** `reached(attempt)`: how many bytes of the longer of its streams have come, null if that is not known. */
  constructor(job, reached) {
    this.#job = job;
    this.#reached = reached;
    this.element = h(
      "div",
      { class: "side" },
      this.#resultSection,
      this.#filesSection,
      section("Limits and use", {}, this.#limits),
      section("Attempts", {}, this.#attempts.element),
      section("Job", {}, this.#list),
    );
  }

  show(record) {
    this.#record = record;
    this.#list.replaceChildren(...factsOf(record).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
    this.#attempts.show(record.attempts.toReversed());
    this.#resultSection.hidden = record.result === null;
    if (record.result !== null) setText(this.#result, shortened(JSON.stringify(record.result, null, 2)));
    this.tick();
  }

  /** What `attempt` uses now, {cpu_s, memory_bytes}: null is not known. It counts while that attempt runs, and no longer. */
  uses(attempt, { cpu_s, memory_bytes }) {
    this.#use = { attempt, cpu_s, memory_bytes };
    this.tick();
  }

  /** Time has passed: a running job has used more of it. */
  tick() {
    this.#limits.replaceChildren(...usesOf(this.#record, this.#use, this.#reached).map(limitRow));
    this.#attempts.tick();
  }

  async loadArtifacts(record) {
    const last = record.attempts.at(-1);
    if (!last || !isFinal(record.state)) {
      this.#filesSection.hidden = true;
      return;
    }
    const { attempt, artifacts } = await ask(`/jobs/${this.#job}/artifacts`);
    this.#filesSection.hidden = artifacts.length === 0;
    this.#files.replaceChildren(...artifacts.map((file) => this.#file(file, attempt)));
  }

  #file(file, attempt) {
    const path = `/jobs/${this.#job}/artifacts/${pathOf(file)}?attempt=${attempt}`;
    const shown = visible(file.name);
    const take = () => save(path, shown.split("/").at(-1)).catch((error) => announce(error.message));
    return h("li", {}, h("button", { type: "button", class: "plain", on: { click: take } }, shown), h("span", { class: "number" }, bytes(file.size)));
  }
}

/** A name is bytes; every one that is more than a letter, a digit or a slash is encoded. */
function pathOf(file) {
  const name = file.name_base64
    ? Uint8Array.from(atob(file.name_base64), (character) => character.charCodeAt(0))
    : new TextEncoder().encode(file.name);
  return Array.from(name, (byte) => {
    const character = String.fromCharCode(byte);
    return /[A-Za-z0-9_.~/-]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }).join("");
}

const shortened = (text) => (text.length > LONGEST_JSON ? `${text.slice(0, LONGEST_JSON)}\n… ${count(text.length - LONGEST_JSON)} more characters` : text);

function factsOf(record) {
  const facts = [
    ["Queue", visible(record.queue)],
    ["Type", visible(record.type)],
    ["Priority", String(record.priority)],
    ["Submitted", moment(record.submitted_at)],
    ["Due", moment(record.due_at)],
    ["Started", moment(record.started_at)],
    ["Finished", moment(record.finished_at)],
    ["Retries", `${record.retries} allowed`],
  ];
  if (record.unique_key) facts.push(["Unique key", visible(record.unique_key)]);
  if (record.waiting_for.length) facts.push(["Waits for", links(record.waiting_for)]);
  if (record.args?.length) facts.push(["Arguments", visible(record.args.join(" "))]);
  if (record.env_names?.length) facts.push(["Environment", visible(record.env_names.join(" "))]);
  if (record.params !== null && record.params !== undefined) facts.push(["Params", shortened(JSON.stringify(record.params))]);
  if (record.cancel_reason) facts.push(["Cancelled for", visible(record.cancel_reason)]);
  for (const { line, rule, message } of record.findings ?? []) facts.push([`Line ${line}`, visible(`${rule}: ${message}`)]);
  return facts.filter(([, value]) => value !== "–");
}

function links(jobs) {
  return h("span", {}, ...jobs.slice(0, 50).flatMap((job) => [h("a", { href: `#/jobs/${job}` }, String(job)), " "]));
}

/** [name, used, limit, how to say it]; null is not known, or no limit. */
function usesOf({ limits, attempts, attempt, state, started_at }, use, reached) {
  const last = attempts.at(-1);
  const running = state === "running" && started_at;
  const now = running && use?.attempt === attempt ? use : null;
  const peak_bytes = running ? null : last?.peak_memory_bytes ?? null;
  const wall_s = running ? now_s() - seconds(started_at) : last?.wall_s;
  const kept = last && last.stdout_bytes !== null ? Math.max(last.stdout_bytes, last.stderr_bytes ?? 0) : null;
  return [
    ["Time", wall_s, limits.wall_s, running ? elapsed : duration],
    ["CPU", now ? now.cpu_s : last?.cpu_s, limits.cpu_s, duration],
    [peak_bytes === null ? "Memory" : "Memory, peak", now ? now.memory_bytes : peak_bytes, limits.memory_bytes, bytes],
    ["Output", running ? reached(attempt) : kept, limits.output_bytes, bytes],
    ["Disk", null, limits.disk_bytes, bytes],
    ["File size", null, limits.file_size_bytes, bytes],
    ["Processes", null, limits.processes, count],
    ["Open files", null, limits.open_files, count],
  ];
}

function limitRow([name, used, limit, say]) {
  const known = used !== null && used !== undefined;
  const share = known && limit ? Math.min(1, used / limit) : 0;
  const bar = h("span", { class: share >= NEAR ? "bar near" : "bar" });
  bar.style.width = `${(100 * share).toFixed(1)}%`;
  const most = limit === null ? "no limit" : limit && say === elapsed ? duration(limit) : say(limit);
  return h(
    "p",
    { class: "limit" },
    h("span", { class: "what" }, name),
    h("span", { class: known && limit ? "track" : "track none", "aria-hidden": "true" }, bar),
    h("span", { class: "number" }, known ? `${say(used)} of ${most}` : most),
  );
}

function attemptTable() {
  return new Table({
    label: "Attempts",
    nothing: "It has not been started yet.",
    key: ({ number }) => number,
    columns: [
      { title: "#", class: "number", text: ({ number }) => String(number) },
      {
        title: "Ended with",
        class: "grow state",
        text: (attempt) => visible(attempt.reason === null ? "running" : ending(attempt) || "ok"),
        state: ({ reason }) => (reason === null ? "running" : reason === "ok" ? "completed" : "failed"),
        full: ({ message }) => (message ? visible(message) : null),
      },
      { title: "Worker", class: "wide", text: ({ worker }) => visible(worker) },
      { title: "Time", class: "number", text: ({ wall_s, started_at, finished_at }) => (finished_at ? duration(wall_s) : elapsed(now_s() - seconds(started_at))) },
      { title: "CPU", class: "number", text: ({ cpu_s }) => duration(cpu_s) },
      { title: "Memory", class: "number", text: ({ peak_memory_bytes }) => bytes(peak_memory_bytes) },
    ],
  });
}
