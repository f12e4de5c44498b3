// The page of a job: how far it is, what it prints, what it used, why it waits or died, and what can be done.

import { ask, Problem, save } from "./api.js";
import { announce, h, section, setAttribute, setText } from "./elements.js";
import { Facts } from "./facts.js";
import { JobStream } from "./job_stream.js";
import { Output } from "./output.js";
import { mayWrite } from "./session.js";
import { Refresh } from "./stream.js";
import { ending, isFinal, stateWords, visible } from "./words.js";

const LEAST_MS = 400;
const EXPLAIN_MS = 1500;
const EXPLAIN_AGAIN_MS = 10_000;
const USE_MS = 2000; // A keeper tells what its job uses every second or two.
const USE_REST = 20;

export class JobView {
  #shell;
  #job;
  #record = null;
  #stream;
  #output = new Output();
  #facts;
  #refresh = new Refresh(() => this.#load(), LEAST_MS);
  #reasons = new Refresh(() => this.#explain(), EXPLAIN_MS);
  #use = new Refresh(() => this.#loadUse(), USE_MS, USE_REST);
  #timers = [];
  #name = h("span", { class: "name" });
  #state = h("span", { class: "state" });
  #reason = h("span", { class: "reason" });
  #sentences = h("ul", { class: "sentences" });
  #progress = new ProgressBar();
  #cancel = h("button", { type: "button", hidden: true, on: { click: () => this.#dialog.ask() } }, "Cancel job");
  #retry = h("button", { type: "button", hidden: true, on: { click: () => this.#doRetry() } }, "Retry");
  #problem = h("p", { class: "problem", role: "alert", hidden: true });
  #dialog;

