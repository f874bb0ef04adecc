// One structure: the large view, what is known of it, the nearest known one beside it.
import { el, byId, facts, shown } from './dom.js';
import { get } from './server.js';

const KEPT = new Set(['index', 'seed']);

export class Detail {
  constructor({ onExport, hasKnown }) {
    Object.assign(this, { onExport, hasKnown });
    this.box = byId('detail');
    this.row = null;
    this.body = el('div');
    this.stage = el('div', { class: 'crystal' });
    this.head = el('div');
    this.below = el('div');
    this.views = [];
  }

  /** Shows a row, a moment later, so that going through many of them stays fluid. */
  show(row, again = false) {
    if (row === this.row && !again) return;
    this.row = row;
    clearTimeout(this.later);
    this.later = setTimeout(() => this.load(row), again ? 0 : 60);
  }

  /** So many rows are described: shows what has been found out of the one that is shown. */
  described(count) {
    if (this.row !== null && this.undescribed && this.row < count) this.show(this.row, true);
  }

  async load(row) {
    if (row === null || row === undefined) return this.box.replaceChildren();
    let found;
    try {
      found = await get('/api/row', { row });
    } catch (error) {
      return this.box.replaceChildren(el('p', { class: 'bad' }, error.message));
    }
    if (row !== this.row) return;
    this.closeNearest();
    const same = this.drawn === `${found.file} ${found.line} ${found.id}`;
    this.drawn = `${found.file} ${found.line} ${found.id}`;
    this.undescribed = found.crystal && found.valid === null;
    const title = el('h2', {}, found.formula || found.id);
    const where = [found.set, found.line ? `line ${found.line}` : null].filter(Boolean).join(', ');
    this.head.replaceChildren(title, el('p', { class: 'soft' }, `${found.id} · ${where}`));
    if (!this.box.contains(this.stage)) this.box.replaceChildren(this.head, this.stage, this.below);
    this.draw(found, same);
    this.below.replaceChildren(...this.about(found, row));
  }

  draw({ crystal, failure }, same) {
    this.stage.hidden = !crystal;
    this.controls?.remove();
    this.legend?.remove();
    if (!crystal) {
      this.head.append(el('p', { class: 'bad' }, `No structure: ${failure}`));
      return;
    }
    if (!this.view) {
      this.view = DruseCrystal.view(this.stage);
      this.bar = DruseCrystal.controls(this.view);
      this.stage.addEventListener('keydown', (event) => { if (event.key === 'Escape') byId('list').focus(); });
    }
    this.controls = this.bar;
    this.legend = DruseCrystal.legend(crystal);
    this.stage.after(this.legend, this.controls);
    // A crystal that stays keeps its direction.
    this.view.show(crystal, { axes: true }, !same);
  }

  about(found, row) {
    const { crystal } = found;
    const validity = found.valid === null ? null
      : found.valid ? el('span', { class: 'good' }, '✓ valid') : el('span', { class: 'bad' }, `✗ invalid: ${found.reason}`);
    const parts = [facts([
      ['Cell', found.cell],
      ['Validity', validity],
      ['Space group', found.symbol ? `${found.symbol} (${found.space_group})` : found.valid !== null && found.reason && found.valid ? found.reason : null],
      ['Lattice', crystal ? crystal.text[0] : null],
      ['', crystal ? crystal.text[1] : null],
      ['Volume', found.volume ? `${shown(found.volume, 2)} Å³, ${shown(found.volume / crystal.frac.length, 2)} Å³ per atom` : null],
      ['Density', found.density ? `${shown(found.density, 3)} g/cm³` : null],
      ['Known', found.novel === null ? null : found.novel ? 'no known structure is the same' : `the same as ${found.known_as}`],
    ])];
    if (crystal) {
      const button = (format, name) => el('button', { type: 'button', onclick: () => this.onExport([row], format) }, name);
      parts.push(el('div', { class: 'buttons' }, button('cif', 'CIF'), button('poscar', 'POSCAR'), button('extxyz', 'extended XYZ')));
      if (this.hasKnown()) {
        this.nearest = el('div');
        parts.push(this.nearest);
        this.nearest.append(el('button', { type: 'button', onclick: () => this.compare(row, found) }, 'Compare with the nearest known structure'));
      }
    }
    const properties = Object.entries(found.properties).sort((a, b) => KEPT.has(a[0]) - KEPT.has(b[0]));
    if (properties.length) parts.push(el('h3', {}, 'Properties'), facts(properties.map(([name, value]) => [name, shown(value, 6)])));
    if (found.warnings.length) parts.push(el('h3', {}, 'Remarks of the reader'), el('ul', {}, ...found.warnings.map((text) => el('li', {}, text))));
    if (crystal) parts.push(el('details', {}, el('summary', {}, 'Lattice and sites'), el('pre', { tabindex: 0, 'aria-label': 'Lattice and sites' }, crystal.text.join('\n'))));
    if (found.file) parts.push(el('p', { class: 'soft' }, el('small', {}, found.file)));
    return parts;
  }

  async compare(row, found) {
    const box = this.nearest;
    box.replaceChildren(el('p', { class: 'soft' }, 'Looking for it …'));
    try {
      const near = await get('/api/nearest', { row });
      if (row !== this.row) return;
      const figure = (crystal, title, text) => {
        const stage = el('div', { class: 'crystal' });
        return [stage, el('figure', {}, stage, el('figcaption', {}, el('b', {}, title), el('br'), text)), crystal];
      };
      const both = [
        figure(found.crystal, 'this one', `${shown(found.density, 3)} g/cm³`),
        figure(near.crystal, `${near.crystal.formula}, ${near.id}`, `${shown(near.density, 3)} g/cm³`),
      ];
      box.replaceChildren(el('h3', {}, 'The nearest known structure'), el('div', { class: 'pair' }, ...both.map(([, figure]) => figure)), facts([
        ['Sites', near.rms === null ? 'not the same structure' : `the same structure, root mean square distance ${shown(near.rms)} Å`],
        ['Fingerprint', near.fingerprint === null ? null : `distance ${shown(near.fingerprint)}`],
        ['Composition', `distance ${shown(near.composition)}`],
      ]));
      for (const [stage, , crystal] of both) {
        const view = DruseCrystal.view(stage);
        view.show(crystal, {});
        this.views.push(view);
      }
    } catch (error) {
      box.replaceChildren(el('p', { class: 'bad' }, error.message));
    }
  }

  closeNearest() {
    for (const view of this.views) view.close();
    this.views = [];
  }

  focus() {
    if (this.view && !this.stage.hidden) this.stage.focus();
  }
}
