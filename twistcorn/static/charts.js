// Charts of the last while: lines over time in SVG, drawn by ourselves.
// Law: draws columns of numbers, and knows nothing of where they come from. null is a gap.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 900, HEIGHT = 100;

function element(name, attributes = {}, text = "") {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

function drawn(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** The smallest of 1, 2, 5, 10, ... that is not below. */
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 5, 10].find((step) => step * power >= value * 0.999999);
}

export class Chart {
  /**
   * @param series [{key, label}]: which columns, and what they are called.
   * @param format a value as text; most: the top of the chart, where that is fixed.
   */
  constructor(figure, title, series, format, most = 0) {
    this.title = title;
    this.series = series;
    this.format = format;
    this.most = most;
    this.pointed = null;
    const caption = element("figcaption");
    caption.append(element("b", {}, title));
    this.values = series.map(({ label }, n) => {
      const value = element("span", { class: `s${n}` }, label);
      caption.append(value);
      return value;
    });
    this.svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    for (const y of [1, HEIGHT / 2, HEIGHT - 1]) this.svg.append(drawn("line", { x1: 0, x2: WIDTH, y1: y, y2: y }));
    this.cursor = drawn("line", { y1: 0, y2: HEIGHT, visibility: "hidden" });
    this.lines = series.map((_, n) => drawn("path", { class: `s${n}` }));
    this.svg.append(this.cursor, ...this.lines);
    const axis = element("div", { class: "axis" });
    this.top = element("span");
    this.begin = element("span");
    axis.append(this.begin, this.top, element("span", {}, "now"));
    figure.append(caption, this.svg, axis);
    this.svg.addEventListener("pointermove", (event) => {
      const box = this.svg.getBoundingClientRect();
      this.pointed = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      this.tell();
    });
    this.svg.addEventListener("pointerleave", () => { this.pointed = null; this.tell(); });
  }

  /** Draw these columns, one of which is `time`, from so many seconds before `end` to then. */
  draw(columns, end, seconds) {
    Object.assign(this, { columns, end, seconds });
    let highest = 0;
    for (const { key } of this.series) for (const value of columns[key] ?? []) if (value > highest) highest = value;
    const most = this.most || ceiling(highest);
    this.series.forEach(({ key }, n) => this.lines[n].setAttribute("d", this.path(columns[key] ?? [], most)));
    this.begin.textContent = seconds < 120 ? `${Math.round(seconds)} s ago` : `${Math.round(seconds / 60)} min ago`;
    this.top.textContent = `top: ${this.format(most)}`;
    this.tell();
  }

  path(values, most) {
    let path = "", down = false;
    values.forEach((value, n) => {
      if (value === null) { down = false; return; }
      const x = WIDTH * (1 - (this.end - this.columns.time[n]) / this.seconds);
      path += `${down ? "L" : "M"}${x.toFixed(1)} ${(HEIGHT - 1 - (HEIGHT - 2) * Math.min(1, value / most)).toFixed(1)}`;
      down = true;
    });
    return path;
  }

  /** Say the latest values, or those at the pointer. */
  tell() {
    const times = this.columns?.time ?? [];
    let at = times.length - 1;
    if (this.pointed !== null && at >= 0) {
      const time = this.end - this.seconds * (1 - this.pointed);
      at = Math.max(0, times.findIndex((each) => each >= time));
    }
    this.cursor.setAttribute("visibility", this.pointed === null ? "hidden" : "visible");
    for (const name of ["x1", "x2"]) this.cursor.setAttribute(name, WIDTH * (this.pointed ?? 0));
    const told = this.series.map(({ key, label }, n) => {
      const value = this.columns?.[key]?.[at];
      const text = `${label} ${value === null || value === undefined ? "–" : this.format(value)}`;
      this.values[n].textContent = text;
      return text;
    });
    this.svg.setAttribute("aria-label", `${this.title}: ${told.join(", ")}`);
  }
}
