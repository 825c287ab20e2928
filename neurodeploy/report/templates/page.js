"use strict";
// Sort, filter, widen and page tables; colour the chips and open one; show a core's row. The page reads well without it.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    made.textContent = text;
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    return made;
  };
  const PAGE = 100;                                                   // rows of a long table at a time

  // Numbers as units.py writes them.
  const digits = (value) => {
    const size = Math.abs(value);
    if (!size) return "0";
    if (size >= 1e6 || size < 1e-3) return value.toExponential(2).replace(/([+-])(\d)$/, "$10$2");
    const [whole, rest] = value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3).split(".");
    return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (rest ? `.${rest}` : "");
  };
  const count = (value) => {
    const size = Math.abs(value);
    const [factor, letter] = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]].find(([least]) => size >= least) || [];
    if (factor) return `${digits(value / factor)} ${letter}`;
    return Number.isInteger(value) ? String(value) : digits(value);
  };
  const quantity = (value, unit, larger, smaller) => {
    const size = Math.abs(value);
    if (size >= 1e3) return `${digits(value / 1e3)} ${larger}`;
    return value && size < 0.1 ? `${digits(value * 1e3)} ${smaller}` : `${digits(value)} ${unit}`;
  };
  const UNITS = {
    "": count, "%": (value) => `${(100 * value).toFixed(1)} %`, "x": (value) => `${count(value)} x`,
    "/s": (value) => `${count(value)}/s`, "uJ": (value) => quantity(value, "uJ", "mJ", "nJ"),
    "ms": (value) => quantity(value, "ms", "s", "us"),
  };
  const shown = (value, unit) => {
    if (value === null || value === undefined) return "–";
    if (typeof value === "boolean") return value ? "yes" : "no";
    if (Array.isArray(value)) return value.map((item) => shown(item, unit)).join(", ");
    if (typeof value === "string") return value;
    return unit in UNITS ? UNITS[unit](value) : Number.isInteger(value) ? String(value) : digits(value);
  };
  const compare = (x, y) => {
    const [a, b] = [Number(x), Number(y)];
    return Number.isNaN(a) || Number.isNaN(b) ? String(x).localeCompare(String(y)) : a - b;
  };

  const turn = (header) => {
    const down = header.getAttribute("aria-sort") !== "descending";
    all("th", header.parentNode).forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    return down;
  };
  const place = (header) => [...header.parentNode.children].indexOf(header);
  const sorted = (items, key, down) => items.sort((a, b) => {
    const x = key(a), y = key(b);
    if (x === "" || y === "") return (x === "") - (y === "");         // empty cells stay at the end
    return down ? compare(y, x) : compare(x, y);
  });

  // Tables that stand in the page. What a cell sorts by is said where it is not what it shows.
  const key = (cell) => cell.dataset.sort ?? (cell.textContent === "–" ? "" : cell.textContent);
  const standing = (box) => {
    const body = box.querySelector("tbody");
    all("th button", box).forEach((button) => button.addEventListener("click", () => {
      const header = button.parentNode, column = place(header);
      body.append(...sorted([...body.rows], (row) => key(row.cells[column]), turn(header)));
    }));
    box.querySelector("input.filter").addEventListener("input", (event) => {
      const wanted = event.target.value.toLowerCase();
      [...body.rows].forEach((row) => { row.hidden = !row.textContent.toLowerCase().includes(wanted); });
    });
  };

  // Long tables: columns, packed as packed.py says, unpacked when first looked at; rows are made for one page of them.
  const DECODE = {
    steps: ({ steps }) => { let sum = 0; return steps.map((step) => (sum += step)); },
    numbers: ({ numbers }) => numbers,
    words: ({ words, codes }) => codes.map((code) => words[code]),
  };
  const unpacked = async (name) => {
    const text = document.getElementById(`data-${name}`).content.textContent;
    const bytes = Uint8Array.from(atob(text.trim()), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text()).map((column) => DECODE[Object.keys(column)[0]](column));
  };
  const packed = (box) => {
    const name = box.dataset.packed, headers = all("th", box), body = box.querySelector("tbody");
    const pages = box.querySelector(".pages"), filter = box.querySelector("input.filter");
    const at = Object.fromEntries(headers.map((header, index) => [header.dataset.name, index]));
    let columns, every, order, texts, first = 0, waiting;
    const load = () => (waiting ||= unpacked(name).then((found) => {
      columns = found;
      order = every = columns[0].map((_, row) => row);
      draw();
    }).catch(() => { pages.textContent = "This browser cannot unpack the table."; }));
    const cell = (row, index) => shown(columns[index][row], headers[index].dataset.unit);
    const draw = () => {
      body.replaceChildren(...order.slice(first, first + PAGE).map((row) => {
        const line = document.createElement("tr");
        if (name === "cores") line.id = `core-${columns[at.core][row]}`;
        line.append(...headers.map((header, index) => {
          const number = typeof columns[index][row] === "number";
          return element("td", cell(row, index), { class: `${header.className} ${number ? "number" : ""}` });
        }));
        return line;
      }));
      const last = Math.min(first + PAGE, order.length), step = (label, to, off) => {
        const button = element("button", label, { type: "button" });
        button.disabled = off;
        button.addEventListener("click", () => { first = to; draw(); });
        return button;
      };
      const range = order.length ? `${first + 1} to ${last} of ${order.length.toLocaleString("en-US")}` : "no rows";
      pages.replaceChildren(step("‹ previous", Math.max(first - PAGE, 0), !first), element("span", range),
        step("next ›", first + PAGE, last >= order.length));
    };
    const select = (wanted) => {
      texts ||= every.map((row) => headers.map((_, index) => cell(row, index)).join(" ").toLowerCase());
      order = every.filter((row) => texts[row].includes(wanted));
      first = 0;
      draw();
    };
    filter.addEventListener("input", () => load().then(() => select(filter.value.toLowerCase())));
    all("th button", box).forEach((button) => button.addEventListener("click", () => load().then(() => {
      const header = button.parentNode, values = columns[place(header)];
      order = sorted([...order], (row) => values[row] ?? "", turn(header));
      first = 0;
      draw();
    })));
    const drawer = box.closest("details");
    if (drawer.open) load(); else drawer.addEventListener("toggle", load, { once: true });
    return {
      load,
      rows: (key, value) => every.filter((row) => columns[at[key]][row] === value),
      value: (key, row) => columns[at[key]][row],
      facts: (row) => headers.map((header, index) => [header.dataset.label, cell(row, index)]),
      reveal: (row) => {
        if (!order.includes(row)) { filter.value = ""; order = every; }
        first = Math.floor(order.indexOf(row) / PAGE) * PAGE;
        draw();
      },
    };
  };
  const long = {};
  all(".table").forEach((box) => {
    if (box.dataset.packed) long[box.dataset.packed] = packed(box); else standing(box);
  });
  all("input.widen").forEach((input) => input.addEventListener("change", () => {
    input.closest(".table").classList.toggle("all", input.checked);
  }));

  const colour = document.getElementById("colour");
  const shade = (rect) => rect.setAttribute("fill-opacity", 0.12 + 0.88 * Number(rect.dataset[colour.value]));
  const darkest = document.getElementById("darkest");
  if (colour) colour.addEventListener("change", () => {
    all("g.used rect").forEach(shade);
    darkest.textContent = darkest.dataset[colour.value];
  });

  const panel = document.getElementById("core-panel");
  const tell = (facts) => {
    const list = document.createElement("dl");
    facts.filter(([, value]) => value !== "–").forEach(([label, value]) => {
      list.append(element("dt", label), element("dd", value));
    });
    panel.replaceChildren(list);
  };
  const acts = (group, look, choose) => {
    group.addEventListener("mouseenter", look);
    group.addEventListener("focus", look);
    group.addEventListener("click", choose);
    group.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(); }
    });
  };
  // The squares of a drawing are one stop of the Tab key; arrows go to the nearest one that way.
  const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const centre = (group) => {
    const box = group.getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2];
  };
  const rove = (groups) => {
    let current = groups[0];
    groups.forEach((group) => {
      group.setAttribute("tabindex", group === current ? 0 : -1);
      group.addEventListener("focus", () => {
        current.setAttribute("tabindex", -1);
        current = group;
        group.setAttribute("tabindex", 0);
      });
      group.addEventListener("keydown", (event) => {
        if (!(event.key in WAYS)) return;
        event.preventDefault();
        const [right, down] = WAYS[event.key], [x, y] = centre(group);
        let nearest = null, least = Infinity;
        groups.forEach((other) => {
          const [u, v] = centre(other), ahead = (u - x) * right + (v - y) * down;
          const aside = Math.abs((u - x) * down) + Math.abs((v - y) * right);
          if (ahead > 1 && ahead + 3 * aside < least) [nearest, least] = [other, ahead + 3 * aside];
        });
        if (nearest) nearest.focus();
      });
    });
  };
  const jump = (core) => {
    document.getElementById("cores").open = true;
    const row = document.getElementById(`core-${core}`);
    row.scrollIntoView({ block: "center" });
    row.classList.add("found");
    setTimeout(() => row.classList.remove("found"), 2000);
  };
  const standingFacts = (row) => {
    const headers = all("th", row.closest("table").tHead);
    return [...row.cells].map((cell, index) => [headers[index].dataset.label, cell.textContent.trim()]);
  };
  all("g.used[data-core]").forEach((group) => {
    const row = document.getElementById(`core-${group.dataset.core}`);
    if (panel && row) acts(group, () => tell(standingFacts(row)), () => jump(group.dataset.core));
  });
  new Set(all("g.used").map((group) => group.ownerSVGElement)).forEach((svg) => rove(all("g.used", svg)));

  // A chip that is opened is drawn as chipmap.py draws the chips of small builds.
  const opened = document.getElementById("opened");
  const NAMES = { fill: "fill", energy: "energy_nominal_uj", packets: "packets_in_mean" };
  const drawing = (name, attributes, ...children) => {
    const made = document.createElementNS(document.querySelector("svg").namespaceURI, name);
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    made.append(...children);
    return made;
  };
  const chip = (number, cores) => {
    const [core, seam, gap, edge, columns, rows, slots] = opened.dataset.geometry.split(" ").map(Number);
    const across = Math.ceil(Math.sqrt(slots)), pitch = core + seam, router = across * pitch - seam + gap;
    const tops = Object.fromEntries(Object.entries(NAMES).map(([name, key]) => [name,
      name === "fill" ? 1 : cores.rows("chip", number).reduce((top, row) => Math.max(top, cores.value(key, row) || 0), 0)]));
    const square = (x, y, slot, attributes) => drawing("rect", {
      x: edge + x * router + slot % across * pitch, y: edge + y * router + Math.floor(slot / across) * pitch,
      width: core, height: core, rx: 2, ...attributes });
    const taken = {}, parts = [];
    cores.rows("chip", number).forEach((row) => {
      const x = cores.value("x", row), y = cores.value("y", row), slot = taken[[x, y]] || 0;
      taken[[x, y]] = slot + 1;
      const rect = square(x, y, slot, { class: "core" });
      Object.entries(NAMES).forEach(([name, key]) => {
        rect.dataset[name] = tops[name] ? (cores.value(key, row) || 0) / tops[name] : 0;
      });
      shade(rect);
      const label = `core ${cores.value("core", row)}`;
      const group = drawing("g", { class: "used", tabindex: 0, role: "button", "aria-label": label }, rect);
      acts(group, () => tell(cores.facts(row)), () => { cores.reveal(row); jump(cores.value("core", row)); });
      parts.push(group);
    });
    for (let x = 0; x < columns; x += 1) {
      for (let y = 0; y < rows; y += 1) {
        for (let slot = taken[[x, y]] || 0; slot < slots; slot += 1) {
          parts.push(square(x, y, slot, { class: "core idle" }));
        }
      }
    }
    const width = 2 * edge + columns * router - gap, height = edge + rows * router;
    const whole = drawing("svg", { viewBox: `0 0 ${width} ${height}`, width, role: "img", "aria-label": `chip ${number}`,
      style: `min-width:${Math.min(width, 420)}px` }, ...parts);
    opened.replaceChildren(element("h3", `Chip ${number}`), whole);
    rove(all("g.used", whole));
    opened.scrollIntoView({ block: "nearest" });
  };
  all("g.used[data-chip]").forEach((group) => {
    const look = () => { panel.textContent = group.querySelector("title").textContent; };
    acts(group, look, () => long.cores.load().then(() => {
      all("g.chosen").forEach((other) => other.classList.remove("chosen"));
      group.classList.add("chosen");
      chip(Number(group.dataset.chip), long.cores);
    }));
  });

  // Drawings of modules: larger, smaller, as wide as the page; by buttons, and by keys where one has the focus.
  all(".zoom").forEach((box) => {
    const svg = box.querySelector("svg"), natural = Number(svg.getAttribute("width"));
    let factor = 0;                                                   // 0: as wide as the page, at most its own size
    const set = (wanted) => {
      const fits = Math.min(1, box.clientWidth / natural);
      factor = wanted && Math.min(4, Math.max(fits, wanted));
      box.classList.toggle("larger", factor > fits);
      svg.style.width = factor ? `${natural * factor}px` : "";
    };
    const now = () => factor || Math.min(1, box.clientWidth / natural);
    const keys = { "+": () => set(now() * 1.25), "=": () => set(now() * 1.25), "-": () => set(now() / 1.25), 0: () => set(0) };
    box.addEventListener("keydown", (event) => {
      if (event.target !== box || !(event.key in keys) || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      keys[event.key]();
    });
    const bar = element("div", "", { class: "zooming tools" });
    [["−", "-", "smaller"], ["fit", "0", "as wide as the page"], ["+", "+", "larger"]].forEach(([text, key, label]) => {
      const button = element("button", text, { type: "button", "aria-label": `${text}, ${label}: ${box.getAttribute("aria-label")}` });
      button.addEventListener("click", () => keys[key]());
      bar.append(button);
    });
    box.prepend(bar);
  });

  // What scrolls is reached by keys under its name, and only then.
  const reached = () => all("[data-region]").forEach((box) => {
    const scrolls = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
    Object.entries({ tabindex: "0", role: "region", "aria-label": box.dataset.region })
      .forEach(([key, value]) => (scrolls ? box.setAttribute(key, value) : box.removeAttribute(key)));
  });
  addEventListener("resize", reached);
  addEventListener("toggle", reached, true);
  reached();

  // A link into a closed drawer opens it.
  const open = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let outer = target; outer; outer = outer.parentElement) if (outer.tagName === "DETAILS") outer.open = true;
    if (target.tagName === "DETAILS") target.scrollIntoView({ block: "start" });
  };
  addEventListener("hashchange", open);
  open();
})();
