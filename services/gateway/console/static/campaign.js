// One campaign: how far it is, what its numbers came to, and the levers.

import { get, post, remove } from "./api.js";
import { OUTCOMES, lacking, outcomeBar, outcomeKey, pausedBecause, span, statePill } from "./campaigns.js";
import { announce, confirmed, count, figure, h, icon, when, words } from "./dom.js";
import { Upload, reportCard, reports } from "./upload.js";

const LOOK_EVERY_MS = 2000;
const ROWS_EVERY = 3;
const PAGE = 25;
const MOST_PAGES = 20;
const LEVERS = {
  start: { label: "Start", states: ["ready"], ask: ({ total }) => `Begin to call ${count(total)} numbers?` },
  pause: { label: "Pause", states: ["running"] },
  resume: { label: "Resume", states: ["paused"] },
  cancel: {
    label: "Cancel",
    states: ["ready", "running", "paused"],
    ask: ({ name }) => `Cancel ${name} for good? Nobody else is called; calls in progress go on to their end.`,
    act: "Cancel campaign",
  },
  remove: {
    label: "Remove",
    states: ["finished", "cancelled"],
    ask: ({ name }) => `Remove ${name} with all its numbers and results? The calls' own pages stay.`,
  },
};
const GOING = ["start", "resume"];
const FIGURES = { ended: "Done", in_call: "In call", dialling: "Dialling", waiting: "Still to call", dialled_per_minute: "A minute", estimate: "Ends in", next: "Next at" };

export class CampaignView {
  constructor() {
    this.title = "Campaign";
    this.heading = h("h1", { tabindex: "-1" });
    this.state = h("span", {});
    this.reason = h("p", { class: "problem" });
    this.lacks = h("p", { class: "problem" });
    this.problem = h("p", { class: "problem", role: "alert" });
    this.levers = Object.keys(LEVERS).map((verb) => h("button", { type: "button", class: "plain", hidden: true, onclick: () => this.pull(verb) }, LEVERS[verb].label));
    this.drawn = h("div", {});
    this.figures = Object.fromEntries(Object.entries(FIGURES).map(([name, label]) => [name, figure(label)]));
    this.facts = h("p", { class: "facts" });
    this.report = h("div", { class: "card", hidden: true });
    this.upload = new Upload("more-numbers", () => this.add());
    this.adding = h("div", { class: "card" }, h("h2", {}, "Add numbers"), this.upload.element);
    this.rows = new Rows();
    this.element = h(
      "section",
      { class: "campaign" },
      h(
        "div",
        { class: "heading" },
        h("div", {}, h("a", { class: "back", href: "#dial" }, "← All campaigns"), h("div", { class: "row wrap" }, this.heading, this.state)),
        h("div", { class: "row wrap" }, this.levers),
      ),
      this.problem,
      h("div", { class: "card" }, this.reason, this.lacks, this.drawn, h("dl", { class: "figures" }, Object.values(this.figures).map(({ row }) => row)), this.facts),
      this.report,
      this.rows.element,
      this.adding,
    );
  }

  async show(id) {
    this.hide();
    if (id !== this.id) {
      this.id = id;
      this.campaign = null;
      this.upload.clear();
    }
    this.showReport();
    this.looks = 0;
    this.looking = setInterval(() => document.hidden || this.look(), LOOK_EVERY_MS);
    this.rows.show(id);
    await this.look();
  }

  hide() {
    clearInterval(this.looking);
  }

  async look() {
    const { id } = this;
    try {
      const campaign = await get(`campaigns/${encodeURIComponent(id)}`);
      if (id === this.id) this.draw(campaign);
      if (this.isAway) this.problem.textContent = "";
      this.isAway = false;
    } catch (error) {
      this.isAway = true;
      this.problem.textContent = error.message;
      if (error.status === 404) this.hide();
      return;
    }
    if (++this.looks % ROWS_EVERY === 0) this.rows.look();
  }

