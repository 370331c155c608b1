// Small line charts, drawn as SVG: read with the eye, the pointer, the arrow keys, or as text.

import { h, s } from "./dom.js";

const WIDTH = 320;
const HEIGHT = 120;
const LEFT = 34;
const BOTTOM = 18;
const TOP = 8;

/** One chart in a card. */
export function chart({ title, unit, series }) {
  const known = series.filter(({ points }) => points.some(([, value]) => value !== null));
  const card = h("figure", { class: "chart" }, h("figcaption", {}, title, unit ? h("small", {}, ` ${unit}`) : ""));
  if (!known.length) {
    card.append(h("p", { class: "empty" }, "Nothing in this hour."));
    return card;
  }
  const scale = scaleOf(known);
  const cursor = s("g", { class: "cursor" });
  const svg = s(
    "svg",
    {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      role: "img",
      tabindex: "0",
      "aria-label": describe(title, unit, known),
    },
    grid(scale),
    known.map(({ points }, n) => s("path", { class: `series series-${n % 5}`, d: lineOf(points, scale) })),
    cursor,
  );
  const legend = h("ul", { class: "legend" });
  const showAt = (time) => {
    cursor.replaceChildren();
    if (time !== null) {
      const x = scale.x(time);
      cursor.append(s("line", { x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }));
    }
    showLegend(legend, known, time, unit);
  };
  follow(svg, known, scale, showAt);
  showAt(null);
  card.append(svg, legend);
  return card;
}

function scaleOf(series) {
  const points = series.flatMap((one) => one.points);
  const times = points.map(([time]) => time);
  const values = points.map(([, value]) => value).filter((value) => value !== null);
  const [from, to] = [Math.min(...times), Math.max(...times)];
  const top = niceTop(Math.max(...values));
  return {
    from,
    to,
    top,
    x: (time) => LEFT + ((time - from) / (to - from || 1)) * (WIDTH - LEFT - 4),
    y: (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP),
  };
}

/** The least of 1, 2, 2.5, 5 times a power of ten that is not below a value. */
function niceTop(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].find((n) => n * power >= value) * power;
}

function grid({ from, to, top, x, y }) {
  const time = (unix) => new Date(unix * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return s(
    "g",
    { class: "grid" },
    [0, 0.5, 1].map((share) => [
      s("line", { x1: LEFT, x2: WIDTH - 4, y1: y(share * top), y2: y(share * top) }),
      s("text", { x: LEFT - 5, y: y(share * top) + 3, "text-anchor": "end" }, short(share * top)),
    ]),
    s("text", { x: LEFT, y: HEIGHT - 4 }, time(from)),
    s("text", { x: x(to), y: HEIGHT - 4, "text-anchor": "end" }, time(to)),
  );
}

function lineOf(points, { x, y }) {
  let isOpen = false;
  return points
    .map(([time, value]) => {
      if (value === null) {
        isOpen = false;
        return "";
      }
      const step = `${isOpen ? "L" : "M"}${x(time).toFixed(1)} ${y(value).toFixed(1)}`;
      isOpen = true;
      return step;
    })
    .join("");
}

function follow(svg, series, scale, showAt) {
  const times = series[0].points.map(([time]) => time);
  let index = times.length - 1;
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const share = (((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (WIDTH - LEFT - 4);
    index = Math.max(0, Math.min(times.length - 1, Math.round(share * (times.length - 1))));
    showAt(times[index]);
  });
  svg.addEventListener("pointerleave", () => showAt(null));
  svg.addEventListener("blur", () => showAt(null));
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    index = Math.max(0, Math.min(times.length - 1, index + step));
    showAt(times[index]);
  });
  if (scale.from === scale.to) showAt(null);
}

function showLegend(legend, series, time, unit) {
  legend.replaceChildren(
    ...series.map(({ label, points }, n) => {
      const found = time === null ? points.findLast(([, v]) => v !== null) : points.find(([t]) => t === time);
      const value = found?.[1] ?? null;
      return h(
        "li",
        {},
        h("i", { class: `dot series-${n % 5}`, "aria-hidden": "true" }),
        label ? `${label} ` : "",
        h("b", {}, value === null ? "–" : `${short(value)}${unit ? ` ${unit}` : ""}`),
      );
    }),
  );
}

function describe(title, unit, series) {
  const parts = series.map(({ label, points }) => {
    const values = points.map(([, value]) => value).filter((value) => value !== null);
    const range = `from ${short(Math.min(...values))} to ${short(Math.max(...values))}, last ${short(values.at(-1))}`;
    return `${label || title}: ${range} ${unit ?? ""}`.trim();
  });
  return `${title}, last hour. ${parts.join(". ")}. Arrow keys read values.`;
}

function short(value) {
  const size = Math.abs(value);
  if (size >= 10_000) return `${Math.round(value / 1000)}k`;
  if (size >= 100 || Number.isInteger(value)) return String(Math.round(value));
  return size >= 10 ? value.toFixed(1) : String(Number(value.toPrecision(2)));
}
