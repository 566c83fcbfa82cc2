// Sales by hour as a chart (uPlot), with last week's same day behind it; and the same as a table, for who cannot see it.
// Time runs as the language is read.

import { hoursOf } from "../../core/owner.js";
import { direction, language, money, number, short, t } from "../../texts.js";
import { html, signal, useEffect, useLayoutEffect, useRef, useSignal } from "../../ui.js";

const HEIGHT = 260;
const TEXT = '16px Posline, "Posline Urdu", system-ui, sans-serif';
const dark = matchMedia("(prefers-color-scheme: dark)");
const theme = signal(dark.matches);
dark.addEventListener("change", () => (theme.value = dark.matches));

/** `rows` of the day's hour report, `before` of the day a week earlier. */
export function HourChart({ rows, before, start, through, titles }) {
  const hours = hoursOf([rows, before], start, { through });
  const place = useRef(null);
  const chart = useRef(null);
  const at = useSignal(null);
  const compared = before.length > 0;
  const data = [hours.map((_, index) => index), hours.map((each) => each.values[0].net), hours.map((each) => (compared ? each.values[1].net : null))];
  const shape = `${hours.map((each) => each.hour).join()}|${language.value}|${theme.value}|${compared}`;

  useLayoutEffect(() => {
    if (!hours.length) return undefined;
    const made = draw(place.current, hours, data, direction.value, (index) => (at.value = index));
    chart.current = made;
    const sized = new ResizeObserver(() => made.setSize({ width: place.current.clientWidth, height: HEIGHT }));
    sized.observe(place.current);
    void document.fonts?.ready.then(() => made.redraw(false, true));
    return () => {
      sized.disconnect();
      made.destroy();
      chart.current = null;
    };
  }, [shape]);
  useEffect(() => {
    chart.current?.setData(data);
  }, [JSON.stringify(data)]);

  if (!hours.length) return html`<p class="quiet o-none">${t("nothing_sold")}</p>`;
  const picked = hours[at.value];
  const best = hours.reduce((most, each) => (each.values[0].net > most.values[0].net ? each : most));
  const told = picked ?? best;
  return html`<div class="o-chart" ref=${place} role="img" aria-label=${t("chart_summary", { hour: clockText(best.hour), amount: money(best.values[0].net) })}></div>
    <p class="o-legend" aria-hidden="true">
      <span><i class="o-swatch"></i>${titles[0]}</span>${compared && html`<span><i class="o-swatch faint"></i>${titles[1]}</span>`}
      <span class="o-told">${picked ? "" : `${t("best_hour")}: `}<b>${clockText(told.hour)}</b> · <bdi>${money(told.values[0].net)}</bdi> · <bdi>${t("sales_count", { n: told.values[0].count, count: number(told.values[0].count) })}</bdi>${picked && compared ? html` · <bdi>${titles[1]}: ${money(told.values[1].net)}</bdi>` : ""}</span>
    </p>
    <details class="o-details"><summary>${t("as_table")}</summary><div class="o-scroll"><table class="o-table"><caption class="unseen">${t("report_hour")}</caption>
      <thead><tr><th scope="col">${t("col_hour")}</th><th scope="col" class="n">${t("col_count")}</th><th scope="col" class="n">${titles[0]}</th>${compared && html`<th scope="col" class="n">${titles[1]}</th>`}</tr></thead>
      <tbody>${hours.map(({ hour, values }) => html`<tr key=${hour}><th scope="row">${clockText(hour)}</th><td class="n">${number(values[0].count)}</td><td class="n">${money(values[0].net)}</td>${compared && html`<td class="n">${money(values[1].net)}</td>`}</tr>`)}</tbody></table></div></details>`;
}

function clockText(hour) {
  return `${String(hour).padStart(2, "0")}:00`;
}

function draw(place, hours, data, from, told) {
  const { uPlot } = window;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const back = from === "rtl";
  const axis = { stroke: () => colour("--soft"), font: TEXT, ticks: { show: false } };
  const options = {
    width: place.clientWidth || 300,
    height: HEIGHT,
    legend: { show: false },
    padding: [14, 8, 0, 8],
    cursor: { drag: { x: false, y: false }, points: { show: false }, y: false, x: true },
    scales: { x: { time: false, dir: back ? -1 : 1, range: [-0.6, hours.length - 0.4] }, y: { range: (_, low, high) => [Math.min(0, low), Math.max(high, 1) * 1.06] } },
    axes: [
      { ...axis, grid: { show: false }, size: 34, splits: () => every(hours.length, place.clientWidth), values: (_, found) => found.map((index) => (hours[index] ? String(hours[index].hour) : "")) },
      { ...axis, side: back ? 1 : 3, size: 64, grid: { stroke: () => colour("--line"), width: 1 }, values: (_, found) => found.map((minor) => short(minor)) },
    ],
    series: [
      {},
      { fill: () => colour("--accent"), stroke: () => colour("--accent"), width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.62, 44], radius: 0.12 }) },
      { stroke: () => colour("--soft"), width: 2, dash: [5, 4], points: { show: false }, paths: uPlot.paths.stepped({ align: 0 }) },
    ],
    hooks: { setCursor: [(self) => told(self.cursor.left >= 0 ? self.cursor.idx : null)] },
  };
  return new uPlot(options, data, place);
}

/** Which hours are named below: all where there is room, else every second or third. */
function every(count, width) {
  const step = Math.max(1, Math.ceil((count * 34) / Math.max(width - 80, 1)));
  return Array.from({ length: Math.ceil(count / step) }, (_, index) => index * step);
}