  draw(campaign) {
    const { name, state, reason } = campaign;
    if (this.campaign && this.campaign.state !== state) announce(`${name}: ${state}`);
    this.campaign = campaign;
    this.heading.textContent = name;
    this.state.replaceChildren(statePill(state));
    this.reason.textContent = state === "paused" ? pausedBecause(reason) : "";
    this.reason.className = reason === "asked" ? "facts" : "problem";
    this.lacks.textContent = lacking(campaign.incomplete);
    Object.values(LEVERS).forEach(({ states }, n) => (this.levers[n].hidden = !states.includes(state)));
    this.drawn.replaceChildren(outcomeBar(campaign), outcomeKey(campaign));
    const told = {
      ...Object.fromEntries(["in_call", "dialling", "waiting", "dialled_per_minute"].map((key) => [key, count(campaign[key])])),
      ended: `${count(campaign.ended)} of ${count(campaign.total)}`,
      estimate: span(campaign.estimate_s),
      next: state === "running" && campaign.waiting ? when(campaign.next_due_at) : "–",
    };
    for (const [key, text] of Object.entries(told)) this.figures[key].value.textContent = text;
    this.facts.textContent = factsOf(campaign);
    this.adding.hidden = !["ready", "running", "paused"].includes(state);
  }

  async pull(verb) {
    const { id, campaign } = this;
    const { ask, act, label } = LEVERS[verb];
    const isShort = GOING.includes(verb) && campaign.incomplete;
    const question = isShort ? `${lacking(campaign.incomplete)} ${label} with the ${count(campaign.total)} that are there, and not wait for the others?` : ask?.(campaign);
    if (question && !(await confirmed(question, act ?? label, "Leave it"))) return;
    this.problem.textContent = "";
    try {
      if (verb === "remove") {
        await remove(`campaigns/${id}`);
        location.hash = "#dial";
        return;
      }
      this.draw(await post(`campaigns/${id}/${verb}${isShort ? "?accept_incomplete=true" : ""}`));
      // The lever that was pulled is gone: the focus goes where its opposite is.
      (this.levers.find((lever) => !lever.hidden) ?? this.heading).focus();
    } catch (error) {
      this.problem.textContent = error.message;
    }
    this.rows.look();
  }

  async add() {
    const { id } = this;
    await this.upload.send(id, "skip");
    if (id !== this.id) return;
    this.showReport();
    await this.look();
    this.rows.load();
  }

  showReport() {
    const report = reports.get(this.id);
    this.report.hidden = !report;
    if (report) this.report.replaceChildren(...reportCard(report));
  }
}

/** The rows of a campaign, filtered, page by page. */
class Rows {
  constructor() {
    const option = (value, label) => h("option", { value }, label);
    this.filter = h(
      "select",
      { id: "row-filter", onchange: () => this.load() },
      option("", "All numbers"),
      option("state=waiting", "still to call"),
      option("state=placed", "being called"),
      Object.keys(OUTCOMES).map((name) => option(`outcome=${name}`, words(name))),
    );
    this.body = h("tbody", {});
    this.table = h(
      "table",
      { class: "list", hidden: true },
      h("thead", {}, h("tr", {}, ["Number", "State", "Tries", "Next try", "Calls"].map((name) => h("th", { scope: "col" }, name)))),
      this.body,
    );
    this.note = h("p", { class: "empty", role: "status" });
    this.more = h("button", { type: "button", class: "plain", hidden: true, onclick: () => this.load(this.next) }, "More numbers");
    this.results = h("a", { class: "plain", download: "" }, icon("down"), "Results (CSV)");
    this.element = h(
      "div",
      { class: "card" },
      h(
        "div",
        { class: "row wrap" },
        h("h2", {}, "Numbers"),
        h("div", { class: "row wrap" }, h("label", { for: "row-filter", class: "hidden" }, "Which numbers"), this.filter, this.results),
      ),
      this.table,
      this.note,
      this.more,
    );
  }

