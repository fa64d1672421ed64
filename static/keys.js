// Keys without a modifier: "?" lists those of the page. Never while somebody types, and nothing is sent by one key.
// A link, a field, a button or a <summary> marked data-key="x" is followed, focused or opened by x; a button that sends
// a form is only made ready: the field of its form gets the focus, and Ctrl+Enter presses it.
// A link marked data-go="x" is followed by g and then x; j and k go through the rows (links of class row-title).

(() => {
  const KEYS_SETTING = "countersign-keys";
  const AFTER_G = 1500; // milliseconds in which the second key must come
  let wentToG = 0;

  function keysAreOn() {
    try {
      return localStorage.getItem(KEYS_SETTING) !== "off";
    } catch {
      return true;
    }
  }

  function setKeys(isOn) {
    try {
      localStorage.setItem(KEYS_SETTING, isOn ? "on" : "off");
    } catch {
      toast("The browser keeps no settings of this site, so the keys stay on.", "warning");
    }
    showKeysSetting();
  }

  function showKeysSetting() {
    for (const box of document.querySelectorAll("[data-keys-switch]")) box.checked = keysAreOn();
    for (const hint of document.querySelectorAll(".topsearch kbd")) hint.hidden = !keysAreOn();
  }

  function isShown(element) {
    return element.checkVisibility?.() ?? element.offsetParent !== null;
  }

  // -- Rows ---------------------------------------------------------------------------------------------------------------

  function moveThroughRows(step) {
    const list = document.querySelector("main [data-rows]") || document.getElementById("main");
    const rows = [...list.querySelectorAll("a.row-title")].filter(isShown);
    if (!rows.length) return;
    const at = rows.findIndex((row) => row === document.activeElement);
    const next = at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + step, 0), rows.length - 1);
    rows[next].focus();
    rows[next].scrollIntoView({ block: "nearest" });
  }

  // -- What is marked data-key --------------------------------------------------------------------------------------------

  function reasonOf(button) {
    const said = document.getElementById(button.getAttribute("aria-describedby") || "");
    return said?.textContent.trim() || button.title || "This is not possible now.";
  }

  // Ctrl+Enter in the field presses this button of its form from now on (app.js).
  function makeReady(button, field) {
    for (const other of button.form.querySelectorAll("[data-submit-key]")) {
      delete other.dataset.submitKey;
      other.classList.remove("ready");
    }
    button.dataset.submitKey = "";
    button.classList.add("ready");
    field.focus();
    announce(`Write, then press Control and Enter to send: ${button.textContent.trim()}`);
  }

  function use(element) {
    for (let part = element.closest("details"); part; part = part.parentElement.closest("details"))
      if (!(element.matches("summary") && part === element.parentElement)) part.open = true;
    if (element.matches(":disabled, [aria-disabled='true']")) return toast(reasonOf(element), "warning");
    const field = element.type === "submit" && element.form?.querySelector("textarea");
    if (field) makeReady(element, field);
    else if (element.type === "submit" || element.matches("input, textarea, select")) element.focus();
    else if (element.matches("form")) element.querySelector("input:not([type=hidden]), textarea, select")?.focus();
    else element.click();
  }

  function withKey(mark, key) {
    return [...document.querySelectorAll(`[${mark}="${CSS.escape(key)}"]`)].find(isShown);
  }

  // -- Help: what works here ----------------------------------------------------------------------------------------------

  function showHelp() {
    const dialog = document.getElementById("keys");
    if (!dialog) return;
    const list = dialog.querySelector("[data-keys-here]");
    const marked = [...document.querySelectorAll("main [data-key]")].filter(isShown);
    const seen = new Set();
    list.replaceChildren();
    for (const element of marked) {
      if (seen.has(element.dataset.key)) continue;
      seen.add(element.dataset.key);
      const key = document.createElement("kbd");
      key.textContent = element.dataset.key;
      const [term, what] = [document.createElement("dt"), document.createElement("dd")];
      term.append(key);
      what.textContent = element.dataset.keyLabel || element.textContent.trim() || element.getAttribute("aria-label");
      list.append(term, what);
    }
    list.hidden = !seen.size;
    showKeysSetting();
    if (!dialog.open) dialog.showModal();
  }

  // -- Listening ----------------------------------------------------------------------------------------------------------

  function press(event) {
    const key = event.key;
    if (Date.now() - wentToG < AFTER_G) {
      wentToG = 0;
      const link = withKey("data-go", key);
      if (link) return link.click();
    }
    if (key === "g") return void (wentToG = Date.now());
    if (key === "?") return showHelp();
    if (key === "/") return document.getElementById("search")?.focus();
    if (key === "t") return turnTimes();
    if (key === "j" || key === "k") return moveThroughRows(key === "j" ? 1 : -1);
    if (key === "o") return document.activeElement.matches("a.row-title") && document.activeElement.click();
    const element = withKey("data-key", key);
    if (!element) return false;
    use(element);
  }

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat) {
      if (!event.repeat || !"jk".includes(event.key)) return;
    }
    if (event.key.length !== 1 || !keysAreOn() || document.querySelector("dialog[open]")) return;
    if (event.target instanceof Element && event.target.closest("input, textarea, select, [contenteditable]")) return;
    if (press(event) !== false) event.preventDefault();
  });

  document.addEventListener("change", (event) => {
    if (event.target instanceof Element && event.target.matches("[data-keys-switch]")) setKeys(event.target.checked);
  });

  document.addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.closest('[data-opens="#keys"]')) showHelp();
  });

  showKeysSetting();
})();
