// The form that makes a campaign: whom to call, who talks, at what pace and hours.

import { post } from "./api.js";
import { Rules } from "./campaign-rules.js";
import { fillAgents } from "./dial.js";
import { h } from "./dom.js";
import { Upload, reports } from "./upload.js";

const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const NAMES = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

export class NewCampaignView {
  constructor() {
    this.title = "New campaign";
    this.name = h("input", { id: "campaign-name", required: true, maxlength: "100", autocomplete: "off", placeholder: "Renewals, November" });
    this.agent = h("select", { id: "campaign-agent" });
    this.from = h("input", { id: "campaign-from", type: "tel", autocomplete: "off", placeholder: "as set up" });
    this.cps = h("input", { id: "campaign-cps", type: "number", min: "0.01", max: "1000", step: "any", placeholder: "as the account" });
    this.atOnce = h("input", { id: "campaign-at-once", type: "number", min: "1", max: "100000", placeholder: "as the account" });
    this.since = h("input", { id: "campaign-since", type: "time", value: "09:00", required: true });
    this.until = h("input", { id: "campaign-until", type: "time", value: "21:00", required: true });
    this.zone = h("input", { id: "campaign-zone", autocomplete: "off", placeholder: "of each phone's own place", list: "zones" });
    this.days = NAMES.map((name, n) => check(`day-${DAYS[n]}`, name, true));
    this.always = check("campaign-always", "At any time", false, () => this.showHours());
    this.strict = check("campaign-strict", "Refuse the whole table when a row is bad");
    this.starts = check("campaign-starts", "Begin to call at once");
    this.fields = new Map();
    const field = (name, label, input, unit) => this.field(name, label, input, unit);
    this.rules = new Rules(field);
    this.upload = new Upload("campaign-table", (file) => (this.name.value ||= file.name.replace(/\.\w+$/, "")));
    this.hours = h(
      "div",
      {},
      h("div", { class: "pair" }, field("windows.from", "From", this.since), field("windows.until", "Until", this.until)),
      h("div", { class: "checks", role: "group", "aria-label": "Days" }, this.days.map(({ element }) => element)),
      field("windows.zone", "By the clock", this.zone),
    );
    this.problem = h("p", { class: "problem", role: "alert" });
    this.button = h("button", { class: "primary" }, "Make campaign");
    this.form = h(
      "form",
      { class: "card", onsubmit: (event) => this.make(event) },
      h("h1", {}, "New campaign"),
      field("name", "Name", this.name),
      h("div", { class: "pair" }, field("agent", "Agent", this.agent), field("from", "Caller number", this.from)),
      h("div", { class: "pair" }, field("cps", "Calls a second", this.cps), field("concurrency", "Calls at once", this.atOnce)),
      h("fieldset", {}, h("legend", {}, "Calling hours"), this.hours, this.always.element),
      this.rules.element,
      h("fieldset", {}, h("legend", {}, "Numbers"), this.upload.element, this.strict.element, this.starts.element),
      this.problem,
      this.button,
    );
    this.element = h("section", { class: "new-campaign" }, h("a", { class: "back", href: "#dial" }, "← All campaigns"), this.form);
  }

  async show() {
    const zones = h("datalist", { id: "zones" }, (Intl.supportedValuesOf?.("timeZone") ?? []).map((value) => h("option", { value })));
    if (!this.form.querySelector("datalist")) this.form.append(zones);
    await fillAgents(this.agent).catch((error) => (this.problem.textContent = error.message));
  }

  showHours() {
    this.hours.hidden = this.always.box.checked;
    this.since.required = this.until.required = !this.hours.hidden;
  }

  windows() {
    if (this.always.box.checked) return { always: true };
    const spans = [[this.since.value, this.until.value]];
    const days = DAYS.filter((_, n) => this.days[n].box.checked);
    if (!days.length) throw new Error("Choose a day at least.");
    const told = days.length === DAYS.length ? { daily: spans } : { days: Object.fromEntries(days.map((day) => [day, spans])) };
    const zone = this.zone.value.trim();
    return zone ? { ...told, zone } : told;
  }

  /** An input with its label, and room for what is wrong with it; `name` is the API's. */
  field(name, label, input, unit) {
    const problem = h("p", { class: "problem", id: `${input.id}-problem` });
    this.fields.set(name, { input, problem });
    return h("div", {}, h("label", { for: input.id }, label, unit ? h("small", {}, unit) : null), input, problem);
  }

  clearProblems() {
    this.problem.textContent = "";
    for (const { input, problem } of this.fields.values()) {
      problem.textContent = "";
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
    }
  }

  /** Show what is wrong at the field it is about, or at the nearest one; else at the form's end. */
  tell({ message, more = {} }) {
    const names = [...this.fields.keys()];
    const parts = String(more.field ?? "").split(".");
    const found = parts.map((_, n) => parts.slice(0, parts.length - n).join(".")).filter(Boolean);
    const name = found.map((part) => names.find((known) => known === part || known.startsWith(`${part}.`))).find(Boolean);
    const { input, problem } = this.fields.get(name) ?? {};
    if (!input || this.hours.hidden && this.hours.contains(input)) {
      this.problem.textContent = message;
      return;
    }
    problem.textContent = message;
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", problem.id);
    const rules = input.closest("details");
    if (rules) rules.open = true;
    input.focus(); // which is what a screen reader reads, problem and all
  }

  async make(event) {
    event.preventDefault();
    this.clearProblems();
    this.button.disabled = true;
    try {
      if (this.starts.box.checked && !this.upload.file) throw new Error("Choose a table of numbers first: there is nobody to call yet.");
      const { id } = await post("campaigns", this.wanted());
      await this.fill(id);
      this.form.reset();
      this.showHours();
      location.hash = `#dial/${id}`;
    } catch (error) {
      this.tell(error);
    }
    this.button.disabled = false;
  }

  wanted() {
    return {
      name: this.name.value.trim(),
      agent: this.agent.value || null,
      from: this.from.value.trim() || null,
      cps: this.cps.value ? Number(this.cps.value) : null,
      concurrency: this.atOnce.value ? Number(this.atOnce.value) : null,
      windows: this.windows(),
      ...this.rules.wanted(),
    };
  }

  /** The campaign is there: what goes wrong from here on is shown on its own page. */
  async fill(id) {
    if (!this.upload.file) return;
    const { added, problem } = await this.upload.send(id, this.strict.box.checked ? "refuse" : "skip");
    if (!this.starts.box.checked || problem || !added) return;
    await post(`campaigns/${id}/start`).catch((error) => reports.set(id, { ...reports.get(id), problem: `It was not started. ${error.message}` }));
  }
}

function check(id, label, isOn = false, onchange = () => {}) {
  const box = h("input", { id, type: "checkbox", checked: isOn, onchange });
  return { box, element: h("label", { class: "check", for: id }, box, label) };
}
