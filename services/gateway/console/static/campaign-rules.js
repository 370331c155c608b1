// What a campaign's form has under "More rules": who goes first, machines, further tries, pauses.

import { h } from "./dom.js";

// As the dialer has them where nothing else is said; a test holds the two together.
export const DEFAULTS = {
  priority: 5,
  retry: { max_attempts: 3, after_s: { busy: [300, 900], no_answer: [3600, 14_400], failed: [120, 600] } },
  pause_rules: { error_rate: 0.5, answer_rate_min: null, answer_rate_max: null, over_last: 50 },
};
const TRIES = {
  busy: "Busy",
  no_answer: "Nobody answered",
  failed: "Failed before an answer",
  rejected: "Refused by the person",
  machine: "A machine answered",
  unknown: "Perhaps dialled",
  answered_then_failed: "Answered, then failed",
  answered: "Answered",
  invalid_number: "No such number",
};
const RATES = { error_rate: "Failed by a fault", answer_rate_min: "Fewer answered than", answer_rate_max: "More answered than" };
const MACHINES = { "": "as set up", off: "nobody listens for them", detect: "tell the agent", hangup: "hang up" };
const MINUTE_S = 60;

/** A value that can't be; `field` is what the API calls it. */
export class BadField extends Error {
  constructor(field, words) {
    super(words);
    this.more = { field };
  }
}

export class Rules {
  /** `field` makes a labelled input of which problems can be shown. */
  constructor(field) {
    this.priority = h("input", { id: "campaign-priority", type: "number", min: "1", max: "9", step: "1", required: true, value: DEFAULTS.priority });
    this.machine = h("select", { id: "campaign-machine" }, Object.entries(MACHINES).map(([value, label]) => h("option", { value }, label)));
    this.most = h("input", { id: "campaign-tries", type: "number", min: "1", max: "20", step: "1", required: true, value: DEFAULTS.retry.max_attempts });
    this.waits = inputs(TRIES, (name) => ({ id: `again-${name}`, autocomplete: "off", inputmode: "decimal", placeholder: "not again", value: minutes(DEFAULTS.retry.after_s[name]) }));
    this.rates = inputs(RATES, (name) => ({ id: `pause-${name}`, type: "number", min: "1", max: "100", step: "any", placeholder: "never", value: percent(DEFAULTS.pause_rules[name]) }));
    this.last = h("input", { id: "pause-over_last", type: "number", min: "5", max: "1000", step: "1", required: true, value: DEFAULTS.pause_rules.over_last });
    this.element = h(
      "details",
      { class: "more-rules" },
      h("summary", {}, "More rules"),
      h("div", { class: "pair" }, field("priority", "Priority ", this.priority, "9 goes before 1"), field("machine_detection", "Answering machines", this.machine)),
      group(
        "Another try",
        "Minutes to wait before each further try, as 5, 15. Where there are none the number is done.",
        field("retry.max_attempts", "Calls to a number at most", this.most),
        Object.entries(this.waits).map(([name, input]) => field(`retry.after_s.${name}`, TRIES[name], input)),
      ),
      group(
        "Pause by itself",
        "When so many percent of the newest tries came out like this.",
        field("pause_rules.over_last", "Newest tries that are looked at", this.last),
        Object.entries(this.rates).map(([name, input]) => field(`pause_rules.${name}`, `${RATES[name]} `, input, "percent")),
      ),
    );
    // What the browser itself finds wrong in here it can't show while it is shut.
    this.element.addEventListener("invalid", () => (this.element.open = true), true);
  }

  /** What is wanted, as the API has it; what is as by default is left to it. Throws BadField. */
  wanted() {
    const retry = { max_attempts: Number(this.most.value), after_s: {} };
    for (const [name, input] of Object.entries(this.waits)) {
      const waits = secondsOf(`retry.after_s.${name}`, input.value);
      if (waits.length) retry.after_s[name] = waits;
    }
    const rates = Object.entries(this.rates).map(([name, { value }]) => [name, value ? Number(value) / 100 : null]);
    const told = {
      priority: Number(this.priority.value),
      retry,
      pause_rules: { ...Object.fromEntries(rates), over_last: Number(this.last.value) },
    };
    const others = Object.entries(told).filter(([name, value]) => !isSame(value, DEFAULTS[name]));
    return { ...Object.fromEntries(others), ...(this.machine.value && { machine_detection: this.machine.value }) };
  }
}

const inputs = (names, properties) => Object.fromEntries(Object.keys(names).map((name) => [name, h("input", properties(name))]));

const group = (title, words, ...fields) => h("fieldset", {}, h("legend", {}, title), h("p", { class: "facts" }, words), h("div", { class: "pair" }, fields.flat()));

const minutes = (seconds = []) => seconds.map((each) => each / MINUTE_S).join(", ");

const percent = (rate) => (rate === null ? "" : rate * 100);

/** Read minutes, as 5, 15. */
function secondsOf(field, text) {
  const parts = text.split(/[\s,;]+/).filter(Boolean);
  const seconds = parts.map((part) => Math.round(Number(part) * MINUTE_S * 1000) / 1000);
  if (!seconds.every((each) => each > 0)) throw new BadField(field, "Write minutes, one for each further try, as 5, 15.");
  return seconds;
}

function isSame(one, other) {
  if (one === null || typeof one !== "object") return one === other;
  const names = Object.keys(one);
  return names.length === Object.keys(other ?? {}).length && names.every((name) => isSame(one[name], other[name]));
}
