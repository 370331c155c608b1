// The gateway's API: JSON there and back, events as they come.

/** What the API said was the matter, in words for the person at the page; `more` goes with them. */
export class Problem extends Error {
  constructor(status, words, more = {}) {
    super(words);
    this.status = status;
    this.more = more;
  }
}

const NO_ANSWER = "The gateway does not answer. Is it running?";
const TIMEOUT_MS = 15_000;
const UPLOAD_MS = 900_000;
const FOLLOW_AGAIN_MS = 3000;

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(`api/${path}`, { signal: AbortSignal.timeout(TIMEOUT_MS), ...options });
  } catch {
    throw new Problem(0, NO_ANSWER);
  }
  return heard(path, response.status, response.status === 204 ? null : await response.json().catch(() => ({})));
}

function heard(path, status, body) {
  if (status >= 200 && status < 300) return body;
  if (status === 401 && path !== "login") window.dispatchEvent(new Event("parley-login"));
  throw new Problem(status, body?.problem ?? `The gateway answered ${status}.`, body ?? {});
}

export const get = (path) => ask(path);

export const post = (path, body = {}) =>
  ask(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });

export const remove = (path) => ask(path, { method: "DELETE", headers: { "content-type": "application/json" } });

/** Send a file as a table; `onSent` hears how many of its bytes are out. */
export function upload(path, file, onSent) {
  const request = new XMLHttpRequest(); // fetch tells nothing of what has been sent
  return new Promise((resolve, reject) => {
    request.open("POST", `api/${path}`);
    request.setRequestHeader("content-type", "text/csv");
    request.responseType = "json";
    request.timeout = UPLOAD_MS;
    request.upload.onprogress = ({ loaded }) => onSent(loaded);
    request.onload = () => resolve(request.response);
    request.onerror = request.ontimeout = () => reject(new Problem(0, "The upload broke off. Send it again: what is there already is not added twice."));
    request.send(file);
  }).then((body) => heard(path, request.status, body));
}

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
