// The list of structures, as pictures or as lines: only what is on the screen is in the page, so that tens of thousands
// stay fluid.
import { el, byId, shown } from './dom.js';
import { draw, drop } from './pictures.js';

const CARD = { width: 190, narrow: 150, height: 226, gap: 12 };
const ROW = 34;
const WIDTHS = { atoms: 60, valid: 100, density: 120, is_novel: 60, 'p:rank': 60, 'p:index': 60 };

export class Gallery {
  /** Pixels that the list may be high: browsers draw nothing beyond some 17 million. A longer one is scrolled faster. */
  static tallest = 15e6;

  constructor(table, { onActive, onSelection, onSort, onEnter }) {
    Object.assign(this, { table, onActive, onSelection, onSort, onEnter });
    this.list = byId('list');
    this.space = el('div', { class: 'space', role: 'presentation' });
    this.list.append(this.space);
    this.headRow = el('div', { class: 'heads' });
    byId('heads').replaceChildren(this.headRow);
    this.rows = new Uint32Array(0);
    this.selected = new Set();
    this.active = -1;
    this.asList = false;
    this.elements = new Map();
    this.pictures = new Map();
    this.list.addEventListener('scroll', () => { this.place(); byId('heads').scrollLeft = this.list.scrollLeft; }, { passive: true });
    this.list.addEventListener('keydown', (event) => this.key(event));
    this.list.addEventListener('click', (event) => this.click(event));
    new ResizeObserver(() => this.layout()).observe(this.list);
  }

  /** Shows these rows; the active one stays the active one where it is still there. */
  show(rows, keepScroll) {
    const row = this.active >= 0 ? this.rows[this.active] : undefined;
    this.rows = rows;
    const at = row === undefined ? -1 : rows.indexOf(row);
    this.active = at;
    if (!keepScroll) this.list.scrollTop = 0;
    this.layout();
    if (at < 0 && rows.length) this.activate(0, false);
    if (!rows.length) this.onActive(null);
  }

  setLayout(asList) {
    this.asList = asList;
    this.list.scrollTop = 0;
    this.layout();
    this.reveal();
  }

  /** Columns of the list: the main ones, what is sorted by, and the first properties. */
  columns(sort) {
    const { table } = this;
    const main = ['formula', 'id', 'space_group', 'atoms', 'valid', 'density', 'is_novel'].filter((name) => table.kinds.has(name));
    const properties = table.names().filter((name) => name.startsWith('p:')).slice(0, 6);
    const all = [...main, ...properties];
    if (sort && table.kinds.has(sort) && !all.includes(sort)) all.push(sort);
    return all;
  }

  setSort(sort, descending) {
    this.sort = sort;
    this.descending = descending;
    this.heads();
  }

  heads() {
    const heads = byId('heads');
    heads.hidden = !this.asList;
    this.shownColumns = this.columns(this.sort);
    const widths = this.shownColumns.map((name) => WIDTHS[name] || 140);
    const style = document.documentElement.style;
    style.setProperty('--columns', widths.map((w) => `minmax(${w}px,${w}fr)`).join(' '));
    style.setProperty('--width', `${widths.reduce((a, b) => a + b + 12, 50)}px`);
    this.headRow.replaceChildren(el('span'), ...this.shownColumns.map((name) => {
      const sorted = name === this.sort;
      const unit = this.table.unit(name);
      const text = this.table.label(name) + (unit ? ` (${unit})` : '') + (sorted ? (this.descending ? ' ↓' : ' ↑') : '');
      return el('button', { type: 'button', class: this.table.isNumber(name) ? 'n' : '', title: text, onclick: () => this.onSort(name) }, text);
    }));
  }

