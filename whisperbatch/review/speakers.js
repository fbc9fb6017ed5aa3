"use strict";
// Speakers: colours, renaming, merging, and moving a segment to another speaker. Two maps have the changes: file.names,
// from a label in the transcript to its new name, and file.moves, from a segment to its new label. The transcript itself
// is changed only when it is saved.

const N_COLOURS = 8;

// All labels: those of the transcript's block in its order, then those of its segments, then new ones.
function labelsOf(file) {
  if (!file.labels) {
    const data = transcriptOf(file);
    const listed = (data?.whisperbatch?.speakers ?? []).map((one) => one.label);
    const used = (data?.segments ?? []).flatMap((one) => [one.speaker, ...(one.words ?? []).map((word) => word.speaker)]);
    file.labels = [...new Set([...listed, ...used])].filter((one) => typeof one === "string");
  }
  return file.labels;
}

const nameOf = (file, label) => file.names.get(label) ?? label;
const namesOf = (file) => [...new Set(labelsOf(file).map((label) => nameOf(file, label)))];
const nSpeakerChanges = (file) => file.names.size + file.moves.size;

// A renamed speaker keeps the colour; a merged one takes the other's.
function colourOf(file, name) {
  const rank = labelsOf(file).findIndex((label) => nameOf(file, label) === name);
  return `s${(rank < 0 ? 0 : rank) % N_COLOURS}`;
}

function speakerOf(file, segment, index) {
  const label = file.moves.get(index) ?? segment.speaker;
  return label === undefined || label === null ? null : nameOf(file, label);
}

// ---- the list of speakers

function speakersOf(file) {
  const box = make("section", { id: "speakers", "aria-label": "Speakers" });
  fillSpeakers(file, box);
  return box;
}

function fillSpeakers(file, box) {
  const names = namesOf(file);
  const fields = () => [...box.querySelectorAll("input, select")];
  const at = fields().indexOf(document.activeElement); // keeps the keyboard focus
  box.hidden = !names.length;
  box.replaceChildren(...names.map((name) => speakerRow(file, name, names)));
  if (at >= 0) fields()[Math.min(at, fields().length - 1)].focus({ preventScroll: true });
}

function speakerRow(file, name, names) {
  const n = transcriptOf(file).segments.filter((segment, index) => speakerOf(file, segment, index) === name).length;
  const field = make("input", { type: "text", value: name, "aria-label": `Name of ${plain(name)}`,
    onchange: (event) => renameSpeaker(file, name, event.target.value) });
  const others = names.filter((one) => one !== name);
  const merge = make("select", { class: "merge", "aria-label": `Merge ${plain(name)} into`,
    onchange: (event) => renameSpeaker(file, name, event.target.value) },
    make("option", { value: "" }, "merge into…"), ...others.map((one) => make("option", { value: one }, plain(one))));
  return make("div", { class: "speaker" }, make("span", { class: `dot ${colourOf(file, name)}`, "aria-hidden": "true" }, "●"),
    field, make("span", { class: "count" }, n === 1 ? "1 segment" : `${n} segments`), ...(others.length ? [merge] : []));
}

// Renaming to another speaker's name merges the two.
function renameSpeaker(file, from, typed) {
  const name = typed.trim().replace(/\s+/g, " ");
  if (!name || name === from) { fillSpeakers(file, byId("speakers")); return; }
  const isMerged = namesOf(file).includes(name);
  for (const label of labelsOf(file)) {
    if (nameOf(file, label) !== from) continue;
    if (label === name) file.names.delete(label);
    else file.names.set(label, name);
  }
  speakersChanged(file);
  announce(isMerged ? `Merged ${plain(from)} into ${plain(name)}.` : `Renamed ${plain(from)} to ${plain(name)}.`);
}

function speakersChanged(file) {
  file.isSaved = false;
  fillSpeakers(file, byId("speakers"));
  transcriptOf(file).segments.forEach((segment, index) => {
    const who = rowAt(index)?.querySelector(".who");
    if (who) who.replaceWith(whoOf(file, segment, index));
  });
  showChecked(file);
  showWhy(file);
}

// ---- the speaker of a segment

function whoOf(file, segment, index) {
  const name = speakerOf(file, segment, index);
  if (name === null) return make("span", { class: "who" }, `${plain(segment.channel)}: `);
  return make("button", { type: "button", class: `who ${colourOf(file, name)}`, title: "Give this segment to another speaker",
    onclick: (event) => { event.stopPropagation(); chooseSpeaker(file, segment, index); } }, `${plain(name)}:`);
}

