// Everything at a glance: what there is, what waits, what the workers do, what failed, the newest jobs.

import { ask } from "./api.js";
import { DepthChart, EndsChart, Reasons } from "./charts.js";
import { h, section, setAttribute, setText } from "./elements.js";
import { JobList } from "./job_list.js";
import { Refresh, Stream } from "./stream.js";
import { Table } from "./table.js";
import { count, duration, elapsed, now_s, seconds, setClock, visible } from "./words.js";

const NOW_MS = 700;
const HISTORY_MS = 3000;
const HISTORY_REST = 20;
const MINUTE_MS = 30_000;
const ON_HISTORY = new Set(["submitted", "due", "running", "completed", "failed", "cancelled", "retried", "retrying", "released"]);

export class Overview {
  title = "workerctl";
  #shell;
  #jobs = new JobList();
  #depth = new DepthChart();
  #ends = new EndsChart();
  #reasons = new Reasons();
  #figures = new Figures();
  #workers = workerTable();
  #queues = queueTable();
  #cursor = null;
  #now = new Refresh(() => this.#loadNow(), NOW_MS);
  #history = new Refresh(() => this.#loadHistory(), HISTORY_MS, HISTORY_REST);
  #stream;
  #stopped = false;
  #timers = [];

  constructor(shell) {
    this.#shell = shell;
    this.#jobs.onFilter = () => this.#now.soon();
    this.#stream = new Stream({
      place: () => ({ path: "/events", after: this.#cursor }),
      frame: (frame) => this.#happened(frame),
      state: (state) => {
        shell.link(state);
        // What was seen before the loss may be old: everything is asked for again.
        if (state === "live") this.#soon();
      },
      ended: () => false,
      failed: (problem) => shell.failed(problem),
    });
    this.element = h(
      "div",
      { class: "overview" },
      h("h1", { class: "unseen" }, "Overview"),
      this.#figures.element,
      h("div", { class: "charts" }, this.#depth.element, this.#ends.element, this.#reasons.element),
      h(
        "div",
        { class: "sides" },
        section("Workers", { class: "workers" }, this.#workers.element),
        section("Queues", { class: "queues" }, this.#queues.element),
      ),
      this.#jobs.element,
    );
  }

  /** The first numbers, then whatever happens; raises Problem. */
  async start(query) {
    this.#jobs.setFilter(query);
    await this.#loadNow();
    this.#history.soon();
    this.resume();
    this.#timers = [setInterval(() => this.#tick(), 1000), setInterval(() => this.#history.soon(), MINUTE_MS)];
  }

  setQuery(query) {
    this.#jobs.setFilter(query);
    this.#now.soon();
  }

  pause() {
    this.#stream.stop();
  }

  resume() {
    this.#stream.start();
  }

  stop() {
    this.#stopped = true;
    this.pause();
    this.#now.stop();
    this.#history.stop();
    this.#timers.forEach(clearInterval);
  }

  #soon() {
    this.#now.soon();
    this.#history.soon();
  }

  #happened(frame) {
    if (frame.id !== null) this.#cursor = frame.id;
    this.#now.soon();
    if (ON_HISTORY.has(frame.event)) this.#history.soon();
  }

  async #loadNow() {
    const [status, { workers }] = await Promise.all([ask("/status"), ask("/workers"), this.#jobs.load()]);
    if (this.#stopped) return;
    this.#cursor ??= status.cursor;
    this.#shell.daemon(status);
    this.#figures.now(status.jobs);
    this.#workers.show(workers.filter(({ state }) => state !== "gone"));
    this.#queues.show(status.queues);
    this.#jobs.setQueues(status.queues.map(({ name }) => name));
  }

  async #loadHistory() {
    const [stats, health] = await Promise.all([ask("/stats"), ask("/health")]);
    if (this.#stopped) return;
    setClock(stats.at);
    this.#shell.health(health);
    this.#figures.lately(stats);
    this.#depth.show(stats.minutes, stats.jobs.queued);
    this.#ends.show(stats.minutes);
    this.#reasons.show(stats.failures);
  }

  #tick() {
    if (document.hidden) return;
    this.#workers.tick();
    this.#jobs.tick();
  }
}

/** The numbers in a row; those of states lead to the jobs in that state. */
class Figures {
  #values = new Map();

  constructor() {
    const state = (name, label = name) => this.#figure(name, label, `#/?state=${name}`);
    this.element = h(
      "dl",
      { class: "figures" },
      state("running"),
      state("queued"),
      state("scheduled"),
      this.#figure("completed", "completed, 1 h", "#/?state=completed"),
      this.#figure("failed", "failed, 1 h", "#/?state=failed"),
      this.#figure("wait", "wait, p50 / p95"),
      this.#figure("run", "run, p50 / p95"),
    );
  }

  now(jobs) {
    for (const state of ["running", "queued", "scheduled"]) this.#set(state, count(jobs[state]));
  }

  lately({ finished, times }) {
    this.#set("completed", count(finished.last_hour.completed));
    this.#set("failed", count(finished.last_hour.failed));
    setAttribute(this.#values.get("failed").closest("div"), "data-some", finished.last_hour.failed > 0);
    const pair = ({ p50, p95 }) => (p50 === null ? "–" : `${duration(p50)} / ${duration(p95)}`);
    this.#set("wait", pair(times.wait_s));
    this.#set("run", pair(times.run_s));
  }

  #set(name, text) {
    setText(this.#values.get(name), text);
  }

  #figure(name, label, href) {
    const value = h(href ? "a" : "span", href ? { href } : {}, "–");
    this.#values.set(name, value);
    return h("div", { class: name }, h("dt", {}, label), h("dd", {}, value));
  }
}

function workerTable() {
  return new Table({
    label: "Workers",
    class: "of-workers",
    nothing: "There are no workers.",
    key: ({ name }) => name,
    columns: [
      { title: "Worker", class: "key", text: ({ name }) => visible(name) },
      { title: "State", class: "state", text: ({ state }) => state, state: ({ state }) => state },
      {
        title: "Now",
        class: "grow",
        text: doing,
        href: ({ job }) => (job === null ? null : `#/jobs/${job}`),
      },
      { title: "For", class: "number", text: ({ job_started_at }) => (job_started_at ? elapsed(now_s() - seconds(job_started_at)) : "") },
      { title: "Done", class: "number", text: ({ done }) => count(done) },
      { title: "Failed", class: "number", text: ({ failed }) => count(failed) },
      { title: "Restarts", class: "number wide", text: ({ restarts }) => count(restarts) },
    ],
  });
}

function doing({ job, job_name, note }) {
  if (job !== null) return `${job} ${visible(job_name ?? "")}`;
  return visible(note ?? "");
}

function queueTable() {
  return new Table({
    label: "Queues",
    nothing: "No queue has jobs.",
    key: ({ name }) => name,
    columns: [
      { title: "Queue", class: "key grow", text: ({ name }) => visible(name), href: ({ name }) => `#/?queue=${encodeURIComponent(name)}` },
      { title: "", class: "state", text: ({ paused }) => (paused ? "paused" : ""), state: ({ paused }) => (paused ? "paused" : null) },
      { title: "Queued", class: "number", text: ({ jobs }) => count(jobs.queued ?? 0) },
      { title: "Running", class: "number", text: ({ jobs }) => count(jobs.running ?? 0) },
      { title: "Scheduled", class: "number wide", text: ({ jobs }) => count(jobs.scheduled ?? 0) },
    ],
  });
}
