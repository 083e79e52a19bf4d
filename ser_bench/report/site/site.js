"use strict";
/* Sorting, filtering, picking two rows, charts, hints. State that can be linked stands in the address. */
const state = new URLSearchParams(location.search);
const remember = () => {
  const query = state.toString();
  history.replaceState(null, "", (query ? `?${query}` : location.pathname) + location.hash);
};
const make = (name, parts = [], values = {}) => {
  const made = Object.assign(document.createElement(name), values);
  made.append(...[parts].flat());
  return made;
};

/* Sorting */
const keyOf = (head, place) => {
  const words = head.textContent.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  return `${place}.${head.dataset.column}.${words.join("-")}`;
};
const sortBy = (table, heads, head, order) => {
  const column = Number(head.dataset.column);
  const sign = order === "ascending" ? 1 : -1;
  const compare = (a, b) => {
    const [x, y] = [a, b].map((row) => row.cells[column]?.dataset.value ?? "");
    if (x === "" || y === "") return (x === "") - (y === "");
    return sign * (isNaN(x) || isNaN(y) ? x.localeCompare(y, "en") : x - y);
  };
  for (const other of heads) other.ariaSort = other === head ? order : null;
  for (const body of table.tBodies) {
    const rows = [...body.querySelectorAll(":scope > tr.scored")];
    if (rows.length > 1) body.append(...rows.sort(compare), ...body.querySelectorAll(":scope > tr:not(.scored, .group)"));
  }
};
[...document.querySelectorAll("table:is(.ranking, .sortable)")].forEach((table, place) => {
  const heads = [...table.querySelectorAll("th[data-column]")];
  for (const head of heads) {
    const key = keyOf(head, place);
    const button = make("button", [...head.childNodes], { type: "button" });
    head.append(button);
    button.addEventListener("click", () => {
      const order = head.ariaSort === null ? head.dataset.first : head.ariaSort === "ascending" ? "descending" : "ascending";
      sortBy(table, heads, head, order);
      for (const name of [...state.getAll("sort")]) if (name.startsWith(`${place}.`)) state.delete("sort", name);
      state.append("sort", `${key}.${order}`);
      remember();
    });
    for (const order of ["ascending", "descending"]) {
      if (state.getAll("sort").includes(`${key}.${order}`)) sortBy(table, heads, head, order);
    }
  }
});

/* Filtering */
const form = document.querySelector("form.filters:not(#compare)");
if (form) {
  const fields = [...form.elements].filter((field) => field.name);
  const rows = [...document.querySelectorAll("tr[data-family], .filtered tr.scored")];
  const filter = () => {
    const wanted = fields.filter((field) => field.value !== "");
    let shown = 0;
    for (const row of rows) {
      row.hidden = !wanted.every((field) =>
        field.name === "name"
          ? row.querySelector("th").textContent.toLowerCase().includes(field.value.toLowerCase())
          : (row.dataset[field.name] ?? "").split("\n").includes(field.value));
      if (!row.hidden && row.closest(".ranking, .filtered")) shown += 1;
    }
    const total = rows.filter((row) => row.closest(".ranking, .filtered")).length;
    form.querySelector("output").textContent = shown < total ? `${shown} of ${total} rows` : "";
    for (const field of fields) {
      if (field.value === "") state.delete(field.name);
      else state.set(field.name, field.value);
    }
  };
  for (const field of fields) field.value = state.get(field.name) ?? "";
  for (const field of fields) if (field.selectedIndex === -1) field.value = "";
  form.addEventListener("input", () => { filter(); remember(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { filter(); remember(); }));
  form.hidden = false;
  filter();
}

/* Picking two rows to compare */
const picked = [];
const bar = make("p", [], { id: "picked", hidden: true });
bar.setAttribute("aria-live", "polite");
const up = document.querySelector("a.home").getAttribute("href").replace("index.html", "");
const showPicked = () => {
  bar.hidden = picked.length === 0;
  const names = picked.map((box) => box.dataset.label).join(" and ");
  const link = make("a", "compare them", { href: `${up}compare.html?a=${picked[0]?.value}&b=${picked[1]?.value}` });
  bar.replaceChildren(...(picked.length < 2 ? [`${names}: pick another row to compare it with.`] : [`${names}: `, link, "."]));
};
for (const row of document.querySelectorAll("table.ranking tr.scored[data-id]")) {
  const name = row.querySelector("th");
  const box = make("input", [], { type: "checkbox", value: row.dataset.id, title: "Compare" });
  box.dataset.label = name.dataset.value;
  box.setAttribute("aria-label", `Compare ${name.dataset.value}`);
  box.className = "pick";
  box.autocomplete = "off";
  box.addEventListener("change", () => {
    if (box.checked) picked.push(box);
    else picked.splice(picked.indexOf(box), 1);
    if (picked.length > 2) picked.shift().checked = false;
    showPicked();
  });
  row.cells[0].append(box);
}
document.querySelector("main").append(bar);

/* A row's details open when they are linked to */
const reveal = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const closed = target && target.closest("details");
  if (closed) { closed.open = true; target.scrollIntoView(); }
};
addEventListener("hashchange", reveal);
reveal();

