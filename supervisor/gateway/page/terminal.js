// What a job prints, as lines of styled text. Hostile by nature: colours are taken, everything else that a terminal
// would do is left out, and what cannot be seen is shown. Pure: bytes in, lines out; it keeps one line and no more.

import { visible } from "./words.js";

const PLAIN = Object.freeze({});
const MOST_COLUMNS = 2000; // A longer line is broken, so that no line is ever large.
const MOST_PARAMETERS = 128;
const TEXT = 0, ESCAPE = 1, SEQUENCE = 2, STRING = 3, STRING_ESCAPE = 4, DESIGNATION = 5;
const ESC = "\x1b";

/** One stream. `write` gives the lines that became complete, `line()` the one that is not. A line is a list of
 *  {text, style}; a style has some of bold, dim, italic, underline, inverse, strike (true), fg and bg (0 … 15, or
 *  a text such as `rgb(1, 2, 3)`). */
export class Terminal {
  #decoder = new TextDecoder("utf-8");
  #state = TEXT;
  #parameters = "";
  #style = PLAIN;
  #characters = [];
  #styles = [];
  #column = 0;

  write(bytes) {
    const done = [];
    for (const character of this.#decoder.decode(bytes, { stream: true })) this.#take(character, done);
    return done;
  }

  line() {
    const runs = [];
    this.#characters.forEach((character, at) => {
      const last = runs.at(-1);
      if (last && last.style === this.#styles[at]) last.text += character;
      else runs.push({ text: character, style: this.#styles[at] });
    });
    return runs;
  }

  isEmpty() {
    return this.#characters.length === 0;
  }

  #take(character, done) {
    switch (this.#state) {
      case TEXT:
        return this.#text(character, done);
      case ESCAPE:
        return this.#escape(character, done);
      case SEQUENCE:
        return this.#sequence(character, done);
      case STRING:
        if (character === "\x07" || character === "\x18") this.#state = TEXT;
        else if (character === ESC) this.#state = STRING_ESCAPE;
        else if (character === "\n") this.#lost(character, done);
        return undefined;
      case STRING_ESCAPE:
        this.#state = character === "\\" ? TEXT : STRING;
        return undefined;
      default:
        this.#state = TEXT;
        return undefined;
    }
  }

  // A sequence that was never ended must not swallow what comes after its line.
  #lost(character, done) {
    this.#state = TEXT;
    this.#text(character, done);
  }

  #text(character, done) {
    if (character === "\n") this.#end(done);
    else if (character === "\r") this.#column = 0;
    else if (character === "\b") this.#column = Math.max(0, this.#column - 1);
    else if (character === ESC) this.#state = ESCAPE;
    else if (character === "\t") this.#put("\t", done);
    else if (character < " " || character > "~") for (const shown of visible(character)) this.#put(shown, done);
    else this.#put(character, done);
  }

  #put(character, done) {
    if (this.#column >= MOST_COLUMNS) this.#end(done);
    this.#characters[this.#column] = character;
    this.#styles[this.#column] = this.#style;
    this.#column += 1;
  }

  #end(done) {
    done.push(this.line());
    this.#characters = [];
    this.#styles = [];
    this.#column = 0;
  }

  #escape(character, done) {
    if (character === "[") {
      this.#parameters = "";
      this.#state = SEQUENCE;
    } else if ("]PX^_".includes(character)) this.#state = STRING;
    else if ("()*+-./ #%".includes(character)) this.#state = DESIGNATION;
    else if (character === "\n" || character === ESC) this.#lost(character, done);
    else this.#state = TEXT;
  }

  #sequence(character, done) {
    if (character >= "@" && character <= "~") {
      this.#state = TEXT;
      if (character === "m") this.#style = restyled(this.#style, this.#parameters);
      else if (character === "K") this.#erase(this.#parameters);
    } else if (character < " " || character > "~" || this.#parameters.length >= MOST_PARAMETERS) {
      this.#lost(character, done);
    } else this.#parameters += character;
  }

  #erase(which) {
    if (which === "" || which === "0") {
      this.#characters.length = Math.min(this.#characters.length, this.#column);
      this.#styles.length = this.#characters.length;
    } else if (which === "2") {
      this.#characters = Array(this.#column).fill(" ");
      this.#styles = Array(this.#column).fill(PLAIN);
    }
  }
}

const ON = { 1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "inverse", 9: "strike" };
const OFF = { 22: ["bold", "dim"], 23: ["italic"], 24: ["underline"], 27: ["inverse"], 29: ["strike"], 39: ["fg"], 49: ["bg"] };

function restyled(style, parameters) {
  if (!/^[0-9;:]*$/.test(parameters)) return style;
  const codes = parameters.split(/[;:]/).map(Number);
  let next = { ...style };
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at];
    if (code === 0) next = {};
    else if (ON[code]) next[ON[code]] = true;
    else if (OFF[code]) for (const name of OFF[code]) delete next[name];
    else if (code >= 30 && code <= 37) next.fg = code - 30;
    else if (code >= 40 && code <= 47) next.bg = code - 40;
    else if (code >= 90 && code <= 97) next.fg = code - 82;
    else if (code >= 100 && code <= 107) next.bg = code - 92;
    else if (code === 38 || code === 48) {
      const [colour, used] = wide(codes.slice(at + 1));
      if (colour !== null) next[code === 38 ? "fg" : "bg"] = colour;
      at += used;
    }
  }
  return Object.keys(next).length ? Object.freeze(next) : PLAIN;
}

function wide([kind, ...values]) {
  const fit = (n) => Number.isInteger(n) && n >= 0 && n <= 255;
  if (kind === 5) return [fit(values[0]) ? of256(values[0]) : null, 2];
  if (kind === 2 && values.slice(0, 3).length === 3 && values.slice(0, 3).every(fit)) return [rgb(values), 4];
  return [null, kind === 2 ? 4 : 1];
}

const LEVELS = [0, 95, 135, 175, 215, 255];

function of256(n) {
  if (n < 16) return n;
  if (n >= 232) return rgb(Array(3).fill(8 + 10 * (n - 232)));
  return rgb([Math.floor((n - 16) / 36), Math.floor((n - 16) / 6) % 6, (n - 16) % 6].map((level) => LEVELS[level]));
}

const rgb = ([red, green, blue]) => `rgb(${red}, ${green}, ${blue})`;