  layout() {
    this.heads();
    const width = this.list.clientWidth;
    // Pictures that stay are kept, so that nothing flickers.
    this.pictures = new Map();
    for (const [row, element] of this.elements) {
      drop(row);
      const canvas = element.querySelector('canvas');
      if (canvas && canvas.dataset.painted && width === this.width) this.pictures.set(row, canvas);
    }
    this.width = width;
    this.elements.clear();
    this.space.replaceChildren();
    if (this.asList) {
      this.across = 1;
      this.step = ROW;
    } else {
      const least = width < 430 ? CARD.narrow : CARD.width;
      this.across = Math.max(1, Math.floor((width - CARD.gap) / (least + CARD.gap)));
      this.cardWidth = Math.floor((width - CARD.gap * (this.across + 1)) / this.across);
      this.step = CARD.height + CARD.gap;
    }
    const lines = Math.ceil(this.rows.length / this.across);
    this.height = lines * this.step + (this.asList ? 0 : CARD.gap);
    this.space.style.height = `${Math.min(this.height, Gallery.tallest)}px`;
    this.place();
    this.pictures.clear();
  }

  /** How far the list can be scrolled, and how far it could be if the page were as high as it. */
  ways() {
    const { clientHeight } = this.list;
    return [Math.min(this.height, Gallery.tallest), this.height].map((height) => Math.max(0, height - clientHeight));
  }

  /** Pixels of the list above those that the page has a place for. */
  above() {
    const [way, whole] = this.ways();
    return way > 0 ? Math.round(Math.min(1, this.list.scrollTop / way) * (whole - way)) : 0;
  }

  /** Puts an element where the page has a place for it. */
  moor(element) {
    const at = Number(element.dataset.at);
    const top = (this.asList ? 0 : CARD.gap) + Math.floor(at / this.across) * this.step - this.offset;
    // What is far away must not make the list longer.
    element.style.top = `${Math.max(0, Math.min(top, Gallery.tallest - this.step))}px`;
  }

  /** Puts what is on the screen, and a little around it, into the page. */
  place() {
    const { clientHeight } = this.list;
    if (!clientHeight) return;
    const offset = this.above();
    if (offset !== this.offset) {
      this.offset = offset;
      for (const element of this.elements.values()) this.moor(element);
    }
    const scrollTop = this.list.scrollTop + offset;
    const margin = this.asList ? 400 : 300;
    const first = Math.max(0, Math.floor((scrollTop - margin) / this.step)) * this.across;
    const last = Math.min(this.rows.length, Math.ceil((scrollTop + clientHeight + margin) / this.step) * this.across);
    const wanted = new Set();
    for (let at = first; at < last; at++) wanted.add(this.rows[at]);
    if (this.active >= 0) wanted.add(this.rows[this.active]);
    for (const [row, element] of this.elements) {
      if (!wanted.has(row)) {
        element.remove();
        drop(row);
        this.elements.delete(row);
      }
    }
    for (let at = first; at < last; at++) this.make(at);
    if (this.active >= 0) this.make(this.active);
    this.mark();
  }

  make(at) {
    const row = this.rows[at];
    if (this.elements.has(row)) return;
    const element = this.asList ? this.line(row) : this.card(row);
    element.id = `row-${row}`;
    element.dataset.at = at;
    element.setAttribute('role', 'option');
    element.setAttribute('aria-setsize', this.rows.length);
    element.setAttribute('aria-posinset', at + 1);
    this.moor(element);
    if (!this.asList) {
      const x = at % this.across;
      Object.assign(element.style, {
        left: `${CARD.gap + x * (this.cardWidth + CARD.gap)}px`, width: `${this.cardWidth}px`, height: `${CARD.height}px`,
      });
    }
    this.space.append(element);
    this.elements.set(row, element);
    const canvas = element.querySelector('canvas');
    if (canvas && !canvas.dataset.painted) draw(row, canvas);
  }

