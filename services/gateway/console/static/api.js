// The gateway's API: JSON there and back, events as they come.

/** What the API said was the matter, in words for the person at the page. */
export class Problem extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

const NO_ANSWER = "The gateway does not answer. Is it running?";
const TIMEOUT_MS = 15_000;
const FOLLOW_AGAIN_MS = 3000;

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(`api/${path}`, { signal: AbortSignal.timeout(TIMEOUT_MS), ...options });
  } catch {
    throw new Problem(0, NO_ANSWER);
  }
  if (response.status === 204) return null;
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  if (response.status === 401 && path !== "login") window.dispatchEvent(new Event("parley-login"));
  throw new Problem(response.status, body.problem ?? `The gateway answered ${response.status}.`);
}

export const get = (path) => ask(path);

export const post = (path, body = {}) =>
  ask(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

/** Tell the gateway something on the way out, when nothing can be waited for any more. */
export function farewell(path, body) {
  const blob = new Blob([JSON.stringify(body)], { type: "application/json" });
  navigator.sendBeacon(`api/${path}`, blob);
}

/**
 * Follow events until there are no more; `onState` hears "open" and "retrying". The browser tries
 * again by itself while nobody answers; where it was refused, we do. Returns what ends it.
 */
export function follow(path, onEvent, onState = () => {}) {
  let source = null;
  let waiting = null;
  const open = () => {
    source = new EventSource(`api/${path}`);
    source.onopen = () => onState("open");
    source.onmessage = ({ data }) => onEvent(JSON.parse(data));
    source.addEventListener("over", () => source.close());
    source.onerror = () => {
      onState("retrying");
      if (source.readyState !== EventSource.CLOSED) return;
      waiting = setTimeout(open, FOLLOW_AGAIN_MS);
      checkLogin();
    };
  };
  open();
  return () => {
    clearTimeout(waiting);
    source.close();
  };
}

async function checkLogin() {
  const session = await get("session").catch(() => null);
  if (session && !session.is_logged_in) window.dispatchEvent(new Event("parley-login"));
}

/** The media socket's URL of a path below the gateway, which may itself stand below another. */
export function socketUrl(path) {
  const base = location.pathname.replace(/\/console\/.*$/, "");
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${base}${path}`;
}
