// The view that places a call and follows it, and leads to campaigns.

import { follow, get, post } from "./api.js";
import { CampaignList } from "./campaigns.js";
import { announce, h, words } from "./dom.js";
import { Transcript } from "./transcript.js";

const LOOK_EVERY_MS = 1000;
const STEPS = ["queued", "ringing", "in-progress"];

export class DialView {
  constructor() {
    this.title = "Dial";
    this.to = h("input", { id: "to", type: "tel", required: true, autocomplete: "tel", placeholder: "+91 80000 00001" });
    this.agent = h("select", { id: "dial-agent" });
    this.variables = h("textarea", { id: "variables", rows: "3", placeholder: "name: Asha\nappointment: Monday at ten", spellcheck: "false" });
    this.problem = h("p", { class: "problem", role: "alert" });
    this.button = h("button", { class: "primary" }, "Call");
    this.transcript = new Transcript();
    this.steps = h("ol", { class: "steps", "aria-label": "State of the call" });
    this.link = h("p", {});
    this.follower = h("div", { class: "card" }, h("h2", {}, "The call"), this.steps, this.transcript.element, this.link);
    this.campaigns = new CampaignList();
    this.element = h(
      "section",
      { class: "dial" },
      h(
        "form",
        { class: "card", onsubmit: (event) => this.place(event) },
        h("h1", {}, "Place a call"),
        h("label", { for: "to" }, "Number"),
        this.to,
        h("label", { for: "dial-agent" }, "Agent"),
        this.agent,
        h("label", { for: "variables" }, "Variables ", h("small", {}, "one a line, as name: value")),
        this.variables,
        this.problem,
        this.button,
      ),
      this.follower,
      this.campaigns.element,
    );
    this.showState("");
    this.transcript.clear("Once somebody answers, what is said appears here.");
  }

  show() {
    this.campaigns.show();
    return fillAgents(this.agent).catch((error) => (this.problem.textContent = error.message));
  }

  hide() {
    this.campaigns.hide();
  }

  async place(event) {
    event.preventDefault();
    this.problem.textContent = "";
    let variables;
    try {
      variables = readVariables(this.variables.value);
    } catch (error) {
      this.problem.textContent = error.message;
      return;
    }
    this.button.disabled = true;
    try {
      const { call_id: id } = await post("dial", { to: this.to.value.trim(), agent: this.agent.value, variables });
      this.follow(id);
    } catch (error) {
      this.problem.textContent = error.message;
    }
    this.button.disabled = false;
  }

  follow(id) {
    this.stop();
    this.transcript.clear("It rings. Once somebody answers, what is said appears here.");
    this.link.replaceChildren();
    this.showState("queued");
    this.looking = setInterval(() => this.look(id), LOOK_EVERY_MS);
    this.unfollow = follow(`calls/${id}/live`, (event) => this.transcript.on(event));
  }

  async look(id) {
    const found = await get(`calls/${id}`).catch(() => null);
    if (!found) return;
    const { record } = found;
    this.showState(record.state, record.end_reason);
    if (!record.ended_at) return;
    this.stop();
    this.link.replaceChildren(h("a", { href: `#calls/${id}` }, "See the whole call"));
  }

  stop() {
    clearInterval(this.looking);
    this.unfollow?.();
  }

  showState(state, reason) {
    if (state === this.state) return;
    this.state = state;
    if (state) announce(words(reason ?? state));
    const reached = STEPS.indexOf(state);
    const isOver = Boolean(state) && reached < 0;
    const items = STEPS.map((step, n) => {
      const kind = n < reached || isOver ? "done" : n === reached ? "present" : "";
      return h("li", { class: kind, "aria-current": kind === "present" ? "step" : null }, words(step));
    });
    items.push(h("li", { class: isOver ? "present" : "" }, isOver ? words(reason ?? state) : "ended"));
    this.steps.replaceChildren(...items);
  }
}

/** Offer the agents there are, once they are known. */
export async function fillAgents(select) {
  if (select.options.length) return;
  const { agents } = await get("agents");
  select.replaceChildren(...agents.map(({ name }) => h("option", { value: name, selected: name === "default" }, words(name))));
}

/** Read lines of `name: value`. */
function readVariables(text) {
  const variables = {};
  for (const line of text.split("\n").map((l) => l.trim()).filter(Boolean)) {
    const [name, ...rest] = line.split(":");
    if (!rest.length || !/^\w+$/.test(name.trim())) throw new Error(`“${line}” is not of the form name: value.`);
    variables[name.trim()] = rest.join(":").trim();
  }
  return variables;
}
