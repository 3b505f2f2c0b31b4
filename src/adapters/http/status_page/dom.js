"use strict";
// Elements are made once and changed only where something differs: so focus, scroll and selection stay where they are.
// Texts are set as texts, never as markup.

const byId = (id) => document.getElementById(id);

function make(name, properties = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function setData(node, name, value) {
  if (node.dataset[name] !== value) node.dataset[name] = value;
}

function setHidden(node, hidden) {
  if (node.hidden !== hidden) node.hidden = hidden;
}

function setWidth(node, fraction) {
  const width = `${(Math.max(0, Math.min(1, fraction)) * 100).toFixed(1)}%`;
  if (node.style.width !== width) node.style.width = width;
}

// The children of `parent` become one node for each item, in the order of the items. `create(item)` gives
// {node, update(item)}; a node whose key was there before is kept.
function keyed(parent, items, keyOf, create) {
  const before = parent.keyed ?? new Map();
  const now = new Map();
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const entry = before.get(key) ?? create(item);
    entry.update(item);
    now.set(key, entry);
    if (entry.node === place) place = place.nextElementSibling;
    else parent.insertBefore(entry.node, place);
  }
  for (const [key, entry] of before) if (!now.has(key)) entry.node.remove();
  parent.keyed = now;
}

// A list of names and values.
function pairs(parent, rows) {
  parent.classList.add("pairs");
  keyed(parent, rows, ([name]) => name, ([name]) => {
    const value = make("dd");
    return {node: make("div", {}, make("dt", {textContent: name}), value), update: (row) => setText(value, row[1])};
  });
}

// A cell with a name of its own for narrow screens, where there is no row of headers.
function cell(name, className = "", ...children) {
  const node = make("td", {className, role: "cell"}, ...children);
  if (name) node.dataset.name = name;
  return node;
}

// A table whose roles are said: a style that shows its rows as blocks would take them away.
function table(caption, columns, className = "") {
  const head = make("tr", {role: "row"});
  const widths = make("colgroup");
  for (const [name, width, kind] of columns) {
    head.append(make("th", {scope: "col", role: "columnheader", textContent: name, className: kind ?? ""}));
    const column = make("col");
    column.style.width = width;
    widths.append(column);
  }
  const body = make("tbody", {role: "rowgroup"});
  const node = make("table", {role: "table", className}, make("caption", {className: "unseen", textContent: caption}),
    widths, make("thead", {role: "rowgroup"}, head), body);
  return {node, body};
}
