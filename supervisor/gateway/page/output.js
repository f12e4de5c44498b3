// The output of a job on the page: both streams in one panel, bounded, following its end unless the reader scrolled up.

import { h, setText } from "./elements.js";
import { Terminal } from "./terminal.js";

const MOST_LINES = 4000;
const NEAR_END_PX = 32;

/** The bytes of an `output` frame. */
export function bytesOf({ data, encoding }) {
  if (encoding !== "base64") return new TextEncoder().encode(data);
  return Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
}

export class Output {
  #lines = h("div", { class: "lines" });
  #panel = h(
    "div",
    { class: "output", tabindex: "0", role: "log", "aria-live": "off", "aria-label": "Output of the job" },
    this.#lines,
  );
  #dropped = h("p", { class: "note", hidden: true });
  #toEnd = h("button", { type: "button", class: "to-end", hidden: true, on: { click: () => this.#follow() } }, "Jump to end");
  #count = 0;
  #following = true;
  #pending = [];
  #open = { stdout: null, stderr: null };
  #terminals = {};
  #scheduled = false;

  constructor() {
    this.element = h("div", { class: "output-frame" }, this.#dropped, this.#panel, this.#toEnd);
    this.#panel.addEventListener("scroll", () => this.#scrolled());
    this.clear();
  }

  clear() {
    this.#terminals = { stdout: new Terminal(), stderr: new Terminal() };
    this.#open = { stdout: null, stderr: null };
    this.#pending = [];
    this.#lines.replaceChildren();
    this.#count = 0;
    this.#following = true;
    this.#dropped.hidden = true;
  }

  /** A line of the page's own, between two attempts for example. */
  remark(text) {
    this.#pending.push({ remark: text });
    this.#terminals = { stdout: new Terminal(), stderr: new Terminal() };
    this.#schedule();
  }

  write(stream, bytes) {
    for (const line of this.#terminals[stream].write(bytes)) this.#pending.push({ stream, line });
    // Lines that would be dropped at once are not even made.
    if (this.#pending.length > 2 * MOST_LINES) {
      const surplus = this.#pending.length - MOST_LINES;
      this.#pending.splice(0, surplus);
      this.#count += surplus;
    }
    this.#schedule();
  }

  /** Shows only one of `stdout`, `stderr`; null shows both. */
  only(stream) {
    this.#lines.dataset.only = stream ?? "";
    if (this.#following) this.#follow();
  }

  wrap(on) {
    this.#lines.classList.toggle("unwrapped", !on);
  }

  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    const draw = () => {
      this.#scheduled = false;
      this.#draw();
    };
    if (document.hidden) setTimeout(draw, 200);
    else requestAnimationFrame(draw);
  }

  #draw() {
    for (const { stream, line, remark } of this.#pending.splice(0)) {
      if (remark !== undefined) {
        this.#open = { stdout: null, stderr: null };
        this.#add(h("div", { class: "remark" }, remark));
        continue;
      }
      const element = this.#open[stream] ?? this.#add(newLine(stream));
      this.#open[stream] = null;
      fill(element, line);
    }
    for (const [stream, terminal] of Object.entries(this.#terminals)) {
      if (terminal.isEmpty() && this.#open[stream] === null) continue;
      this.#open[stream] ??= this.#add(newLine(stream));
      fill(this.#open[stream], terminal.line());
    }
    this.#trim();
    if (this.#following) this.#follow();
  }

  #add(element) {
    this.#lines.append(element);
    this.#count += 1;
    return element;
  }

  #trim() {
    const surplus = this.#lines.childElementCount - MOST_LINES;
    for (let n = 0; n < surplus; n += 1) {
      const first = this.#lines.firstElementChild;
      for (const stream of ["stdout", "stderr"]) if (this.#open[stream] === first) this.#open[stream] = null;
      first.remove();
    }
    const gone = this.#count - this.#lines.childElementCount;
    this.#dropped.hidden = gone === 0;
    if (gone) setText(this.#dropped, `${gone.toLocaleString("en")} earlier lines are not shown; save the stream to have all.`);
  }

  #scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = this.#panel;
    this.#following = scrollTop + clientHeight >= scrollHeight - NEAR_END_PX;
    this.#toEnd.hidden = this.#following;
  }

  #follow() {
    this.#following = true;
    this.#toEnd.hidden = true;
    this.#panel.scrollTop = this.#panel.scrollHeight;
  }
}

const newLine = (stream) => h("div", { class: `line ${stream}` });

function fill(element, runs) {
  element.replaceChildren(...runs.map(span));
}

const DARK_INK = "rgb(20, 23, 26)";

/** Whether what has no colour of its own, which is light, could not be read on this ground. */
function isLight(ground) {
  if (typeof ground !== "string") return ground === 7 || ground === 15;
  const [red, green, blue] = ground.match(/[0-9]+/g);
  return 0.299 * red + 0.587 * green + 0.114 * blue > 130;
}

function span({ text, style }) {
  const classes = Object.keys(style).filter((name) => style[name] === true);
  const { bg } = style;
  const fg = style.fg ?? (isLight(bg) ? DARK_INK : undefined);
  if (fg !== undefined) classes.push(typeof fg === "number" ? `inked fg${fg}` : "inked");
  if (bg !== undefined) classes.push(typeof bg === "number" ? `grounded bg${bg}` : "grounded");
  if (!classes.length) return text;
  const element = h("span", { class: classes.join(" ") }, text);
  // By property, as the policy of the page allows no style attribute; the values are numbers that we wrote.
  if (typeof fg === "string") element.style.setProperty("--fg", fg);
  if (typeof bg === "string") element.style.setProperty("--bg", bg);
  return element;
}
