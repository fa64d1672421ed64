// Suggestions under a field: <input data-suggests="#list">, whose list htmx fills with role="option" links.
// The combobox pattern of ARIA: the focus stays in the field, the arrows move through the list, Enter follows, Escape closes.

(() => {
  function listOf(field) {
    return document.querySelector(field.dataset.suggests);
  }

  function isField(element) {
    return element instanceof HTMLInputElement && element.dataset.suggests !== undefined;
  }

  function chosen(list) {
    return list.querySelector('[aria-selected="true"]');
  }

  function choose(field, option) {
    const list = listOf(field);
    chosen(list)?.setAttribute("aria-selected", "false");
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    if (option) field.setAttribute("aria-activedescendant", option.id);
    else field.removeAttribute("aria-activedescendant");
  }

  function show(field, isOpen) {
    const list = listOf(field);
    choose(field, null);
    list.hidden = !isOpen;
    field.setAttribute("aria-expanded", String(isOpen));
  }

  for (const field of document.querySelectorAll("input[data-suggests]")) {
    field.setAttribute("role", "combobox");
    field.setAttribute("aria-autocomplete", "list");
    field.setAttribute("aria-expanded", "false");
    field.setAttribute("aria-controls", listOf(field).id);
  }

  document.addEventListener("htmx:after:swap", (event) => {
    const field = event.detail.ctx?.sourceElement;
    if (!isField(field) || document.activeElement !== field) return;
    const options = listOf(field).querySelectorAll('[role="option"]').length;
    show(field, options > 0 && field.value.trim() !== "");
    if (options) announce(options === 1 ? "1 suggestion" : `${options} suggestions`);
  });

  document.addEventListener("input", (event) => {
    if (isField(event.target) && !event.target.value.trim()) show(event.target, false);
  });

  document.addEventListener("focusin", (event) => {
    for (const field of document.querySelectorAll('input[data-suggests][aria-expanded="true"]'))
      if (field !== event.target && !listOf(field).contains(event.target)) show(field, false);
  });

  document.addEventListener("pointerdown", (event) => {
    for (const field of document.querySelectorAll('input[data-suggests][aria-expanded="true"]'))
      if (field !== event.target && !listOf(field).contains(event.target)) show(field, false);
  });

  document.addEventListener("keydown", (event) => {
    const field = event.target;
    if (!isField(field) || event.isComposing) return;
    const list = listOf(field);
    const options = [...list.querySelectorAll('[role="option"]')];
    const at = options.indexOf(chosen(list));
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && options.length) {
      event.preventDefault();
      if (list.hidden) show(field, true);
      const next = event.key === "ArrowDown" ? at + 1 : at < 0 ? options.length - 1 : at - 1;
      choose(field, options[next] ?? null);
    } else if (event.key === "Enter" && !list.hidden && at >= 0) {
      event.preventDefault();
      options[at].click();
    } else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault();
      show(field, false);
    }
  });
})();
