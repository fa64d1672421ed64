// The editor of policies: colours, line numbers and errors at their line, drawn behind the text area that holds the text.
// The text area stays what it is: the browser's own editing, undo and reading aloud work, and so does the form.

import hljs from "./vendor/highlight.min.js";
import yaml from "./vendor/highlight-yaml.min.js";

const INDENT = "  ";
const area = document.getElementById("text");
const editor = area.closest("[data-editor]");
const gutter = document.createElement("div");
const drawing = document.createElement("pre");
const code = document.createElement("code");

hljs.registerLanguage("yaml", yaml);
gutter.className = "editor-lines";
drawing.className = "editor-drawing";
for (const part of [gutter, drawing]) part.setAttribute("aria-hidden", "true");
drawing.append(code);
editor.prepend(gutter, drawing);
editor.classList.add("drawn");
for (const part of document.querySelectorAll("[data-needs-script]")) part.hidden = false;

// -- Drawing ------------------------------------------------------------------------------------------------------------

function escaped(text) {
  return text.replace(/[&<>"]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[sign]);
}

// Each line closes the colours that it leaves open, and the next one opens them again.
function colouredLines(text) {
  const open = [];
  return hljs.highlight(text, { language: "yaml" }).value.split("\n").map((line) => {
    const start = open.join("");
    for (const [tag] of line.matchAll(/<\/?span[^>]*>/g)) tag === "</span>" ? open.pop() : open.push(tag);
    return start + line + "</span>".repeat(open.length);
  });
}

function problemsByLine() {
  const found = new Map();
  for (const item of document.querySelectorAll("#found [data-problem]")) {
    found.set(Number(item.dataset.line), item.dataset.problem); // of several the one furthest in: it says most
  }
  return found;
}

function draw() {
  const problems = problemsByLine();
  const lines = colouredLines(area.value);
  code.innerHTML = lines
    .map((line, at) => (problems.has(at + 1) ? `<span class="line bad" data-problem="${escaped(problems.get(at + 1))}">${line || " "}</span>` : `<span class="line">${line || " "}</span>`))
    .join("");
  gutter.innerHTML = lines.map((_, at) => `<span class="line${problems.has(at + 1) ? " bad" : ""}">${at + 1}</span>`).join("");
  area.setAttribute("aria-invalid", String(problems.size > 0));
  follow();
}

function follow() {
  drawing.scrollTop = gutter.scrollTop = area.scrollTop;
  drawing.scrollLeft = area.scrollLeft;
}

// -- Typing -------------------------------------------------------------------------------------------------------------

// As if it had been typed: the browser can undo it, and everybody who listens hears of it.
function type(text, start = area.selectionStart, end = area.selectionEnd) {
  area.focus();
  area.setSelectionRange(start, end);
  if (document.execCommand(text ? "insertText" : "delete", false, text)) return;
  area.setRangeText(text, start, end, "end");
  area.dispatchEvent(new Event("input", { bubbles: true }));
}

function lineStart(at) {
  return area.value.lastIndexOf("\n", at - 1) + 1;
}

function lineEnd(at) {
  const end = area.value.indexOf("\n", at);
  return end < 0 ? area.value.length : end;
}

function indent(outwards) {
  const { selectionStart: from, selectionEnd: to, value } = area;
  if (from === to && !outwards) return type(INDENT);
  const start = lineStart(from);
  const end = lineEnd(to > from && value[to - 1] === "\n" ? to - 1 : to);
  const before = value.slice(start, end);
  const after = before.replace(/^.*$/gm, (line) => (outwards ? line.replace(/^ {1,2}/, "") : line && INDENT + line));
  if (after === before) return;
  type(after, start, end);
  if (from === to) area.setSelectionRange(Math.max(start, from - (before.length - after.length)), Math.max(start, from - (before.length - after.length)));
  else area.setSelectionRange(start, start + after.length);
}

// Escape lets the next Tab leave the text, so that nobody is kept in it.
let leaving = false;
area.addEventListener("keydown", (event) => {
  if (event.key === "Escape") leaving = true;
  else if (event.key === "Tab" && !leaving && !event.ctrlKey && !event.altKey && !event.metaKey) {
    event.preventDefault();
    indent(event.shiftKey);
  } else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey && !event.isComposing) {
    event.preventDefault();
    const margin = area.value.slice(lineStart(area.selectionStart), area.selectionStart).match(/^ */)[0];
    type(`\n${margin}`);
  } else if (event.key !== "Shift") leaving = false;
});
area.addEventListener("blur", () => (leaving = false));
area.addEventListener("input", draw);
area.addEventListener("scroll", follow);

// -- Examples and errors ------------------------------------------------------------------------------------------------

// Where the list under requirements: begins and ends; null where there is none.
function requirements() {
  const head = /^requirements:[ \t]*(#.*)?$/m.exec(area.value);
  if (!head) return null;
  const start = lineEnd(head.index);
  const next = /^[^\s#-].*$/m.exec(area.value.slice(start));
  const end = next ? start + next.index : area.value.length;
  return { start, end: start + area.value.slice(start, end).trimEnd().length };
}

function insert(text, isPart) {
  const list = requirements();
  const here = lineEnd(area.selectionStart);
  let at = area.value.trimEnd().length;
  if (!isPart && list) {
    const margin = /^( *)- /m.exec(area.value.slice(list.start, list.end))?.[1] ?? INDENT;
    text = text.replace(/^ {2}/gm, margin);
    at = here >= list.start && here <= list.end ? here : list.end;
  } else if (!isPart) text = `requirements:\n${text}`;
  type(`${at ? "\n" : ""}${text.trimEnd()}`, at, isPart ? area.value.trimEnd().length : at);
}

function goTo(item) {
  let at = 0;
  for (let line = 1; line < Number(item.dataset.line); line += 1) at = lineEnd(at) + 1;
  at = Math.min(at + Number(item.dataset.column) - 1, lineEnd(at));
  area.focus();
  area.setSelectionRange(at, at);
  area.scrollTop = (Number(item.dataset.line) - 4) * (drawing.scrollHeight / Math.max(1, gutter.childElementCount));
}

document.addEventListener("click", (event) => {
  const example = event.target.closest("[data-insert]");
  if (example) {
    example.closest("details").open = false;
    insert(example.dataset.insert, "part" in example.dataset);
  }
  const link = event.target.closest("[data-goto]");
  if (link) {
    event.preventDefault();
    goTo(link.closest("[data-line]"));
  }
});

let told = document.getElementById("problems").textContent;
document.addEventListener("htmx:after:swap", () => {
  draw();
  const summary = document.getElementById("problems").textContent;
  if (summary !== told) announce(summary); // of app.js; only what has changed, as this happens while somebody types
  told = summary;
});

draw();
