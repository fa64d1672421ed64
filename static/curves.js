// Draws the curves of metrics with uPlot: <figure class="curve" data-curve="metric" data-series='[{"url", "label", "look"}]'>.
// Colours and dashes come from the style sheet (.look-1 and so on), so that they follow the theme.

const plots = new Map(); // figure -> uPlot
const answers = new Map(); // address -> the promise of its series by metric
const choices = { x: "step", y: "linear", smooth: "0" };
let round = 0; // of drawing: what an earlier one still waits for is not drawn
let goesOn = false; // the run, so that there will be more to draw

function fetched(url) {
  if (!answers.has(url))
    answers.set(
      url,
      fetch(url, { headers: { Accept: "application/json" }, credentials: "same-origin" }).then(async (answer) => {
        if (!answer.ok) throw new Error(`status ${answer.status}`);
        return new Map((await answer.json()).series.map((series) => [series.metric, series]));
      }),
    );
  return answers.get(url);
}

// The line of a look, as the style sheet has it in the present theme.
function lookOf(number) {
  const probe = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  probe.setAttribute("class", `look look-${number}`);
  document.body.append(probe);
  const style = getComputedStyle(probe);
  const found = {
    color: style.color,
    dash: style.strokeDasharray === "none" ? [] : style.strokeDasharray.split(",").map(Number.parseFloat),
  };
  probe.remove();
  return found;
}

function smoothed(values, weight) {
  let last = null;
  return values.map((value) => {
    if (value === null) return null;
    last = last === null ? value : weight * last + (1 - weight) * value;
    return last;
  });
}

// [x values in their order, y values]; on a logarithmic scale what is not above zero is a gap.
function tableOf(series) {
  const across = choices.x === "time" ? series.times.map((time) => time / 1000) : series.steps;
  const order = across.map((_, at) => at).sort((one, other) => across[one] - across[other] || one - other);
  const values = smoothed(order.map((at) => series.values[at]), Number(choices.smooth));
  const shown = choices.y === "log" ? values.map((value) => (value > 0 ? value : null)) : values;
  return [order.map((at) => across[at]), shown];
}

function written(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  return size !== 0 && (size < 0.001 || size >= 1e6) ? value.toExponential(3) : String(Number(value.toPrecision(5)));
}

function options(figure, series, width) {
  const ink = getComputedStyle(figure).color;
  const grid = { stroke: getComputedStyle(figure.querySelector(".curve-plot")).borderTopColor, width: 1 };
  return {
    width,
    height: 220,
    scales: { x: { time: choices.x === "time" }, y: { distr: choices.y === "log" ? 3 : 1 } },
    axes: [
      { stroke: ink, grid, ticks: grid },
      { stroke: ink, grid, ticks: grid, size: 64, values: (_, marks) => marks.map((mark) => (mark === null ? "" : written(mark))) },
    ],
    cursor: { sync: { key: "curves" }, points: { size: 6 } },
    legend: { markers: { width: 2 } },
    series: [
      choices.x === "time" ? { label: "Time" } : { label: "Step" },
      ...series.map(({ label, look }) => {
        const { color, dash } = lookOf(look);
        return { label: label.length > 40 ? `${label.slice(0, 39)}…` : label, stroke: color, dash, width: 1.75, points: { stroke: color, size: 4 }, value: (_, value) => written(value) };
      }),
    ],
  };
}

async function draw(figure, mine) {
  const place = figure.querySelector(".curve-plot");
  const wanted = JSON.parse(figure.dataset.series);
  let found;
  try {
    found = await Promise.all(wanted.map(async (one) => ({ ...one, points: (await fetched(one.url)).get(figure.dataset.curve) })));
  } catch {
    place.textContent = "The curve could not be fetched. Reload the page to try again.";
    return;
  }
  if (mine !== round) return;
  const known = found.filter((one) => one.points);
  plots.get(figure)?.destroy();
  plots.delete(figure);
  place.textContent = known.length ? "" : "Nothing was logged yet.";
  if (!known.length) return;
  const tables = known.map((one) => tableOf(one.points));
  const data = tables.length === 1 ? tables[0] : uPlot.join(tables);
  plots.set(figure, new uPlot(options(figure, known, place.clientWidth), data, place));
}

function drawAll() {
  round += 1;
  for (const figure of document.querySelectorAll("figure[data-curve]")) draw(figure, round);
}

// -- What is chosen stands in the address -------------------------------------------------------------------------------

function readChoices() {
  const given = new URLSearchParams(location.search);
  for (const select of document.querySelectorAll("[data-curve-choice]")) {
    const text = given.get(select.dataset.curveChoice);
    if ([...select.options].some((option) => option.value === text)) select.value = text;
    choices[select.dataset.curveChoice] = select.value;
  }
  for (const holder of document.querySelectorAll("[data-curve-choices]")) holder.hidden = false;
}

document.addEventListener("change", (event) => {
  const name = event.target instanceof HTMLSelectElement && event.target.dataset.curveChoice;
  if (!name) return;
  choices[name] = event.target.value;
  const address = new URL(location.href);
  if (event.target.selectedIndex === 0) address.searchParams.delete(name);
  else address.searchParams.set(name, event.target.value);
  history.replaceState(history.state, "", address);
  drawAll();
});

// The figures of a run that goes on were fetched anew: so are its curves, and once more when it has ended.
document.addEventListener("htmx:after:swap", () => {
  if (!goesOn) return;
  goesOn = Boolean(document.querySelector("[data-goes-on]"));
  answers.clear();
  drawAll();
});

let resizing = 0;
window.addEventListener("resize", () => {
  cancelAnimationFrame(resizing);
  resizing = requestAnimationFrame(() => {
    for (const [figure, plot] of plots) plot.setSize({ width: figure.querySelector(".curve-plot").clientWidth, height: plot.height });
  });
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
new MutationObserver(drawAll).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });

readChoices();
goesOn = Boolean(document.querySelector("[data-goes-on]"));
drawAll();
