// The review page. Its data is in blocks of JSON: a "file" and a "transcript" for each file, "totals" at the end. A
// transcript is read when its file is opened or searched, the others at once. File names and texts always enter the page
// as text, never as markup.
const UNSURE = { logprob: -1.0, ratio: 2.4, silence: 0.6 }; // openai-whisper's limits, as attention.py has them
const STEP_S = 3;
const RATES = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2];
const STORE = `whisperbatch review ${location.pathname}`; // key of the checked marks in localStorage, which all pages on disk share
const TOOLTIPS = { // by the name of a figure or the kind of a reason
  "log-probability": "The model's mean log-probability for the text: 0 means certain, below -1 means unsure",
  "language": "Language of the text; in brackets its probability from 0 to 1, if it was detected",
  "speech with text": "Seconds of detected speech that have text, of all detected speech",
  "length": "Length of the recording",
  "in doubt": "Files where something stands out, such as missing speech or uncertain text",
  "checked": "Files that you marked as checked; the browser and saved JSON files keep the mark",
  "speed": "Seconds of audio transcribed per second",
  failed: "There is no transcript, or only of part of the recording",
  damage: "Part of the recording could not be decoded",
  notice: "A note about how the recording was read",
  coverage: "Speech was detected there, but no text was written for it",
  suspect: "A stretch that the decoder flagged as doubtful",
  logprob: "Log-probability: 0 means certain; below -1 the model was unsure of the text",
  loop: "Compression ratio: text above 2.4 repeats itself, as models do when they lose track",
  silence: "Probability that there is no speech; above 0.6 the text may be invented",
  words: "Words whose probability is below 0.5: more likely wrong than right",
  language_reason: "Below 0.7 the model is unsure which language is spoken",
};
const NO_SPACES = /[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]/; // Thai, Lao, Burmese, Khmer, kana, han

const blocks = (kind) => Array.from(document.querySelectorAll(`script.${kind}`));
const byId = (id) => document.getElementById(id);
const files = blocks("file").map((block, index) => ({ index, entry: JSON.parse(block.textContent),
  edits: new Map(), names: new Map(), moves: new Map() }));
blocks("transcript").forEach((block, index) => { files[index].block = block; });
const totals = JSON.parse(blocks("totals")[0].textContent);

let shown = []; // files in the list, in order
let open = null; // the file that is shown
let current = -1; // index of its current segment
let marks = stored();
let rate = storedRate();
let isShaded = true;
const NARROW = matchMedia("(max-width: 480px)");
const title = titleOf();

// ---- helpers

