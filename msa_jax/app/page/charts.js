// Charts as SVG, in the colours of the page.

import { drawn, element } from "/dom.js";

const WIDTH = 680;
const LEFT = 70;
const RIGHT = 20;
const SCALE = 500; // the width of a scale, and of the values at its right
const VALUE = 60;

export const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);

function ticks(low, high, least = 0) {
  const rough = Math.max((high - low) / 6, least);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1) found.push(Number((k * step).toPrecision(12)));
  return found;
}

const across = (low, high, end = WIDTH - RIGHT) => (value) => LEFT + ((value - low) / (high - low)) * (end - LEFT);

// Scores on the label range: a line for each of rows [{name, kind, value, seeds}].
export function scale(rows, [low, high]) {
  const at = across(low, high, SCALE - VALUE);
  const within = (value) => Math.min(Math.max(value, low), high);
  const bottom = 14 + 34 * rows.length;
  const made = drawn("svg", { class: "chart", viewBox: `0 0 ${SCALE} ${bottom + 22}`, role: "img", "aria-label": "scores on the label range" });
  for (const tick of ticks(low, high)) {
    made.append(drawn("line", { class: tick === 0 ? "zero" : "axis", x1: at(tick), x2: at(tick), y1: 4, y2: bottom }));
    made.append(drawn("text", { x: at(tick), y: bottom + 16, "text-anchor": "middle" }, String(tick).replace("-", "−")));
  }
  rows.forEach((row, place) => {
    const y = 24 + 34 * place;
    made.append(drawn("text", { class: "name", x: 0, y: y + 4 }, row.name));
    made.append(drawn("line", { class: "axis", x1: at(low), x2: at(high), y1: y, y2: y }));
    for (const seed of row.seeds ?? []) made.append(drawn("line", { class: `seed s-${row.kind}`, x1: at(within(seed)), x2: at(within(seed)), y1: y - 8, y2: y + 8 }));
    made.append(drawn("circle", { class: `s-${row.kind}`, cx: at(within(row.value)), cy: y, r: place === 0 ? 7 : 5 }));
    made.append(drawn("text", { class: "name", x: SCALE, y: y + 4, "text-anchor": "end" }, signed(row.value)));
  });
  return made;
}

// Lines over x: lines [{name, kind, thin, points: [[x, y or null], ...], marks: [x, ...]}].
// range: of y, by default of the points. least: between two ticks of x.
export function lines(found, { unit, height = 220, range = null, span = null, least = 0, label }) {
  const all = found.flatMap((line) => line.points.filter((point) => point[1] !== null));
  if (!all.length) return element("p", { class: "grey" }, "There is nothing to draw.");
  const [first, last] = span ?? [Math.min(...all.map((one) => one[0])), Math.max(...all.map((one) => one[0]))];
  let [low, high] = range ?? [Math.min(...all.map((one) => one[1])), Math.max(...all.map((one) => one[1]))];
  if (low === high) [low, high] = [low - 0.5, high + 0.5];
  const x = across(first, last > first ? last : first + 1);
  const y = (value) => height - 24 - ((Math.min(Math.max(value, low), high) - low) / (high - low)) * (height - 36);
  const made = drawn("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": label });
  for (const tick of ticks(low, high)) {
    made.append(drawn("line", { class: tick === 0 ? "zero" : "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick) }));
    made.append(drawn("text", { x: LEFT - 8, y: y(tick) + 4, "text-anchor": "end" }, String(tick).replace("-", "−")));
  }
  for (const tick of ticks(first, last > first ? last : first + 1, least)) made.append(drawn("text", { x: x(tick), y: height - 6, "text-anchor": "middle" }, `${tick}${unit}`));
  for (const line of found) {
    let path = "";
    let broken = true;
    for (const [at, value] of line.points) {
      if (value !== null) path += `${broken ? "M" : "L"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
      broken = value === null;
    }
    made.append(drawn("path", { class: `line ${line.thin ? "thin " : ""}${line.kind}`, d: path, fill: "none" }, drawn("title", {}, line.name)));
    for (const [at, value] of line.points) {
      if (value !== null && (line.points.length < 40 || (line.marks ?? []).includes(at))) made.append(drawn("circle", { class: line.kind, cx: x(at), cy: y(value), r: (line.marks ?? []).includes(at) ? 4.5 : 2 }));
    }
  }
  return made;
}

export function wave(sound, words, span) {
  const x = across(0, span);
  const height = words.length ? 112 : 72;
  const made = drawn("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": "wave form" });
  const at = (place) => x(Math.min((place / sound.low.length) * sound.seconds, span)).toFixed(1);
  const top = Math.max(0.05, ...sound.high, ...sound.low.map((value) => -value));
  const y = (value) => (36 - (value / top) * 32).toFixed(1);
  const upper = sound.high.map((value, place) => `${at(place)} ${y(value)}`);
  const lower = sound.low.map((value, place) => `${at(place)} ${y(value)}`).reverse();
  made.append(drawn("path", { class: "wave", d: `M${[...upper, ...lower].join("L")}Z` }));
  made.append(drawn("text", { class: "name", x: 0, y: 40 }, "sound"));
  words.forEach(([start, , text], place) => {
    made.append(drawn("text", { class: "name word", x: x(Math.min(start, span)), y: 90 + 16 * (place % 2) }, text));
  });
  return made;
}

export function legend(named) {
  const items = named.map(([name, kind]) => {
    const mark = drawn("svg", { viewBox: "0 0 28 12", "aria-hidden": "true" }, drawn("line", { class: kind, x1: 1, x2: 27, y1: 6, y2: 6, "stroke-width": 4 }));
    return element("li", {}, mark, name);
  });
  return element("ul", { class: "legend" }, ...items);
}
