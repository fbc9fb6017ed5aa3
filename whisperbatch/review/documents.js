// Make Markdown and Word documents of a corrected transcript, by the rules of writers/paragraphs.py, md.py and docx.py.
// The Word file's fixed parts come from docx.py, in totals.docx. Nothing here touches the page.
"use strict";

const PARAGRAPH_PAUSE_S = 2;
const SECTION_PAUSE_S = 5 * PARAGRAPH_PAUSE_S;
const LONG = 600; // columns; from here a paragraph ends with its sentence
const LONGEST = 3 * LONG; // from here it ends with its segment
const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]/g;
const SPACELESS = /[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\ua4cf\uf900-\ufaff\uff01-\uff9f]/;
const SENTENCE_END = /[.!?…。！？｡؟۔।]["'”’»)\]}』」）]*$/;
const NO_END = /^\W*(?:(?:\p{L}\.)*\p{L}|\d{1,2}|mr|mrs|ms|dr|prof|st|jr|sr|vs|approx|bzw|ca|nr|hr|fr|usw|vgl)\.$/iu;
const RIGHT_TO_LEFT = /^(?:ar|fa|he|ps|sd|ur|yi)$/;

// Paragraphs: text of one speaker without a long pause, with start, end, label and words.
function paragraphsOf(data) {
  const paragraphs = [];
  for (const { word, label, isFirst } of spokenIn(data)) {
    let last = paragraphs[paragraphs.length - 1];
    if (!last || last.label !== label || word.start - last.end >= PARAGRAPH_PAUSE_S || isLongEnough(last, word.word, isFirst)) {
      last = { start: word.start, end: word.end, label, columns: 0, words: [] };
      paragraphs.push(last);
    }
    last.words.push({ ...word });
    last.end = Math.max(last.end, word.end);
    last.columns += word.word.length + (word.word.match(WIDE)?.length ?? 0);
  }
  for (const { words } of paragraphs) {
    words[0].word = words[0].word.trimStart();
    words[words.length - 1].word = words[words.length - 1].word.trimEnd();
  }
  return paragraphs.sort((a, b) => a.start - b.start);
}

function* spokenIn(data) {
  for (const segment of [...data.segments].sort((a, b) => a.start - b.start)) {
    const whole = { word: segment.text, start: segment.start, end: segment.end, probability: 1 };
    const words = segment.words?.length ? segment.words : [whole];
    if (!words.some(({ word }) => word.trim())) continue;
    for (const [k, word] of words.entries()) {
      const label = [word.speaker, segment.speaker, segment.channel].map((name) => (name ?? "").trim().replace(/\s+/g, " ")).find(Boolean);
      yield { word: { ...word, word: word.word.replace(/[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+/g, " ") }, label, isFirst: k === 0 };
    }
  }
}

function isLongEnough(paragraph, follows, isFirst) {
  const before = paragraph.words[paragraph.words.length - 1].word;
  if (paragraph.columns < LONG || !(/\s$/.test(before) || /^\s/.test(follows) || SPACELESS.test(before.slice(-1) + follows[0]))) return false;
  const last = before.trim().split(/\s/).pop();
  const ends = SENTENCE_END.test(last) && !(last.slice(-2).includes(".") && (NO_END.test(last) || /^\p{Ll}/u.test(follows.trim())));
  return ends || (isFirst && paragraph.columns >= LONGEST);
}

function stampOf(seconds) {
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  return `${seconds >= 3600 ? `${two(seconds / 3600)}:` : ""}${two(seconds / 60 % 60)}:${two(seconds % 60)}`;
}

function bylineOf(data) {
  let language = data.language ?? "";
  try { language = new Intl.DisplayNames("en", { type: "language" }).of(language); } catch { /* show the code */ }
  const seconds = data.whisperbatch?.duration;
  return [language, seconds ? stampOf(seconds) : ""].filter(Boolean).join(", ");
}

// ---- Markdown

function markdownOf(data, title) {
  const paragraphs = paragraphsOf(data);
  const starts = new Set();
  for (let k = 1; k < paragraphs.length; k += 1) if (paragraphs[k].start - paragraphs[k - 1].end >= SECTION_PAUSE_S) starts.add(0).add(k);
  const blocks = [`# ${escapedMark(title)}`, escapedMark(bylineOf(data))].filter((block) => block !== "# " && block);
  paragraphs.forEach(({ start, label, words }, k) => {
    if (starts.has(k)) blocks.push(`## ${stampOf(start)}`);
    const who = label ? `**${escapedMark(label)}:** ` : "";
    blocks.push(`[${stampOf(start)}] ${who}${escapedMark(words.map(({ word }) => word).join(""))}`);
  });
  return blocks.map((block) => `${block}\n`).join("\n");
}

function escapedMark(text) {
  return text.trim().replace(/\s+/g, " ")
    .replace(/[\\`*[<~$^]|(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])|&(?=#?\w+;)|(?<=\s)#+$/gu, "\\$&")
    .replace(/^(?:(?=[#+>=:|%-])|(\d{1,9})(?=[.)]))/, "$1\\");
}

// ---- Word

function wordFileOf(data, title, fixed, threshold) {
  const paragraphs = paragraphsOf(data);
  const isShaded = paragraphs.some(({ words }) => words.some(({ probability }) => probability < threshold));
  const about = [bylineOf(data), isShaded ? `Shaded words: probability below ${threshold}` : ""].filter(Boolean).join(". ");
  const body = [title && styledXml("Title", [runXml(title)]), about && styledXml("Subtitle", [runXml(about)]),
    ...paragraphs.map((paragraph) => turnXml(paragraph, threshold))].filter(Boolean).join("");
  const isTurned = RIGHT_TO_LEFT.test(data.language);
  const tongue = /^[a-z]{2,3}$/.test(data.language)
    ? `<w:lang w:val="${data.language}" w:eastAsia="${data.language}" w:bidi="${data.language}"/>` : "";
  const values = { BODY: body, TITLE: cleanXml(title), LANGUAGE: cleanXml(data.language ?? ""), TONGUE: tongue,
    PARAGRAPH: isTurned ? "<w:bidi/>" : "", RUN: isTurned ? "<w:rtl/>" : "" };
  const filled = (text) => text.replace(/\{\{([A-Z]+)\}\}/g, (_, name) => values[name]);
  return zipOf(Object.entries(fixed).map(([name, text]) => [name, filled(text)]));
}

function turnXml({ start, label, words }, threshold) {
  const runs = [runXml(`[${stampOf(start)}]`, "Timestamp"), "<w:r><w:tab/></w:r>"];
  if (label) runs.push(runXml(`${label}:`, "Speaker"), runXml(" "));
  for (const { word, probability } of words) {
    const bare = word.trimStart();
    if (bare.length < word.length) runs.push(runXml(word.slice(0, word.length - bare.length)));
    if (bare) runs.push(runXml(bare, probability < threshold ? "Uncertain" : ""));
  }
  return styledXml("TimedTurn", runs);
}

function styledXml(style, runs) { return `<w:p><w:pPr><w:pStyle w:val="${style}"/></w:pPr>${runs.join("")}</w:p>`; }

function runXml(text, style) {
  return `<w:r>${style ? `<w:rPr><w:rStyle w:val="${style}"/></w:rPr>` : ""}<w:t xml:space="preserve">${cleanXml(text)}</w:t></w:r>`;
}

function cleanXml(text) {
  return text.replace(/[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd")
    .replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
}

// ---- zip archives, without compression (APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16)

function zipOf(entries) {
  const [parts, index] = [[], []];
  let at = 0;
  for (const [name, text] of entries) {
    const [path, data] = [name, text].map((one) => new TextEncoder().encode(one));
    const traits = [20, 0, 0, 0, 0x21, crcOf(data), data.length, data.length, path.length, 0]; // 0x21: 1 January 1980
    const sizes = [2, 2, 2, 2, 2, 4, 4, 4, 2, 2];
    index.push(numbers([0x02014b50, 20, ...traits, 0, 0, 0, 0, at], [4, 2, ...sizes, 2, 2, 2, 4, 4]), path);
    parts.push(numbers([0x04034b50, ...traits], [4, ...sizes]), path, data);
    at += 30 + path.length + data.length;
  }
  const length = index.reduce((sum, part) => sum + part.length, 0);
  const end = numbers([0x06054b50, 0, 0, entries.length, entries.length, length, at, 0], [4, 2, 2, 2, 2, 4, 4, 2]);
  return new Blob([...parts, ...index, end], { type: "application/vnd.openxmlformats-officedocument.wordprocessingml.document" });
}

function numbers(values, sizes) {
  return Uint8Array.from(values.flatMap((value, k) => Array.from({ length: sizes[k] }, (_, byte) => (value >>> (8 * byte)) & 255)));
}

function crcOf(data) {
  let sum = -1;
  for (const byte of data) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) sum = (sum >>> 1) ^ (0xedb88320 & -(sum & 1));
  }
  return (sum ^ -1) >>> 0;
}
