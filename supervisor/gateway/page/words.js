// Numbers, times and foreign texts as people read them. Pure, but for the clock.

const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\ufff9-\ufffb\t\n]/g;
const FINAL = new Set(["completed", "failed", "cancelled"]);
let ahead_ms = 0;

/** A foreign text on one line, with everything that hides, reorders or breaks made visible. */
export function visible(text) {
  return String(text).replace(HIDDEN, picture);
}

function picture(character) {
  const code = character.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `<U+${code.toString(16).toUpperCase().padStart(4, "0")}>`;
}

export const isFinal = (state) => FINAL.has(state);

/** Takes the daemon's clock for ours. */
export function setClock(rfc3339) {
  ahead_ms = Date.parse(rfc3339) - Date.now();
}

export const now_s = () => (Date.now() + ahead_ms) / 1000;
export const seconds = (rfc3339) => Date.parse(rfc3339) / 1000;

/** `850 ms`, `4.2 s`, `3 min 20 s`, `5 h 7 min`, `3 d 4 h`. */
export function duration(s) {
  if (s === null || s === undefined || !Number.isFinite(s)) return "–";
  if (s < 0) return "0 s";
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 10) return `${s.toFixed(1)} s`;
  const whole = Math.round(s);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return two(whole, 60, "min", 1, "s");
  return whole < 86400 ? two(whole, 3600, "h", 60, "min") : two(whole, 86400, "d", 3600, "h");
}

function two(s, unit, name, smaller, smallerName) {
  const rest = Math.floor((s % unit) / smaller);
  return `${Math.floor(s / unit)} ${name}${rest ? ` ${String(rest)} ${smallerName}` : ""}`;
}

/** A duration that ticks: whole seconds. */
export const elapsed = (s) => duration(s < 60 ? Math.max(1, Math.floor(s)) : s).replace(/\.0 s$/, " s");

export function ago(rfc3339) {
  if (!rfc3339) return "–";
  const s = now_s() - seconds(rfc3339);
  if (s < -1) return `in ${duration(Math.ceil(-s))}`;
  return s < 2 ? "just now" : `${duration(Math.floor(s)).replace(/\.0 s$/, " s")} ago`;
}

const two_digits = (n) => String(n).padStart(2, "0");

/** The moment by the reader's own clock: `2026-01-02 03:04:05`. */
export function moment(rfc3339) {
  if (!rfc3339) return "–";
  const at = new Date(rfc3339);
  return `${at.getFullYear()}-${two_digits(at.getMonth() + 1)}-${two_digits(at.getDate())} ${clock(at)}:${two_digits(at.getSeconds())}`;
}

export const clock = (at) => `${two_digits(at.getHours())}:${two_digits(at.getMinutes())}`;

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(n) {
  if (n === null || n === undefined) return "–";
  let unit = 0;
  while (n >= 1024 && unit < UNITS.length - 1) {
    n /= 1024;
    unit += 1;
  }
  return `${unit && n < 10 ? n.toFixed(1).replace(/\.0$/, "") : Math.round(n)} ${UNITS[unit]}`;
}

export const count = (n) => (n === null || n === undefined ? "–" : n.toLocaleString("en"));

/** `1 job`, `3 jobs`. */
export const many = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;

/** `running 40 %`. */
export function stateWords(job) {
  const share = job.state === "running" ? job.progress?.percentage : null;
  const word = job.cancel_requested && job.state === "running" ? "cancelling" : job.state;
  return share === null || share === undefined ? word : `${word} ${Math.floor(share)} %`;
}

/** How a job ended, in a few words: `exit 3`, `signal SIGKILL`, `timeout`. */
export function ending(job) {
  if (!job.reason || job.reason === "ok") return "";
  if (job.reason === "exit") return `exit ${job.exit_code}`;
  return job.reason === "signal" ? `${job.signal}` : job.reason.replaceAll("_", " ");
}
