// The admin page: what the server says each second, as text, tables and charts.
// Law: what comes from the server is put into the page as text, never as HTML: paths are written by anybody.

import { Chart } from "./charts.js";

const $ = (id) => document.getElementById(id);
/** Milliseconds without news after which the connection counts as lost, and until the next attempt. */
const SILENCE = 5000, AGAIN = 1000;

// How values are written

const number = (value) => (value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)).toLocaleString("en");
const percent = (value) => `${Math.round(value * 100)} %`;

function seconds(value) {
  if (value === null || value === undefined) return "–";
  if (value < 0.0995) return `${(value * 1000).toPrecision(2)} ms`;
  if (value < 0.9995) return `${Math.round(value * 1000)} ms`;
  if (value < 60) return `${value.toFixed(1)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min ${Math.floor(value % 60)} s`;
  if (value < 86400) return `${Math.floor(value / 3600)} h ${Math.floor((value % 3600) / 60)} min`;
  return `${Math.floor(value / 86400)} d ${Math.floor((value % 86400) / 3600)} h`;
}

function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) { value /= 1024; unit += 1; }
  return `${unit && value < 100 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

const clock = (epoch) => new Date(epoch * 1000).toLocaleTimeString("en-GB");

function put(target, text) {
  const node = typeof target === "string" ? $(target) : target;
  if (node.textContent !== String(text)) node.textContent = text;
}

// Tables, whose rows stay the same as long as they are about the same thing

class Table {
  /** @param columns [item => text or number]; the first one is the head of its row. button: [text, action] for each. */
  constructor(id, key, columns, button = null) {
    this.table = $(id);
    this.none = $(`${id}-none`);
    this.key = key;
    this.columns = columns;
    this.button = button;
    this.rows = new Map();
    // Narrow windows show rows as blocks, which takes the meaning of a table away from whoever listens.
    this.table.setAttribute("role", "table");
    const head = this.table.tHead.rows[0];
    if (button) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = "Action";
      head.append(cell);
    }
    this.labels = [...head.cells].map((cell) => cell.textContent);
    this.table.tHead.setAttribute("role", "rowgroup");
    this.body = this.table.tBodies[0];
    this.body.setAttribute("role", "rowgroup");
    head.setAttribute("role", "row");
    for (const cell of head.cells) cell.setAttribute("role", "columnheader");
  }

  update(items) {
    const seen = new Set();
    let before = this.body.firstElementChild;
    for (const item of items) {
      const key = String(this.key(item));
      seen.add(key);
      const row = this.rows.get(key) ?? this.make(key, item);
      row.dataset.state = item.state ?? "";
      this.columns.forEach((column, n) => put(row.cells[n], column(item)));
      if (row === before) before = before.nextElementSibling;
      else this.body.insertBefore(row, before);
    }
    for (const [key, row] of this.rows) if (!seen.has(key)) { row.remove(); this.rows.delete(key); }
    this.table.hidden = items.length === 0;
    if (this.none) this.none.hidden = items.length > 0;
  }

  make(key, item) {
    const row = document.createElement("tr");
    row.setAttribute("role", "row");
    this.labels.forEach((label, n) => {
      const cell = document.createElement(n ? "td" : "th");
      if (!n) cell.scope = "row";
      cell.setAttribute("role", n ? "cell" : "rowheader");
      cell.dataset.label = label;
      row.append(cell);
    });
    if (this.button) {
      const made = document.createElement("button");
      made.type = "button";
      made.textContent = this.button[0];
      made.setAttribute("aria-label", `${this.button[0]} ${this.labels[0].toLowerCase()} ${this.columns[0](item)}`);
      made.addEventListener("click", () => this.button[1](item));
      row.cells[this.labels.length - 1].append(made);
    }
    this.rows.set(key, row);
    return row;
  }
}

/** A list of events, the latest first; each may have a longer text. */
function log(id, entries) {
  const list = $(id);
  const open = new Set([...list.querySelectorAll("details[open]")].map((each) => each.dataset.key));
  list.replaceChildren(...entries.map(({ key, line, text, bad }) => {
    const item = document.createElement("li");
    if (bad) item.className = "bad";
    if (!text) { item.textContent = line; return item; }
    const details = document.createElement("details"), summary = document.createElement("summary");
    const report = document.createElement("pre");
    details.dataset.key = key;
    details.open = open.has(key);
    summary.textContent = line;
    report.textContent = text;
    details.append(summary, report);
    item.append(details);
    return item;
  }));
  $(`${id}-none`).hidden = entries.length > 0;
}

// Actions

const actions = document.body.dataset.actions;
let target = 0;

async function act(path, values, button = null) {
  if (button) button.disabled = true;
  $("told").className = "";
  put("told", "…");
  try {
    const answer = await fetch(path, { method: "POST", headers: { "X-Twistcorn": "page" }, body: new URLSearchParams(values) });
    $("told").className = answer.ok ? "" : "bad";
    put("told", (await answer.text()).trim());
  } catch {
    $("told").className = "bad";
    put("told", "the server does not answer");
  }
  if (button) button.disabled = false;
}

$("actions").hidden = actions !== "allowed";
$("unlock").hidden = actions !== "locked";
$("reload").addEventListener("click", () => act("actions/reload", {}, $("reload")));
$("fewer").addEventListener("click", () => act("actions/scale", { workers: target - 1 }, $("fewer")));
$("more").addEventListener("click", () => act("actions/scale", { workers: target + 1 }, $("more")));

// What is shown

const workers = new Table("workers", (each) => each.worker, [
  (each) => each.worker, (each) => each.pid, (each) => each.generation,
  (each) => (each.outdated ? `${each.state}: ${each.outdated}` : each.state),
  (each) => seconds(each.age), (each) => `${each.busy} of ${each.threads}`, (each) => bytes(each.rss),
  (each) => (each.cpu === null ? "–" : percent(each.cpu)), (each) => number(each.requests), (each) => number(each.connections),
], actions === "allowed" ? ["Recycle", (each) => act("actions/recycle", { worker: each.worker })] : null);
const running = new Table("running", (each) => each.slot, [
  (each) => each.worker, (each) => each.request, (each) => seconds(each.age),
]);
const oldest = new Table("oldest", (each) => each.slot, [
  (each) => each.peer || "UNIX socket", (each) => seconds(each.age), (each) => each.state.replace("_", " "),
  (each) => each.worker ?? "–", (each) => each.request, (each) => bytes(each.received), (each) => bytes(each.sent),
]);
const charts = [
  new Chart($("chart-rate"), "Requests per second", [{ key: "rate", label: "all" }, { key: "errors", label: "errors" }], number),
  new Chart($("chart-latency"), "Latency", ["p50", "p95", "p99"].map((key) => ({ key, label: key })), seconds),
  new Chart($("chart-utilization"), "Utilization", [{ key: "utilization", label: "busy" }], percent, 1),
  new Chart($("chart-memory"), "Memory", [{ key: "memory", label: "RSS" }], bytes),
];
let past = { time: [] }, kept = 900;

/** From a minute to all that is kept: as far back as anything is known. */
function draw(end) {
  const span = Math.min(kept, Math.max(60, end - (past.time[0] ?? end)));
  if (!document.hidden) for (const chart of charts) chart.draw(past, end, span);
}

function showSample(sample) {
  for (const [key, value] of Object.entries(sample)) {
    const column = (past[key] ??= []);
    column.push(value);
    if (column.length > kept) column.shift();
  }
  put("rate", number(sample.rate));
  put("errors", number(sample.errors));
  for (const key of ["p50", "p95", "p99"]) put(key, seconds(sample[key]));
  put("utilization", percent(sample.utilization));
  put("queue", number(sample.queue));
  put("connections", number(sample.connections));
  put("memory", bytes(sample.memory));
}

function showStatus(status) {
  target = status.workers.target;
  const state = status.reload.running ? "reloading" : status.state;
  $("state").dataset.state = state;
  put("state", state);
  put("about", `${status.app || "application found in the directory"} on ${status.listeners.join(", ")}; `
    + `up ${seconds(status.uptime)}, pid ${status.pid}, version ${status.version}`);
  put("busy", `${status.busy} of ${status.threads}`);
  put("parked", number(status.parked));
  put("lag", seconds(status.lag.last));
  put("worst", seconds(status.lag.worst));
  document.title = `${status.workers.ready} of ${target} workers ready - twistcorn`;
  const notices = Object.keys(status.quarantine).map((name) => `In quarantine, answered 503: ${name}`);
  if (status.recycling_paused) notices.push("The code on disk does not boot: workers are not recycled until it does.");
  if (notices.join("\n") !== [...$("notices").children].map((each) => each.textContent).join("\n")) {
    $("notices").replaceChildren(...notices.map((text) => {
      const item = document.createElement("li");
      item.textContent = text;
      return item;
    }));
  }
}

function showSnapshot(data) {
  showStatus(data.status);
  if (data.sample && data.sample.time !== past.time.at(-1)) showSample(data.sample);
  workers.update(data.workers);
  running.update(data.workers.flatMap((each) => each.doing.map((one) => ({ ...one, worker: each.worker })))
    .sort((one, other) => other.age - one.age));
  oldest.update(data.connections);
  draw(data.status.time);
}

function showRecent({ ended, reloads }) {
  log("ended", ended.toReversed().map((each) => ({
    key: `${each.at} ${each.worker}`, text: each.text,
    line: `${clock(each.at)} worker ${each.worker} (pid ${each.pid}, generation ${each.generation}): ${each.cause}`,
  })));
  log("reloads", reloads.toReversed().map((each) => ({
    key: String(each.at), text: each.problem, bad: Boolean(each.problem),
    line: `${clock(each.at)} generation ${each.generation}, after ${seconds(each.took)}: `
      + (each.problem ? "it did not go through" : "done"),
  })));
}

// The connection to the server

let events = null, heard = 0;

function link(state, text) {
  document.body.dataset.link = state;
  put("link", text);
}

function lose(text = "Connection lost; trying again") {
  events?.close();
  events = null;
  link("lost", text);
  setTimeout(connect, AGAIN);
}

async function connect() {
  try {
    const answer = await fetch("history", { cache: "no-store" });
    if (answer.status === 401 || answer.status === 403) {
      lose("The server wants a token: load this page again");
      return;
    }
    if (!answer.ok) throw new Error(answer.status);
    const found = await answer.json();
    kept = found.kept * found.every;
    past = { time: [], ...found.samples };
  } catch {
    lose();
    return;
  }
  heard = Date.now();
  const source = (events = new EventSource("events"));
  const hear = (show) => (event) => {
    if (source !== events) return;
    heard = Date.now();
    link("live", "Live");
    show(JSON.parse(event.data));
  };
  source.addEventListener("recent", hear(showRecent));
  source.addEventListener("snapshot", hear(showSnapshot));
  source.addEventListener("error", () => { if (source === events) lose(); });
}

setInterval(() => { if (events && Date.now() - heard > SILENCE) lose(); }, 1000);
document.addEventListener("visibilitychange", () => draw(past.time.at(-1) ?? 0));
connect();
