// The page: tabs, and the experiment that is chosen.

import { ask, byId, options, say } from "/dom.js";
import * as experiments from "/experiments.js";
import * as samples from "/samples.js";
import * as score from "/score.js";

const tabs = [...document.querySelectorAll('[role="tab"]')];
let runs = [];

const current = () => runs[Number(byId("run").value)];
const opened = () => tabs.find((tab) => tab.getAttribute("aria-selected") === "true");

function open(tab) {
  for (const one of tabs) {
    one.setAttribute("aria-selected", String(one === tab));
    byId(one.getAttribute("aria-controls")).hidden = one !== tab;
  }
  if (tab.id === "tab-samples") samples.show(current());
  if (tab.id === "tab-experiments") experiments.show();
}

try {
  const about = await ask("/api/runs");
  runs = about.runs.map((run, number) => ({ ...run, number }));
  options(byId("run"), runs.map((run) => run.name), runs.map((run) => String(run.number)));
  byId("run").addEventListener("change", () => {
    score.show(current());
    samples.restart();
    if (opened().id === "tab-samples") samples.show(current());
  });
  score.begin(about, current);
  samples.begin(about, current);
  experiments.begin();
  score.show(current());
  for (const tab of tabs) tab.addEventListener("click", () => open(tab));
  byId("go").disabled = false;
} catch (error) {
  say(byId("message"), error.message, true);
}
