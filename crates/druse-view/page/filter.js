// What is shown of the table, and in which order.

/** The wishes as the form has them. */
export const EVERYTHING = { text: '', elements: '', only: false, set: '', valid: '', group: '', ranges: [], sort: '', descending: false };

/** Rows that pass, in order, as a Uint32Array. */
export function filtered(table, wish) {
  const tests = testsOf(table, wish);
  const rows = new Uint32Array(table.length);
  let count = 0;
  rows: for (let row = 0; row < table.length; row++) {
    for (const test of tests) if (!test(row)) continue rows;
    rows[count++] = row;
  }
  return sorted(table, rows.subarray(0, count), wish);
}

function testsOf(table, wish) {
  const tests = [];
  const column = (name) => table.columns.get(name) || [];
  if (wish.set !== '') {
    const sets = column('set'), set = Number(wish.set);
    tests.push((row) => sets[row] === set);
  }
  if (wish.valid) {
    const valid = column('valid'), failure = column('failure');
    if (wish.valid === 'failed') tests.push((row) => failure[row] !== null);
    else tests.push((row) => failure[row] === null && valid[row] === (wish.valid === 'valid'));
  }
  const words = wish.elements.split(/[\s,;]+/).filter(Boolean);
  const asked = words.filter((word) => !word.startsWith('-')).map(symbol);
  const refused = words.filter((word) => word.startsWith('-')).map((word) => symbol(word.slice(1)));
  if (asked.length || refused.length) {
    const elements = column('elements');
    // Sets have few different lists of elements; each is looked at once.
    const known = new Map();
    tests.push((row) => {
      const list = elements[row];
      if (!known.has(list)) {
        const own = list ? list.split(' ') : [];
        known.set(list, own.length > 0 && asked.every((e) => own.includes(e)) && !refused.some((e) => own.includes(e))
          && (!wish.only || own.every((e) => asked.includes(e))));
      }
      return known.get(list);
    });
  }
  const group = wish.group.trim();
  if (group) {
    const numbers = column('space_group'), symbols = column('symbol');
    const number = /^\d+$/.test(group) ? Number(group) : null;
    const text = group.replace(/[\s_]/g, '').toLowerCase();
    tests.push(number === null ? (row) => Boolean(symbols[row]) && symbols[row].replace(/_/g, '').toLowerCase() === text : (row) => numbers[row] === number);
  }
  for (const range of wish.ranges) {
    const values = column(range.column);
    const low = range.low === '' ? -Infinity : Number(range.low), high = range.high === '' ? Infinity : Number(range.high);
    if (low === -Infinity && high === Infinity) continue;
    tests.push((row) => typeof values[row] === 'number' && values[row] >= low && values[row] <= high);
  }
  // The text last: it costs most.
  const texts = wish.text.trim().toLowerCase().split(/\s+/).filter(Boolean);
  if (texts.length) {
    const columns = ['formula', 'id', 'symbol'].map(column);
    tests.push((row) => texts.every((text) => columns.some((values) => values[row] && values[row].toLowerCase().includes(text))));
  }
  return tests;
}

// `li`, `LI` → `Li`.
function symbol(word) {
  return word.charAt(0).toUpperCase() + word.slice(1).toLowerCase();
}

// By a column, rows without a value last whatever the direction; else in the order of the sets.
function sorted(table, rows, { sort, descending }) {
  const values = sort && table.columns.get(sort);
  if (!values) return descending && !sort ? rows.slice().reverse() : rows.slice();
  const sign = descending ? -1 : 1;
  const missing = (value) => value === null || value === undefined;
  const collator = new Intl.Collator('en', { numeric: true });
  const compare = table.isNumber(sort) ? (a, b) => a - b : (a, b) => collator.compare(a, b);
  const full = [...rows].filter((row) => !missing(values[row]));
  const empty = [...rows].filter((row) => missing(values[row]));
  full.sort((a, b) => sign * compare(values[a], values[b]) || a - b);
  return Uint32Array.from([...full, ...empty]);
}
