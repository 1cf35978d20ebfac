// Experiments side by side: tables, and curves over the epochs.

import { legend, lines } from "/charts.js";
import { ask, byId, element, options, say, table } from "/dom.js";

let curves = null;

export function begin() {
  byId("curve").addEventListener("change", draw);
}

export async function show() {
  if (curves !== null) return;
  say(byId("compared"), "reading");
  try {
    const found = await ask("/api/comparison");
    curves = found.curves;
    say(byId("compared"), found.remarks.join(" "), found.remarks.length > 0);
    byId("tables").replaceChildren(...found.tables.map(table));
    const names = Object.keys(curves);
    options(byId("curve"), names);
    byId("choice").hidden = !names.length;
    byId("curve").value = names.find((name) => name === "MAE, valid") ?? names[0] ?? "";
    draw();
  } catch (error) {
    say(byId("compared"), error.message, true);
  }
}

function draw() {
  const runs = curves[byId("curve").value] ?? [];
  const names = [...new Set(runs.map((run) => run.experiment))];
  const colour = (name) => `c${names.indexOf(name) % 6}`;
  const found = runs.map((run) => ({
    name: `${run.experiment}, seed ${run.seed}`,
    kind: colour(run.experiment),
    points: run.epochs.map((epoch, place) => [epoch, run.values[place]]),
    marks: run.best === null ? [] : [run.best],
  }));
  byId("curves").replaceChildren(
    legend(names.map((name) => [name, colour(name)])),
    lines(found, { unit: "", height: 300, least: 1, label: `${byId("curve").value} over the epochs` }),
    element("p", { class: "grey" }, "Over the epochs, a line for each seed. The large dot is the epoch that was kept."),
  );
}
