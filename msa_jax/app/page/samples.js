// The samples of a dataset, the worst first.

import { ask, byId, element, options, say } from "/dom.js";

let first = 0;
let shown = 0;
let total = 0;
let asked = 0;

export function begin(about, current) {
  const form = byId("wanted");
  options(form.elements.split, about.splits);
  form.elements.split.value = "test";
  form.addEventListener("submit", (event) => { event.preventDefault(); first = 0; show(current()); });
  byId("before").addEventListener("click", () => { first = Math.max(0, first - 50); show(current()); });
  byId("after").addEventListener("click", () => { first += shown; show(current()); });
}

export function restart() { first = 0; }

export async function show(run) {
  const form = byId("wanted");
  const named = new URLSearchParams({ run: run.number, first });
  for (const [name, value] of new FormData(form)) if (value !== "") named.set(name, value);
  say(byId("found"), "reading; a split that was not scored before takes a while");
  for (const id of ["before", "after"]) byId(id).disabled = true;
  asked += 1;
  const own = asked;
  try {
    const found = await ask(`/api/samples?${named}`);
    if (own !== asked) return; // something else was asked for meanwhile
    const kept = form.elements.sort.value;
    options(form.elements.sort, found.columns.map((name) => name.replaceAll("_", " ")), found.columns);
    form.elements.sort.value = found.columns.includes(kept) ? kept : "error";
    [shown, total] = [found.rows.length, found.total];
    const rows = shown ? `${found.first + 1} to ${found.first + shown} of ${total}` : "none";
    const remarks = found.remarks.length ? ` Not the data of training: ${found.remarks.join("; ")}.` : "";
    say(byId("found"), `${run.name}: ${rows}${total < found.all ? `, out of ${found.all}` : ""}.${remarks}`);
    byId("table").replaceChildren(tableOf(found));
    byId("before").disabled = found.first === 0;
    byId("after").disabled = found.first + shown >= total;
  } catch (error) {
    say(byId("found"), error.message, true);
    byId("table").replaceChildren();
  }
}

function tableOf(found) {
  const cell = (value, name) => {
    if (name === "text") return element("td", { class: "long" }, value);
    if (name === "id") return element("td", { class: "id" }, value);
    const text = value === null ? "-" : `${name === "error" && value > 0 ? "+" : ""}${value.toFixed(2).replace("-", "−")}`;
    return element("td", { class: "num" }, text);
  };
  const head = found.columns.map((name) => element("th", ["id", "text"].includes(name) ? {} : { class: "num" }, name.replaceAll("_", " ")));
  const rows = found.rows.map((row) => element("tr", {}, ...row.map((value, place) => cell(value, found.columns[place]))));
  return element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
}
