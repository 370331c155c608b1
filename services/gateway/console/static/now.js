// The view of what goes on now: calls, workers, dependencies, and the last hour.

import { follow, get, post } from "./api.js";
import { campaignCards } from "./campaigns.js";
import { chart } from "./charts.js";
import { announce, clock, confirmed, h, ms, words } from "./dom.js";

const CHARTS_EVERY_MS = 30_000;
const COLUMNS = ["State", "Agent", "From", "To", "Worker", "Age", "Jitter", "Last turn"];

export class NowView {
  constructor() {
    this.title = "Now";
    this.health = h("ul", { class: "health", "aria-label": "Health" });
    this.calls = h("div", {});
    this.workers = h("div", { class: "workers" });
    this.campaigns = h("div", { class: "campaigns" });
    this.charts = h("div", { class: "charts" });
    this.problem = h("p", { class: "problem", role: "alert" });
    this.callCount = h("span", { class: "count" });
    this.drained = new Set();
    this.element = h(
      "section",
      { class: "now" },
      h("div", { class: "heading" }, h("h1", {}, "Now"), this.health),
      this.problem,
      h("div", { class: "card" }, h("h2", {}, "Calls in progress ", this.callCount), this.calls),
      this.campaigns,
      h("h2", {}, "Workers"),
      this.workers,
      h("h2", {}, "The last hour"),
      this.charts,
    );
  }

  show() {
    this.hide();
    this.unfollow = follow(
      "now",
      (now) => this.onNow(now),
      (state) => (this.problem.textContent = state === "open" ? "" : "The gateway does not answer. Trying again."),
    );
    this.drawing = setInterval(() => this.drawCharts(), CHARTS_EVERY_MS);
    return this.drawCharts();
  }

  hide() {
    this.unfollow?.();
    clearInterval(this.drawing);
  }

  onNow({ calls = [], workers = [], health = {}, campaigns = [] }) {
    this.callCount.textContent = calls.length || "";
    this.calls.replaceChildren(calls.length ? callTable(calls) : h("p", { class: "empty" }, "Nobody is on the line."));
    this.health.replaceChildren(...Object.entries(health).map(([name, state]) => healthItem(name, state)));
    this.drawWorkers(workers);
    if (!this.campaigns.contains(document.activeElement)) this.campaigns.replaceChildren(...campaignCards(campaigns));
  }

  /** Cards are changed and not made anew: a button under the pointer must stay. */
  drawWorkers(workers) {
    this.cards ??= new Map();
    const ids = new Set(workers.map(({ worker_id: id }) => id));
    for (const [id, card] of this.cards) {
      if (!ids.has(id)) {
        card.element.remove();
        this.cards.delete(id);
      }
    }
    for (const worker of workers) {
      if (!this.cards.has(worker.worker_id)) {
        const card = new WorkerCard(worker.worker_id, (id, isDraining) => this.turn(id, isDraining));
        this.cards.set(worker.worker_id, card);
        this.workers.append(card.element);
      }
      this.cards.get(worker.worker_id).update(worker);
    }
    this.none ??= h("p", { class: "empty" }, "No worker is running: calls hear that all lines are busy.");
    if (workers.length) this.none.remove();
    else this.workers.append(this.none);
  }

  /** Have a worker take no more calls, or take them again. */
  async turn(id, isDraining) {
    const question = `Drain ${id}? It takes no new calls; those in progress go on to their end.`;
    if (!isDraining && !(await confirmed(question, "Drain"))) return;
    try {
      await post(`workers/${encodeURIComponent(id)}/${isDraining ? "undrain" : "drain"}`);
      announce(isDraining ? `${id} takes calls again` : `${id} drains`);
    } catch (error) {
      this.problem.textContent = error.message;
    }
  }

  async drawCharts() {
    let found;
    try {
      found = await get("series?window_s=3600");
    } catch (error) {
      found = { is_available: false, problem: error.message };
    }
    if (!this.element.isConnected) return;
    if (found.is_available && this.charts.contains(document.activeElement)) return;
    this.charts.replaceChildren(
      ...(found.is_available
        ? found.charts.map(chart)
        : [
            h(
              "p",
              { class: "card empty" },
              "There is no Prometheus to draw from. With one running, and the gateway told where it is, " +
                "the last hour's calls, latencies and jitter stand here.",
            ),
          ]),
    );
  }
}

function healthItem(name, state) {
  const kind = state === "ok" ? "good" : String(state).startsWith("ok") ? "fair" : "bad";
  return h("li", { class: kind }, h("i", { class: "lamp", "aria-hidden": "true" }), h("b", {}, name), ` ${state}`);
}

function callTable(calls) {
  const cell = (label, ...children) => h("td", { "data-label": label }, children);
  const rows = calls.map((call) =>
    h(
      "tr",
      {},
      cell("State", h("a", { href: `#calls/${call.call_id}` }, words(call.state))),
      cell("Agent", call.agent ?? "–"),
      cell("From", call.from_number || "–"),
      cell("To", call.to_number || "–"),
      cell("Worker", call.worker_id ?? "–"),
      cell("Age", call.age_s === null ? "–" : clock(call.age_s)),
      cell("Jitter", ms(call.jitter_ms)),
      cell("Last turn", ms(call.last_turn_ms)),
    ),
  );
  return h(
    "table",
    { class: "list" },
    h("thead", {}, h("tr", {}, COLUMNS.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows),
  );
}

class WorkerCard {
  constructor(id, turn) {
    this.load = h("span", { class: "load-bar" });
    this.text = h("p", { class: "load-text" });
    this.facts = h("p", { class: "facts" });
    this.button = h("button", { type: "button", class: "plain", onclick: () => turn(id, this.isDraining) }, "Drain");
    this.element = h(
      "article",
      { class: "card worker" },
      h("div", { class: "row" }, h("h3", {}, id), this.button),
      h("div", { class: "load", "aria-hidden": "true" }, this.load),
      this.text,
      this.facts,
    );
  }

  update({ active, capacity, lag_ms: lagMs, version, zone, draining }) {
    this.load.style.transform = `scaleX(${capacity ? Math.min(1, active / capacity) : 0})`;
    this.text.replaceChildren(h("b", {}, `${active} of ${capacity}`), " calls");
    this.facts.textContent = [draining && "draining", `lag ${ms(lagMs)}`, zone, version === "source" ? "" : version].filter(Boolean).join(" · ");
    this.isDraining = Boolean(draining);
    this.button.textContent = draining ? "Take calls" : "Drain";
    this.element.classList.toggle("is-draining", this.isDraining);
  }
}
