// Elements and requests. Text goes into elements as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export const element = (name, attributes = {}, ...children) => filled(document.createElement(name), attributes, children);
export const drawn = (name, attributes = {}, ...children) => filled(document.createElementNS(SVG, name), attributes, children);

export function options(select, names, values = names) {
  select.replaceChildren(...names.map((name, place) => element("option", { value: values[place] }, name)));
}

export function say(place, text, bad = false) {
  place.textContent = text;
  place.className = bad ? "error" : "grey";
}

// The answer to a request, or an Error with what the server says of it.
export async function ask(path, named = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...named, headers: { "x-msa-jax": "page", ...named.headers } });
  } catch {
    throw new Error("no answer: has the program ended?");
  }
  if (answer.status === 503) throw new Error("too many requests at once: try again");
  const content = await answer.json().catch(() => ({ error: `an answer that is none (status ${answer.status})` }));
  if (!answer.ok) throw new Error(content.error ?? `status ${answer.status}`);
  return content;
}

export function table(content) {
  const numeric = content.columns.map((_, place) => place > 0 && content.rows.some((row) => /^[+-]?\d/.test(String(row[place] ?? ""))));
  const cell = (kind, value, place) => element(kind, numeric[place] ? { class: "num" } : {}, value === null ? "-" : String(value));
  const head = element("tr", {}, ...content.columns.map((name, place) => cell("th", name, place)));
  const rows = content.rows.map((row) => element("tr", {}, ...row.map((value, place) => cell("td", value, place))));
  const made = element("table", {}, element("caption", {}, content.caption), element("thead", {}, head), element("tbody", {}, ...rows));
  const notes = content.notes.map((note) => element("p", { class: "grey" }, note));
  return element("div", {}, element("div", { class: "scroll" }, made), ...notes);
}
