/** Requests to the service: tokens, errors, and one task per section of the page. */

import { ask, byId, element } from "./dom.js";

const KEY = "adloom-token"; // in sessionStorage
const UNKNOWN = "The service does not accept this token. It may be mistyped, or it was removed.";
const NO_SCOPE = "This token does not have the scope studio.";

/** An error to show as it is. */
export class ApiError extends Error {}

/** @type {Promise<void> | null} */
let asking = null;
const tasks = new WeakMap(); // section: AbortController

/** Ask for a token. Rejects when the person cancels. */
export async function askToken(reason) {
  byId("token-reason").textContent = reason;
  const answer = await ask("token-dialog");
  if (answer === null) throw new ApiError("No token was given.");
  sessionStorage.setItem(KEY, answer.get("token").trim());
}

/** Return the answer to a GET. */
export async function get(path, signal) {
  return readAnswer(await send(path, { signal }));
}

/** Return the answer to a POST; asks for a token when the service wants another one. */
export async function post(path, body, signal) {
  for (;;) {
    const token = sessionStorage.getItem(KEY);
    const headers = { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    const response = await send(path, { method: "POST", headers, body: JSON.stringify(body), signal });
    if (response.status !== 401 && response.status !== 403) return readAnswer(response);
    if (sessionStorage.getItem(KEY) !== token) continue; // another request has a new one
    const reason = response.status === 403 ? NO_SCOPE : token ? UNKNOWN : "The service asks for a token.";
    asking ??= askToken(reason).finally(() => (asking = null));
    await asking;
  }
}

async function send(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The service does not answer. Check that it runs and try again.");
  }
}

async function readAnswer(response) {
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  throw new ApiError(answer.detail ?? `The service answered ${response.status} ${response.statusText}.`);
}

/**
 * Run a section's task in place of the one before, which is cancelled. Shows progress, then the text that the
 * task returns, or its error.
 * @param {HTMLElement} section
 * @param {string} progress
 * @param {(signal: AbortSignal) => Promise<string>} task
 */
export async function run(section, progress, task) {
  tasks.get(section)?.abort();
  const controller = new AbortController();
  tasks.set(section, controller);
  const clock = startProgress(section, progress);
  let [status, error] = ["", ""];
  try {
    status = await task(controller.signal);
  } catch (failure) {
    if (controller.signal.aborted) return;
    error = failure.message;
    if (!(failure instanceof ApiError)) console.error(failure);
  } finally {
    clearInterval(clock);
  }
  if (controller.signal.aborted) return;
  section.ariaBusy = "false";
  part(section, "status").textContent = status;
  part(section, "alert").textContent = error;
}

/** Show what goes on, with seconds that screen readers skip. */
function startProgress(section, progress) {
  const seconds = element("span", { "aria-hidden": "true" });
  const start = Date.now();
  section.ariaBusy = "true";
  part(section, "alert").textContent = "";
  part(section, "status").replaceChildren(progress, " ", seconds);
  return setInterval(() => (seconds.textContent = `${Math.round((Date.now() - start) / 1000)} s`), 1000);
}

const part = (section, role) => section.querySelector(`[role=${role}]`);

/** Show why a section cannot be used, and disable its form. */
export function disable(section, reason) {
  const fieldset = section.querySelector("form > fieldset");
  if (fieldset) fieldset.disabled = true;
  part(section, "alert").textContent = reason;
}
