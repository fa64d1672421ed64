// Drafts: what is typed into <textarea data-draft="key"> outlives a reload, a lost connection and an expired session. It
// is kept in this browser, by person, page and key, until the server took it; for 14 days at most. Nothing but a marked
// textarea is kept.

(() => {
  const PREFIX = "countersign-draft:";
  const SENT = "countersign-sent"; // keys of the form that was sent without htmx, until the next page is here
  const LONGEST = 100_000; // characters of one draft
  const MOST = 50; // drafts
  const OLDEST = 14 * 24 * 3600 * 1000;

  const person = document.body.dataset.person;
  const fieldsIn = (part) => [...part.querySelectorAll("textarea[data-draft]")];
  const keyOf = (field) => `${PREFIX}${person}:${location.pathname}:${field.dataset.draft}`;

  function read(key) {
    try {
      const draft = JSON.parse(localStorage.getItem(key));
      return draft && Date.now() - draft.at < OLDEST ? draft : null;
    } catch {
      return null; // no storage, or not ours
    }
  }

  function keep(field) {
    const key = keyOf(field);
    try {
      if (field.value === field.defaultValue || field.value.length > LONGEST) localStorage.removeItem(key);
      else localStorage.setItem(key, JSON.stringify({ text: field.value, at: Date.now() }));
    } catch {
      // Storage is full or forbidden: then the text lives as long as the page.
    }
  }

  function forget(key) {
    try {
      localStorage.removeItem(key);
    } catch {
      // as above
    }
  }

  function sweep() {
    try {
      const all = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
      const kept = all.filter((key) => read(key)).sort((one, other) => read(other).at - read(one).at);
      for (const key of all) if (!kept.slice(0, MOST).includes(key)) localStorage.removeItem(key);
    } catch {
      // as above
    }
  }

  function noteBeside(field) {
    const [note, discard] = [document.createElement("p"), document.createElement("button")];
    note.className = "draft-note";
    note.setAttribute("role", "status");
    note.textContent = "Draft restored · ";
    discard.type = "button";
    discard.textContent = "Discard";
    discard.addEventListener("click", () => {
      field.value = field.defaultValue;
      forget(keyOf(field));
      note.remove();
      field.focus();
      announce("The draft was discarded");
    });
    note.append(discard);
    field.after(note);
  }

  // What a swap brings anew is filled again without a word: it was on the page a moment ago.
  function restore(part, isSwap) {
    for (const field of fieldsIn(part)) {
      const draft = read(keyOf(field));
      if (!draft || field.value !== field.defaultValue || draft.text === field.value) continue;
      field.value = draft.text;
      for (let closed = field.closest("details"); closed; closed = closed.parentElement.closest("details")) closed.open = true;
      if (!isSwap) noteBeside(field);
    }
  }

  // A form that was sent the plain way was taken if a redirect led here; a refusal, a page of signing in and a page that
  // was loaded again keep the draft.
  function settle() {
    let sent = [];
    try {
      sent = JSON.parse(sessionStorage.getItem(SENT)) || [];
      sessionStorage.removeItem(SENT);
    } catch {
      // as above
    }
    const [arrival] = performance.getEntriesByType("navigation");
    if (arrival?.redirectCount && !(arrival.responseStatus >= 400)) sent.forEach(forget);
  }

  if (!person) {
    try {
      sessionStorage.removeItem(SENT);
    } catch {
      // as above
    }
    return;
  }

  document.addEventListener("input", (event) => {
    if (!(event.target instanceof HTMLTextAreaElement) || event.target.dataset.draft === undefined) return;
    event.target.parentElement.querySelector(".draft-note")?.remove();
    keep(event.target);
  });
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented) return; // htmx sends it, or nothing does
    try {
      sessionStorage.setItem(SENT, JSON.stringify(fieldsIn(event.target).map(keyOf)));
    } catch {
      // as above
    }
  });
  document.addEventListener("htmx:after:request", (event) => {
    const { sourceElement, request, response } = event.detail.ctx;
    if (request.method === "GET" || response.status >= 400 || !(sourceElement instanceof HTMLFormElement)) return;
    fieldsIn(sourceElement).map(keyOf).forEach(forget);
  });
  document.addEventListener("htmx:after:swap", () => restore(document, true));

  settle();
  sweep();
  restore(document, false);
})();