  show(id) {
    if (id !== this.id) this.filter.value = "";
    this.id = id;
    this.results.setAttribute("href", `api/campaigns/${encodeURIComponent(id)}/results.csv`);
    return this.load();
  }

  /** Look again, unless somebody has gone further down or is at it. */
  look() {
    if (!this.isLong && !this.element.contains(document.activeElement)) this.load();
  }

  async load(after = null) {
    const asked = (this.asked = {});
    const rows = [];
    let next = after;
    try {
      // A page may be empty though others follow: those that fit may stand far down.
      for (let page = 0; page < MOST_PAGES && !rows.length && (page === 0 || next); page += 1) {
        const query = new URLSearchParams(this.filter.value);
        query.set("limit", PAGE);
        if (next) query.set("cursor", next);
        const found = await get(`campaigns/${encodeURIComponent(this.id)}/rows?${query}`);
        if (asked !== this.asked) return;
        rows.push(...found.rows.map(numberRow));
        next = found.next;
      }
    } catch (error) {
      if (asked === this.asked) this.note.textContent = error.status === 404 ? "" : error.message;
      return;
    }
    this.isLong = Boolean(after);
    if (after) this.body.append(...rows);
    else this.body.replaceChildren(...rows);
    this.next = next;
    this.more.hidden = !next;
    this.table.hidden = !this.body.children.length;
    this.note.textContent = this.table.hidden ? (this.filter.value ? "No number is like that." : "No numbers yet: add a table below.") : "";
  }
}

function numberRow({ to, state, outcome, attempts, due_at: due, call_id: callId, variables = {}, history = [] }) {
  const cell = (label, ...children) => h("td", { "data-label": label }, children);
  const calls = history.map((tried) => ({ id: tried.call_id, label: `${words(tried.outcome)}, ${when(tried.at)}` }));
  if (callId && !calls.some(({ id }) => id === callId)) calls.push({ id: callId, label: "now" });
  const known = Object.entries(variables).map(([name, value]) => `${name}: ${value}`);
  return h(
    "tr",
    {},
    cell("Number", to, known.length ? h("small", { class: "known" }, known.join(", ")) : null),
    cell("State", h("span", { class: `pill out-${OUTCOMES[outcome] ?? "left"}-word` }, words(outcome ?? STATES[state] ?? state))),
    cell("Tries", count(attempts)),
    cell("Next try", state === "waiting" ? when(due) : "–"),
    cell("Calls", calls.length ? h("ul", { class: "tries" }, calls.map(({ id, label }) => h("li", {}, h("a", { href: `#calls/${id}` }, label)))) : "–"),
  );
}

const STATES = { waiting: "to call", leased: "to call", asking: "dialling", placed: "being called" };

/** What was asked of a campaign, in one line. */
function factsOf({ agent, from, cps, concurrency, windows = {}, priority, created_at: made, duplicates, refused }) {
  return [
    `agent ${words(agent ?? "default")}`,
    from && `from ${from}`,
    cps && `${cps} a second`,
    concurrency && `${count(concurrency)} at once`,
    hoursOf(windows),
    priority !== 5 && `priority ${priority}`,
    duplicates && `${count(duplicates)} duplicates left out`,
    refused && `${count(refused)} bad rows left out`,
    `made ${when(made)}`,
  ]
    .filter(Boolean)
    .join(" · ");
}

/** Calling hours in words; days with the same hours stand together. */
function hoursOf({ always, daily, days = {}, zone }) {
  if (always) return "at any time";
  const written = (spans) => spans.map((span) => span.join("–")).join(", ");
  const byHours = new Map();
  for (const [day, spans] of Object.entries(days)) byHours.set(written(spans), [...(byHours.get(written(spans)) ?? []), day]);
  const told = daily ? `daily ${written(daily)}` : [...byHours].map(([hours, names]) => `${names.join(" ")} ${hours}`).join("; ");
  return `${told}, ${zone ?? "where the phone is"}`;
}
