// The token: taken from the address or asked for, kept for this tab alone, and what it may do.

const KEY = "workerctl.token";
let role = null;

export const token = () => sessionStorage.getItem(KEY);
export const mayWrite = () => role === "write";

export function keep(text) {
  role = null;
  sessionStorage.setItem(KEY, text);
}

export function setRole(word) {
  role = word;
}

export function forget() {
  role = null;
  sessionStorage.removeItem(KEY);
}

/** Takes `#token=…` out of the address bar, so that it is in no bookmark, screenshot or history; true if there was one. */
export function takeFromAddress() {
  const found = /^#token=([^&]*)$/.exec(location.hash);
  if (found === null) return false;
  history.replaceState(null, "", `${location.pathname}#/`);
  if (/^[\x21-\x7e]+$/.test(found[1])) keep(found[1]);
  return true;
}
