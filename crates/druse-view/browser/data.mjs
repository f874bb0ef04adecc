// Sets and runs for the tests: made here, so that the tests need no data.
import fs from 'node:fs';
import path from 'node:path';

const CORNERS = ['Ba', 'Sr', 'Ca', 'Pb', 'K', 'Na', 'La', 'Cs'];
const CENTERS = ['Ti', 'Zr', 'Nb', 'Ta', 'Sn', 'Hf', 'Fe', 'Mn'];

/** A perovskite of the list, number `k`. */
export function perovskite(k, properties = {}) {
  const [corner, center] = [CORNERS[k % 8], CENTERS[Math.floor(k / 8) % 8]];
  const a = 3.8 + (k % 97) / 200;
  return JSON.stringify({
    id: String(k),
    formula: `${corner}${center}O3`,
    structure: {
      lattice: [[a, 0, 0], [0, a, 0], [0, 0, a * (1 + (k % 7) / 100)]],
      species: [corner, center, 'O', 'O', 'O'],
      frac_coords: [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    },
    properties: { index: k, log_probability: -(k % 31) / 7, ...properties },
  });
}

/** A folder with a sampling run (two structures, one of them invalid, and a failure), and two training runs. */
export function small(folder) {
  const run = path.join(folder, 'run');
  fs.mkdirSync(run, { recursive: true });
  const squeezed = JSON.parse(perovskite(9));
  squeezed.structure.lattice = squeezed.structure.lattice.map((v) => v.map((x) => x / 10));
  fs.writeFileSync(path.join(run, 'structures.jsonl'), [perovskite(0), perovskite(3), JSON.stringify(squeezed)].join('\n') + '\n');
  fs.writeFileSync(path.join(run, 'failures.jsonl'), '{"index":4,"formula":"NaCl","reason":"the cell has no volume"}\n');
  fs.writeFileSync(path.join(run, 'sampling.json'), '{"count":5}');
  for (const [name, rate] of [['first', 0.995], ['second', 0.99]]) {
    const training = path.join(folder, 'training', name);
    fs.mkdirSync(training, { recursive: true });
    const lines = [];
    for (let step = 1; step <= 900; step++) {
      lines.push(JSON.stringify({
        kind: 'step', step, epoch: Math.ceil(step / 100), loss: 2 * rate ** step + 0.1 + 0.05 * Math.sin(step), parts: {}, grad_norm: 1 + 1 / step,
        lr: 1e-3 * Math.min(1, step / 100), structures_per_s: 80 + 10 * Math.cos(step / 30),
      }));
      if (step % 100 === 0) lines.push(JSON.stringify({ kind: 'epoch', epoch: step / 100, step, train_loss: 2 * rate ** step + 0.1, validation_loss: 2 * rate ** step + 0.15, best: true, minutes: step / 60 }));
    }
    fs.writeFileSync(path.join(training, 'metrics.jsonl'), lines.join('\n') + '\n');
  }
  const known = path.join(folder, '..', 'known.jsonl');
  fs.writeFileSync(known, Array.from({ length: 64 }, (_, k) => perovskite(k).replace('"id":"', '"id":"known-')).join('\n') + '\n');
  return { run, known };
}

/** A set of many structures. */
export function large(file, count) {
  const out = fs.openSync(file, 'w');
  for (let k = 0; k < count; k += 1000) {
    const block = Array.from({ length: Math.min(1000, count - k) }, (_, i) => perovskite(k + i)).join('\n');
    fs.writeSync(out, block + '\n');
  }
  fs.closeSync(out);
}
