// Curves as SVG, side by side in one picture. Colors and dashes tell them apart.

const NAMESPACE = 'http://www.w3.org/2000/svg';
const HEIGHT = 260, LEFT = 62, RIGHT = 24, TOP = 10, BOTTOM = 30;
export const STYLES = [['#2f6fde', ''], ['#c2571a', '7 4'], ['#1f8a5b', '2 4'], ['#8a4fc9', '10 4 2 4'], ['#b3324e', '12 5'], ['#6b7480', '1 3']];

function svg(tag, attributes, ...children) {
  const element = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough) || rough;
  const all = [];
  for (let x = Math.ceil(low / step) * step; x <= high + step * 1e-9; x += step) all.push(Math.abs(x) < step * 1e-9 ? 0 : x);
  return all;
}

// 1, 2 and 5 of each power of ten within bounds that are logarithms, or the powers alone where there are many.
function decades(low, high) {
  const all = [];
  for (let power = Math.floor(low); power <= high; power++) {
    for (const k of high - low > 4 ? [1] : high - low > 1.5 ? [1, 3] : [1, 2, 3, 5, 7]) {
      const value = k * 10 ** power;
      if (Math.log10(value) >= low && Math.log10(value) <= high) all.push(value);
    }
  }
  return all.length > 1 ? all : [10 ** (low + 0.1 * (high - low)), 10 ** (high - 0.1 * (high - low))];
}

function text(value) {
  const size = Math.abs(value);
  if (value === 0) return '0';
  if (size < 1e-3 || size >= 1e6) return value.toExponential(1).replace('e+', 'e');
  return size >= 1e4 ? `${Number((value / 1e3).toPrecision(4))} k` : String(Number(value.toPrecision(4)));
}

/** A chart of curves [{name, x, y, style}], y logarithmic where `log` says so and all values allow it. */
export function chart(title, curves, { log = false, label = '', x: below = 'step', width: WIDTH = 900 } = {}) {
  const points = curves.map(({ x, y }) => x.map((value, k) => [value, y[k]]).filter(([a, b]) => Number.isFinite(a) && Number.isFinite(b) && b !== null));
  const all = points.flat();
  const picture = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': described(title, curves, points) });
  if (!all.length) {
    picture.append(svg('text', { x: WIDTH / 2, y: HEIGHT / 2, 'text-anchor': 'middle' }, 'nothing yet'));
    return picture;
  }
  const logarithmic = log && all.every(([, y]) => y > 0);
  const map = logarithmic ? Math.log10 : (y) => y;
  const bounds = (of) => all.reduce(([a, b], p) => [Math.min(a, of(p)), Math.max(b, of(p))], [Infinity, -Infinity]);
  let [left, right] = bounds((p) => p[0]);
  let [low, high] = bounds((p) => map(p[1]));
  if (right === left) right = left + 1;
  const pad = (high - low || Math.abs(high) || 1) * 0.06;
  [low, high] = [low - pad, high + pad];
  const px = (x) => LEFT + (x - left) / (right - left) * (WIDTH - LEFT - RIGHT);
  const py = (y) => TOP + (high - map(y)) / (high - low) * (HEIGHT - TOP - BOTTOM);
  for (const value of logarithmic ? decades(low, high) : ticks(low, high, 5)) {
    picture.append(svg('line', { class: 'axis', x1: LEFT, x2: WIDTH - RIGHT, y1: py(value), y2: py(value) }),
      svg('text', { x: LEFT - 6, y: py(value) + 4, 'text-anchor': 'end' }, text(value)));
  }
  for (const tick of ticks(left, right, WIDTH > 600 ? 7 : 3)) picture.append(svg('text', { x: px(tick), y: HEIGHT - 10, 'text-anchor': 'middle' }, text(tick)));
  picture.append(svg('text', { x: LEFT - 6, y: HEIGHT - 10, 'text-anchor': 'end' }, below));
  if (label) picture.append(svg('text', { x: WIDTH - RIGHT, y: TOP + 12, 'text-anchor': 'end' }, label));
  curves.forEach((curve, k) => {
    const [color, dash] = STYLES[curve.style % STYLES.length];
    const path = points[k].map(([x, y], i) => `${i ? 'L' : 'M'}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join('');
    picture.append(svg('path', { class: 'curve', d: path, stroke: color, 'stroke-dasharray': dash, opacity: curve.faint ? 0.45 : 1 }));
  });
  return picture;
}

function described(title, curves, points) {
  const parts = curves.map(({ name }, k) => {
    const last = points[k].at(-1);
    return last ? `${name}: ${points[k].length} points, the last ${text(last[1])}` : `${name}: nothing yet`;
  });
  return `${title}. ${parts.join('; ')}`;
}

/** The line of a curve, for a legend. */
export function swatch(style) {
  const [color, dash] = STYLES[style % STYLES.length];
  return svg('svg', { width: 34, height: 10, 'aria-hidden': 'true' }, svg('line', { x1: 0, x2: 34, y1: 5, y2: 5, stroke: color, 'stroke-width': 3, 'stroke-dasharray': dash }));
}
