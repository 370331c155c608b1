// Campaigns: how they are named, drawn and listed, wherever they are shown.

import { get } from "./api.js";
import { count, h, when, words } from "./dom.js";

const LOOK_EVERY_MS = 3000;
const PAGE = 20;

/** What a number came to, the best first; `kind` is its colour. */
export const OUTCOMES = {
  answered: "answered",
  machine: "machine",
  no_answer: "no-answer",
  busy: "busy",
  rejected: "rejected",
  failed: "fault",
  answered_then_failed: "fault",
  unknown: "fault",
  invalid_number: "fault",
  refused: "fault",
  do_not_call: "undialled",
  out_of_time: "undialled",
  cancelled: "undialled",
};

/** Seconds as people plan with them. */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Why a campaign stands still, in words. */
export function pausedBecause(reason) {
  const [what, figure] = String(reason).split(" ");
  const percent = `${Math.round(100 * figure)} %`;
  if (what === "asked") return "Paused by hand.";
  if (what === "error_rate") return `It paused itself: ${percent} of its newest tries failed, by a fault of ours, of Vobiz or of a carrier.`;
  if (what === "answer_rate") return `It paused itself: ${percent} of its newest tries were answered, which is out of its bounds.`;
  if (what === "incomplete_list") return "It paused itself: all its numbers were called, and rows of a list are missing.";
  if (what === "no_balance") return "It paused itself: the Vobiz account is empty. Top it up, then resume.";
  if (what === "unauthorized") return "It paused itself: Vobiz refuses the account's credentials.";
  return `It paused itself: ${words(reason)}.`;
}

/** A bar of all numbers by what they came to; those still to call are left blank. */
export function outcomeBar({ total, ended, in_call: talking = 0, outcomes = {} }) {
  const known = Object.keys(OUTCOMES).filter((name) => outcomes[name]);
  const told = known.map((name) => `${count(outcomes[name])} ${words(name)}`).join(", ");
  const part = (kind, size) => {
    const piece = h("span", { class: `piece out-${kind}` });
    piece.style.flexGrow = size;
    return piece;
  };
  return h(
    "div",
    { class: "outcomes", role: "img", "aria-label": `${count(ended)} of ${count(total)} done${told && `: ${told}`}` },
    known.map((name) => part(OUTCOMES[name], outcomes[name])),
    talking ? part("talking", talking) : null,
    total > ended + talking ? part("left", total - ended - talking) : null,
  );
}

/** The bar's key, with figures. */
export function outcomeKey({ outcomes = {} }) {
  return h(
    "ul",
    { class: "legend" },
    Object.entries(OUTCOMES)
      .filter(([name]) => outcomes[name])
      .map(([name, kind]) => h("li", {}, h("i", { class: `dot out-${kind}`, "aria-hidden": "true" }), `${words(name)} `, h("b", {}, count(outcomes[name])))),
  );
}

/** What is missing of a campaign's lists, in words; empty where all is there. */
export function lacking(incomplete) {
  if (!incomplete) return "";
  const { missing, rows, is_being_added: isUnderWay } = incomplete;
  const lacks = `${count(missing)} of ${count(rows)} rows of a list are missing`;
  return isUnderWay ? `${lacks}: they are being added just now.` : `${lacks}: whoever added them broke off. Add the same table again.`;
}

export const statePill = (state) => h("span", { class: "pill", "data-state": state }, words(state));

const share = ({ ended, total }) => `${count(ended)} of ${count(total)}`;

/** What the view of now shows of those that run or have paused. */
export function campaignCards(campaigns) {
  if (!campaigns.length) return [];
  const cards = campaigns.map((campaign) =>
    h(
      "article",
      { class: "card campaign-card" },
      h("div", { class: "row" }, h("h3", {}, h("a", { href: `#dial/${campaign.id}` }, campaign.name)), statePill(campaign.state)),
      outcomeBar(campaign),
      h("p", { class: "load-text" }, h("b", {}, share(campaign)), " done"),
      h(
        "p",
        { class: "facts" },
        campaign.state === "paused"
          ? pausedBecause(campaign.reason)
          : `${count(campaign.in_call)} in call · ${count(campaign.dialled_per_minute)} a minute · ends in ${span(campaign.estimate_s)}`,
      ),
    ),
  );
  return [h("h2", {}, "Campaigns"), h("div", { class: "workers" }, cards)];
}

/** The list of all campaigns, newest first, which keeps itself fresh while it is shown. */
export class CampaignList {
  constructor() {
    this.body = h("tbody", {});
    const columns = ["Campaign", "State", "Done", "In call", "A minute", "Ends in", "Made"];
    this.table = h(
      "table",
      { class: "list", hidden: true },
      h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name)))),
      this.body,
    );
    this.note = h("p", { class: "empty", role: "status" });
    this.older = h("button", { type: "button", class: "plain", hidden: true, onclick: () => this.load(this.next) }, "Older campaigns");
    this.element = h(
      "div",
      { class: "card campaigns" },
      h("div", { class: "row wrap" }, h("h2", {}, "Campaigns"), h("a", { class: "plain", href: "#dial/new" }, "New campaign")),
      this.table,
      this.note,
      this.older,
    );
  }

  show() {
    this.hide();
    this.isLong = false;
    this.looking = setInterval(() => this.look(), LOOK_EVERY_MS);
    return this.load();
  }

  hide() {
    clearInterval(this.looking);
  }

  /** Look again, unless that would take something away from under somebody's hands. */
  look() {
    if (!document.hidden && !this.isLong && !this.body.contains(document.activeElement)) this.load();
  }

  async load(cursor = null) {
    const asked = (this.asked = {});
    let found;
    try {
      found = await get(`campaigns?${new URLSearchParams({ limit: PAGE, cursor: cursor ?? "" })}`);
    } catch (error) {
      this.note.textContent = error.message;
      return;
    }
    if (asked !== this.asked) return;
    this.isLong = Boolean(cursor);
    const rows = found.campaigns.map(campaignRow);
    if (cursor) this.body.append(...rows);
    else this.body.replaceChildren(...rows);
    this.next = found.next;
    this.older.hidden = !found.next;
    this.table.hidden = !this.body.children.length;
    this.note.textContent = this.table.hidden ? "None yet. A campaign calls a list of numbers, at the hours and the pace you set." : "";
  }
}

function campaignRow(campaign) {
  const cell = (label, ...children) => h("td", { "data-label": label }, children);
  const isRunning = campaign.state === "running";
  return h(
    "tr",
    {},
    cell("Campaign", h("a", { href: `#dial/${campaign.id}` }, campaign.name)),
    cell("State", statePill(campaign.state)),
    cell("Done", outcomeBar(campaign), h("small", {}, share(campaign))),
    cell("In call", isRunning ? count(campaign.in_call) : "–"),
    cell("A minute", isRunning ? count(campaign.dialled_per_minute) : "–"),
    cell("Ends in", isRunning ? span(campaign.estimate_s) : "–"),
    cell("Made", when(campaign.created_at)),
  );
}
