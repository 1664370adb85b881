/** Pictures whose style can be taken: patterns drawn here, or a file. */

const EDGE = 256;

/** @type {Record<string, (context: CanvasRenderingContext2D) => void>} */
const PATTERNS = {
  Waves: (context) => rows(24, (y) => stroke(context, ["#0b3954", "#087e8b", "#bfd7ea", "#ff5a5f"], y, (x) => y + 14 * Math.sin(x / 18 + y))),
  Stripes: (context) => rows(16, (y) => stroke(context, ["#2f2235", "#60495a", "#bfc3ba", "#a9714b"], y, (x) => y + x / 3 - 40)),
  Dots: (context) => rows(22, (y) => rows(22, (x) => dot(context, x + (y % 44 ? 11 : 0), y))),
};
export const STYLES = [...Object.keys(PATTERNS), "From a file"];

/** Return a style's picture, base64. */
export async function readStyle(name, file) {
  if (!(name in PATTERNS)) return encodeFile(file);
  const canvas = Object.assign(document.createElement("canvas"), { width: EDGE, height: EDGE });
  const context = canvas.getContext("2d");
  context.fillStyle = "#f4f1de";
  context.fillRect(0, 0, EDGE, EDGE);
  PATTERNS[name](context);
  return canvas.toDataURL("image/png").split(",")[1];
}

/** @param {Blob} file */
function encodeFile(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.split(",")[1] ?? "");
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

function rows(step, draw) {
  for (let place = 0; place < EDGE + step; place += step) draw(place);
}

function stroke(context, colours, y, height) {
  context.beginPath();
  context.strokeStyle = colours[Math.round(y / 8) % colours.length];
  context.lineWidth = 11;
  for (let x = 0; x <= EDGE; x += 4) context.lineTo(x, height(x));
  context.stroke();
}

function dot(context, x, y) {
  context.beginPath();
  context.fillStyle = ["#e07a5f", "#3d405b", "#81b29a"][(x + 2 * y) % 3];
  context.arc(x, y, 8, 0, 7);
  context.fill();
}
