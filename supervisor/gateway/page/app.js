// The frame around the views: who may look, which view the address names, whether what is shown is live.

import { ask, Problem } from "./api.js";
import { announce, byId, h, setText } from "./elements.js";
import { JobView } from "./job.js";
import { Overview } from "./overview.js";
import * as session from "./session.js";
import { duration, many, visible } from "./words.js";

const LINKS = { live: "live", lost: "reconnecting", idle: "not connected" };
const AGAIN_MS = 1500;
const NAMED_QUEUES = 5;
let view = null;
let turn = 0;

/** What views may ask of the frame. */
const shell = {
  link(state) {
    const element = byId("link");
    if (element.dataset.state === state) return;
    const was = element.dataset.state;
    element.dataset.state = state;
    setText(byId("link-text"), LINKS[state]);
    if (state === "lost") announce("Connection lost, reconnecting");
    else if (state === "live" && was === "lost") announce("Connected again");
  },

  daemon({ version, uptime_s, state, paused, upgrade }) {
    setText(byId("daemon"), `${location.host}  ·  ${version}  ·  up ${duration(Math.floor(uptime_s))}`);
    notice("state", state === "running" ? null : `The daemon is ${state}: it starts no more jobs.`);
    notice("upgrade", upgrade ? "The daemon is going over to new code." : null);
    notice("paused", paused.length ? visible(pauseWords(paused)) : null);
  },

  health({ status, reasons }) {
    notice("health", status === "healthy" ? null : visible(`The daemon is ${status}: ${reasons.join("; ")}`));
  },

  failed(problem) {
    if (problem.status === 401) askForToken("This token is wrong, or was replaced.");
    else announce(problem.message);
  },
};

function pauseWords(paused) {
  if (paused.includes("*")) return "All queues are paused: no more jobs start.";
  if (paused.length === 1) return `The queue ${paused[0]} is paused: no more jobs of it start.`;
  const others = paused.length - NAMED_QUEUES;
  const names = paused.slice(0, NAMED_QUEUES).join(", ") + (others > 0 ? ` and ${many(others, "other")}` : "");
  return `The queues ${names} are paused: no more jobs of them start.`;
}

function notice(kind, text) {
  const known = byId(`notice-${kind}`);
  if (text === null) known?.remove();
  else if (known) setText(known, text);
  else byId("notices").append(h("p", { id: `notice-${kind}`, class: "notice" }, text));
}

function leave() {
  view?.stop();
  view = null;
  shell.link("idle");
}

function show(element) {
  byId("main").replaceChildren(element);
}

function askForToken(why) {
  leave();
  session.forget();
  byId("notices").replaceChildren();
  setText(byId("daemon"), "");
  byId("forget").hidden = true;
  byId("role").hidden = true;
  document.title = "workerctl";
  const input = h("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true });
  const enter = (event) => {
    event.preventDefault();
    if (/^[\x21-\x7e]+$/.test(input.value.trim())) {
      session.keep(input.value.trim());
      route();
    } else input.focus();
  };
  show(
    h(
      "form",
      { class: "prompt", on: { submit: enter } },
      h("h1", {}, "Token"),
      h("p", { id: "why", role: "alert" }, why),
      h("label", { for: "token" }, "Token of this daemon"),
      h("div", { class: "entry" }, input, h("button", { type: "submit" }, "Open")),
      h("p", { class: "hint" }, h("code", {}, "workerctl token"), " prints it, ", h("code", {}, "workerctl token --url"), " an address that has it. It is kept for this tab alone."),
    ),
  );
  input.focus();
}

/** Brings up what the address names. */
async function route() {
  if (session.takeFromAddress()) leave();
  if (session.token() === null) return askForToken("The dashboard shows nothing without it.");
  const [path, query] = location.hash.replace(/^#/, "").split("?");
  const job = /^\/jobs\/([1-9][0-9]{0,15})$/.exec(path);
  const asked = new URLSearchParams(query ?? "");
  if (job === null && view instanceof Overview) return view.setQuery(asked);
  const mine = (turn += 1);
  leave();
  let next = null;
  try {
    const { role } = await ask("/token");
    if (mine !== turn) return undefined;
    session.setRole(role);
    byId("role").hidden = role === "write";
    byId("forget").hidden = false;
    next = job === null ? new Overview(shell) : new JobView(shell, Number(job[1]));
    await next.start(asked);
    if (mine !== turn) return next.stop();
    view = next;
    document.title = view.title;
    show(view.element);
    if (document.hidden) view.pause();
    if (job !== null) byId("main").focus({ preventScroll: true });
    scrollTo(0, 0);
  } catch (error) {
    next?.stop();
    if (mine !== turn) return undefined;
    failedToShow(error, mine);
  }
  return undefined;
}

function failedToShow(error, mine) {
  if (!(error instanceof Problem)) throw error;
  if (error.status === 401) return askForToken("This token is wrong, or was replaced.");
  const gone = error.status === 404;
  show(
    h(
      "div",
      { class: "prompt" },
      h("h1", {}, gone ? "No such job" : "Nothing to show"),
      h("p", { role: "alert" }, visible(error.message)),
      h("p", {}, h("a", { href: "#/" }, "Overview")),
    ),
  );
  if (gone) return undefined;
  shell.link("lost");
  return setTimeout(() => mine === turn && route(), AGAIN_MS);
}

function keys(event) {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input, textarea, select, dialog *")) return;
  const search = document.querySelector("input[type=search]");
  if (search === null) return;
  event.preventDefault();
  search.focus();
}

addEventListener("hashchange", route);
addEventListener("keydown", keys);
// A browser opens few connections to one host: a tab that nobody sees lets go of its stream, and goes on where it was.
document.addEventListener("visibilitychange", () => (document.hidden ? view?.pause() : view?.resume()));
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
byId("forget").addEventListener("click", () => askForToken("The token is forgotten."));
route();
