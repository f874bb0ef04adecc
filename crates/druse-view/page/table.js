// The table of all rows in columns, as the server sends it: what is filtered, sorted and shown.

// Name, unit and kind of columns that every set has, in the order in which they are offered.
const KNOWN = {
  formula: ['Formula', '', 'text'],
  id: ['Name', '', 'text'],
  elements: ['Elements', '', 'text'],
  atoms: ['Atoms', '', 'number'],
  space_group: ['Space group', '', 'number'],
  valid: ['Valid', '', 'text'],
  density: ['Density', 'g/cm³', 'number'],
  volume_per_atom: ['Volume per atom', 'Å³', 'number'],
  is_novel: ['New', '', 'text'],
  known_as: ['Known as', '', 'text'],
};

// Properties that runs and screenings write, with their names here.
const PROPERTIES = {
  e_above_hull: ['Energy above hull', 'eV/atom'],
  energy_above_hull: ['Energy above hull', 'eV/atom'],
  energy_per_atom: ['Energy', 'eV/atom'],
  relax_energy_per_atom: ['Energy (relaxed)', 'eV/atom'],
  formation_energy_per_atom: ['Formation energy', 'eV/atom'],
  rank: ['Rank', ''],
  log_probability: ['ln probability', ''],
  novel: ['Novel', ''],
  index: ['Index', ''],
};

export class Table {
  constructor() {
    this.sets = [];
    this.clear(0);
  }

  clear(epoch) {
    this.epoch = epoch;
    this.length = 0;
    this.described = 0;
    this.columns = new Map();
    this.kinds = new Map();
  }

  append(part) {
    for (const [name, values] of Object.entries(part.columns)) this.put(name, part.from, values);
    for (const [name, values] of Object.entries(part.properties)) this.put(`p:${name}`, part.from, values);
    this.length = part.to;
  }

  describe(part) {
    for (const [name, values] of Object.entries(part.columns)) this.put(name, part.from, values);
    this.described = part.to;
  }

  put(name, from, values) {
    let column = this.columns.get(name);
    if (!column) this.columns.set(name, column = []);
    while (column.length < from) column.push(null);
    let kind = this.kinds.get(name);
    for (const value of values) {
      column.push(value);
      if (value !== null && kind !== 'text') kind = typeof value === 'number' ? 'number' : 'text';
    }
    if (kind) this.kinds.set(name, kind);
  }

  value(name, row) {
    const column = this.columns.get(name);
    const value = column && column[row];
    return value === undefined ? null : value;
  }

  /** What tells a row from others, also after it was read again. */
  key(row) {
    return `${this.value('set', row)} ${this.value('id', row)}`;
  }

  /** The identifier, with that of the set where there are several. */
  name(row) {
    const id = this.value('id', row), set = this.sets[this.value('set', row)];
    return this.sets.length > 1 && set ? `${set.name}: ${id}` : id;
  }

  label(name) {
    if (KNOWN[name]) return KNOWN[name][0];
    const property = name.replace(/^p:/, '');
    return PROPERTIES[property] ? PROPERTIES[property][0] : property;
  }

  unit(name) {
    const known = KNOWN[name] || PROPERTIES[name.replace(/^p:/, '')];
    return known ? known[1] : '';
  }

  isNumber(name) {
    return (KNOWN[name] ? KNOWN[name][2] : this.kinds.get(name)) === 'number';
  }

  /** Columns that can be sorted by and shown: those that hold anything. */
  names() {
    const known = Object.keys(KNOWN).filter((name) => this.kinds.has(name));
    const common = Object.keys(PROPERTIES).map((name) => `p:${name}`).filter((name) => this.kinds.has(name));
    const others = [...this.kinds.keys()].filter((name) => name.startsWith('p:') && !common.includes(name)).sort();
    return [...known, ...common, ...others];
  }
}
