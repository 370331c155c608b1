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

/** Follow events; `onState` hears "open", "retrying" or "closed". Returns what ends it. */
export function follow(path, onEvent, onState = () => {}) {
  const source = new EventSource(`api/${path}`);
  source.onopen = () => onState("open");
  source.onmessage = ({ data }) => onEvent(JSON.parse(data));
  source.addEventListener("over", () => source.close());
  source.onerror = () => onState(source.readyState === EventSource.CLOSED ? "closed" : "retrying");
  return () => source.close();
}

/** The media socket's URL of a path below the gateway, which may itself stand below another. */
export function socketUrl(path) {
  const base = location.pathname.replace(/\/console\/.*$/, "");
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${base}${path}`;
}
