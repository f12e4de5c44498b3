// Small charts of the last hour. Each says in a sentence what it shows, for those who cannot see it and those who hurry.

import { h, setAttribute, setText, svg } from "./elements.js";
import { clock, count } from "./words.js";

const MINUTES = 60;
const WIDTH = 480;
const HEIGHT = 72;
const STEP = WIDTH / MINUTES;

class Chart {
  constructor(title) {
    this.sentence = h("p", { class: "sentence" });
    this.top = h("span", { class: "top", "aria-hidden": "true" });
    this.drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.from = h("span");
    const axis = h("p", { class: "axis", "aria-hidden": "true" }, this.from, h("span", {}, "now"));
    this.element = h(
      "section",
      { class: "chart" },
      h("h2", {}, title),
      this.sentence,
      h("div", { class: "plot" }, this.top, this.drawing),
      axis,
    );
  }

  /** `shapes(place, scale)` draws; minutes that nothing is known of are left empty. */
  draw(minutes, greatest, sentence, shapes) {
    const scale = Math.max(1, greatest);
    setText(this.top, count(scale));
    setText(this.sentence, sentence);
    setAttribute(this.drawing, "aria-label", sentence);
    if (minutes.length) setText(this.from, `${clock(new Date(minutes[0].at))}`);
    const place = (at) => (MINUTES - minutes.length + at) * STEP;
    this.drawing.replaceChildren(...shapes(place, (n) => HEIGHT - (n / scale) * (HEIGHT - 4)));
  }
}

export class DepthChart extends Chart {
  constructor() {
    super("Queue depth");
  }

  show(minutes, now) {
    const peak = minutes.reduce((most, minute) => (minute.queued > most.queued ? minute : most), { queued: 0 });
    const sentence = peak.queued
      ? `${count(now)} queued now; at most ${count(peak.queued)}, at ${clock(new Date(peak.at))}.`
      : `${count(now)} queued now; none waited at the end of a minute.`;
    this.draw(minutes, peak.queued, sentence, (place, scale) => {
      if (!minutes.length) return [];
      const corners = minutes.flatMap((minute, at) => {
        const y = scale(minute.queued).toFixed(1);
        return [`${place(at)},${y}`, `${place(at) + STEP},${y}`];
      });
      const area = [`${place(0)},${HEIGHT}`, ...corners, `${WIDTH},${HEIGHT}`].join(" ");
      return [svg("polygon", { points: area, class: "area" }), svg("polyline", { points: corners.join(" "), class: "edge" })];
    });
  }
}

const ENDS = ["completed", "failed", "cancelled"];

export class EndsChart extends Chart {
  constructor() {
    super("Finished per minute");
  }

  show(minutes) {
    const sums = Object.fromEntries(ENDS.map((state) => [state, minutes.reduce((sum, minute) => sum + minute[state], 0)]));
    const all = (minute) => ENDS.reduce((sum, state) => sum + minute[state], 0);
    const most = Math.max(0, ...minutes.map(all));
    const parts = ENDS.filter((state) => state !== "cancelled" || sums[state]).map((state) => `${count(sums[state])} ${state}`);
    this.draw(minutes, most, `${parts.join(", ")}; at most ${count(most)} in a minute.`, (place, scale) =>
      minutes.flatMap((minute, at) => {
        let below = 0;
        const title = `${clock(new Date(minute.at))}: ${ENDS.map((state) => `${minute[state]} ${state}`).join(", ")}`;
        return ENDS.filter((state) => minute[state]).map((state) => {
          const y = scale(below + minute[state]);
          const height = scale(below) - y;
          below += minute[state];
          return svg("rect", { x: place(at) + 1, y, width: STEP - 2, height, class: state }, svg("title", {}, document.createTextNode(title)));
        });
      }),
    );
  }
}

/** Reasons with a bar each, the commonest first. */
export class Reasons {
  #list = h("ul", { class: "reasons" });
  #nothing = h("p", { class: "nothing" }, "No job failed.");

  constructor() {
    this.element = h("section", { class: "chart" }, h("h2", {}, "Failures by reason, 24 h"), this.#list, this.#nothing);
  }

  show(failures) {
    const most = Math.max(1, ...failures.map(({ jobs }) => jobs));
    this.#nothing.hidden = failures.length > 0;
    this.#list.replaceChildren(
      ...failures.slice(0, 6).map(({ reason, jobs }) => {
        const bar = h("span", { class: "bar", "aria-hidden": "true" });
        bar.style.width = `${((100 * jobs) / most).toFixed(1)}%`;
        return h(
          "li",
          {},
          h("span", { class: "reason" }, reason.replaceAll("_", " ")),
          h("span", { class: "track" }, bar),
          h("span", { class: "number" }, count(jobs)),
        );
      }),
    );
  }
}
