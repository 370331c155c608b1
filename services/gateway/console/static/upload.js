// A table of numbers on its way to a campaign: chosen or dropped, sent, and what became of its rows.

import { upload } from "./api.js";
import { announce, count, h } from "./dom.js";

const MB = 2 ** 20;
const HEAD_BYTES = 4096;
const size = (bytes) => (bytes < MB ? `${Math.ceil(bytes / 1024)} kB` : `${(bytes / MB).toFixed(1)} MB`);

/** What became of each campaign's newest upload, for the campaign's page. */
export const reports = new Map();

/** A place to drop a file on, or to choose one, which then shows how far it is. */
export class Upload {
  constructor(id, onChosen = () => {}) {
    this.onChosen = onChosen;
    this.input = h("input", { id, type: "file", class: "hidden", accept: ".csv,.tsv,.txt,text/csv", onchange: () => this.choose(this.input.files[0]) });
    this.name = h("b", {});
    this.track = h("span", { class: "load", role: "progressbar", "aria-label": "Upload", "aria-valuemin": "0", "aria-valuemax": "100" }, h("span", { class: "load-bar" }));
    this.said = h("span", { class: "facts", role: "status" });
    this.zone = h(
      "label",
      {
        class: "drop",
        for: id,
        ondragover: (event) => this.hover(event, true),
        ondragleave: (event) => this.hover(event, false),
        ondrop: (event) => {
          this.hover(event, false);
          if (!this.input.disabled) this.choose(event.dataTransfer.files[0]);
        },
      },
      this.name,
      h("small", {}, "CSV with a line of names: to, then zone and agent if you like; all else are variables"),
    );
    this.element = h("div", { class: "upload" }, this.input, this.zone, this.track, this.said);
    this.clear();
  }

  hover(event, isOver) {
    event.preventDefault();
    this.zone.classList.toggle("is-over", isOver);
  }

  clear() {
    this.choose(null);
    this.input.value = "";
    this.track.hidden = true;
  }

  choose(file) {
    this.file = file ?? null;
    this.said.textContent = "";
    this.name.textContent = file ? `${file.name}, ${size(file.size)}` : "Drop a table of numbers here, or choose one";
    if (file) this.onChosen(file);
  }

  /** Send the chosen file to a campaign; returns what became of its rows, also where that is a problem. */
  async send(campaignId, onBadRow) {
    const { file } = this;
    this.input.disabled = true;
    this.progress(0, file.size);
    let report;
    try {
      const head = (await file.slice(0, HEAD_BYTES).text()).replace(/\ufffd+$/, ""); // a letter that was cut
      if (/[\0\ufffd]/.test(head)) throw new Error("That is no text in UTF-8. Save the table as CSV first.");
      report = await upload(`campaigns/${campaignId}/rows?on_bad_row=${onBadRow}`, file, (sent) => this.progress(sent, file.size));
    } catch (error) {
      report = { ...error.more, problem: error.message };
    }
    this.input.disabled = false;
    this.clear();
    reports.set(campaignId, { ...report, name: file.name });
    return report;
  }

  progress(sent, bytes) {
    const done = bytes ? Math.min(1, sent / bytes) : 1;
    this.track.hidden = false;
    this.track.setAttribute("aria-valuenow", Math.floor(100 * done));
    this.track.firstChild.style.transform = `scaleX(${done})`;
    this.said.textContent = done < 1 ? `${size(sent)} of ${size(bytes)} sent` : "All of it is sent. Its rows are looked at …";
  }
}

/** What became of an upload's rows: how many, and each bad one by its line. */
export function reportCard({ name, added = 0, duplicates = 0, refused = 0, bad_rows: bad = [], problem = "" }) {
  const told = [`${count(added)} added`, duplicates && `${count(duplicates)} there already`, refused && `${count(refused)} left out`];
  const words = problem || `${name}: ${told.filter(Boolean).join(", ")}.`;
  announce(words);
  const cell = (label, text) => h("td", { "data-label": label }, text ?? "–");
  return [
    h("h2", {}, "The upload"),
    h("p", { class: problem ? "problem" : "" }, words),
    bad.length
      ? h(
          "table",
          { class: "list" },
          h("thead", {}, h("tr", {}, ["Line", "Number", "What is wrong"].map((title) => h("th", { scope: "col" }, title)))),
          h("tbody", {}, bad.map((row) => h("tr", {}, cell("Line", row.line), cell("Number", row.number), cell("What is wrong", row.problem)))),
        )
      : null,
    refused > bad.length ? h("p", { class: "facts" }, `and ${count(refused - bad.length)} more`) : null,
  ].filter(Boolean);
}
