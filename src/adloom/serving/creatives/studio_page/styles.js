/** Pictures whose style can be taken: patterns drawn here, or a file. */

const EDGE = 256;

/** @type {Record<string, (context: CanvasRenderingContext2D) => void>} */
const PATTERNS = {
  Waves: (context) => each(24, (y) => stroke(context, ["#0b3954", "#087e8b", "#bfd7ea", "#ff5a5f"][(y / 24) % 4], (x) => y + 14 * Math.sin(x / 18 + y))),
  Stripes: (context) => each(16, (y) => stroke(context, ["#2f2235", "#60495a", "#bfc3ba", "#a9714b"][(y / 16) % 4], (x) => y + x / 3 - 40)),
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

function each(step, draw) {
  for (let place = 0; place < EDGE + 2 * step; place += step) draw(place);
}

function stroke(context, colour, height) {
  context.beginPath();
  context.strokeStyle = colour;
  context.lineWidth = 11;
  for (let x = 0; x <= EDGE; x += 4) context.lineTo(x, height(x));
  context.stroke();
}
