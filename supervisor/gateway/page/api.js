// Asks the gateway, always with the token.

import { token } from "./session.js";

export class Problem extends Error {
  /** `status` 0: nobody answered. */
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

/** The response, if it is a good one; raises Problem. */
export async function open(path, { method = "GET", headers = {}, signal } = {}) {
  let response;
  try {
    const all = { Authorization: `Bearer ${token() ?? ""}`, ...headers };
    response = await fetch(path, { method, headers: all, signal, cache: "no-store", credentials: "omit", redirect: "error" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, "unreachable", "the gateway does not answer");
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  throw new Problem(response.status, said.code ?? "unknown", said.detail ?? `HTTP ${response.status}`);
}

export async function ask(path, given) {
  const response = await open(path, given);
  try {
    return await response.json();
  } catch (error) {
    if (given?.signal?.aborted) throw error;
    throw new Problem(0, "unreachable", "the answer was cut off");
  }
}

/** Saves what is at `path` as a file; a link could not carry the token. */
export async function save(path, fileName) {
  const response = await open(path);
  const address = URL.createObjectURL(new Blob([await response.arrayBuffer()], { type: "application/octet-stream" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = fileName;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
