// A clip by upload, camera or path, or a text alone, and its scores.

import { legend, lines, scale, signed, wave } from "/charts.js";
import { ask, byId, drawn, element, options, say } from "/dom.js";

const MODALITIES = ["text", "audio", "vision"];
const kind = (head) => `s-${MODALITIES.includes(head) ? head : "all"}`;

let chosen = null; // a File
let address = null; // of its preview
let recorder = null;

export function begin(about, current) {
  if (about.clips !== null) {
    byId("listed").hidden = false;
    options(byId("path"), ["", ...about.clips]);
    byId("path").addEventListener("change", () => byId("path").value && take(null));
  }
  const pick = () => byId("file").files.length && take(byId("file").files[0]);
  byId("file").addEventListener("change", pick);
  pick(); // of a page that was loaded again, or chosen before this line ran
  byId("video").addEventListener("error", () => { byId("video").hidden = true; }); // the browser cannot play what we may read
  const drop = byId("drop");
  for (const [event, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    drop.addEventListener(event, (happened) => {
      happened.preventDefault();
      drop.classList.toggle("over", over);
      if (event === "drop" && happened.dataTransfer.files.length) take(happened.dataTransfer.files[0]);
    });
  }
  byId("camera").addEventListener("click", record);
  byId("clear").addEventListener("click", () => { byId("form").reset(); byId("path").value = ""; take(null); byId("result").replaceChildren(); say(byId("message"), ""); });
  byId("form").addEventListener("submit", (event) => { event.preventDefault(); score(current()); });
}

// What the page says of the experiment that is chosen now.
export function show(run) {
  const [low, high] = run.label_range;
  byId("about").textContent = `${run.method} on ${run.dataset}, ${run.seeds.length} ${run.seeds.length > 1 ? "seeds" : "seed"}, labels from ${low} to ${high}. ` +
    (run.reads_clips ? `It reads ${run.modalities.join(", ")}.` : "It was not trained on features of clips, so it scores text alone.");
  byId("source").disabled = !run.reads_clips;
  const boxes = run.modalities.map((name) => element("label", {}, element("input", { type: "checkbox", name, checked: "" }), ` ${name}`));
  byId("modalities").replaceChildren(element("legend", {}, "Read"), ...boxes);
  byId("modalities").hidden = run.modalities.length < 2 || !run.reads_clips;
}

function take(file) {
  chosen = file;
  if (file !== null) byId("path").value = "";
  else byId("file").value = "";
  if (address !== null) URL.revokeObjectURL(address);
  address = file === null ? null : URL.createObjectURL(file);
  const video = byId("video");
  video.hidden = file === null;
  if (file === null) video.removeAttribute("src");
  else video.src = address;
  const name = file?.name ?? byId("path").value;
  byId("chosen").textContent = name ? `${name}${file ? `, ${(file.size / 2 ** 20).toFixed(1)} MB` : ""}` : "No clip: the text alone is scored.";
}

async function record() {
  if (recorder !== null) {
    recorder.stop();
    return;
  }
  const message = byId("message");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 }, audio: true });
  } catch (error) {
    say(message, `no camera and microphone: ${error.message ?? error.name}`, true);
    return;
  }
  const video = byId("video");
  video.hidden = false;
  video.srcObject = stream;
  video.muted = true;
  video.play();
  const parts = [];
  recorder = new MediaRecorder(stream);
  recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
  recorder.addEventListener("stop", () => {
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
    const type = recorder.mimeType.split(";")[0] || "video/webm";
    recorder = null;
    byId("camera").textContent = "Record with the camera";
    say(message, "");
    take(new File(parts, `recording.${type.endsWith("mp4") ? "mp4" : "webm"}`, { type }));
  });
  recorder.start();
  byId("camera").textContent = "Stop";
  say(message, "recording");
}

async function score(run) {
  const [message, result, go] = [byId("message"), byId("result"), byId("go")];
  const text = byId("text").value;
  const window_ = Number(byId("window").value) || 1;
  const missing = [...byId("modalities").querySelectorAll("input:not(:checked)")].map((box) => box.name);
  const path = byId("path").value;
  result.replaceChildren();
  say(message, "scoring; the first time takes longer");
  go.disabled = true;
  try {
    let found;
    if (chosen !== null && !byId("source").disabled) {
      const named = new URLSearchParams({ run: run.number, name: chosen.name, text, window: window_, missing: missing.join(",") });
      found = await ask(`/api/upload?${named}`, { method: "POST", body: chosen, headers: { "content-type": "application/octet-stream" } });
    } else {
      const clip = path && !byId("source").disabled ? path : null;
      const body = JSON.stringify({ run: run.number, text, clip, window: window_, missing });
      found = await ask("/api/score", { method: "POST", body, headers: { "content-type": "application/json" } });
    }
    say(message, "");
    result.replaceChildren(...views(found, run));
  } catch (error) {
    say(message, error.message, true);
  } finally {
    go.disabled = false;
  }
}

function views(found, run) {
  const heads = Object.entries(found.heads);
  const rows = [{ name: "all", kind: "all", value: found.score, seeds: Object.values(found.runs) }];
  for (const [head, value] of heads) rows.push({ name: head, kind: MODALITIES.includes(head) ? head : "all", value });
  const left = element("div", {}, element("p", { class: "number", id: "number" }, signed(found.score)), scale(rows, run.label_range));
  if (rows[0].seeds.length > 1) left.append(element("p", { class: "grey" }, "Thin lines: the score of each seed. The number is their mean."));
  const top = element("div", { class: "columns" }, left);
  if (found.face) top.append(face(found.face));
  const made = [...found.notes.map((note) => element("p", { class: "note" }, note)), top];
  if (found.parts) made.push(...course(found, heads.map(([head]) => head), run.label_range));
  if (found.text) made.push(element("h2", {}, "Words"), element("p", { class: "words" }, found.text));
  return made;
}

function course(found, heads, range) {
  const middle = (part) => (part.start + part.end) / 2;
  const of = (name, read) => ({ name, kind: kind(name), thin: name !== "all", points: found.parts.map((part) => [middle(part), read(part)]) });
  const all = [of("all", (part) => part.score), ...heads.map((head) => of(head, (part) => part.heads[head]))];
  const named = all.map((line) => [line.name, line.kind]);
  const made = [element("h2", {}, "Over time"), legend(named), lines(all, { unit: " s", range, span: [0, found.seconds], label: "scores over time" })];
  if (found.wave) made.push(wave(found.wave, found.words, found.seconds));
  return made;
}

function face(found) {
  const marks = found.points.map(([x, y]) => drawn("circle", { cx: x * found.width, cy: y * found.height, r: found.width / 160 }));
  const over = drawn("svg", { viewBox: `0 0 ${found.width} ${found.height}`, "aria-hidden": "true" }, ...marks);
  const picture = element("img", { src: found.picture, alt: found.points.length ? "face with landmarks" : "picture in the middle of the clip", width: found.width, height: found.height });
  return element("div", {}, element("div", { class: "face" }, picture, over), element("p", { class: "grey" }, found.points.length ? "68 landmarks" : "No face was looked for or found."));
}
