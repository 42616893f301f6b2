// Draws the figures and answers the controls. What is drawn and chosen from lies in the page as JSON.
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const find = (id) => document.getElementById(id);
const percent = (share, digits) => `${(100 * share).toFixed(digits)}%`;
const specifications = read("specifications");
const choices = read("choices");
const views = {};

async function draw(place) {
  const name = place.dataset.figure;
  const options = { renderer: "svg", actions: { export: true, source: false, compiled: false, editor: false } };
  views[name] = (await window.vegaEmbed(place, specifications[name], options)).view;
}

function fill(select, names, chosen) {
  names.forEach((name, index) => select.add(new Option(name, index, false, index === chosen)));
}

function moveThreshold() {
  const point = choices.points[find("threshold").value];
  find("threshold-value").textContent = point.threshold.toFixed(2);
  find("at-accuracy").textContent = percent(point.accuracy, 2);
  find("at-macs").textContent = percent(1 - point.macs / choices.dense, 1);
  find("at-ms").textContent = point.milliseconds.toFixed(3);
  find("at-open").textContent = percent(point.open_rate, 1);
  views.operating_points.signal("at", point.threshold).run();
}

function chooseSite(names) {
  views.probabilities.signal("site", names[find("site").value]).run();
}

function compareClasses(rates) {
  const { gates, levels, names } = choices.classes;
  const [first, second] = ["first", "second"].map((id) => Number(find(id).value));
  const of = (label, column) => rates[label * gates.length + column] / levels;
  const rows = gates.map((gate, column) => ({ ...gate, difference: of(first, column) - of(second, column) }));
  views.firing_differences.data("difference", rows).run();
  const most = rows.reduce((a, b) => (Math.abs(b.difference) > Math.abs(a.difference) ? b : a));
  const by = `${most.difference >= 0 ? "+" : "−"}${percent(Math.abs(most.difference), 0)}`;
  find("most-different").textContent =
    first === second ? "" : `Most: ${most.site} no. ${most.gate}, ${by} for ${names[first]}`;
}

function wireThreshold() {
  const slider = find("threshold");
  const own = choices.points.findIndex((point) => Math.abs(point.threshold - choices.own) < 1e-6);
  slider.value = Math.max(0, own);
  slider.addEventListener("input", moveThreshold);
  moveThreshold();
}

function wireSites() {
  const names = ["all layers", ...choices.sites];
  fill(find("site"), names, 0);
  find("site").addEventListener("change", () => chooseSite(names));
}

function wireClasses() {
  const rates = Uint8Array.from(atob(choices.classes.rates), (letter) => letter.charCodeAt(0));
  ["first", "second"].forEach((id, index) => {
    fill(find(id), choices.classes.names, index);
    find(id).addEventListener("change", () => compareClasses(rates));
  });
  compareClasses(rates);
}

function changeTheme() {
  const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  const shown = document.documentElement.dataset.theme || (dark ? "dark" : "light");
  document.documentElement.dataset.theme = shown === "dark" ? "light" : "dark";
}

find("theme").addEventListener("click", changeTheme);
await Promise.all([...document.querySelectorAll("[data-figure]")].map(draw));
if (find("threshold")) wireThreshold();
if (find("site")) wireSites();
if (find("first")) wireClasses();
document.documentElement.dataset.drawn = Object.keys(views).length;
