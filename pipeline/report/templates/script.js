"use strict";
(() => {
  const theme = JSON.parse(document.getElementById("theme").textContent);
  const darkness = matchMedia("(prefers-color-scheme: dark)");
  const phone = matchMedia("(max-width: 600px)");
  const figures = [...document.querySelectorAll("figure")];
  const drawn = new Set();
  const PAPER_WIDTH = 680;
  const ROWS_AT_FIRST = 15;
  const ROWS_MORE = 100;

  // Only under a key that names a colour: a run may be called "#0072b2".
  function inTheDark(value, key) {
    if (typeof value === "string") return /color/i.test(key) ? (theme.dark[value] ?? value) : value;
    if (Array.isArray(value)) return value.map((each) => inTheDark(each, key));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, inTheDark(v, k)]));
  }

  function over(under, upper) {
    const both = { ...under };
    for (const [key, value] of Object.entries(upper)) {
      const nested = value && typeof value === "object" && !Array.isArray(value);
      both[key] = nested ? over(both[key] ?? {}, value) : value;
    }
    return both;
  }

  function drawing(figure, { dark, narrow, width }) {
    const told = JSON.parse(figure.querySelector(":scope > script").textContent);
    let layout = { ...told.layout, template: theme.template };
    if (narrow) layout = over(layout, told.narrow);
    if (width) layout.width = width;
    return dark ? inTheDark({ data: told.data, layout }, "") : { data: told.data, layout };
  }

  // It takes longer to compile than all else on the page, so that waits for the first figure.
  function plotly() {
    if (!self.Plotly) {
      const script = document.createElement("script");
      script.textContent = document.getElementById("plotly").textContent;
      document.head.append(script);
    }
    return self.Plotly;
  }

  function draw(figure, how = { dark: darkness.matches, narrow: phone.matches }) {
    const canvas = figure.querySelector(".canvas");
    const { data, layout } = drawing(figure, how);
    canvas.style.minHeight = `${layout.height}px`;
    drawn.add(figure);
    plotly().react(canvas, data, layout, { displayModeBar: false, responsive: !how.width });
  }

  function drawAgain() {
    for (const figure of drawn) {
      if (figure.hidden) drawn.delete(figure);
      else draw(figure);
    }
  }

  // What is out of sight is not drawn: a page of thirty figures opens as fast as one of three.
  const sight = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (isIntersecting && !drawn.has(target)) draw(target);
      }
    },
    { rootMargin: "400px" },
  );
  for (const figure of figures) sight.observe(figure);
  darkness.addEventListener("change", drawAgain);
  phone.addEventListener("change", drawAgain);

  addEventListener("beforeprint", () => {
    for (const figure of figures) {
      if (!figure.hidden) draw(figure, { dark: false, narrow: false, width: PAPER_WIDTH });
    }
  });
  addEventListener("afterprint", drawAgain);

  for (const group of document.querySelectorAll(".one-of")) {
    const pick = group.querySelector("select");
    const show = () => {
      for (const figure of group.querySelectorAll("figure")) figure.hidden = figure.id !== pick.value;
    };
    pick.addEventListener("change", show);
    pick.parentElement.hidden = false;
    show();
  }

  // MLflow shows pages in a frame that may run scripts, but neither follow links nor save files.
  for (const link of document.querySelectorAll('a[href^="#"]')) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const target = document.querySelector(link.getAttribute("href"));
      target.tabIndex = -1;
      target.focus({ preventScroll: true });
      target.scrollIntoView();
    });
  }
  const caged = self !== top && self.origin === "null";
  for (const tools of document.querySelectorAll(".tools")) {
    if (caged) tools.textContent = "To keep it as PNG or SVG, download this page and open it.";
    for (const button of tools.querySelectorAll("button")) {
      button.addEventListener("click", () => {
        const figure = tools.closest("figure");
        const { data, layout } = drawing(figure, { dark: false, narrow: false });
        const { format } = button.dataset;
        const size = { width: 1000, height: layout.height, scale: format === "png" ? 2 : 1 };
        plotly().downloadImage({ data, layout }, { format, filename: figure.id, ...size });
      });
    }
  }

  const table = document.getElementById("ranking-table");
  if (table) {
    const body = table.tBodies[0];
    const cells = [...table.tHead.rows[0].cells];
    const headings = cells.filter((cell) => cell.querySelector("button"));
    const filter = document.getElementById("filter");
    const more = document.getElementById("more");
    const texts = new Map([...body.rows].map((row) => [row, row.textContent.toLowerCase()]));
    const total = texts.size;
    let wanted = ROWS_AT_FIRST;

    const show = () => {
      const words = filter.value.toLowerCase().split(/\s+/);
      let found = 0;
      for (const row of body.rows) {
        const fits = words.every((word) => texts.get(row).includes(word));
        row.hidden = !fits || ++found > wanted;
      }
      more.hidden = found <= wanted;
      const of = found < total ? `${found} of ${total} rows fit` : `${total} rows`;
      document.getElementById("rows-shown").textContent =
        found > wanted ? `${wanted} shown; ${of}` : of;
    };

    const sortBy = (heading) => {
      const column = cells.indexOf(heading);
      const down = heading.getAttribute("aria-sort") === "ascending";
      const keyOf = (row) => {
        const cell = row.cells[column];
        const order = cell.dataset.order ?? cell.textContent.trim();
        return cell.tagName === "TH" ? order : order === "" ? null : Number(order);
      };
      const keys = new Map([...body.rows].map((row) => [row, keyOf(row)]));
      const compare = (a, b) => {
        const [x, y] = [keys.get(a), keys.get(b)];
        if (x === null || y === null) return (x === null) - (y === null);
        const order = typeof x === "string" ? x.localeCompare(y, undefined, { numeric: true }) : x - y;
        return down ? -order : order;
      };
      body.append(...[...body.rows].sort(compare));
      for (const each of headings) each.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      show();
    };

    for (const heading of headings) {
      heading.querySelector("button").addEventListener("click", () => sortBy(heading));
    }
    filter.addEventListener("input", show);
    more.addEventListener("click", () => {
      wanted += ROWS_MORE;
      show();
    });
    if (total > 5) filter.parentElement.hidden = false;
    if (total > ROWS_AT_FIRST) more.parentElement.hidden = false;
    show();
  }
})();
