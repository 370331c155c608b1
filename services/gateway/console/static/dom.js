// Small things for building a page: elements, icons, times.

const SVG = "http://www.w3.org/2000/svg";

/** Make an element; properties that are functions are listeners, null and false are left out. */
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** The same for SVG. */
export function s(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "value") {
      if ("defaultValue" in element) element.defaultValue = value; // a form that is reset has it again
      element.value = value;
    }
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const ICONS = {
  phone: "M6.6 3.5 9.3 3l1.7 4.3-2.2 1.5a11.5 11.5 0 0 0 6.4 6.4l1.5-2.2L21 14.7l-.5 2.7a3 3 0 0 1-3.1 2.5A14.5 14.5 0 0 1 4.1 6.6a3 3 0 0 1 2.5-3.1Z",
  hangup: "M3 14.5c0-5 18-5 18 0l-.4 1.7-4.6-.9-.5-2.4a13 13 0 0 0-7 0L8 15.3l-4.6.9Z",
  mic: "M12 3.5a2.7 2.7 0 0 0-2.7 2.7v5.1a2.7 2.7 0 0 0 5.4 0V6.2A2.7 2.7 0 0 0 12 3.5ZM6 11a6 6 0 0 0 12 0M12 17v3.5",
  muted: "M14.7 8V6.2a2.7 2.7 0 0 0-5.3-.8M9.3 10v1.3a2.7 2.7 0 0 0 4 2.4M6 11a6 6 0 0 0 9.5 4.9M18 11a6 6 0 0 1-.4 2.2M12 17v3.5M4 4l16 16",
  keypad: "M6 6h.01M12 6h.01M18 6h.01M6 12h.01M12 12h.01M18 12h.01M6 18h.01M12 18h.01M18 18h.01",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 2.5V4M12 20v1.5M2.5 12H4M20 12h1.5M5.3 5.3l1 1M17.7 17.7l1 1M5.3 18.7l1-1M17.7 6.3l1-1",
  moon: "M19.5 14.2A8 8 0 0 1 9.8 4.5a8 8 0 1 0 9.7 9.7Z",
  down: "M12 4v11M7.5 11 12 15.5l4.5-4.5M5 19.5h14",
};

/** A line drawing, decoration only. */
export function icon(name) {
  const path = s("path", { d: ICONS[name] });
  return s("svg", { class: `icon icon-${name}`, viewBox: "0 0 24 24", "aria-hidden": "true" }, path);
}

/** Seconds as 1:05 or 1:02:03. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(whole / 60) % 60, whole % 60].map((n) => String(n).padStart(2, "0"));
  const hours = Math.floor(whole / 3600);
  return hours ? `${hours}:${parts.join(":")}` : `${Number(parts[0])}:${parts[1]}`;
}

/** Milliseconds as people read them; a dash where there are none. */
export function ms(value) {
  if (value === null || value === undefined) return "–";
  return value >= 10_000 ? `${(value / 1000).toFixed(1)} s` : `${Math.round(value)} ms`;
}

/** A time of day of an ISO text, with the date unless it is today's. */
export function when(iso) {
  if (!iso) return "–";
  const at = new Date(iso);
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (at.toDateString() === new Date().toDateString()) return time;
  return `${at.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
}

/** Words of a name made for programs. */
export const words = (name) => (name ? String(name).replaceAll("_", " ").replaceAll("-", " ") : "–");

/** Say something to screen readers, and to nobody else. */
export function announce(text) {
  document.getElementById("announce").textContent = text;
}

/** One of the labelled figures that stand in rows. */
export function figure(label, title) {
  const value = h("dd", {}, "–");
  return { row: h("div", { class: "figure", title }, h("dt", {}, label), value), value };
}

/** Whole numbers as people write them; a dash where there is none. */
export const count = (value) => value?.toLocaleString() ?? "–";

/** Ask before something that can't be undone; resolves to whether to do it. */
export function confirmed(question, act, leave = "Cancel") {
  return new Promise((resolve) => {
    const close = (answer) => {
      dialog.close();
      dialog.remove();
      resolve(answer);
    };
    const dialog = h(
      "dialog",
      { "aria-labelledby": "question", oncancel: (event) => (event.preventDefault(), close(false)) },
      h("p", { id: "question" }, question),
      h(
        "div",
        { class: "row end" },
        h("button", { type: "button", class: "plain", onclick: () => close(false) }, leave),
        h("button", { type: "button", class: "primary", onclick: () => close(true) }, act),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
