"use strict";
// The page: asks the snapshot each second and the reports of the days now and then. Text of logs is
// only ever set as text. It asks before the charts' script, which is large, has been read.
(() => {
  const SECOND = 1000, DAYS_EVERY = 60 * SECOND, QUIET = 5 * SECOND, SHADED = "open resolved";
  const saved = document.getElementById("data");
  const data = saved ? JSON.parse(saved.textContent) : null;
  const query = new URLSearchParams(location.search);
  const choice = { server: query.get("server") || "all", last: query.get("last") || "14d" };
  const $ = (id) => document.getElementById(id);
  const part = (id, selector) => document.querySelector(`#${id} ${selector}`);
  let figures = null;  // takes a while to make: after everything has been asked for
  const number = (n) => (n === null ? "–" : (figures ??= new Intl.NumberFormat("en")).format(n));
  const clock = (moment) => moment.slice(11, 19);
  const drawable = new Promise((done) => addEventListener("DOMContentLoaded", done));
  let now = null, arrived = 0, spoken = "", alertsSeen = null, asked = new Map();

  function el(tag, properties, ...children) {
    const node = Object.assign(document.createElement(tag), properties || {});
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }

  async function ask(path) {
    const answer = await fetch(path, { cache: "no-store" });
    const text = await answer.text();
    let body = null;
    try { body = text ? JSON.parse(text) : null; } catch { body = { error: text.trim(), hint: "" }; }
    return { status: answer.status, body };
  }

  // State

  function pill(kind, text, say) {
    $("pill").className = `pill ${kind}`;
    if ($("state").textContent !== text) $("state").textContent = text;
    $("now").classList.toggle("dimmed", kind === "away");
    if (say !== spoken) $("spoken").textContent = spoken = say;
  }

  const moment = (text) => `${text.replace("T", " ").replace("Z", "")} UTC`;
  const asOf = () => (now ? `, as of ${moment(now.as_of)}` : "");

  function judgeAge() {
    const age = Date.now() - arrived;
    if (age < QUIET) pill("live", `live${asOf()}`, "live");
    else pill("wait", `nothing new for ${Math.round(age / SECOND)} s${asOf()}`, "nothing new");
  }

  function away(body) {
    const hint = body.hint ? `; ${body.hint}` : "";
    pill("away", `${body.error}${hint}${asOf()}`, body.error);
  }

  async function poll() {
    if (document.visibilityState === "visible") {
      try {
        const answer = await ask(`api/now?seen=${now ? now.batch : ""}`);
        await drawable;
        if (answer.status === 200) { now = answer.body; arrived = Date.now(); drawNow(); }
        if (answer.status === 200 || answer.status === 204) now ? judgeAge() : null;
        else away(answer.body);
      } catch {
        pill("away", `the dashboard does not answer${asOf()}`, "the dashboard does not answer");
      }
      document.body.dataset.polled = "yes";
    }
    setTimeout(poll, SECOND);
  }

  // Now

  function drawNow() {
    const server = now.line[choice.server] ? choice.server : "all";
    drawTiles(server);
    drawTraffic(server);
    drawAlerts();
    const rows = now.popularity[server];
    part("popularity", "small").textContent = rows.length
      ? `requests after ${clock(rows[0].window_start)} up to ${clock(rows[0].window_end)}, ${named(server)}` : "";
    bars(part("popularity", ".bars"), rows);
  }

  const named = (server) => (server === "all" ? "all servers" : server);
  const sum = (values) => values.reduce((total, value) => total + value, 0);

  function drawTiles(server) {
    const line = now.line[server].requests;
    const open = now.alerts.filter((alert) => alert.state === "open").length;
    document.title = open ? `(${open}) clickstream` : "clickstream";
    const tiles = [tile(number(open), open === 1 ? "open alert" : "open alerts", open > 0)];
    for (const row of now.health) {
      if (choice.server !== "all" && row.server !== choice.server) continue;
      const state = row.state === "alert" ? `alert, above ${now.limits.non_200}` : `ok, up to ${now.limits.non_200}`;
      tiles.push(tile(`${number(row.non_200)} ${now.unhealthy}`, `${row.server} in 5 min: ${state}`, row.state === "alert"));
    }
    tiles.push(tile((sum(line.slice(-10)) / 10).toFixed(1), "requests per second, of the last 10 s"));
    tiles.push(tile(number(sum(line)), "requests in 5 min"));
    $("tiles").replaceChildren(...tiles);
  }

  const tile = (figure, text, act) => el("div", { className: act ? "tile act" : "tile" },
    el("strong", { textContent: figure }), el("span", { textContent: text }));

  function drawTraffic(server) {
    const line = now.line[server], start = Date.parse(now.start);
    const seconds = line.requests.map((_, i) => new Date(start + i * SECOND).toISOString().slice(11, 19));
    const index = (text) => (Date.parse(text) - start) / SECOND;
    const shaded = now.alerts
      .filter((alert) => SHADED.includes(alert.state) && (server === "all" || alert.servers.split(",").includes(server)))
      .map((alert) => [index(alert.first), alert.state === "open" ? seconds.length - 1 : index(alert.last)])
      .filter(([from, to]) => to >= 0 && from < seconds.length)
      .map(([from, to]) => [Math.max(0, from), Math.min(seconds.length - 1, Math.max(from, to))]);
    charts.traffic(part("traffic", ".chart"), seconds, line.requests, line.non_200, shaded, now.unhealthy);
  }

  function drawAlerts() {
    const rows = now.alerts.filter((alert) => choice.server === "all" || alert.servers.split(",").includes(choice.server));
    const fresh = rows.filter((alert) => alert.state === "open" && alertsSeen && !alertsSeen.has(alert.id));
    if (fresh.length) $("spoken").textContent = `new alert: ${fresh.map((alert) => alert.id).join(", ")}`;
    alertsSeen = new Set(now.alerts.filter((alert) => alert.state === "open").map((alert) => alert.id));
    const list = part("alerts", "ol");
    const focused = document.activeElement?.dataset?.alert;
    list.replaceChildren(...(rows.length ? rows.map(alertItem) : [el("li", { className: "soft", textContent: "no alert" })]));
    if (focused) list.querySelectorAll("button").forEach((b) => b.dataset.alert === focused && b.focus());
  }

  function alertItem(alert) {
    const kind = alert.kind === "ddos" ? "DDoS" : "Health";
    const peak = alert.kind === "ddos" ? `${number(alert.peak)} requests in one second`
      : `${number(alert.peak)} ${now.unhealthy} in five minutes`;
    const text = `${peak} at ${clock(alert.peak_second)}; ${clock(alert.first)} to ${clock(alert.last)}; ${alert.servers}`;
    const button = el("button", { type: "button", title: `clickstream alert show ${alert.id} --evidence` },
      el("span", { className: "tag", textContent: alert.state }), ` ${kind} `,
      el("code", { textContent: alert.key }), el("br"), el("span", { className: "soft", textContent: text }));
    button.dataset.alert = alert.id;
    button.setAttribute("aria-expanded", String(asked.has(alert.id)));
    button.addEventListener("click", () => toggle(alert.id));
    return el("li", { className: alert.state }, button, asked.has(alert.id) ? evidence(asked.get(alert.id)) : null);
  }

  // Evidence of an alert: a job of the server's, asked for by a click

  function toggle(id) {
    if (asked.has(id)) { asked.delete(id); drawAlerts(); return; }
    asked.set(id, { stage: "reading the lines of the alert" });
    drawAlerts();
    if (!data) collect(id);
  }

  async function collect(id) {
    while (asked.has(id)) {
      let answer;
      try { answer = await ask(`api/evidence?id=${encodeURIComponent(id)}`); }
      catch { answer = { status: 503, body: { error: "the dashboard does not answer", hint: "" } }; }
      if (!asked.has(id)) return;
      asked.set(id, answer.body);
      drawAlerts();
      if (answer.status !== 202) return;
      await new Promise((done) => setTimeout(done, SECOND));
    }
  }

  function evidence(found) {
    const command = el("p", { className: "soft", textContent: "The command is shown when you point at the alert." });
    if (data) return el("div", { className: "evidence" }, command);
    if (found.error) return el("p", { className: "evidence problem", textContent: `${found.error}${found.hint ? `; ${found.hint}` : ""}` });
    if (!found.rows) return el("p", { className: "evidence soft", textContent: `${found.stage} …` });
    const rows = found.rows.map((row) => el("tr", {}, el("td", {}, `${row.field} `, el("code", { textContent: row.value })),
      el("td", { textContent: number(row.requests) })));
    return el("div", { className: "evidence" }, el("p", { className: "soft", textContent: `${number(found.lines)} lines` }),
      el("table", { className: "rows" }, ...rows));
  }

  // Days

  const days = (last) => (data?.date ? { date: data.date } : last === "all" ? {} : { last });
  const options = (more) => ({ ...more, ...days(choice.last) });
  const panels = {
    visitors: { report: "visitors", query: () => options({ server: choice.server }), draw: drawVisitors, chart: true },
    responses: { report: "responses", query: () => options({ server: choice.server }), draw: drawResponses, chart: true },
    hourly: { report: "hourly", query: () => options({ server: choice.server, by_weekday: "1" }), draw: drawHours },
    distribution: { report: "distribution", query: () => options({}), draw: drawDistribution },
    categories: { report: "categories", query: () => ({ server: choice.server, ...days("1d"), top: "10" }), draw: drawCategories },
  };

  async function askDays() {
    await Promise.all(Object.entries(panels).map(async ([id, panel]) => {
      const query = panel.query();
      footer(id, panel.report, query);
      try {
        const answer = data ? { status: 200, body: data.reports[id] } : await ask(`api/report/${panel.report}?${new URLSearchParams(query)}`);
        if (panel.chart) await drawable;
        show(id, panel, answer);
      } catch { problem(id, "the dashboard does not answer"); }
    }));
    document.body.dataset.ready = "yes";
  }

  function show(id, panel, { status, body }) {
    if (status !== 200) return problem(id, `${body.error}${body.hint ? `; ${body.hint}` : ""}`);
    problem(id, body.rows.length ? "" : body.layer);
    if (id === "visitors") $("days-note").textContent = body.layer;
    panel.draw(body.rows);
  }

  function problem(id, text) {
    let note = part(id, ".note");
    if (!note) { note = el("p", { className: "note" }); part(id, "h3").after(note); }
    note.textContent = text;
    note.hidden = !text;
  }

  function drawVisitors(rows) {
    const states = rows.map(stateOf);
    part("visitors", "small").textContent = states.some((state) => state !== "final")
      ? `${named(choice.server)}; hatched: provisional, lines are still missing` : named(choice.server);
    charts.days(part("visitors", ".chart"), rows.map((row) => row.date),
      [{ name: "unique visitors", colour: "one", values: rows.map((row) => row.unique_visitors) }], states);
  }

  function drawResponses(rows) {
    const states = rows.map(stateOf), values = (key) => rows.map((row) => row[key]);
    part("responses", "small").textContent = states.some((state) => state === "merged" || state === "speed")
      ? "dotted: with minutes of the speed layer" : "";
    charts.days(part("responses", ".chart"), values("date"), [
      { name: "success (2xx, 3xx)", colour: "good", values: values("success") },
      { name: "failure (4xx, 5xx)", colour: "bad", values: values("failure") },
      { name: "other", colour: "soft", values: values("other") }], states);
  }

  const stateOf = (row) => row.state || "final";

  function drawHours(rows) {
    const days = [...new Set(rows.map((row) => row.weekday))];
    const cells = new Map(rows.map((row) => [`${row.weekday} ${row.hour}`, row.requests]));
    const ordered = [...new Set(cells.values())].sort((a, b) => a - b);
    const hours = [...Array(24).keys()];
    const head = el("tr", {}, el("th"), ...hours.map((hour) => el("th", { scope: "col", textContent: hour })));
    const body = days.map((day) => el("tr", {}, el("th", { scope: "row", textContent: day.slice(0, 3) }), ...hours.map((hour) => {
      const requests = cells.get(`${day} ${hour}`);
      const cell = el("td", { textContent: requests === undefined ? "·" : number(requests), title: `${day} ${hour}:00` });
      const rank = requests === undefined ? 0 : (ordered.indexOf(requests) + 1) / ordered.length;
      cell.style.setProperty("--part", rank.toFixed(3));
      return cell;
    })));
    part("hourly", "table").replaceChildren(head, ...body);
  }

  function drawDistribution(rows) {
    const head = el("tr", {}, ...["date", "unique visitors", "change", "requests"].map((text) => el("th", { scope: "col", textContent: text })));
    const body = [...rows].reverse().map((row) => {
      const sign = row.change > 0 ? "+" : "";
      const state = stateOf(row);
      return el("tr", {}, el("td", {}, el("span", { className: "day", textContent: row.date }), state === "final" ? null : el("span", { className: "note", textContent: ` ${state}` })),
        el("td", { textContent: number(row.unique_visitors) }),
        el("td", { className: row.change > 0 ? "up" : row.change < 0 ? "down" : "", textContent: row.change === null ? "–" : sign + number(row.change) }),
        el("td", { textContent: number(row.requests) }));
    });
    part("distribution", "table").replaceChildren(head, ...body);
  }

  function drawCategories(rows) {
    part("categories", "small").textContent = rows.length ? `${rows.at(-1).date}, ${named(choice.server)}` : "";
    bars(part("categories", ".bars"), rows);
  }

  function bars(box, rows) {
    const most = Math.max(1, ...rows.map((row) => row.requests));
    box.replaceChildren(...rows.map((row) => {
      const bar = el("i");
      bar.style.setProperty("--part", `${(100 * row.requests) / most}%`);
      return el("div", { className: "bar" }, el("div", {}, el("code", { textContent: row.category, title: row.category }),
        el("strong", { textContent: number(row.requests) })), bar);
    }));
  }

  // The command for the same rows

  function footer(id, report, given) {
    const words = Object.entries(given).map(([key, value]) => (value === "1" ? `--${key.replace("_", "-")}` : `--${key} ${value}`));
    const command = ["clickstream report", report, ...words].join(" ");
    const links = data || !report ? [] : ["json", "csv"].map((form) =>
      el("a", { href: `api/report/${report}${form === "csv" ? ".csv" : ""}?${new URLSearchParams(given)}`, textContent: form }));
    part(id, "footer").replaceChildren(el("code", { textContent: command }), ...links);
  }

  function nowFooters() {
    const server = choice.server === "all" ? {} : { server: choice.server };
    footer("popularity", "popularity", server);
    const listed = (id, text) => part(id, "footer").replaceChildren(el("code", { textContent: text }));
    listed("alerts", "clickstream alert list");
    listed("traffic", "clickstream report traffic --by minute --last 1d");
  }

  // Choices

  function choose() {
    const given = new URLSearchParams();
    if (choice.server !== "all") given.set("server", choice.server);
    if (choice.last !== "14d") given.set("last", choice.last);
    if (!data) history.replaceState(null, "", given.size ? `?${given}` : location.pathname);
    nowFooters();
    if (now) drawNow();
    return askDays();
  }

  function theme() {
    const order = ["auto", "light", "dark"];
    let at = 0;
    $("theme").addEventListener("click", () => {
      at = (at + 1) % order.length;
      if (at) document.documentElement.dataset.theme = order[at];
      else delete document.documentElement.dataset.theme;
      $("theme").textContent = `Theme: ${order[at]}`;
      charts.redraw();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", charts.redraw);
  }

  async function start() {
    theme();
    // Where no server is chosen, nothing need wait for their names.
    const early = !data && choice.server === "all" ? choose() : null;
    const servers = data ? data.servers : (await ask("api/servers")).body;
    $("server").replaceChildren(...servers.map((name) => el("option", { value: name, textContent: name })));
    if (!servers.includes(choice.server)) choice.server = "all";
    for (const name of ["server", "last"]) {
      $(name).value = choice[name];
      $(name).disabled = Boolean(data);
      $(name).addEventListener("change", (event) => { choice[name] = event.target.value; choose(); });
    }
    if (data) { showSaved(); return; }
    poll();
    await (early ?? choose());
    setInterval(() => { if (document.visibilityState === "visible") askDays(); }, DAYS_EVERY);
    document.addEventListener("visibilitychange", () => { if (document.visibilityState === "visible") askDays(); });
  }

  async function showSaved() {
    await drawable;
    choice.last = $("last").value = data.last;
    now = data.now;
    if (now) drawNow();
    else part("now", "small").textContent = "the speed layer had no answer";
    pill("wait", `saved, as of ${data.as_of}`, "saved");
    choose();
  }

  start();
})();