function chooseSpeaker(file, segment, index) {
  const now = speakerOf(file, segment, index);
  let isOver = false;
  const finish = (wanted) => {
    if (isOver) return;
    isOver = true;
    if (wanted !== null && wanted !== now) moveSegment(file, segment, index, wanted);
    const who = whoOf(file, segment, index);
    list.replaceWith(who);
    who.focus({ preventScroll: true });
  };
  const list = make("select", { class: "who", "aria-label": `Speaker of the segment at ${clock(segment.start)}`,
    onclick: (event) => event.stopPropagation(), onchange: (event) => finish(event.target.value), onblur: () => finish(null),
    onkeydown: (event) => { if (event.key === "Escape") finish(null); } },
    ...namesOf(file).map((name) => make("option", { value: name, selected: name === now }, plain(name))),
    make("option", { value: "" }, "new speaker"));
  rowAt(index).querySelector(".who").replaceWith(list);
  list.focus();
}

function moveSegment(file, segment, index, name) {
  const label = name === "" ? newLabel(file) : labelsOf(file).find((one) => nameOf(file, one) === name);
  if (label === segment.speaker) file.moves.delete(index);
  else file.moves.set(index, label);
  file.isSaved = false;
  fillSpeakers(file, byId("speakers"));
  showChecked(file);
  showWhy(file);
  announce(`The segment at ${clock(segment.start)} now belongs to ${plain(nameOf(file, label))}.`);
}

function newLabel(file) {
  const taken = new Set([...labelsOf(file), ...namesOf(file)]);
  let n = 0;
  while (taken.has(`SPEAKER_${String(n).padStart(2, "0")}`)) n += 1;
  const label = `SPEAKER_${String(n).padStart(2, "0")}`;
  file.labels = [...labelsOf(file), label];
  return label;
}

// ---- saving

// The transcript with the present speakers in segments and words, and in the block's speakers, turns and overlaps.
function withSpeakers(file, data) {
  if (!nSpeakerChanges(file)) return data;
  const renamed = (one) => (typeof one.speaker === "string" ? { ...one, speaker: nameOf(file, one.speaker) } : one);
  const segments = data.segments.map((segment, index) => {
    const label = file.moves.get(index);
    const moved = (one) => renamed(label === undefined ? one : { ...one, speaker: label });
    const lists = ["words", "original_words"].filter((key) => segment[key]); // the latter are from before replacements
    return { ...moved(segment), ...Object.fromEntries(lists.map((key) => [key, segment[key].map(moved)])) };
  });
  return { ...data, segments, whisperbatch: blockOf(file, data.whisperbatch ?? {}) };
}

function blockOf(file, block) {
  if (!block.speakers) return block;
  const turns = movedTurns(file, block.turns ?? []).map((turn) => ({ ...turn, speaker: nameOf(file, turn.speaker) }));
  const names = [...new Set([...block.speakers.map((one) => nameOf(file, one.label)), ...turns.map((turn) => turn.speaker)])];
  const speakers = names.map((label) => summed(label, turns.filter((turn) => turn.speaker === label)));
  return { ...block, speakers: speakers.filter((one) => one.seconds > 0 || !turns.length), turns, overlaps: overlapsOf(turns) };
}

const thousandths = (number) => Math.round(number * 1000) / 1000;

function summed(label, turns) {
  const seconds = turns.reduce((sum, turn) => sum + turn.end - turn.start, 0);
  const weighed = turns.reduce((sum, turn) => sum + (turn.end - turn.start) * turn.confidence, 0);
  return { label, seconds: thousandths(seconds), confidence: seconds ? thousandths(weighed / seconds) : 0 };
}

// Within the time of a moved segment, the old speaker's turns go to the new one.
function movedTurns(file, turns) {
  const { segments } = transcriptOf(file);
  for (const [index, label] of file.moves) {
    const { start, end, speaker } = segments[index];
    turns = turns.flatMap((turn) => {
      if (turn.speaker !== speaker || turn.end <= start || turn.start >= end) return [turn];
      const inside = { ...turn, start: Math.max(turn.start, start), end: Math.min(turn.end, end), speaker: label, confidence: 1 };
      return [{ ...turn, end: inside.start }, inside, { ...turn, start: inside.end }].filter((one) => one.end > one.start);
    });
  }
  return [...turns].sort((a, b) => a.start - b.start || a.end - b.end);
}

function overlapsOf(turns) {
  const found = [];
  let running = [];
  for (const turn of turns) {
    running = running.filter((one) => one.end > turn.start);
    const until = Math.min(turn.end, Math.max(turn.start, ...running.filter((one) => one.speaker !== turn.speaker).map((one) => one.end)));
    const last = found[found.length - 1];
    if (until > turn.start) {
      if (last && turn.start <= last.end) last.end = Math.max(last.end, until);
      else found.push({ start: turn.start, end: until });
    }
    running.push(turn);
  }
  return found;
}
