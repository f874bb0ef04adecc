// Training runs: curves of several of them side by side, while they are trained.
import { el, byId, shown, toast } from './dom.js';
import { get } from './server.js';
import { chart, swatch } from './chart.js';

const CHARTS = [
  ['Loss', 'loss', { log: true, label: 'pale: training; full: validation' }],
  ['Learning rate', 'lr', {}],
  ['Throughput', 'structures_per_s', { label: 'structures per second' }],
  ['Norm of the gradient', 'grad_norm', { log: true }],
];

export class Training {
  constructor() {
    this.box = byId('training');
    this.chosen = null;
    this.curves = new Map();
    this.table = el('div', { class: 'scroll', tabindex: 0, role: 'group', 'aria-label': 'Training runs' });
    this.charts = el('div');
    this.log = true;
    this.box.append(el('h2', { id: 'training-title' }, 'Training runs'), this.table, this.charts);
    this.runs = [];
    this.version = '';
    let drawn = 0;
    new ResizeObserver(() => {
      const { clientWidth } = this.charts;
      if (clientWidth && clientWidth !== drawn) {
        drawn = clientWidth;
        if (this.found) this.draw(this.found);
      }
    }).observe(this.charts);
  }

  /** Takes the runs of the server's state; draws when something is new and the view is seen. */
  update(runs) {
    const version = JSON.stringify(runs.map((run) => [run.folder, run.lines]));
    this.runs = runs;
    if (version === this.version || this.box.hidden) return;
    this.version = version;
    this.refresh();
  }

  shownNow() {
    this.version = '';
    this.update(this.runs);
  }

  async refresh() {
    const { runs } = this;
    this.charts.hidden = this.table.hidden = !runs.length;
    this.empty?.remove();
    if (!runs.length) {
      this.empty = el('p', { class: 'empty' }, 'There is no training run below the paths that were given: a run is a folder with metrics.jsonl, as ', el('code', {}, 'druse train'), ' writes it.');
      this.box.append(this.empty);
      return;
    }
    if (!this.chosen) this.chosen = new Set(runs.slice(0, 4).map((run) => run.folder));
    this.list();
    try {
      const wanted = runs.map((run, k) => [run, k]).filter(([run]) => this.chosen.has(run.folder));
      const found = await Promise.all(wanted.map(async ([run, k]) => ({ run, style: k, curves: await get('/api/curves', { run: k, points: 600 }) })));
      this.draw(found);
    } catch (error) {
      toast(error.message);
    }
  }

  list() {
    const heads = [['Run'], ['Epoch', 'n'], ['Steps', 'n'], ['Loss', 'n'], ['Best validation loss', 'n'], ['Learning rate', 'n'], ['Structures/s', 'n'], ['Minutes', 'n']];
    const table = el('table', {}, el('thead', {}, el('tr', {}, ...heads.map(([text, kind]) => el('th', { class: kind, scope: 'col' }, text)))));
    const body = el('tbody');
    this.runs.forEach((run, k) => {
      const input = el('input', { type: 'checkbox' });
      input.checked = this.chosen.has(run.folder);
      input.addEventListener('change', () => {
        if (input.checked) this.chosen.add(run.folder);
        else this.chosen.delete(run.folder);
        this.refresh();
      });
      const cell = (value) => el('td', { class: 'n' }, shown(value) || '–');
      body.append(el('tr', {}, el('td', {}, el('label', {}, input, ' ', swatch(k), ' ', run.name)), cell(run.epoch), cell(run.steps), cell(run.loss),
        cell(run.best_validation_loss), cell(run.lr), cell(run.structures_per_s), cell(run.minutes)));
    });
    table.append(body);
    const focused = document.activeElement?.closest('tr')?.rowIndex;
    this.table.replaceChildren(table);
    if (focused) table.rows[focused]?.querySelector('input')?.focus();
  }

  draw(found) {
    this.found = found;
    // As wide as it is shown, so that texts have their size.
    const width = Math.max(300, this.charts.clientWidth - 34);
    this.charts.replaceChildren(...CHARTS.map(([title, key, options]) => {
      const curves = found.map(({ run, style, curves }) => ({ name: run.name, x: curves.steps.step, y: curves.steps[key], style, faint: key === 'loss' && curves.epochs.step.length > 1 }));
      if (key === 'loss') {
        for (const { run, style, curves: all } of found) {
          curves.push({ name: `${run.name}, validation`, x: all.epochs.step, y: all.epochs.validation_loss, style });
        }
      }
      return el('div', { class: 'chart' }, el('h3', {}, title), chart(title, curves, { ...options, width }));
    }));
  }
}
