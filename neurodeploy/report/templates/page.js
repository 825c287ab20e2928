"use strict";
// Sort, filter and widen tables; colour the chip; show a core's row. The page reads well without any of it.
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  const sortBy = (header) => {
    const table = header.closest("table"), body = table.tBodies[0];
    const column = [...header.parentNode.children].indexOf(header);
    const down = header.getAttribute("aria-sort") !== "descending";
    all("th", table.tHead).forEach((other) => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => row.cells[column].dataset.sort;
    const compare = (a, b) => {
      const x = key(a), y = key(b);
      if (x === "" || y === "") return (x === "") - (y === "");       // empty cells stay at the end
      const numbers = [Number(x), Number(y)];
      const order = numbers.some(Number.isNaN) ? x.localeCompare(y) : numbers[0] - numbers[1];
      return down ? -order : order;
    };
    [...body.rows].sort(compare).forEach((row) => body.append(row));
  };
  all("th button").forEach((button) => button.addEventListener("click", () => sortBy(button.parentNode)));

  all("input.filter").forEach((input) => input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase();
    all("tbody tr", input.closest(".table")).forEach((row) => {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
    });
  }));
  all("input.widen").forEach((input) => input.addEventListener("change", () => {
    input.closest(".table").classList.toggle("all", input.checked);
  }));

  const colour = document.getElementById("colour");
  if (colour) colour.addEventListener("change", () => all("g.used rect").forEach((rect) => {
    rect.setAttribute("fill-opacity", 0.12 + 0.88 * Number(rect.dataset[colour.value]));
  }));

  const panel = document.getElementById("core-panel");
  const show = (group) => {
    const row = document.getElementById(`core-${group.dataset.core}`);
    if (!panel || !row) return;
    const headers = all("th", row.closest("table").tHead);
    const list = document.createElement("dl");
    [...row.cells].forEach((cell, index) => {
      if (!cell.dataset.sort) return;
      const term = document.createElement("dt"), value = document.createElement("dd");
      term.textContent = headers[index].dataset.label;
      value.textContent = cell.textContent.trim();
      list.append(term, value);
    });
    panel.replaceChildren(list);
  };
  all("g.used").forEach((group) => {
    group.addEventListener("mouseenter", () => show(group));
    group.addEventListener("focus", () => show(group));
    const jump = () => {
      document.getElementById("cores").open = true;
      const row = document.getElementById(`core-${group.dataset.core}`);
      row.scrollIntoView({ block: "center" });
      row.classList.add("found");
      setTimeout(() => row.classList.remove("found"), 2000);
    };
    group.addEventListener("click", jump);
    group.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); jump(); }
    });
  });

  // A link into a closed drawer opens it.
  const open = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.tagName === "DETAILS") target.open = true;
  };
  addEventListener("hashchange", open);
  open();
})();
