// Small behaviours that HTML and htmx lack. Everything here is an addition: each page works without it.
// Listeners sit on the document, so parts that htmx swaps in need no wiring.

const LANGUAGE = document.documentElement.lang || "en";
const root = document.documentElement;

// The client of MLflow prints addresses of MLflow's own pages: /#/experiments/1/runs/ID. They lead to ours.
const [, experiment, run] = location.hash.match(/^#\/experiments\/(\d+)(?:\/runs\/(\w+))?\/?$/) || [];
if (experiment) location.replace(run ? `/runs/${run}/` : `/experiments/${experiment}/`);

// Say something to screen readers, without moving the focus.
function announce(text) {
  const region = document.getElementById("live");
  if (!region) return;
  region.textContent = "";
  requestAnimationFrame(() => (region.textContent = text));
}

// A message in the corner: kind is success, warning, error or info.
function toast(text, kind = "info") {
  const holder = document.getElementById("toasts");
  if (!holder) return;
  const item = document.createElement("div");
  item.className = `notice notice-${kind}`;
  item.textContent = text;
  holder.append(item);
  announce(text);
  setTimeout(() => item.remove(), kind === "error" ? 12000 : 6000);
}

// -- Copying: <button data-copy="text"> or data-copy-from="#id" ---------------------------------------------------------

async function copy(button) {
  const source = button.dataset.copyFrom ? document.querySelector(button.dataset.copyFrom) : null;
  const text = source ? source.value || source.textContent : button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    if (!copyBySelection(text)) return toast("The browser did not allow copying. Select the text and copy it.", "warning");
  }
  button.classList.add("copied");
  announce("Copied");
  setTimeout(() => button.classList.remove("copied"), 1600);
}

// The clipboard needs https or localhost; a server in the company's network often has neither.
function copyBySelection(text) {
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "visually-hidden";
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  return copied;
}

// -- Times: keep "2 hours ago" true while the page stays open -----------------------------------------------------------

const STEPS = [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60]];

function ago(moment) {
  const seconds = (Date.now() - moment) / 1000;
  const distance = Math.abs(seconds);
  if (distance < 45) return "just now";
  const [word, length] = STEPS.find(([, step]) => distance >= step) || ["minute", 60];
  const count = Math.max(1, Math.floor(distance / length));
  const text = `${count} ${word}${count === 1 ? "" : "s"}`;
  return seconds > 0 ? `${text} ago` : `in ${text}`;
}

// A press on a time (or the key t, keys.js) shows all of them exactly, or as "2 hours ago" again.
let timesAreExact = false;

function turnTimes() {
  timesAreExact = !timesAreExact;
  refreshTimes();
  announce(timesAreExact ? "Times are shown exactly" : "Times are shown as the time since");
}

function refreshTimes() {
  const exact = new Intl.DateTimeFormat(LANGUAGE, { dateStyle: "medium", timeStyle: "long" });
  for (const element of document.querySelectorAll("time[data-relative]")) {
    const moment = Date.parse(element.dateTime);
    if (Number.isNaN(moment)) continue;
    const text = timesAreExact ? exact.format(moment) : ago(moment);
    if (element.textContent !== text) element.textContent = text;
    element.title = exact.format(moment);
  }
}

// -- Appearance: system, light or dark ----------------------------------------------------------------------------------

function chosenAppearance() {
  return root.dataset.bsTheme || "system";
}

function setAppearance(choice) {
  if (choice === "system") delete root.dataset.bsTheme;
  else root.dataset.bsTheme = choice;
  try {
    localStorage.setItem("countersign-appearance", choice);
  } catch {
    // Without storage the choice holds for this page.
  }
  showAppearance();
}

function showAppearance() {
  for (const button of document.querySelectorAll("[data-appearance]"))
    button.setAttribute("aria-pressed", String(button.dataset.appearance === chosenAppearance()));
}

// -- Markdown: write or preview (templates/components/markdown_field.html) ----------------------------------------------

function turnMarkdown(button) {
  const part = button.closest("[data-markdown]");
  const isPreview = button.dataset.preview !== undefined;
  for (const other of part.querySelectorAll("[data-write], [data-preview]"))
    other.setAttribute("aria-pressed", String(other === button));
  part.querySelector("textarea").hidden = isPreview;
  part.querySelector(".preview").hidden = !isPreview;
  if (!isPreview) part.querySelector("textarea").focus();
}

// -- Dialogs: <button data-opens="#id"> opens, data-closes closes, a click beside it too --------------------------------

