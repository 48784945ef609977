"use strict";
// The charts, by ECharts: SVG and plain text in tooltips, so that nothing is ever read as markup.
const charts = (() => {
  const drawn = new Map(), resolved = new Map();

  // A colour of the style sheet as the browser has resolved it; a chart cannot read variables.
  function colour(name) {
    if (!resolved.has(name)) resolved.set(name, resolve(name));
    return resolved.get(name);
  }

  function resolve(name) {
    const probe = document.createElement("span");
    probe.style.setProperty("color", `var(--${name})`);
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  function place(box, option, reading) {
    let known = drawn.get(box);
    if (!known) {
      known = { chart: echarts.init(box, null, { renderer: "svg" }), index: null };
      drawn.set(box, known);
      // Its first call comes without a change.
      const fits = () => known.chart.getWidth() === box.clientWidth && known.chart.getHeight() === box.clientHeight;
      new ResizeObserver(() => { if (!fits()) known.chart.resize(); }).observe(box);
      box.addEventListener("keydown", (event) => step(known, event));
      box.addEventListener("blur", () => read(known, null));
      known.chart.on("updateAxisPointer", (event) => read(known, event.dataIndex ?? null));
    }
    known.reading = reading;
    known.output = box.parentElement.querySelector("output");
    known.chart.setOption(option(), { notMerge: true });
    known.redraw = () => known.chart.setOption(option(), { notMerge: true });
    if (known.index !== null) read(known, Math.min(known.index, reading.size - 1));
  }

  function read(known, index) {
    known.index = index;
    known.output.textContent = index === null ? "" : known.reading.text(index);
  }

  function step(known, event) {
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    const last = known.reading.size - 1;
    read(known, Math.max(0, Math.min(last, (known.index ?? last + 1) + move)));
    known.chart.dispatchAction({ type: "showTip", seriesIndex: 0, dataIndex: known.index });
  }

  function base() {
    const soft = colour("soft");
    return {
      animation: false,
      textStyle: { fontFamily: "DejaVu Sans, Verdana, sans-serif", color: soft },
      grid: { left: 8, right: 8, top: 34, bottom: 4, containLabel: true },
      legend: { right: 0, top: 0, itemWidth: 12, itemHeight: 9, textStyle: { color: soft } },
      tooltip: { trigger: "axis", renderMode: "richText", confine: true },
    };
  }

  const axis = (soft, line) => ({
    axisLabel: { color: soft }, axisLine: { lineStyle: { color: line } }, axisTick: { show: false },
    splitLine: { lineStyle: { color: line } },
  });

  // `seconds` are the labels HH:MM:SS; `shaded` pairs of indices.
  function traffic(box, seconds, requests, unhealthy, shaded, name) {
    const option = () => {
      const [soft, line, one, bad] = ["soft", "line", "one", "bad"].map(colour);
      return {
        ...base(),
        xAxis: { type: "category", data: seconds, boundaryGap: false, ...axis(soft, line) },
        yAxis: [
          { type: "value", minInterval: 1, ...axis(soft, line) },
          { type: "value", minInterval: 1, max: (v) => Math.max(4, v.max), ...axis(soft, line),
            splitLine: { show: false } },
        ],
        series: [
          { name: "requests", type: "line", data: requests, showSymbol: false, color: one,
            lineStyle: { width: 1.2 }, areaStyle: { opacity: 0.15 },
            markArea: { silent: true, itemStyle: { color: colour("shade") },
              data: shaded.map(([from, to]) => [{ xAxis: from }, { xAxis: to }]) } },
          { name: `${name} (right)`, type: "line", step: "middle", yAxisIndex: 1, data: unhealthy,
            showSymbol: false, color: bad, lineStyle: { width: 1.2 } },
        ],
      };
    };
    place(box, option, { size: seconds.length,
      text: (i) => `${seconds[i]} ${requests[i]} requests, ${unhealthy[i]} ${name}` });
  }

  const HATCH = { symbol: "rect", dashArrayX: [1, 0], dashArrayY: [3, 3], rotation: Math.PI / 4 };
  const DOTS = { symbol: "circle", symbolSize: 0.6 };
  const PATTERNS = { provisional: HATCH, merged: DOTS, speed: DOTS };

  // `stacks`: [{name, colour, values}]; `states`: the state of each day; drawn apart if not final.
  function days(box, labels, stacks, states) {
    const option = () => {
      const [soft, line] = ["soft", "line"].map(colour);
      return {
        ...base(),
        xAxis: { type: "category", data: labels.map((day) => day.slice(5)), ...axis(soft, line) },
        yAxis: { type: "value", minInterval: 1, ...axis(soft, line) },
        series: stacks.map((stack) => ({
          name: stack.name, type: "bar", stack: "day", color: colour(stack.colour), barMaxWidth: 48,
          data: stack.values.map((value, i) => ({ value, itemStyle: PATTERNS[states[i]]
            ? { decal: { ...PATTERNS[states[i]], color: colour("card") } } : {} })),
        })),
      };
    };
    const text = (i) => `${labels[i]} ${states[i]}: `
      + stacks.map((stack) => `${stack.values[i].toLocaleString("en")} ${stack.name}`).join(", ");
    place(box, option, { size: labels.length, text });
  }

  function redraw() {
    resolved.clear();
    drawn.forEach((known) => known.redraw());
  }

  return { traffic, days, redraw };
})();
