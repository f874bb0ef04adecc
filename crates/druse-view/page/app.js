// The page: views, what is asked of the server, keys.
import { el, byId, toast, download } from './dom.js';
import { get, post } from './server.js';
import { Table } from './table.js';
import { EVERYTHING, filtered } from './filter.js';
import { Gallery } from './gallery.js';
import { Detail } from './detail.js';
import { Sample } from './sample.js';
import { Training } from './runs.js';
import { forget } from './pictures.js';

const CHUNK = 10000;
const FIRST = 200; // rows that are fetched before the others, for the first pictures
const table = new Table();
let wish = { ...EVERYTHING };
let state = null;

const detail = new Detail({ onExport: save, hasKnown: () => Boolean(state?.known?.read && !state.known.problem) });
const gallery = new Gallery(table, {
  onActive: (row) => detail.show(row),
  onSelection: count,
  onSort: (name) => {
    wish.descending = wish.sort === name && !wish.descending;
    wish.sort = name;
    apply();
  },
  onEnter: () => detail.focus(),
});
const sample = new Sample({ onShow: (set) => { byId('f-set').value = String(set); wish.set = String(set); location.hash = 'structures'; apply(); } });
const training = new Training();

// Views.

function view() {
  const name = ['structures', 'sample', 'training'].includes(location.hash.slice(1)) ? location.hash.slice(1) : 'structures';
  for (const link of document.querySelectorAll('nav a')) {
    const current = link.dataset.view === name;
    byId(link.dataset.view).hidden = !current;
    if (current) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  document.title = `druse: ${name}`;
  if (name === 'sample') sample.shownNow();
  if (name === 'training') training.shownNow();
  if (name === 'structures') gallery.layout();
}

// Filters.

function apply(keepScroll = false) {
  const begun = performance.now();
  const rows = filtered(table, wish);
  document.documentElement.dataset.filterMs = (performance.now() - begun).toFixed(1);
  gallery.setSort(wish.sort, wish.descending);
  gallery.show(rows, keepScroll);
  const sort = byId('f-sort');
  if (sort.value !== wish.sort) sort.value = wish.sort;
  byId('f-direction').setAttribute('aria-pressed', String(wish.descending));
  byId('f-direction').firstChild.textContent = wish.descending ? '↓' : '↑';
  count();
}

function readForm() {
  const ranges = [...document.querySelectorAll('.range')].map((range) => {
    const [column, low, high] = range.querySelectorAll('select,input');
    for (const input of [low, high]) input.setAttribute('aria-invalid', String(input.value !== '' && !Number.isFinite(Number(input.value))));
    const plain = (text) => (Number.isFinite(Number(text)) ? text.trim() : '');
    return { column: column.value, low: plain(low.value), high: plain(high.value) };
  });
  wish = {
    ...wish, text: byId('f-text').value, elements: byId('f-elements').value, only: byId('f-only').checked, set: byId('f-set').value,
    valid: byId('f-valid').value, group: byId('f-group').value, sort: byId('f-sort').value, ranges,
  };
  apply();
}

function addRange() {
  const select = el('select', { 'aria-label': 'Value' });
  for (const name of table.names().filter((name) => table.isNumber(name))) {
    const unit = table.unit(name);
    select.add(new Option(table.label(name) + (unit ? ` (${unit})` : ''), name));
  }
  if (!select.options.length) return toast('There are no numbers to filter by yet');
  const bound = (label) => el('input', { placeholder: label, 'aria-label': label, inputmode: 'decimal' });
  const range = el('span', { class: 'range' }, select, bound('from'), bound('to'));
  range.append(el('button', { type: 'button', 'aria-label': 'Remove this range', onclick: () => { range.remove(); readForm(); } }, '×'));
  byId('ranges').append(range);
  range.querySelector('input').focus();
}

let offered = '';
function offerColumns() {
  const names = table.names();
  const key = names.join() + state.sets.map((set) => set.name).join();
  if (key === offered) return;
  offered = key;
  byId('f-sort').replaceChildren(new Option('as read', ''), ...names.map((name) => new Option(table.label(name), name)));
  byId('f-sort').value = wish.sort;
  byId('f-set').replaceChildren(new Option('all', ''), ...state.sets.map((set, k) => new Option(set.name, k)));
  byId('f-set').value = wish.set;
}

function count() {
  const { rows, selected } = gallery;
  const number = (n) => n.toLocaleString('en');
  const all = table.length;
  byId('count').textContent = (rows.length === all ? `${number(all)} structures` : `${number(rows.length)} of ${number(all)}`)
    + (selected.size ? `, ${number(selected.size)} selected` : '');
  byId('select-none').disabled = byId('export').disabled = !selected.size;
  const nothing = byId('nothing');
  nothing.hidden = rows.length > 0;
  byId('list').hidden = rows.length === 0;
  if (rows.length) return;
  const problems = (state?.sets || []).filter((set) => set.problem);
  if (all) nothing.replaceChildren('No structure passes the filters.');
  else if (!state || !state.looked || state.sets.some((set) => !set.read && !set.problem)) nothing.replaceChildren('Reading …');
  else if (!problems.length) nothing.replaceChildren('There are no structures here yet. What a run writes appears by itself.');
  if (!all && problems.length) nothing.replaceChildren(...problems.map((set) => el('p', { class: 'bad' }, `${set.name}: ${set.problem}`)));
}

// Exports.

async function save(rows, format) {
  try {
    const response = await post('/api/export', { rows: [...rows], format });
    const name = /filename="([^"]+)"/.exec(response.headers.get('content-disposition') || '');
    download(await response.blob(), name ? name[1] : 'structures');
    const left = Number(response.headers.get('x-left-out'));
    if (left) toast(`${left} of the chosen rows have no structure and are not in the file`);
  } catch (error) {
    toast(error.message);
  }
}