function make(tag, traits = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(traits)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

// A name that cannot mislead: control characters, changes of text direction and stray bytes are written as escapes.
function plain(text) {
  return String(text).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

function clock(seconds) {
  const whole = Math.floor(Math.max(0, seconds || 0));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

function announce(text) { byId("announcement").textContent = text; }

function pair(name, value) {
  return make("div", { title: TOOLTIPS[name] }, make("dt", {}, name), make("dd", {}, value));
}

// Objects from a table as page.py writes it: column names in "of", values in "rows".
function unpacked(rows) {
  if (!rows?.of) return rows;
  return rows.rows.map((row) => Object.fromEntries(rows.of.map((name, k) => [name, row[k]])));
}

// The deepest folder that all files share, or else the page's own title.
function titleOf() {
  const folders = files.map(({ entry }) => entry.path.split("/").slice(0, -1));
  let n = 0;
  while (folders.length && folders.every((parts) => n < parts.length && parts[n] === folders[0][n])) n += 1;
  const folder = n ? folders[0][n - 1] : "";
  return folder && folder !== "." ? `Transcripts in ${plain(folder)}` : document.title;
}

function storedRate() {
  try { const saved = Number(localStorage.getItem("whisperbatch rate")); return RATES.includes(saved) ? saved : 1; } catch { return 1; }
}

function transcriptOf(file) {
  if (file.transcript === undefined) {
    const data = JSON.parse(file.block.textContent);
    const segments = unpacked(data?.segments)?.map((one) => (one.words ? { ...one, words: unpacked(one.words) } : one));
    file.transcript = data === null ? null : { ...data, segments };
  }
  return file.transcript;
}

function textIn(file) {
  const data = JSON.parse(file.block.textContent);
  return data === null ? "" : unpacked(data.segments).map((segment) => segment.text).join("");
}

function searchable(file) {
  if (file.haystack === undefined) {
    file.haystack = `${file.entry.path}\n${textIn(file)}`.toLowerCase();
  }
  return [file.haystack, ...file.edits.values()].join("\n").toLowerCase();
}

const ratioOf = ({ entry }) => entry.speech_seconds ? (entry.covered_seconds ?? entry.speech_seconds) / entry.speech_seconds : 1;
const nChanges = (file) => file.edits.size + nSpeakerChanges(file);
const isDoubtful = (file) => file.entry.reasons.length > 0;
const has = (file, ...kinds) => file.entry.reasons.some((reason) => kinds.includes(reason.kind));

// ---- the list

const FILTERS = {
  all: () => true,
  doubt: isDoubtful,
  unchecked: (file) => isDoubtful(file) && !isChecked(file),
  checked: (file) => isChecked(file),
  coverage: (file) => has(file, "coverage"),
  logprob: (file) => has(file, "logprob", "words"),
  loop: (file) => has(file, "loop", "suspect", "silence"),
  language: (file) => has(file, "language"),
  damage: (file) => has(file, "damage"),
  failed: (file) => has(file, "failed"),
  corrected: (file) => nChanges(file) > 0,
};
const byPath = new Intl.Collator(undefined, { numeric: true });
const SORTS = {
  attention: (a, b) => b.entry.attention - a.entry.attention,
  path: () => 0,
  logprob: (a, b) => (a.entry.avg_logprob ?? Infinity) - (b.entry.avg_logprob ?? Infinity) || 0,
  coverage: (a, b) => ratioOf(a) - ratioOf(b),
  duration: (a, b) => b.entry.audio_seconds - a.entry.audio_seconds,
};

function refresh() {
  const needle = byId("search").value.trim().toLowerCase();
  const isWanted = FILTERS[byId("filter").value];
  const order = SORTS[byId("sort").value];
  shown = files.filter((file) => isWanted(file) && (!needle || searchable(file).includes(needle)));
  shown.sort((a, b) => order(a, b) || a.rank - b.rank);
  byId("files").replaceChildren(...shown.map(row));
  byId("count").textContent = shown.length === files.length
    ? `${files.length} ${files.length === 1 ? "file" : "files"}` : `${shown.length} of ${files.length} files`;
}

function row(file) {
  if (!file.row) {
    const { entry } = file;
    const folder = plain(entry.path.slice(0, Math.max(0, entry.path.length - entry.name.length - 1)));
    file.why = make("span", { class: "why" });
    file.button = make("button", { type: "button", title: plain(entry.path), onclick: () => show(file) },
      make("bdi", { class: "name" }, plain(entry.name)),
      make("span", { class: "length" }, entry.audio_seconds ? clock(entry.audio_seconds) : "–"),
      ...(folder ? [make("bdi", { class: "folder" }, folder)] : []), file.why);
    file.row = make("li", {}, file.button);
    showWhy(file);
  }
  return file.row;
}

function showWhy(file) {
  if (!file.why) return;
  const { reasons, status } = file.entry;
  const n = nChanges(file);
  let [kind, text] = ["fine", status === "skipped" ? "skipped: nothing stands out" : "nothing stands out"];
  if (reasons.length) [kind, text] = [reasons[0].kind, plain(reasons[0].text) + (reasons.length > 1 ? ` +${reasons.length - 1}` : "")];
  if (isChecked(file)) [kind, text] = ["checked", "checked"];
  if (n) [kind, text] = ["corrected", `${n} corrected${file.isSaved ? "" : ", not saved"}`];
  file.why.className = `why ${kind}`;
  file.why.textContent = text;
}

// ---- checked marks

// The stored marks by path, each with the transcript's digest, so that a changed text does not count as checked.
function stored() {
  try { return JSON.parse(localStorage.getItem(STORE)) || {}; } catch { return {}; }
}

function digestOf(file) { // FNV-1a
  if (file.digest === undefined) {
    let sum = 0x811c9dc5;
    const text = textIn(file);
    for (let k = 0; k < text.length; k += 1) sum = Math.imul(sum ^ text.charCodeAt(k), 0x01000193) >>> 0;
    file.digest = sum.toString(36);
  }
  return file.digest;
}

function isChecked(file) {
  if (file.isChecked === undefined) {
    const mark = marks[file.entry.path];
    const isOfThisText = mark !== undefined && mark.digest === digestOf(file);
    file.isChecked = isOfThisText ? mark.checked : Boolean(file.entry.checked);
  }
  return file.isChecked;
}

function setChecked(file, checked) {
  file.isChecked = checked;
  marks = { ...stored(), [file.entry.path]: { digest: digestOf(file), checked } }; // another tab may have added some
  try { localStorage.setItem(STORE, JSON.stringify(marks)); } catch { announce("This browser cannot store the mark; save the JSON to keep it."); }
  showWhy(file);
  showTotals();
  if (file === open) showChecked(file);
}

function showChecked(file) {
  byId("checked").checked = isChecked(file);
  const left = files.filter(FILTERS.unchecked).length;
  byId("next").textContent = left ? `Next in doubt (${left} left)` : "All files in doubt are checked";
  byId("next").disabled = left - (FILTERS.unchecked(file) ? 1 : 0) === 0;
  if (byId("save")) byId("save").disabled = nChanges(file) === 0 && !isChecked(file);
}

// Open the next unchecked file in doubt in the list, or else among all files.
function nextInDoubt() {
  const from = shown.indexOf(open);
  const turned = [...shown.slice(from + 1), ...shown.slice(0, Math.max(0, from))];
  const next = turned.find(FILTERS.unchecked) ?? files.find((file) => file !== open && FILTERS.unchecked(file));
  if (!next) { announce("There is no other file in doubt to check."); return; }
  show(next);
  next.row.scrollIntoView({ block: "nearest" });
}

// ---- one file

function show(file, isByUser = true) {
  if (open && open !== file) {
    if (!leaveEditor()) return;
    open.button?.removeAttribute("aria-current");
    if (audio()) audio().pause();
  }
  open = file;
  current = -1;
  row(file);
  file.button.setAttribute("aria-current", "true");
  if (isByUser) document.body.classList.add("open");
  const { entry } = file;
  const data = transcriptOf(file);
  const detail = byId("detail");
  detail.replaceChildren(
    make("button", { type: "button", class: "back", onclick: back }, "← All files"),
    make("h2", {}, make("bdi", {}, plain(entry.name))),
    about(entry, data),
    ...(entry.reasons.length ? [reasonsOf(entry)] : []),
    ...(data === null
      ? [make("p", { class: "hint" }, "There is no transcript of this file."), make("div", { class: "actions" }, ...checking(file))]
      : [playerBar(file), speakersOf(file), legend(data), segmentsOf(file, data)]),
  );
  showChecked(file);
  document.title = `${plain(entry.name)} – ${title}`;
  detail.scrollTop = 0;
  if (!isByUser) return;
  detail.focus({ preventScroll: true });
  announce(`Opened ${plain(entry.name)}`);
}

function back() {
  if (!leaveEditor()) return;
  document.body.classList.remove("open");
  if (audio()) audio().pause();
  open?.button?.focus();
}

// Path and figures; collapsed on narrow screens.
function about(entry, data) {
  return make("details", { class: "about", open: !NARROW.matches }, make("summary", {}, "About this file"),
    ...(entry.path === entry.name ? [] : [make("p", { class: "where" }, make("bdi", {}, plain(entry.path)))]), factsOf(entry, data));
}

function factsOf(entry, data) {
  const list = make("dl", { class: "facts" }, pair("status", entry.status));
  const add = (name, value) => list.append(pair(name, value));
  if (entry.audio_seconds) add("length", clock(entry.audio_seconds));
  if (entry.language) {
    const p = entry.language_probability;
    add("language", plain(entry.language) + (typeof p === "number" ? ` (${p.toFixed(2)})` : ""));
  }
  if (typeof entry.speech_seconds === "number" && typeof entry.covered_seconds === "number")
    add("speech with text", `${entry.covered_seconds.toFixed(1)} of ${entry.speech_seconds.toFixed(1)} s`);
  if (typeof entry.avg_logprob === "number") add("log-probability", entry.avg_logprob.toFixed(2));
  if (data?.whisperbatch?.model) add("model", plain(data.whisperbatch.model));
  const source = entry.outputs.find((output) => output.endsWith(".json")) ?? entry.outputs.find((output) => /\.(srt|vtt|ass|txt)$/i.test(output));
  if (source) add("transcript", plain(source.split("/").pop()));
  return list;
}

function reasonsOf(entry) {
  const spans = entry.reasons.flatMap((reason) => reason.spans);
  const isListed = (reason) => reason.kind === "suspect" && spans.some(([start]) => start === reason.at); // already shown with missing speech
  return make("ul", { class: "reasons", "aria-label": "Reasons to listen" }, ...entry.reasons.filter((one) => !isListed(one)).map(reasonOf));
}

function reasonOf(reason) {
  return make("li", { title: TOOLTIPS[`${reason.kind}_reason`] ?? TOOLTIPS[reason.kind] },
    ...(typeof reason.at === "number" ? [timeButton(reason.at, () => jump(reason.at)), " "] : []), plain(reason.text),
    ...(reason.spans.length ? [" No text at ", ...reason.spans.flatMap(([start, end], k) => [k ? " " : "", spanButton(start, end)])] : []));
}

function spanButton(start, end) {
  return make("button", { type: "button", class: "time", "aria-label": `Play ${clock(start)}–${clock(end)}`,
    onclick: () => jump(start) }, `${clock(start)}–${clock(end)}`);
}

function timeButton(at, act) {
  return make("button", { type: "button", class: "time", "aria-label": `Play from ${clock(at)}`, onclick: act }, clock(at));
}

function audio() { return document.querySelector("#detail audio"); }

function playerBar(file) {
  const { entry } = file;
  const player = make("audio", { controls: true, preload: "metadata", "aria-label": `Recording ${plain(entry.name)}` });
  const trouble = make("p", { class: "trouble", role: "alert" });
  const pick = make("input", { type: "file", accept: "audio/*,video/*", class: "unseen", id: "pick", tabindex: "-1", "aria-hidden": "true" });
  pick.addEventListener("change", () => {
    if (!pick.files.length) return;
    if (file.blob) URL.revokeObjectURL(file.blob);
    file.blob = URL.createObjectURL(pick.files[0]);
    trouble.textContent = "";
    player.hidden = false;
    player.src = file.blob;
  });
  player.addEventListener("error", () => {
    trouble.textContent = `This browser cannot play ${plain(entry.name)}: it was moved, or the browser does not ` +
      "support its format. Open it in another player, or choose another copy.";
  });
  player.addEventListener("timeupdate", follow);
  player.addEventListener("seeked", () => { if (player.wanted === undefined) follow(); else seek(player, player.wanted); });
  if (file.blob || entry.audio) player.src = file.blob || entry.audio;
  else {
    player.hidden = true;
    trouble.textContent = "The recording was not found when this page was made; choose it to listen.";
  }
  player.addEventListener("loadedmetadata", () => { player.playbackRate = rate; }); // a new source starts at speed 1
  const speed = make("select", { id: "rate", onchange: (event) => setRate(Number(event.target.value)) },
    ...RATES.map((one) => make("option", { value: one, selected: one === rate }, `${one}×`)));
  const save = make("button", { type: "button", id: "save", onclick: () => download(file),
    title: "Download the transcript with your corrections and the mark; whisperbatch convert turns it into other formats" }, "Save corrected JSON");
  const documents = make("span", { class: "documents" }, "Save as ",
    make("button", { type: "button", onclick: () => saveMarkdown(file), title: "A document for editors and wikis, with your corrections" }, "Markdown"), " ",
    ...(Object.keys(totals.docx).length ? [make("button", { type: "button", onclick: () => saveWord(file),
      title: "A document for Word and LibreOffice, with your corrections, uncertain words shaded" }, "Word")] : []));
  return make("div", { class: "player-bar" }, player, trouble, make("div", { class: "actions" },
    ...checking(file), make("label", {}, "Speed ", speed),
    make("label", {}, make("input", { type: "checkbox", id: "follow", checked: true }), "Follow along"), save, documents,
    make("button", { type: "button", onclick: () => pick.click() }, "Choose the recording…"), pick));
}

function checking(file) {
  return [
    make("label", { class: "check", title: TOOLTIPS.checked }, make("input", { type: "checkbox", id: "checked",
      onchange: (event) => setChecked(file, event.target.checked) }), "Checked"),
    make("button", { type: "button", id: "next", class: "main", onclick: nextInDoubt,
      title: "Open the next file that is in doubt and not checked" }, "Next in doubt"),
  ];
}

function setRate(wanted) {
  rate = wanted;
  try { localStorage.setItem("whisperbatch rate", String(rate)); } catch { /* the speed lasts as long as the page */ }
  if (audio()) audio().playbackRate = rate;
  if (byId("rate")) byId("rate").value = String(rate);
  announce(`Speed ${rate}`);
}

function stepRate(by) { setRate(RATES[Math.min(RATES.length - 1, Math.max(0, RATES.indexOf(rate) + by))]); }

function legend(data) {
  const hasWords = data.segments.some((segment) => segment.words?.length);
  return make("p", { class: "legend" }, ...(hasWords
    ? [make("label", {}, make("input", { type: "checkbox", id: "shades", checked: isShaded,
      onchange: (event) => shade(event.target.checked) }), "Shade uncertain words: "), make("mark", { class: "u1" }, "below 0.5"), " ", make("mark", { class: "u2" }, "below 0.3"), " ",
      make("mark", { class: "u3" }, "below 0.15"), ". Click on a word to hear it."]
    : ["This transcript has no word times, so no word is shaded; segments in doubt are marked. To see uncertain words, transcribe with ",
      make("code", {}, "--word-timestamps"), "."]));
}

function shade(isWanted) {
  isShaded = isWanted;
  document.body.classList.toggle("unshaded", !isWanted);
}

function segmentsOf(file, data) {
  const list = make("ol", { id: "segments" }); // the list is long: CSS lays rows out only when they come into view
  list.append(...data.segments.map((segment, index) => segmentRow(file, segment, index)));
  return list;
}

function segmentRow(file, segment, index) {
  const body = make("div", { class: "body" });
  const item = make("li", { "data-index": index }, timeButton(segment.start, () => go(index, true)), body,
    make("button", { type: "button", class: "edit", "aria-label": `Edit the segment at ${clock(segment.start)}`, onclick: () => edit(index) }, "Edit"));
  fill(file, segment, index, item, body);
  return item;
}

function fill(file, segment, index, item, body) {
  const corrected = file.edits.get(index);
  item.classList.toggle("corrected", corrected !== undefined);
  const text = make("div", { class: "text", onclick: (event) => clicked(event, index) });
  const who = segment.speaker ?? segment.channel;
  if (who !== undefined && who !== null) text.append(whoOf(file, segment, index), " ");
  if (corrected !== undefined) text.append(corrected.trim() || "(no text)");
  else if (segment.words?.length) text.append(...segment.words.map((word, k) => wordOf(word, k)));
  else text.append(segment.text.trim() || "(no text)");
  const flags = corrected === undefined ? flagsOf(segment) : [make("span", { class: "flag good" }, "corrected")];
  body.replaceChildren(text, ...flags);
}

function wordOf(word, k) {
  const text = k === 0 ? word.word.trimStart() : word.word;
  const p = word.probability;
  if (typeof p !== "number" || p >= totals.uncertain_word) return make("span", { "data-start": word.start }, text);
  const blank = text.match(/^\s*/)[0]; // the space before a word is not in doubt
  return make("span", { "data-start": word.start }, blank,
    make("mark", { class: p < 0.15 ? "u3" : p < 0.3 ? "u2" : "u1", title: `probability ${p.toFixed(2)}` }, text.slice(blank.length)));
}

function flagsOf(segment) {
  const flags = [];
  const add = (kind, text) => flags.push(make("span", { class: "flag", title: TOOLTIPS[kind] }, text));
  if (!segment.text.trim()) return flags;
  if (segment.avg_logprob < UNSURE.logprob) add("logprob", `log-probability ${segment.avg_logprob.toFixed(2)}`);
  if (segment.compression_ratio > UNSURE.ratio) add("loop", `repeats itself (${segment.compression_ratio.toFixed(1)})`);
  if (segment.no_speech_prob > UNSURE.silence) add("silence", `possibly no speech (${segment.no_speech_prob.toFixed(2)})`);
  return flags;
}

// ---- playing

function clicked(event, index) {
  if (String(getSelection())) return; // the user is selecting text
  const at = event.target.closest("[data-start]")?.dataset.start;
  go(index, true, at === undefined ? undefined : Number(at));
}

function rowAt(index) { return byId("segments")?.children[index]; }

function mark(index, scrolls) {
  if (index === current) return;
  rowAt(current)?.classList.remove("now");
  rowAt(current)?.removeAttribute("aria-current");
  current = index;
  const item = rowAt(index);
  if (!item) return;
  item.classList.add("now");
  item.setAttribute("aria-current", "true");
  if (scrolls) reveal(item);
}

// Scroll an item into view below the player bar, which covers the top of the pane.
function reveal(item) {
  const detail = byId("detail");
  const [top, bottom] = [document.querySelector(".player-bar").getBoundingClientRect().bottom, detail.getBoundingClientRect().bottom];
  const box = item.getBoundingClientRect();
  if (box.top < top) detail.scrollTop -= top - box.top + 8;
  else if (box.bottom > bottom) detail.scrollTop += box.bottom - bottom + (bottom - top) / 3;
}

function go(index, plays, at) {
  const segment = transcriptOf(open).segments[index];
  if (!segment) return;
  mark(index, true);
  const player = audio();
  seek(player, at ?? segment.start);
  if (plays) play(player);
}

// One seek at a time, to the last position requested: Chromium hangs if it is sent away and back during a seek.
function seek(player, at) {
  player.wanted = player.seeking ? at : undefined;
  if (!player.seeking) player.currentTime = at;
}

function skip(by) {
  const player = audio();
  if (player) seek(player, Math.max(0, (player.wanted ?? player.currentTime) + by));
}

function jump(at) { // there may be no segment at or before this time
  const player = audio();
  if (!player) return;
  const index = indexAt(at);
  if (index >= 0) mark(index, true);
  seek(player, at);
  play(player);
}

// Follow a link from another program, #t=SECONDS&file=TRANSCRIPT; without a file it is the open one.
function visit() {
  const params = new URLSearchParams(location.hash.slice(1).replaceAll("+", "%2B")); // "+" is not a space here
  const [at, name] = [Number(params.get("t") ?? NaN), params.get("file")];
  if (!Number.isFinite(at)) return false;
  const file = name === null ? open ?? shown[0] : fileOf(name);
  if (!file) { announce(`${plain(name ?? "a file")} is not on this page.`); return false; }
  if (file !== open) show(file);
  row(file).scrollIntoView({ block: "nearest" });
  if (transcriptOf(file) !== null) jump(at);
  return true;
}

// The file with that transcript or recording: by whole path, else by the end of the path, else by name.
function fileOf(name) {
  const ends = (path) => path === name || name.endsWith(`/${path}`) || path.endsWith(`/${name}`);
  const last = (path) => path.split("/").pop();
  const known = (is) => files.find(({ entry }) => [...entry.outputs, entry.path].some(is));
  return known((path) => path === name) ?? known(ends) ?? known((path) => last(path) === last(name));
}

function play(player) {
  player.play().catch((error) => { if (error.name === "NotAllowedError") announce("Click on the player first: the browser requires it."); });
}

function indexAt(seconds) {
  const { segments } = transcriptOf(open);
  let [low, high] = [0, segments.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (segments[middle].start <= seconds + 0.01) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function follow() {
  const player = audio();
  if (!player || !open || player.wanted !== undefined || !byId("follow").checked || byId("editor")) return;
  const index = indexAt(player.currentTime);
  if (index >= 0 && (!player.paused || current < 0 || player.currentTime > 0)) mark(index, !player.paused);
}

// ---- correcting

function textOf(file, index) { return file.edits.get(index) ?? transcriptOf(file).segments[index].text; }

function edit(index) {
  if (!leaveEditor()) return;
  mark(index, true);
  const file = open;
  const item = rowAt(index);
  const area = make("textarea", { id: "editor", spellcheck: "true", dir: "auto", "data-index": index,
    "aria-label": `Text of the segment at ${clock(transcriptOf(file).segments[index].start)}` });
  area.value = textOf(file, index).trim();
  area.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { event.preventDefault(); close(index, null); }
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); close(index, area.value); }
  });
  item.querySelector(".body").replaceChildren(area, make("div", { class: "keep" },
    make("button", { type: "button", class: "main", title: "Ctrl Enter", onclick: () => close(index, area.value) }, "Save"),
    make("button", { type: "button", title: "Esc", onclick: () => close(index, null) }, "Cancel")));
  item.querySelector(".edit").hidden = true;
  area.focus();
}

// Moving elsewhere saves what was typed in an open editor.
function leaveEditor() {
  const area = byId("editor");
  if (area) close(Number(area.dataset.index), area.value);
  return true;
}

function close(index, typed) {
  const file = open;
  const segment = transcriptOf(file).segments[index];
  if (typed !== null && typed.trim() !== textOf(file, index).trim()) {
    const text = typed.trim().replace(/\s*\n\s*/g, " ");
    if (text === segment.text.trim()) file.edits.delete(index);
    else file.edits.set(index, (segment.text.match(/^\s*/)[0] || (index ? " " : "")) + text);
    file.isSaved = false;
    announce("Correction noted; save the corrected JSON when you are done.");
  }
  const item = rowAt(index);
  item.querySelector(".edit").hidden = false;
  fill(file, segment, index, item, item.querySelector(".body"));
  item.querySelector(".edit").focus({ preventScroll: true });
  showChecked(file);
  showWhy(file);
  showRules();
}

function download(file) {
  leaveEditor();
  const corrected = currentOf(file);
  const { checked, ...block } = corrected.whisperbatch;
  const data = { ...corrected, whisperbatch: isChecked(file) ? { ...block, checked: true } : block };
  offer(`${stemOf(file)}.corrected.json`, new Blob([JSON.stringify(data)], { type: "application/json" }));
  file.isSaved = true;
  showWhy(file);
  announce("Saved the corrected JSON; whisperbatch convert turns it into other formats.");
}

function stemOf(file) { return file.entry.name.replace(/\.[^.]*$/, "").replace(/[\p{C}/\\]/gu, "_") || "transcript"; }

function offer(name, blob) {
  const url = URL.createObjectURL(blob);
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

function saveMarkdown(file) {
  leaveEditor();
  const text = markdownOf(currentOf(file), stemOf(file));
  offer(`${stemOf(file)}.md`, new Blob([text], { type: "text/markdown" }));
}

function saveWord(file) {
  leaveEditor();
  offer(`${stemOf(file)}.docx`, wordFileOf(currentOf(file), stemOf(file), totals.docx, totals.uncertain_word));
}

// The transcript with everything that was changed on the page.
const currentOf = (file) => withSpeakers(file, correctedOf(transcriptOf(file), file.edits));

// The transcript with the corrected texts. Tokens belong to the old text, so they are dropped; words are rebuilt. The
// text from before replacement rules is dropped too: undoing the rules would undo the correction.
function correctedOf(data, edits) {
  const segments = data.segments.map((segment, index) => {
    const text = edits.get(index);
    if (text === undefined) return segment;
    const { original, original_words, ...rest } = segment;
    const changed = { ...rest, text: text.trim() ? text : "", tokens: [] };
    if (segment.words) changed.words = wordsOf(changed, segment.words);
    return changed;
  });
  return { ...data, text: segments.map((segment) => segment.text).join(""), segments };
}

// Unchanged words keep their times; new ones share the time between those, by length.
function wordsOf(segment, old) {
  const fresh = split(segment.text, old);
  const oldIndexes = matches(old.map((word) => word.word.trim()), fresh.map((word) => word.trim()));
  const words = fresh.map((word, k) => (oldIndexes[k] >= 0 ? { ...old[oldIndexes[k]], original: undefined, word } : { word }));
  for (let from = 0; from < words.length; from += 1) {
    if (words[from].start !== undefined) continue;
    let to = from;
    while (to < words.length && oldIndexes[to] < 0) to += 1;
    spread(words.slice(from, to), from ? words[from - 1].end : segment.start, to < words.length ? words[to].start : segment.end,
      old[from ? oldIndexes[from - 1] + 1 : 0] ?? old[old.length - 1]);
    from = to;
  }
  return words;
}

function spread(words, start, end, replaced) {
  const length = words.reduce((sum, { word }) => sum + word.length, 0);
  const span = Math.max(0, end - start);
  let done = 0;
  for (const word of words) {
    word.start = Math.round((start + span * done / length) * 1000) / 1000;
    done += word.word.length;
    word.end = Math.round((start + span * done / length) * 1000) / 1000;
    word.probability = 1; // a person has listened
    if (replaced?.speaker !== undefined) word.speaker = replaced.speaker;
  }
}

// Words, each with the space before it; for languages without spaces, the browser's segmentation.
function split(text, old) {
  if (!NO_SPACES.test(text) || !globalThis.Intl?.Segmenter) return text.match(/\s*\S+/g) ?? [];
  const words = [];
  for (const { segment, isWordLike } of new Intl.Segmenter(undefined, { granularity: "word" }).segment(text)) {
    const last = words[words.length - 1];
    if (last === undefined || (isWordLike && last.trim())) words.push(segment);
    else if (!segment.trim()) words.push(segment);
    else words[words.length - 1] += segment;
  }
  return words.filter((word) => word.trim());
}

// For each new word the index of the same old word, or -1, by a longest common subsequence.
function matches(old, fresh) {
  const table = Array.from({ length: old.length + 1 }, () => new Uint16Array(fresh.length + 1));
  for (let i = old.length - 1; i >= 0; i -= 1)
    for (let k = fresh.length - 1; k >= 0; k -= 1)
      table[i][k] = old[i] === fresh[k] ? table[i + 1][k + 1] + 1 : Math.max(table[i + 1][k], table[i][k + 1]);
  const found = new Array(fresh.length).fill(-1);
  for (let i = 0, k = 0; i < old.length && k < fresh.length;) {
    if (old[i] === fresh[k]) { found[k] = i; i += 1; k += 1; }
    else if (table[i + 1][k] >= table[i][k + 1]) i += 1;
    else k += 1;
  }
  return found;
}

// ---- corrections as rules

const MARKS = /^[\s.,;:!?…"“”„«»()。、，！？：；]+|[\s.,;:!?…"“”„«»()。、，！？：；]+$/g; // punctuation that a rule leaves out
const NO_RULE = /->|^[#/]|^\[[^\]]*\]$/; // text that has another meaning on the left of a rule

const MAX_PAIR = 200; // characters; longer ones are sentences, not rules

// What a correction replaced by what: runs of words that differ, without the punctuation around them.
function pairsOf(before, after) {
  const [old, fresh] = [split(before, []), split(after, [])];
  const oldIndexes = matches(old.map((word) => word.trim()), fresh.map((word) => word.trim()));
  const pairs = [];
  for (let i = 0, k = 0; i < old.length || k < fresh.length;) {
    if (k < fresh.length && oldIndexes[k] === i) { i += 1; k += 1; continue; }
    let to = k;
    while (to < fresh.length && oldIndexes[to] < 0) to += 1;
    const end = to < fresh.length ? oldIndexes[to] : old.length;
    const [wrong, right] = [old.slice(i, end), fresh.slice(k, to)].map((words) => words.join("").replace(MARKS, ""));
    const isStart = k === 0 || /[.?!…。！？]["”»]?$/.test(fresh[k - 1].trim());
    const isCapital = isStart && wrong.toLowerCase() === right.toLowerCase(); // a sentence begins there, not a name
    const isShort = wrong.length + right.length <= MAX_PAIR;
    if (wrong && wrong !== right && isShort && !isCapital && !NO_RULE.test(wrong)) pairs.push([wrong.replace(/\s+/g, " "), right]);
    [i, k] = [end, to];
  }
  return pairs;
}

// The same, cached by text.
function pairsIn(file, index, before, after) {
  file.pairs ??= new Map();
  if (file.pairs.get(index)?.after !== after) file.pairs.set(index, { after, found: pairsOf(before, after) });
  return file.pairs.get(index).found;
}

// Pairs that occur at least twice in all files; the case of the wrong side is ignored.
function repeated() {
  const found = new Map();
  for (const file of files) {
    for (const [index, text] of file.edits) {
      const segment = transcriptOf(file).segments[index];
      for (const [wrong, right] of pairsIn(file, index, segment.text, text)) {
        const key = `${wrong.toLowerCase()}\n${right}`;
        const pair = found.get(key) ?? { wrong, right, n: 0, languages: new Set() };
        pair.n += 1;
        pair.languages.add(segment.language ?? file.entry.language ?? "");
        found.set(key, pair);
      }
    }
  }
  return [...found.values()].filter(({ n }) => n > 1).sort((a, b) => b.n - a.n || byPath.compare(a.wrong, b.wrong));
}

// A file of rules. If the files have several languages, rules from only one are below its name. If one wrong text has
// several corrections, all are comments, to choose from.
function rulesOf(pairs) {
  const isMixed = new Set(files.map(({ entry }) => entry.language).filter(Boolean)).size > 1;
  const sections = new Map([["", []]]);
  for (const pair of pairs) {
    const isClear = pairs.every((other) => other === pair || other.wrong.toLowerCase() !== pair.wrong.toLowerCase());
    const [language] = pair.languages;
    const section = isMixed && pair.languages.size === 1 && /^[a-z]{2,3}$/.test(language) ? language : "";
    if (!sections.has(section)) sections.set(section, [`[${section}]`]);
    sections.get(section).push(`${isClear ? "" : "# "}${pair.wrong} -> ${pair.right}`.trimEnd());
  }
  const head = "# Corrected in the same way at least twice; for whisperbatch convert --replace and transcribe --replace";
  return `${[head, ...[...sections.values()].flat()].join("\n")}\n`;
}

function showRules() {
  const n = repeated().length;
  byId("rules").hidden = files.every((file) => file.edits.size === 0);
  byId("export").disabled = n === 0;
  byId("export").textContent = n ? `Export corrections (${n})` : "Export corrections (none made twice)";
}

function exportRules() {
  leaveEditor();
  offer("corrections.txt", new Blob([rulesOf(repeated())], { type: "text/plain" }));
  announce("Saved the corrections as rules; see whisperbatch help corrections.");
}

// ---- keys

function step(by) {
  if (!open || !transcriptOf(open)?.segments.length) return;
  const index = Math.min(Math.max(0, current + by), transcriptOf(open).segments.length - 1);
  go(index, false);
  reveal(rowAt(index));
  rowAt(index).querySelector(".time").focus({ preventScroll: true });
}

function stepFile(by) {
  const index = shown.indexOf(open);
  const next = shown[index < 0 ? 0 : index + by];
  if (!next) return;
  show(next);
  next.row.scrollIntoView({ block: "nearest" });
}

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  n: () => stepFile(1),
  p: () => stepFile(-1),
  d: nextInDoubt,
  c: () => { if (open) setChecked(open, !isChecked(open)); },
  "<": () => stepRate(-1),
  ">": () => stepRate(1),
  e: () => { if (open && transcriptOf(open)?.segments.length) edit(Math.max(0, current)); },
  "/": () => byId("search").focus(),
  " ": () => { const player = audio(); if (player) { if (player.paused) play(player); else player.pause(); } },
  ArrowLeft: () => skip(-STEP_S),
  ArrowRight: () => skip(STEP_S),
  Escape: () => { if (document.body.classList.contains("open") && matchMedia("(max-width: 760px)").matches) back(); },
};

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input:not([type=checkbox]), textarea, select, audio");
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === " " && event.target.matches("summary, input, button:not(.time)")) return; // Space presses these
  const act = KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

window.addEventListener("beforeunload", (event) => {
  if (byId("editor") || files.some((file) => nChanges(file) && !file.isSaved)) event.preventDefault();
});

// ---- start

function showTotals() {
  const list = byId("totals");
  list.replaceChildren();
  const add = (name, value) => list.append(pair(name, value));
  for (const status of ["done", "failed", "skipped", "interrupted"]) if (totals[status]) add(status, String(totals[status]));
  add("in doubt", String(files.filter(isDoubtful).length));
  add("checked", String(files.filter(isChecked).length));
  const audio = files.reduce((sum, { entry }) => sum + (entry.audio_seconds || 0), 0);
  if (audio) add("audio", clock(audio));
  if (totals.real_time_factor) add("speed", `${totals.real_time_factor.toFixed(1)}× real time`);
}

[...files].sort((a, b) => byPath.compare(a.entry.path, b.entry.path)).forEach((file, rank) => { file.rank = rank; });
for (const id of ["filter", "sort"]) byId(id).addEventListener("change", refresh);
let waiting = 0;
byId("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(refresh, 120); });
byId("export").addEventListener("click", exportRules);
byId("tools").addEventListener("submit", (event) => { event.preventDefault(); refresh(); });
showTotals();
refresh();
document.title = title;
document.querySelector("h1").textContent = title;
NARROW.addEventListener("change", () => {
  const details = document.querySelector(".about");
  if (details) details.open = !NARROW.matches;
});
window.addEventListener("hashchange", visit);
if (!visit() && shown.some(isDoubtful)) show(shown.find(FILTERS.unchecked) ?? shown.find(isDoubtful), false);