  card(row) {
    const { table } = this;
    const failure = table.value('failure', row);
    const valid = table.value('valid', row);
    const symbol = table.value('symbol', row);
    const state = failure ? 'no structure' : valid === false ? `invalid: ${table.value('reason', row)}` : '';
    const facts = [symbol, `${table.value('atoms', row) ?? '?'} atoms`];
    if (table.value('is_novel', row) !== null) facts.push(table.value('is_novel', row) ? 'new' : 'known');
    if (this.sort && !['formula', 'id', 'elements', 'atoms', 'space_group', 'valid'].includes(this.sort)) {
      const value = table.value(this.sort, row);
      if (value !== null) facts.push(`${shown(value)} ${table.unit(this.sort)}`.trim());
    }
    const picture = failure
      ? el('span', { class: 'none bad' }, failure.length > 110 ? failure.slice(0, 110) + '…' : failure)
      : this.pictures.get(row) || el('canvas', { 'data-row': row, 'aria-hidden': 'true' });
    return el('div', { class: 'card' }, picture, el('b', {}, table.value('formula', row) || '?'),
      el('span', {}, facts.filter(Boolean).join(' · ')),
      state ? el('span', { class: 'bad' }, state) : el('span', {}, table.name(row)));
  }

  line(row) {
    const { table } = this;
    const cells = this.shownColumns.map((name) => {
      let value = shown(table.value(name, row));
      if (name === 'space_group' && value) value = `${table.value('symbol', row)} (${value})`;
      if (name === 'valid' && table.value('failure', row)) value = 'no structure';
      const bad = name === 'valid' && (value === 'no' || value === 'no structure');
      return el('span', { class: (table.isNumber(name) && name !== 'space_group' ? 'n' : '') + (bad ? ' bad' : ''), title: value }, value);
    });
    return el('div', { class: 'row' }, ...cells);
  }

  mark() {
    for (const [row, element] of this.elements) {
      const active = row === this.rows[this.active];
      element.classList.toggle('active', active);
      element.setAttribute('aria-selected', String(this.selected.has(row)));
    }
    const row = this.rows[this.active];
    if (row !== undefined && this.elements.has(row)) this.list.setAttribute('aria-activedescendant', `row-${row}`);
    else this.list.removeAttribute('aria-activedescendant');
  }

  activate(at, reveal = true) {
    this.active = Math.max(0, Math.min(this.rows.length - 1, at));
    if (reveal) this.reveal();
    this.place();
    this.onActive(this.rows[this.active]);
  }

  reveal() {
    if (this.active < 0) return;
    const { clientHeight } = this.list;
    const top = Math.floor(this.active / this.across) * this.step, bottom = top + this.step + CARD.gap;
    const shown = this.list.scrollTop + this.above();
    const wanted = top < shown ? top : bottom > shown + clientHeight ? bottom - clientHeight : shown;
    if (wanted === shown) return;
    const [way, whole] = this.ways();
    this.list.scrollTop = whole > way ? (wanted / whole) * way : wanted;
  }

  toggle(row) {
    if (!this.selected.delete(row)) this.selected.add(row);
    this.mark();
    this.onSelection();
  }

  select(rows) {
    this.selected = new Set(rows);
    this.mark();
    this.onSelection();
  }

  click(event) {
    const element = event.target.closest('[role=option]');
    if (!element) return;
    const at = Number(element.dataset.at);
    const box = element.getBoundingClientRect();
    const onBox = this.asList ? event.clientX - box.left < 32 : event.clientX > box.right - 32 && event.clientY < box.top + 32;
    if (event.shiftKey && this.active >= 0) {
      const [from, to] = [Math.min(at, this.active), Math.max(at, this.active)];
      this.select([...this.selected, ...this.rows.subarray(from, to + 1)]);
    } else if (onBox || event.ctrlKey || event.metaKey) {
      this.toggle(this.rows[at]);
    }
    this.activate(at, false);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.rows.length) return;
    const page = Math.max(1, Math.floor(this.list.clientHeight / this.step)) * this.across;
    const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.across, ArrowUp: -this.across, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in moves) {
      const from = this.active;
      this.activate(Math.max(0, Math.min(this.rows.length - 1, this.active + moves[event.key])));
      if (event.shiftKey) {
        const [low, high] = [Math.min(from, this.active), Math.max(from, this.active)];
        this.select([...this.selected, ...this.rows.subarray(low, high + 1)]);
      }
    } else if (event.key === ' ') {
      this.toggle(this.rows[this.active]);
    } else if (event.key === 'Enter') {
      this.onEnter();
    } else {
      return;
    }
    event.preventDefault();
  }
}