// The server's state.

async function follow() {
  try {
    state = await get('/api/state');
    table.sets = state.sets;
    if (state.epoch !== table.epoch) {
      const chosen = new Set([...gallery.selected].map((row) => table.key(row)));
      table.clear(state.epoch);
      forget();
      follow.chosen = chosen;
      gallery.active = -1;
      gallery.selected = new Set();
      detail.row = null;
    }
    const grown = await load();
    if (grown) {
      offerColumns();
      apply(true);
      detail.described(table.described);
    } else if (!table.length) {
      count();
    }
    sample.update(state.jobs, state.sets);
    training.update(state.runs);
    status();
  } catch (error) {
    byId('status').textContent = error instanceof TypeError ? 'The server has ended: start druse view again.' : error.message;
  }
  const busy = state && (!state.looked || state.sets.some((set) => !set.read && !set.problem) || table.described < table.length);
  setTimeout(follow, document.hidden ? 4000 : busy ? 300 : 1200);
}

/** Fetches rows that are new; whether there were any. */
async function load() {
  const before = table.length, described = table.described;
  while (table.length < state.rows) {
    const part = await get('/api/rows', { from: table.length, to: Math.min(state.rows, table.length + (table.length ? CHUNK : FIRST)) });
    if (part.epoch !== table.epoch) return true;
    table.append(part);
    if (follow.chosen?.size) {
      for (let row = part.from; row < part.to; row++) if (follow.chosen.has(table.key(row))) gallery.selected.add(row);
    }
    // What is there already is shown while the rest comes.
    if (!before && part.from === 0 && part.to < state.rows) { offerColumns(); apply(); }
  }
  const known = Math.min(state.described, table.length);
  if (table.described < known && (known === table.length || known - table.described > 500 || performance.now() - (load.last || 0) > 1500)) {
    load.last = performance.now();
    while (table.described < known) {
      const part = await get('/api/rows', { from: table.described, to: Math.min(known, table.described + CHUNK), described: true });
      if (part.epoch !== table.epoch || part.to === part.from) return true;
      table.describe(part);
    }
  }
  return table.length !== before || table.described !== described;
}

function status() {
  const reading = state.sets.filter((set) => !set.read && !set.problem);
  const parts = [];
  if (reading.length) parts.push(`reading ${reading[0].name}${reading[0].progress === null ? '' : ` ${Math.floor(100 * reading[0].progress)} %`}`);
  if (state.known && !state.known.read) parts.push('reading the known structures');
  else if (table.described < table.length) parts.push(`validity and space groups of ${table.described.toLocaleString('en')} of ${table.length.toLocaleString('en')}`);
  for (const set of state.sets) if (set.problem) parts.push(`${set.name}: ${set.problem}`);
  if (state.known?.problem) parts.push(`known structures: ${state.known.problem}`);
  if (state.cut) parts.push('there is more below these paths than is looked through: give the folders themselves');
  const text = parts.join(' · ');
  if (byId('status').textContent !== text) byId('status').textContent = text;
}

// Keys and buttons.

function help() {
  if (!byId('help').open) byId('help').showModal();
}

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId('help').open) return;
  const typing = event.target.matches('input:not([type=checkbox]):not([type=radio]),textarea,select');
  if (event.key === 'Escape' && event.target.closest('#filters')) byId('list').focus();
  if (typing) return;
  if (event.key === '?') help();
  else if (event.key === '/' && !byId('structures').hidden) byId('f-text').focus();
  else return;
  event.preventDefault();
});

byId('help-button').addEventListener('click', help);
byId('filters').addEventListener('input', readForm);
byId('filters').addEventListener('submit', (event) => event.preventDefault());
byId('filters').addEventListener('reset', () => setTimeout(() => {
  byId('ranges').replaceChildren();
  wish = { ...EVERYTHING };
  readForm();
}));
byId('f-add').addEventListener('click', addRange);
byId('f-direction').addEventListener('click', () => { wish.descending = !wish.descending; apply(); });
for (const [id, asList] of [['as-grid', false], ['as-list', true]]) {
  byId(id).addEventListener('click', () => {
    byId('as-grid').setAttribute('aria-pressed', String(!asList));
    byId('as-list').setAttribute('aria-pressed', String(asList));
    gallery.setLayout(asList);
  });
}
byId('select-all').addEventListener('click', () => gallery.select([...gallery.selected, ...gallery.rows]));
byId('select-none').addEventListener('click', () => gallery.select([]));
byId('export').addEventListener('click', () => save([...gallery.selected].sort((a, b) => a - b), byId('export-format').value));
window.addEventListener('hashchange', view);

view();
follow();