  constructor(shell, job) {
    this.#shell = shell;
    this.#job = job;
    this.title = `Job ${job}`;
    this.#facts = new Facts(job, (attempt) => this.#stream.reached(attempt));
    this.#dialog = new CancelDialog(job, (reason) => this.#doCancel(reason));
    this.#stream = new JobStream(job, this.#output, {
      link: (state) => {
        shell.link(state);
        if (state === "live") this.#refresh.soon();
      },
      happened: () => this.#refresh.soon(),
      failed: (problem) => (problem.status === 404 ? this.#gone() : shell.failed(problem)),
    });
    this.element = h(
      "article",
      { class: "job" },
      h("p", { class: "crumb" }, h("a", { href: "#/" }, "Overview")),
      h(
        "header",
        { class: "head" },
        h("h1", {}, h("span", { class: "id" }, `Job ${job}`), " ", this.#name),
        h("p", { class: "standing" }, this.#state, this.#reason),
        h("div", { class: "actions" }, this.#cancel, this.#retry),
      ),
      this.#problem,
      this.#sentences,
      this.#progress.element,
      h("div", { class: "body" }, this.#outputSection(), this.#facts.element),
      this.#dialog.element,
    );
  }

  /** Shows the job and what it has printed so far, then what it does; raises Problem. */
  async start() {
    // The cursor first: what happens from here on is told by the stream, also if the record has it already.
    const status = await ask("/status");
    this.#shell.daemon(status);
    const record = await ask(`/jobs/${this.#job}`);
    this.#show(record);
    await Promise.all([this.#stream.begin(status.cursor, record), this.#explain(), this.#facts.loadArtifacts(record)]);
    this.#timers = [
      setInterval(() => this.#tick(), 1000),
      setInterval(() => !document.hidden && !isFinal(this.#record.state) && this.#reasons.soon(), EXPLAIN_AGAIN_MS),
    ];
  }

  pause() {
    this.#stream.pause();
  }

  resume() {
    this.#stream.resume();
  }

  stop() {
    this.#stream.stop();
    this.#refresh.stop();
    this.#reasons.stop();
    this.#use.stop();
    this.#timers.forEach(clearInterval);
  }

  #outputSection() {
    const only = (stream) => (event) => {
      this.#output.only(stream);
      for (const button of event.target.parentElement.children) setAttribute(button, "aria-pressed", String(button === event.target));
    };
    const choice = (label, stream, pressed) =>
      h("button", { type: "button", "aria-pressed": String(pressed), on: { click: only(stream) } }, label);
    const raw = (stream) =>
      h("button", { type: "button", on: { click: () => this.#save(stream) } }, `Save ${stream}`);
    const wrap = h("input", { type: "checkbox", checked: true, on: { change: () => this.#output.wrap(wrap.checked) } });
    return section(
      "Output",
      { class: "printed" },
      h(
        "div",
        { class: "tools" },
        h("div", { class: "choice", role: "group", "aria-label": "Streams" }, choice("both", null, true), choice("stdout", "stdout", false), choice("stderr", "stderr", false)),
        h("label", { class: "wrap" }, wrap, "wrap"),
        raw("stdout"),
        raw("stderr"),
      ),
      this.#output.element,
    );
  }

  async #load() {
    let record;
    try {
      record = await ask(`/jobs/${this.#job}`);
    } catch (error) {
      if (error instanceof Problem && error.status === 404) return this.#gone();
      throw error;
    }
    const moved = record.state !== this.#record.state || record.attempt !== this.#record.attempt;
    this.#show(record);
    this.#reasons.soon();
    if (moved) await this.#facts.loadArtifacts(record);
    return undefined;
  }

  #tick() {
    if (document.hidden) return;
    this.#facts.tick();
    if (this.#record.state === "running") this.#use.soon();
  }

  /** What the job uses is known to its worker alone; of one that does not run, or that nobody looks at, it is not asked. */
  async #loadUse() {
    const { state, attempt } = this.#record;
    if (state !== "running" || document.hidden) return;
    const { workers } = await ask("/workers");
    const worker = workers.find(({ job }) => job === this.#job);
    // Meanwhile the next attempt may have begun: what was asked for is not its use.
    if (this.#record.attempt === attempt) this.#facts.uses(attempt, worker ?? { cpu_s: null, memory_bytes: null });
  }

  async #explain() {
    const { sentences } = await ask(`/jobs/${this.#job}/explain`);
    const one = ({ says, change }) => h("li", {}, visible(says), change ? h("code", {}, visible(change)) : null);
    this.#sentences.replaceChildren(...sentences.map(one));
  }

  #show(record) {
    const before = this.#record;
    this.#record = record;
    setText(this.#name, visible(record.name));
    setText(this.#state, stateWords(record));
    setAttribute(this.#state, "data-state", record.state);
    setText(this.#reason, visible(ending(record)));
    document.title = this.title = `${record.state} · job ${record.id}`;
    this.#progress.show(record);
    this.#facts.show(record);
    this.#buttons();
    if (before && before.state !== record.state) {
      announce(`Job ${record.id} is ${record.state}${ending(record) ? `: ${ending(record)}` : ""}`);
    }
  }

  #buttons() {
    const { state, cancel_requested } = this.#record;
    const final = isFinal(state);
    const focused = [this.#cancel, this.#retry].includes(document.activeElement);
    this.#cancel.hidden = !mayWrite() || final;
    this.#cancel.disabled = cancel_requested && !final;
    this.#retry.hidden = !mayWrite() || !final;
    // Whoever pressed the one by keyboard goes on with the other.
    if (focused && document.activeElement === document.body) (final ? this.#retry : this.#cancel).focus();
  }

  #doRetry() {
    return this.#do(() => ask(`/jobs/${this.#job}/retry`, { method: "POST" }), "queued again");
  }

  #doCancel(reason) {
    const query = reason ? `?${new URLSearchParams({ reason })}` : "";
    return this.#do(() => ask(`/jobs/${this.#job}${query}`, { method: "DELETE" }), "cancelled");
  }

  async #do(act, done) {
    this.#problem.hidden = true;
    try {
      this.#show(await act());
      announce(`Job ${this.#job}: ${done}`);
    } catch (error) {
      if (error.status === 401) this.#shell.failed(error);
      setText(this.#problem, visible(error.message));
      this.#problem.hidden = false;
    }
    this.#refresh.soon();
  }

  async #save(stream) {
    const kept = this.#record.attempts.length > 0;
    await this.#do(async () => {
      if (!kept) throw new Problem(404, "not_found", "nothing was printed yet");
      await save(`/jobs/${this.#job}/logs?stream=${stream}`, `job-${this.#job}.${stream}`);
      return this.#record;
    }, `${stream} saved`);
  }

  #gone() {
    this.stop();
    setText(this.#problem, "This job was deleted.");
    this.#problem.hidden = false;
    this.#cancel.hidden = this.#retry.hidden = true;
  }
}

class ProgressBar {
  #bar = h("progress", { max: "100", "aria-label": "Progress" });
  #words = h("span", { class: "words" });
  element = h("div", { class: "progress", hidden: true }, this.#bar, this.#words);

  show({ progress }) {
    this.element.hidden = progress === null;
    if (progress === null) return;
    const { percentage, stage, message } = progress;
    this.#bar.hidden = percentage === null;
    setAttribute(this.#bar, "value", percentage);
    const share = percentage === null ? null : `${percentage.toLocaleString("en", { maximumFractionDigits: 1 })} %`;
    setText(this.#words, [share, stage, message].filter(Boolean).map(visible).join("  ·  "));
  }
}

class CancelDialog {
  #reason = h("input", { type: "text", maxlength: "1000", autocomplete: "off" });

  constructor(job, cancel) {
    const yes = (event) => {
      event.preventDefault();
      this.element.close();
      cancel(this.#reason.value.trim());
    };
    const no = h("button", { type: "button", on: { click: () => this.element.close() } }, "Keep it");
    this.element = h(
      "dialog",
      { "aria-label": `Cancel job ${job}` },
      h(
        "form",
        { on: { submit: yes } },
        h("p", { class: "question" }, `Cancel job ${job}?`),
        h("label", {}, "Reason, if you like to give one", this.#reason),
        h("div", { class: "actions" }, h("button", { type: "submit", class: "grave" }, "Cancel job"), no),
      ),
    );
  }

  ask() {
    this.#reason.value = "";
    this.element.showModal();
    this.#reason.focus();
  }
}