/* Hints: what a cell of a confusion matrix says */
const hint = make("div", [], { id: "hint", role: "tooltip" });
document.body.append(hint);
document.addEventListener("pointerover", (event) => {
  const cell = event.target.closest?.(".confusion td");
  hint.classList.toggle("visible", Boolean(cell));
  if (!cell) return;
  const row = cell.parentElement;
  const spoken = row.cells[0].querySelector("small");
  const [truth, predicted] = [row.cells[0], cell.closest("table").tHead.rows[0].cells[cell.cellIndex]].map(
    (head) => head.firstChild);
  const [share, n] = [cell.firstChild, cell.querySelector("small")].map((part) => part.textContent.trim());
  hint.textContent = `${truth.textContent} heard as ${predicted.textContent}: ${n} of ${spoken.textContent} (${share} %)`;
  const box = cell.getBoundingClientRect();
  hint.style.left = `${Math.max(4, Math.min(box.left, innerWidth - hint.offsetWidth - 8))}px`;
  hint.style.top = `${box.top > 60 ? box.top - hint.offsetHeight - 6 : box.bottom + 6}px`;
});

/* Charts: their data come by column, and the script that draws them wants rows */
const rowsOf = (part) => {
  if (typeof part !== "object" || part === null) return;
  if (Object.hasOwn(part, "values") && !Array.isArray(part.values)) {
    const columns = Object.entries(part.values).map(([name, of]) => [name, of.places ? of.places.map((place) => of.of[place]) : of]);
    part.values = columns[0][1].map((_, row) =>
      Object.fromEntries(columns.map(([name, of]) => [name, of[row]]).filter(([, value]) => value !== null)));
  } else {
    Object.values(part).forEach(rowsOf);
  }
};
for (const script of document.querySelectorAll("figure.chart script")) {
  const spec = JSON.parse(script.textContent);
  rowsOf(spec);
  script.textContent = JSON.stringify(spec);
}

/* Two rows side by side */
const comparing = document.getElementById("compare");
if (comparing) {
  const { groups, rows } = globalThis.serBench;
  const byId = new Map(rows.map((row) => [row.id, row]));
  const selects = [comparing.elements.a, comparing.elements.b];
  for (const [place, select] of selects.entries()) {
    for (const suite of new Set(rows.map((row) => row.suite))) {
      const options = rows.filter((row) => row.suite === suite).map((row) => make("option", `${row.label} · ${row.run}`, { value: row.id }));
      select.append(make("optgroup", options, { label: suite }));
    }
    const wanted = state.get(select.name);
    select.value = byId.has(wanted) ? wanted : (rows[Math.min(place, rows.length - 1)]?.id ?? "");
  }
  const table = (caption, heads, lines) => make("div", make("table", [
    make("caption", caption),
    make("thead", make("tr", heads.map((head) => make("th", head, { scope: "col" })))),
    make("tbody", lines),
  ], { className: "plain comparison" }), { className: "scroll", tabIndex: 0, role: "region", ariaLabel: caption });
  const signed = (value) => `${Number(value.toFixed(3)) < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
  const numbers = (a, b) => {
    const [ours, theirs] = [a, b].map((row) => new Map(row.numbers.map((number) => [number[0], number])));
    return [...new Set([...ours.keys(), ...theirs.keys()])].map((name) => {
      const [x, y] = [ours.get(name), theirs.get(name)];
      const both = x && y && x[1] !== null && y[1] !== null;
      const ahead = both && x[2].split(" ")[0] !== y[2].split(" ")[0] ? Math.sign((y[1] - x[1]) * x[3]) : 0;
      const change = !both ? "–" : x[3] > 0 || name === "RMSE" ? signed(y[1] - x[1])
        : x[1] > 0 ? `× ${(y[1] / x[1]).toFixed(2)}` : "–";
      return make("tr", [
        make("th", name, { scope: "row" }),
        make("td", x?.[2] ?? "–", { className: ahead < 0 ? "better" : "" }),
        make("td", y?.[2] ?? "–", { className: ahead > 0 ? "better" : "" }),
        make("td", change),
      ]);
    });
  };
  const facts = (a, b) => {
    const [differing, same] = [[], []];
    groups.forEach(([group, pool], place) => {
      const [ours, theirs] = [pool[a.facts[place]], pool[b.facts[place]]];
      for (const name of new Set([...Object.keys(ours), ...Object.keys(theirs)])) {
        const [x, y] = [ours[name] ?? "–", theirs[name] ?? "–"];
        const line = [make("th", `${group}: ${name}`, { scope: "row" }), make("td", x)];
        if (x === y) same.push(make("tr", line, { className: "same" }));
        else differing.push(make("tr", [...line, make("td", y)]));
      }
    });
    return [differing, same];
  };
  const compare = () => {
    const [a, b] = selects.map((select) => byId.get(select.value));
    if (!a || !b) return;
    selects.forEach((select) => state.set(select.name, select.value));
    remember();
    const place = groups.findIndex(([group]) => group === "Test data");
    const suite = groups.findIndex(([group]) => group === "Suite");
    const alike = a.facts[place] === b.facts[place] && a.facts[suite] === b.facts[suite];
    const [differing, same] = facts(a, b);
    const names = [a, b].map((row) => make("a", row.label, { href: row.page }));
    document.getElementById("comparison").replaceChildren(
      make("p", a === b ? "This is the same row twice." : alike
        ? "Both were scored on the same utterances of the same suite, so their scores can be compared."
        : "These rows were scored on other utterances, or under another suite: a difference of their scores says little.", { className: "verdict" }),
      make("h2", "Scores and costs"),
      table("Better in bold; the change is from the first row to the second", ["", ...names, "Change"], numbers(a, b)),
      make("h2", "What differs"),
      differing.length ? table("Facts that differ", ["", a.label, b.label], differing) : make("p", "Nothing that is recorded."),
      make("details", [make("summary", `What is the same (${same.length})`), table("Facts that both share", ["", "both"], same)]),
    );
  };
  comparing.addEventListener("input", compare);
  comparing.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("swap").addEventListener("click", () => {
    [selects[0].value, selects[1].value] = [selects[1].value, selects[0].value];
    compare();
  });
  compare();
}
