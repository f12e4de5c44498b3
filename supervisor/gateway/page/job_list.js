// The newest jobs, and which of them are shown: state and queue are asked for, a text is looked for among those that came.

import { ask } from "./api.js";
import { h, setText } from "./elements.js";
import { Table } from "./table.js";
import { ago, duration, elapsed, ending, isFinal, many, moment, now_s, seconds, stateWords, visible } from "./words.js";

const STATES = ["running", "queued", "scheduled", "completed", "failed", "cancelled"];
const PAGE = 50;
const LOOKED_THROUGH = 500;
const MOST = 1000;

export class JobList {
  onFilter = () => {};
  #wanted = PAGE;
  #jobs = [];
  #more = false;
  #state = select("State", STATES);
  #queue = select("Queue", []);
  #text = h("input", {
    type: "search",
    placeholder: "Name, reason or number  ( / )",
    "aria-label": "Filter by name, reason or number; Enter on a number opens that job",
    autocomplete: "off",
    spellcheck: "false",
  });
  #count = h("p", { class: "count", "aria-live": "polite" });
  #button = h("button", { type: "button", class: "more", on: { click: () => this.#showMore() } }, "Show more");
  #table = jobTable();

  constructor() {
    for (const one of [this.#state, this.#queue]) one.addEventListener("change", () => this.#filtered());
    this.#text.addEventListener("input", () => this.#filtered());
    this.#text.addEventListener("keydown", (event) => this.#key(event));
    this.element = h(
      "section",
      { class: "jobs" },
      h("div", { class: "filter", role: "search" }, h("h2", {}, "Jobs"), this.#state, this.#queue, this.#text, this.#count),
      this.#table.element,
      this.#button,
    );
  }

  setFilter(query) {
    this.#choose(this.#state, query.get("state") ?? "");
    this.#choose(this.#queue, query.get("queue") ?? "");
    if (document.activeElement !== this.#text) this.#text.value = query.get("text") ?? "";
  }

  setQueues(names) {
    const known = new Set([...this.#queue.options].map(({ value }) => value));
    for (const name of names) if (!known.has(name)) this.#queue.append(h("option", { value: name }, visible(name)));
  }

  focus() {
    this.#text.focus();
  }

  /** Asks for the jobs; raises Problem. */
  async load() {
    const asked = this.#asked();
    const { jobs, next } = await ask(`/jobs?${asked}`);
    if (asked !== this.#asked()) return;
    this.#jobs = jobs;
    this.#more = next !== null;
    this.#show();
  }

  tick() {
    this.#table.tick();
  }

  #asked() {
    const limit = this.#text.value.trim() ? Math.max(LOOKED_THROUGH, this.#wanted) : this.#wanted;
    const query = new URLSearchParams({ limit: String(limit) });
    if (this.#state.value) query.set("state", this.#state.value);
    if (this.#queue.value) query.set("queue", this.#queue.value);
    return query.toString();
  }

  #show() {
    const text = this.#text.value.trim().toLowerCase();
    const found = text ? this.#jobs.filter((job) => textOf(job).includes(text)) : this.#jobs;
    this.#table.show(found);
    const of = text ? `${many(found.length, "job")} of the newest ${this.#jobs.length}` : many(found.length, "job");
    setText(this.#count, !text && this.#more ? `newest ${found.length}` : of);
    this.#button.hidden = !this.#more || this.#jobs.length >= MOST;
  }

  #filtered() {
    const query = new URLSearchParams();
    for (const [name, { value }] of [["state", this.#state], ["queue", this.#queue], ["text", this.#text]]) {
      if (value.trim()) query.set(name, value.trim());
    }
    history.replaceState(null, "", query.size ? `#/?${query}` : "#/");
    this.#wanted = PAGE;
    this.#show();
    this.onFilter();
  }

  #key(event) {
    if (event.key === "Enter" && /^[1-9][0-9]{0,15}$/.test(this.#text.value.trim())) {
      location.hash = `#/jobs/${this.#text.value.trim()}`;
    } else if (event.key === "Escape" && this.#text.value) {
      event.preventDefault();
      this.#text.value = "";
      this.#filtered();
    }
  }

  #showMore() {
    this.#wanted = Math.min(MOST, this.#wanted * 2);
    this.onFilter();
  }

  #choose(one, value) {
    if (value && ![...one.options].some((option) => option.value === value)) {
      one.append(h("option", { value }, visible(value)));
    }
    one.value = value;
  }
}

const textOf = (job) => `${job.id} ${job.name} ${job.type} ${job.reason ?? ""} ${job.signal ?? ""}`.toLowerCase();

function select(label, values) {
  const options = values.map((value) => h("option", { value }, value));
  return h("select", { "aria-label": label }, h("option", { value: "" }, `${label}: any`), ...options);
}

function jobTable() {
  return new Table({
    label: "Jobs",
    class: "of-jobs",
    nothing: "No job is like that.",
    key: ({ id }) => id,
    columns: [
      { title: "Job", class: "number id", text: ({ id }) => String(id), href: ({ id }) => `#/jobs/${id}` },
      { title: "Name", class: "grow name", text: ({ name }) => visible(name), full: ({ name }) => visible(name) },
      { title: "State", class: "state", text: stateWords, state: ({ state }) => state },
      { title: "Reason", class: "reason", text: (job) => visible(ending(job)), full: ({ message }) => (message ? visible(message) : null) },
      { title: "Queue", class: "wide queue", text: ({ queue }) => visible(queue), full: ({ queue }) => visible(queue) },
      { title: "Attempt", class: "number wide", text: ({ attempt, retries }) => (attempt ? `${attempt} of ${Math.max(attempt, retries + 1)}` : "") },
      { title: "Ran", class: "number wide", text: ran },
      { title: "When", class: "number when", text: (job) => ago(whenOf(job)), full: (job) => moment(whenOf(job)) },
    ],
  });
}

/** A final one ended, a running one began, a scheduled one is due, a queued one was submitted. */
function whenOf(job) {
  if (isFinal(job.state)) return job.finished_at;
  if (job.state === "running") return job.started_at;
  return job.state === "scheduled" && !job.waiting_for.length ? job.due_at : job.submitted_at;
}

function ran(job) {
  if (!job.started_at) return "";
  if (job.state === "running") return elapsed(now_s() - seconds(job.started_at));
  return isFinal(job.state) && job.finished_at ? duration(seconds(job.finished_at) - seconds(job.started_at)) : "";
}
