/** Build and fill parts of the page. Data becomes text nodes and properties, never markup. */

/**
 * Return an element. Properties are set, `on…` adds a listener, other names become attributes.
 * @param {string} tag
 * @param {Record<string, unknown>} properties
 * @param {...(Node | string | null)} children
 */
export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** @param {string} id */
export const byId = (id) => document.getElementById(id);

/** Fill a select with options; `first` is a pair of value and text before them. */
export function fillSelect(select, values, first = null) {
  const options = [...(first ? [first] : []), ...values.map((value) => [value, value])];
  const chosen = select.value;
  select.replaceChildren(...options.map(([value, text]) => element("option", { value, textContent: text })));
  if (options.some(([value]) => value === chosen)) select.value = chosen;
}

/** Return a description list of pairs; pairs without a value are left out. */
export function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return element("dl", {}, ...known.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, `${value}`)]));
}

/** Return a list of labelled bars for shares in [0, 1], largest first. */
export function bars(title, shares, format = percent) {
  const rows = shares.map(([name, share]) => {
    const bar = element("span", { className: "bar", "aria-hidden": "true" });
    bar.style.setProperty("--share", Math.max(0, Math.min(1, share)));
    return element("li", {}, element("span", {}, name), element("span", { className: "number" }, format(share)), bar);
  });
  return element("div", {}, element("h3", {}, title), element("ul", { className: "bars" }, ...rows));
}

/** @param {number} share */
export const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)}%`;

/** Return a number of things in words, such as "2 lines". */
export const count = (things, noun) => `${things.length} ${noun}${things.length === 1 ? "" : "s"}`;

/** @param {string} file base64 */
export const dataUrl = (file, type = "image/png") => `data:${type};base64,${file}`;

/** Return an image; pixels of a small one stay sharp. */
export function image(file, alt, type = "image/png") {
  const sharpen = ({ target }) => target.classList.toggle("small", target.naturalWidth <= 64);
  return element("img", { src: dataUrl(file, type), alt, onload: sharpen });
}

/** Return a link that saves a file. */
export function downloadLink(text, href, name) {
  return element("a", { href, download: name, textContent: text, ariaLabel: `${text}: save ${name}` });
}

/**
 * Return a file's bytes, base64.
 * @param {Blob} file
 * @returns {Promise<string>}
 */
export function encodeFile(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.split(",")[1] ?? "");
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

/** Return the number of an optional field, or null when it is empty. */
export const optionalNumber = (input) => (input.value === "" ? null : Number(input.value));

/**
 * Ask a question in a dialog. Resolves to the form's data, or to null when the person cancels or presses Escape.
 * @param {string} id
 * @returns {Promise<FormData | null>}
 */
export function ask(id) {
  const dialog = byId(id);
  const form = dialog.querySelector("form");
  form.reset();
  return new Promise((resolve) => {
    let answer = null;
    form.onsubmit = (event) => {
      event.preventDefault();
      answer = new FormData(form);
      dialog.close();
    };
    form.querySelector("[value=cancel]").onclick = () => dialog.close();
    dialog.onclose = () => resolve(answer);
    dialog.showModal();
  });
}