// hx-confirm asks in our own dialog (templates/components/confirm.html) in place of the browser's.
function ask(text, yes, no) {
  const dialog = document.getElementById("confirm");
  dialog.querySelector("[data-question]").textContent = text;
  dialog.returnValue = "";
  dialog.addEventListener("close", () => (dialog.returnValue === "yes" ? yes() : no()), { once: true });
  dialog.showModal();
}

document.addEventListener("click", (event) => {
  if (!(event.target instanceof Element)) return;
  const target = event.target;
  const copier = target.closest("[data-copy], [data-copy-from]");
  if (copier) copy(copier);
  const appearance = target.closest("[data-appearance]");
  if (appearance) setAppearance(appearance.dataset.appearance);
  if (target.closest("time[data-relative]") && !target.closest("a, button, summary")) turnTimes();
  const turn = target.closest("[data-write], [data-preview]");
  if (turn) turnMarkdown(turn);
  const prepares = target.closest("[data-prepares]");
  if (prepares) toast(prepares.dataset.prepares);
  const opener = target.closest("[data-opens]");
  if (opener) {
    const dialog = document.querySelector(opener.dataset.opens);
    if (dialog) {
      event.preventDefault();
      dialog.showModal();
    }
  }
  if (target.closest("[data-closes]") || target.matches("dialog.ask[open]")) target.closest("dialog")?.close();
  const dismiss = target.closest("[data-dismiss]");
  if (dismiss) dismiss.closest(".notice")?.remove();
  if (target.closest('[aria-disabled="true"]')) event.preventDefault();
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(target)) menu.open = false;
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  }
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target instanceof HTMLTextAreaElement) {
    const submit = event.target.form?.querySelector("[data-submit-key]");
    if (submit && !submit.matches(':disabled, [aria-disabled="true"]')) event.target.form.requestSubmit(submit);
  }
});

// A form marked data-confirm asks first, in the words of the mark.
document.addEventListener("submit", (event) => {
  const { target: form, submitter } = event;
  if (!form.dataset.confirm || form.dataset.confirmed) return;
  event.preventDefault();
  const send = () => {
    form.dataset.confirmed = "1";
    form.requestSubmit(submitter);
  };
  ask(form.dataset.confirm, send, () => {});
});

// A form marked data-once sends once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-once]")) return;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "1";
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("[data-once]")) delete form.dataset.sent;
  for (const form of document.querySelectorAll("[data-confirm]")) delete form.dataset.confirmed;
});

// A form marked data-auto-submit (filters) sends itself when a choice changes.
document.addEventListener("change", (event) => {
  if (event.target instanceof HTMLSelectElement) event.target.form?.matches("[data-auto-submit]") && event.target.form.requestSubmit();
});

// -- htmx ---------------------------------------------------------------------------------------------------------------

document.addEventListener("htmx:confirm", (event) => {
  const { ctx, issueRequest, dropRequest } = event.detail;
  if (!ctx.confirm || !document.getElementById("confirm")) return;
  event.preventDefault();
  ask(ctx.confirm, issueRequest, dropRequest);
});
document.addEventListener("htmx:error", (event) => {
  if (event.detail.error?.name !== "AbortError") toast("The server did not answer. What you wrote is kept. Reload the page to see what happened, then try again.", "error");
});
// A bar at the top while an answer takes longer than a moment; the region that waits for it says so.
const SLOW = 300;
const waiting = new Map();
document.addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
  const target = ctx.target instanceof Element ? ctx.target : null;
  waiting.set(ctx, setTimeout(() => {
    root.dataset.busy = "";
    target?.setAttribute("aria-busy", "true");
  }, SLOW));
});
document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
  clearTimeout(waiting.get(ctx));
  waiting.delete(ctx);
  if (ctx.target instanceof Element) ctx.target.removeAttribute("aria-busy");
  if (!waiting.size) delete root.dataset.busy;
});

// Of a row of tabs or pages that scrolls sideways on a phone, show the one where somebody is.
function showWhere() {
  for (const here of document.querySelectorAll(":is(.topnav, .tabs) [aria-current]")) {
    const list = here.closest("ul");
    const [place, frame] = [here.getBoundingClientRect(), list.getBoundingClientRect()];
    if (place.right > frame.right) list.scrollLeft += place.right - frame.right;
  }
}

document.addEventListener("htmx:after:swap", () => {
  refreshTimes();
  showAppearance();
  showWhere();
  // A swapped region may carry a sentence for screen readers: <p data-announce>…</p>
  const note = document.querySelector("[data-announce]");
  if (!note) return;
  announce(note.textContent.trim());
  note.removeAttribute("data-announce"); // once
});

showAppearance();
refreshTimes();
showWhere();
setInterval(refreshTimes, 30000);
