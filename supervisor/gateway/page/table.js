// A table that is brought up to date in place: rows keep their elements, so that focus and selection stay where they are.

import { h, setAttribute, setText } from "./elements.js";

/** `columns`: [{title, text(item), href?(item), state?(item), class?}]; `key(item)` tells items apart. */
export class Table {
  #columns;
  #key;
  #rows = new Map();
  #body = h("tbody");
  #nothing;
  #items = [];

  constructor({ label, columns, key, nothing, class: name }) {
    this.#columns = columns;
    this.#key = key;
    const heads = columns.map((column) => h("th", { scope: "col", class: column.class ?? null }, column.title));
    this.#nothing = h("p", { class: "nothing" }, nothing);
    const table = h("table", { "aria-label": label, class: name ?? null }, h("thead", {}, h("tr", {}, ...heads)), this.#body);
    this.element = h("div", { class: "table" }, table, this.#nothing);
  }

  show(items) {
    this.#items = items;
    const before = this.#rows;
    this.#rows = new Map();
    let place = this.#body.firstElementChild;
    for (const item of items) {
      const key = this.#key(item);
      const row = before.get(key) ?? this.#make();
      before.delete(key);
      this.#rows.set(key, row);
      if (row.element === place) place = place.nextElementSibling;
      else this.#body.insertBefore(row.element, place);
      this.#update(row, item);
    }
    for (const { element } of before.values()) element.remove();
    this.#nothing.hidden = items.length > 0;
  }

  /** Times have passed. */
  tick() {
    for (const item of this.#items) this.#update(this.#rows.get(this.#key(item)), item);
  }

  #make() {
    const cells = this.#columns.map((column) => {
      const inner = h(column.href ? "a" : "span");
      return { inner, cell: h("td", { class: column.class ?? null }, inner) };
    });
    return { element: h("tr", {}, ...cells.map(({ cell }) => cell)), cells };
  }

  #update({ cells }, item) {
    this.#columns.forEach((column, at) => {
      const { inner, cell } = cells[at];
      setText(inner, column.text(item));
      if (column.href) setAttribute(inner, "href", column.href(item));
      if (column.state) setAttribute(cell, "data-state", column.state(item));
      if (column.full) setAttribute(cell, "title", column.full(item));
    });
  }
}
