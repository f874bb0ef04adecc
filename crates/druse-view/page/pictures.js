// Crystals of rows, fetched in small groups when they are looked at, and their small pictures.
import { get } from './server.js';

const KEPT = 600; // crystals
const GROUP = 24;

const crystals = new Map();
const waiting = new Map(); // their canvases, by row
const ready = new Map();
let frame = 0;
let asking = false;

/** Forgets everything: rows have become others. */
export function forget() {
  crystals.clear();
  waiting.clear();
  ready.clear();
}

/** Paints the crystal of a row into a canvas, now or when it has come. */
export function draw(row, canvas) {
  if (crystals.has(row)) {
    ready.set(row, canvas);
    soon();
  } else {
    waiting.set(row, canvas);
    ask();
  }
}

/** The canvas of a row is gone. */
export function drop(row) {
  waiting.delete(row);
  ready.delete(row);
}

// Some pictures a frame, so that keys and scrolling are never waited for.
function soon() {
  if (frame) return;
  frame = requestAnimationFrame(() => {
    frame = 0;
    const begun = performance.now();
    for (const [row, canvas] of ready) {
      ready.delete(row);
      paint(row, canvas);
      if (performance.now() - begun > 10) break;
    }
    if (ready.size) soon();
  });
}

function paint(row, canvas) {
  const crystal = crystals.get(row);
  // The latest are at the end.
  crystals.delete(row);
  crystals.set(row, crystal);
  if (!crystal) return;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width) return;
  DruseCrystal.paint(canvas, crystal, { width, height });
  canvas.dataset.painted = 'yes';
  if (!document.documentElement.dataset.firstPicture) document.documentElement.dataset.firstPicture = String(Math.round(performance.now()));
}

async function ask() {
  if (asking) return;
  asking = true;
  try {
    while (waiting.size) {
      // Those that came last are those that are seen.
      const rows = [...waiting.keys()].slice(-GROUP);
      const found = await get('/api/crystals', { rows: rows.join() });
      for (const { row, crystal } of found) {
        crystals.set(row, crystal);
        const canvas = waiting.get(row);
        if (canvas) ready.set(row, canvas);
        waiting.delete(row);
      }
      for (const row of rows) waiting.delete(row);
      soon();
      while (crystals.size > KEPT) crystals.delete(crystals.keys().next().value);
    }
  } catch {
    // The server is gone, which the status says.
  } finally {
    asking = false;
  }
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  for (const canvas of document.querySelectorAll('.card canvas')) draw(Number(canvas.dataset.row), canvas);
});
