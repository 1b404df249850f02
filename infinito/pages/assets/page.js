"use strict";
// Puts a plot that can be explored in the place of each drawing, which stays for print.
(() => {
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const isTouch = matchMedia("(pointer: coarse)").matches;

  const format = (value) => {
    if (typeof value !== "number") return "–";
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e7)) return String(Number(value.toPrecision(4)).toExponential());
    return size >= 1000 ? value.toLocaleString("en", { maximumFractionDigits: 1 }) : String(Number(value.toPrecision(5)));
  };

  // Elements, not markup: what a run is called can then be nothing but text.
  const box = (lines) => {
    const element = document.createElement("div");
    for (const line of lines) {
      const row = document.createElement("div");
      row.textContent = line;
      element.append(row);
    }
    return element;
  };

  const tip = (plot, axis) => (found) => {
    if (!Array.isArray(found)) {
      const label = plot.curves[found.seriesIndex]?.labels?.[found.dataIndex];
      const head = `${found.seriesName}: ${format(found.value[1])}`;
      return box([head, ...(label ? label.split("\n") : [`${axis} ${format(found.value[0])}`])]);
    }
    const seen = found.filter((each) => each.seriesIndex < plot.curves.length && each.value[1] !== null).slice(0, 15);
    return box([`${axis} ${format(found[0].axisValue)}`, ...seen.map((each) => `${each.seriesName}: ${format(each.value[1])}`)]);
  };

  const ticks = (named) => (named.length === 0 ? {} : {
    axisLabel: { customValues: named.map(([at]) => at), formatter: (value) => named.find(([at]) => Math.abs(at - value) < 1e-9)?.[1] ?? "", color: colour("ink"), width: 230, overflow: "truncate" },
    axisTick: { customValues: named.map(([at]) => at) },
  });

  const tickWidth = (plot) => Math.min(230, 7 * Math.max(...plot.y_ticks.map(([, name]) => name.length)));

  const series = (plot, curve, axis) => {
    const shade = colour(`c${curve.colour % 8}`);
    const points = curve.y.map((value, at) => [curve.x[axis][at], value]);
    const isDots = curve.style === "dots";
    const main = {
      name: curve.name, type: isDots ? "scatter" : "line", data: points, color: shade, step: curve.style === "step" ? "end" : false,
      symbol: "circle", symbolSize: isDots ? 8 : 5, showSymbol: curve.style === "thick" && points.length <= 60,
      lineStyle: { width: curve.style === "line" ? 1.3 : 2.2 }, itemStyle: { opacity: isDots ? 0.75 : 1 }, connectNulls: false, emphasis: { focus: "none" },
    };
    const bounds = [];
    if (curve.low && curve.high) {
      const quiet = { name: curve.name, type: "line", color: shade, showSymbol: false, silent: true, tooltip: { show: false } };
      if (isDots) {
        const ends = points.flatMap(([x], at) => [[x, curve.low[at]], [x, curve.high[at]], [x, null]]);
        bounds.push({ ...quiet, data: ends, lineStyle: { width: 2 } });
      } else {
        for (const side of ["low", "high"]) bounds.push({ ...quiet, data: points.map(([x], at) => [x, curve[side][at]]), lineStyle: { width: 1, opacity: 0.45, type: "dashed" } });
      }
    }
    return [main, bounds];
  };

  const option = (plot, state) => {
    const axis = plot.axes.includes(state.axis) ? state.axis : plot.axes[0];
    const ink = colour("ink"), line = colour("line");
    const made = plot.curves.map((curve) => series(plot, curve, axis));
    const positive = plot.curves.every((curve) => curve.y.every((value) => value === null || value > 0));
    const isLog = positive && plot.y_ticks.length === 0 && (state.log ?? plot.log_y);
    const isDots = plot.curves.every((curve) => curve.style === "dots");
    const common = { axisLabel: { color: ink, formatter: format, showMinLabel: plot.levels.length ? false : null, showMaxLabel: plot.levels.length ? false : null }, axisLine: { show: true, lineStyle: { color: line } }, splitLine: { lineStyle: { color: line, width: 0.6 } }, nameTextStyle: { color: ink } };
    const main = made.map(([each]) => each);
    if (plot.levels.length && main.length) {
      main[0].markLine = {
        silent: true, symbol: "none", lineStyle: { color: ink, type: "dotted" },
        data: plot.levels.map(([name, height]) => ({ yAxis: height, name, label: { formatter: () => name, position: "insideEndTop", color: ink, textBorderWidth: 0 } })),
      };
    }
    const heights = plot.levels.map(([, height]) => height);
    return {
      animation: false,
      aria: { enabled: true, label: { description: plot.title } },
      backgroundColor: "transparent",
      textStyle: { color: ink, fontFamily: "sans-serif" },
      grid: plot.y_ticks.length ? { left: tickWidth(plot) + 14, right: 24, top: 40, bottom: 48 } : { left: 8, right: 20, top: 36, bottom: 30, containLabel: true },
      legend: { show: new Set(plot.curves.map((curve) => curve.name)).size > 1 && plot.curves.length <= 20, type: "scroll", top: 4, left: 0, right: 90, textStyle: { color: ink, width: 180, overflow: "truncate" }, pageTextStyle: { color: ink }, pageIconColor: ink, pageIconInactiveColor: line },
      tooltip: { trigger: isDots ? "item" : "axis", confine: true, formatter: tip(plot, axis), axisPointer: { type: "line", label: { show: false } }, backgroundColor: colour("paper"), borderColor: line, textStyle: { color: ink, fontSize: 13 }, extraCssText: "max-width: 22rem; white-space: normal; overflow-wrap: anywhere;" },
      toolbox: { top: 0, right: 0, iconStyle: { borderColor: colour("dim") }, feature: { dataZoom: { title: { zoom: "zoom: draw a box", back: "back" } }, restore: { title: "whole plot" }, saveAsImage: { title: "save as SVG", backgroundColor: colour("paper") } } },
      dataZoom: isTouch ? [{ type: "inside", preventDefaultMouseMove: false, filterMode: "none" }] : [],
      xAxis: { ...common, type: plot.log_x ? "log" : "value", name: axis, nameLocation: "middle", nameGap: 26, min: "dataMin", max: "dataMax", ...(isDots || plot.y_ticks.length ? { scale: true, min: undefined, max: undefined } : {}), ...ticks(plot.x_ticks) },
      yAxis: { ...common, type: isLog ? "log" : "value", scale: true,
        ...(isLog || !heights.length ? {} : { min: (range) => bound(range, heights, -1), max: (range) => bound(range, heights, 1) }), ...ticks(plot.y_ticks),
        ...(plot.y_ticks.length ? { min: -0.6, max: plot.y_ticks.length - 0.4 } : {}) },
      series: [...main, ...made.flatMap(([, bounds]) => bounds)],
    };
  };

  // The end of an axis on which levels have room beside the curves.
  const bound = (range, heights, side) => {
    const low = Math.min(range.min, ...heights), high = Math.max(range.max, ...heights), margin = 0.06 * (high - low || Math.abs(high) || 1);
    return side < 0 ? low - margin : high + margin;
  };

  const shown = [];
  let groups = 0;
  const draw = ({ chart, plot, state }) => {
    chart.setOption(option(plot, state), { notMerge: true });
    if (!isTouch) chart.dispatchAction({ type: "takeGlobalCursor", key: "dataZoomSelect", dataZoomSelectActive: true });
  };

  const start = (figure, state) => {
    const plot = plots[Number(figure.dataset.plot)];
    const place = document.createElement("div");
    place.className = "chart";
    figure.append(place);
    figure.classList.add("live");
    const chart = echarts.init(place, null, { renderer: "svg" });
    chart.getZr().on("dblclick", () => chart.dispatchAction({ type: "restore" }));
    const entry = { chart, plot, state };
    shown.push(entry);
    draw(entry);
    new ResizeObserver(() => chart.resize()).observe(place);
  };

  const choose = (controls, group, state) => {
    const own = group.map((figure) => plots[Number(figure.dataset.plot)]);
    const redraw = () => shown.filter((each) => each.state === state).forEach(draw);
    const field = (type, name, label, isChecked, change) => {
      const element = document.createElement("label"), input = document.createElement("input");
      Object.assign(input, { type, name, checked: isChecked });
      input.addEventListener("change", () => { change(input.checked); redraw(); });
      element.append(input, ` ${label}`);
      controls.append(element);
    };
    const axes = [...new Set(own.filter((plot) => plot.axes.length > 1).flatMap((plot) => plot.axes))];
    const name = `axis${groups++}`;
    if (axes.length > 1) for (const axis of axes) field("radio", name, `over ${axis}`, axis === axes[0], () => { state.axis = axis; });
    if (own.some((plot) => plot.y_ticks.length === 0)) field("checkbox", "", "logarithmic", false, (isOn) => { state.log = isOn; });
    controls.hidden = false;
  };

  for (const group of document.querySelectorAll(".plots")) {
    const figures = [...group.querySelectorAll("figure")], state = {};
    if (!figures.length) continue;
    choose(group.previousElementSibling, figures, state);
    // A plot is made when it comes near the screen: a long page opens at once.
    const observer = new IntersectionObserver((entries) => {
      for (const entry of entries.filter((each) => each.isIntersecting)) {
        observer.unobserve(entry.target);
        start(entry.target, state);
      }
    }, { rootMargin: "400px" });
    figures.forEach((figure) => observer.observe(figure));
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => shown.forEach(draw));
})();
