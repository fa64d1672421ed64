// Keeps the review page true while others act: every ten seconds, while somebody looks at it, it asks whether anything
// happened. Regions marked data-live are replaced by what they are now, but for one in which somebody is typing: it stays
// as it is, and a line above the form says what happened.

(() => {
  const EVERY = 10000;
  let asking = false;
  let over = false;

  const isTyped = (field) =>
    field === document.activeElement || (field.type === "checkbox" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue);

  function isInUse(region) {
    if (region.querySelector("details[open] form")) return true;
    return [...region.querySelectorAll("textarea, input:not([type=hidden])")].some(isTyped);
  }

  // Whoever stands on a link or a button stands there afterwards.
  function replaceRegion(region, fresh) {
    const stops = (part) => [...part.querySelectorAll("a, button, summary")];
    const at = stops(region).indexOf(document.activeElement);
    region.replaceWith(fresh);
    if (at >= 0) stops(fresh)[at]?.focus({ preventScroll: true });
    window.htmx?.process(fresh);
  }

  function tell(text) {
    const note = document.getElementById("news");
    if (!note || !text) return;
    note.querySelector("[data-text]").textContent = text;
    note.hidden = false;
  }

  function show(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    const news = fresh.getElementById("pulse")?.textContent.trim();
    let kept = false;
    for (const region of document.querySelectorAll("[data-live]")) {
      const replacement = fresh.getElementById(region.id);
      if (!replacement) continue;
      if (isInUse(region)) kept = true;
      else replaceRegion(region, document.adoptNode(replacement));
    }
    if (kept) tell(news);
    if (news) announce(news);
    refreshTimes();
  }

  async function askForNews() {
    const pulse = document.getElementById("pulse");
    if (!pulse || document.hidden || asking || over) return;
    asking = true;
    try {
      const answer = await fetch(pulse.dataset.pulse, { headers: { Accept: "text/html" } });
      if (answer.redirected || [401, 403, 404].includes(answer.status)) {
        over = true;
        tell(answer.redirected ? "You are signed out." : "This request is no longer for you to see.");
      } else if (answer.status === 200) {
        const html = await answer.text();
        // What the person did meanwhile has brought a newer page.
        if (pulse.isConnected) show(html);
      }
    } catch {
      // No connection just now: the next round tries again.
    } finally {
      asking = false;
    }
  }

  setInterval(askForNews, EVERY);
  document.addEventListener("visibilitychange", askForNews);
})();
