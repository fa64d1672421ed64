// Runs in the head, before anything is painted: a chosen appearance wins over the system's, and what needs JavaScript is
// shown (data-scripted).
(() => {
  document.documentElement.dataset.scripted = "";
  let choice = null;
  try {
    choice = localStorage.getItem("countersign-appearance");
  } catch {
    // Storage may be forbidden; then the system decides.
  }
  if (choice === "light" || choice === "dark") document.documentElement.dataset.bsTheme = choice;
})();
