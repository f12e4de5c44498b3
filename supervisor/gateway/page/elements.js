// Builds the page out of elements and texts. A text is never parsed as HTML, here or anywhere in this folder.

/** An element: `given` are its attributes, `on` its listeners; children are nodes and texts, null is left out. */
export function h(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  const { on = {}, ...attributes } = given;
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
  for (const [name, listener] of Object.entries(on)) element.addEventListener(name, listener);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** The same for a drawing. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** Sets, or with null and false removes; true is an attribute without a value. */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else {
    const text = value === true ? "" : String(value);
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

/** Sets the text, if it is another: what is selected or read aloud is not disturbed without need. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A section with a heading. */
export function section(title, given, ...children) {
  const heading = h("h2", {}, title);
  return h("section", given, heading, ...children);
}

export const byId = (id) => document.getElementById(id);

/** Says something to those who listen instead of looking. */
export function announce(text) {
  setText(byId("said"), text);
}
