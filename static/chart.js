// Dots of a chart: the arrow keys, Home and End move between them, and Tab goes on behind them.
document.addEventListener("keydown", (event) => {
  const dot = event.target.closest?.("[data-chart] a");
  if (!dot || event.altKey || event.ctrlKey || event.metaKey) return;
  const dots = [...dot.closest("[data-chart]").querySelectorAll("a")];
  const at = dots.indexOf(dot);
  const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: dots.length - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  const to = dots[Math.max(0, Math.min(next, dots.length - 1))];
  dot.setAttribute("tabindex", "-1");
  to.setAttribute("tabindex", "0");
  to.focus();
});
