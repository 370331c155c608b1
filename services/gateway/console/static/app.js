// The frame around the views: who is logged in, which view is shown, which colours.

import { get, post } from "./api.js";
import { h, icon } from "./dom.js";
import { TalkView } from "./talk.js";

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const LAZY = {
  now: async () => new (await import("./now.js")).NowView(),
  calls: async () => new (await import("./calls.js")).CallsView(),
  call: async () => new (await import("./call.js")).CallView(),
  dial: async () => new (await import("./dial.js")).DialView(),
  campaign: async () => new (await import("./campaign.js")).CampaignView(),
  newCampaign: async () => new (await import("./new-campaign.js")).NewCampaignView(),
};
const TAB_OF = { call: "calls", campaign: "dial", newCampaign: "dial" };
const views = {};
let session = null;
let current = null;

// --- colours ----------------------------------------------------------------------------------

const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (systemIsDark.matches ? "dark" : "light")) === "dark";

function showTheme() {
  const button = document.getElementById("theme");
  button.replaceChildren(icon(isDark() ? "sun" : "moon"));
  button.setAttribute("aria-pressed", isDark());
}

function switchTheme() {
  const chosen = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = chosen;
  try {
    localStorage.setItem("parley-theme", chosen);
  } catch {
    // Storage is off: it holds until the page is closed.
  }
  showTheme();
  window.dispatchEvent(new Event("parley-theme"));
}

// --- views ------------------------------------------------------------------------------------

/** Return the view's name and what it is of: #calls/abc is the call abc, #dial/abc a campaign. */
function route() {
  const [name, ...rest] = location.hash.slice(1).split("/");
  const argument = decodeURIComponent(rest.join("/"));
  if (name === "calls" && argument) return ["call", argument];
  if (name === "dial" && argument) return [argument === "new" ? "newCampaign" : "campaign", argument];
  return [name in LAZY && !(name in TAB_OF) ? name : "talk", argument];
}

function viewOf(name) {
  views[name] ??= name === "talk" ? new TalkView() : LAZY[name]().catch((error) => {
    delete views[name]; // asked for again at the next click
    throw error;
  });
  return views[name];
}

async function show() {
  if (!session.is_logged_in) return showLogin();
  const [name, argument] = route();
  const view = await viewOf(name);
  if (route().join("/") !== `${name}/${argument}`) return undefined;
  if (current !== view) current?.hide?.();
  const isFirst = current === null;
  current = view;
  main.replaceChildren(view.element);
  document.title = `${view.title} · Parley`;
  const tab = TAB_OF[name] ?? name;
  for (const link of nav.children) {
    if (link.hash === `#${tab}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!isFirst) main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
  isReady();
  return view.show(argument, session);
}

/** The page can be used from now on, whatever its data may still take. */
function isReady() {
  document.documentElement.dataset.ready = "true";
}

function showLogin() {
  nav.hidden = true;
  current?.hide?.();
  current = null;
  const problem = h("p", { class: "problem", role: "alert" });
  const password = h("input", { id: "password", type: "password", autocomplete: "current-password", required: true });
  const logIn = async (event) => {
    event.preventDefault();
    problem.textContent = "";
    try {
      await post("login", { password: password.value });
      await begin();
    } catch (error) {
      problem.textContent = error.message;
      password.select();
    }
  };
  main.replaceChildren(
    h(
      "form",
      { class: "card login", onsubmit: logIn },
      h("h1", {}, "Log in"),
      h("label", { for: "password" }, "Password"),
      password,
      problem,
      h("button", { class: "primary" }, "Log in"),
    ),
  );
  password.focus();
  isReady();
}

async function begin() {
  viewOf(route()[0]); // its files come while the gateway is asked
  try {
    session = await get("session");
  } catch (error) {
    main.replaceChildren(h("p", { class: "notice", role: "alert" }, error.message));
    setTimeout(begin, 3000);
    return;
  }
  nav.hidden = !session.is_logged_in;
  document.getElementById("dial-link").hidden = !session.has_dialer;
  document.getElementById("logout").hidden = session.mode !== "login" || !session.is_logged_in;
  await show();
}

document.getElementById("theme").addEventListener("click", switchTheme);
document.getElementById("skip").addEventListener("click", () => main.focus());
document.getElementById("logout").addEventListener("click", async () => {
  await post("logout").catch(() => {});
  await begin();
});
systemIsDark.addEventListener("change", showTheme);
window.addEventListener("hashchange", () => session && show());
window.addEventListener("parley-login", () => {
  if (session) session.is_logged_in = false;
  if (!main.querySelector("form.login")) showLogin();
});
window.addEventListener("parley-call", ({ detail }) => {
  const link = nav.firstElementChild;
  link.textContent = detail ? `Talk ${detail}` : "Talk";
  link.classList.toggle("is-live", Boolean(detail));
});
showTheme();
begin();
