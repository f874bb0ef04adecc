// Crystals in three dimensions, drawn with 3Dmol: the cell, the atoms with their images on its faces, bonds, coordination
// polyhedra, several cells. Everything hangs on one global, `DruseCrystal`. What a crystal is here (lattice, elements,
// species, frac, bonds, text) is said in druse-page's `Crystal`.
(function (root) {
  'use strict';

  const FACE = 0.08; // Å: atoms nearer to a face than this appear on the opposite one, too
  const MOST_ATOMS = 4000; // atoms drawn at most
  const MOST_LABELS = 300;
  const DEFAULTS = { supercell: 1, bonds: true, polyhedra: false, cell: true, labels: false };

  function color(symbol) {
    const table = root.$3Dmol && root.$3Dmol.elementColors && root.$3Dmol.elementColors.Jmol;
    const value = table && table[symbol];
    return typeof value === 'number' ? '#' + value.toString(16).padStart(6, '0') : '#b080a0';
  }

  // Radius of an atom's sphere in Å: covalent radii, so that bonds stay visible between them.
  const radius = (element) => 0.42 * element.radius + 0.06;

  const cartesian = (lattice, f) => [0, 1, 2].map((k) => f[0] * lattice[0][k] + f[1] * lattice[1][k] + f[2] * lattice[2][k]);
  const minus = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const xyz = (p) => ({ x: p[0], y: p[1], z: p[2] });

  // Whether this browser draws in three dimensions at all.
  function available() {
    if (!root.$3Dmol || typeof document === 'undefined') return false;
    if (available.known === undefined) {
      try {
        const context = document.createElement('canvas').getContext('webgl2') || document.createElement('canvas').getContext('webgl');
        available.known = Boolean(context);
        const lose = context && context.getExtension('WEBGL_lose_context');
        if (lose) lose.loseContext();
      } catch {
        available.known = false;
      }
    }
    return available.known;
  }

  // The atoms to draw: those of n × n × n cells and their images on the faces of the block. Returns a list of
  // {site, image, position} and the index of each by "site,i,j,k".
  function atomsOf(crystal, n) {
    const lengths = crystal.lattice.map((v) => Math.hypot(v[0], v[1], v[2]));
    const atoms = [];
    const index = new Map();
    const add = (site, image) => {
      const key = site + ',' + image.join();
      if (index.has(key)) return index.get(key);
      const f = crystal.frac[site].map((x, k) => x + image[k]);
      index.set(key, atoms.length);
      atoms.push({ site, image, position: cartesian(crystal.lattice, f) });
      return atoms.length - 1;
    };
    crystal.frac.forEach((f, site) => {
      const images = f.map((x, k) => {
        const near = FACE / lengths[k];
        const all = Array.from({ length: n }, (_, i) => i);
        if (x < near) all.push(n);
        if (x > 1 - near) all.unshift(-1);
        return all;
      });
      for (const i of images[0]) for (const j of images[1]) for (const k of images[2]) add(site, [i, j, k]);
    });
    return { atoms, index, add };
  }

  // Neighbors of each site over its bonds: [site, image].
  function neighborsOf(crystal) {
    const all = crystal.frac.map(() => []);
    for (const [i, j, a, b, c] of crystal.bonds) {
      all[i].push([j, [a, b, c]]);
      all[j].push([i, [-a, -b, -c]]);
    }
    return all;
  }

  // Sites in the middle of a coordination polyhedron: four neighbors or more, none of its own element, all of them more
  // electronegative.
  function centers(crystal, neighbors) {
    const chi = (site) => crystal.elements[crystal.species[site]].electronegativity || 0;
    return neighbors.map((all, site) => all.length >= 4 && all.length <= 14 && all.every(([j]) => chi(j) > chi(site) + 0.3));
  }

  // Triangles of the convex hull of a few points, as triples of indices: every plane through three of them that has all
  // others on one side.
  function hull(points) {
    const faces = [];
    const n = points.length;
    for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) for (let k = j + 1; k < n; k++) {
      const normal = cross(minus(points[j], points[i]), minus(points[k], points[i]));
      const size = Math.hypot(...normal);
      if (size < 1e-3) continue;
      let above = 0, below = 0;
      for (let m = 0; m < n; m++) {
        const height = dot(normal, minus(points[m], points[i])) / size;
        if (height > 0.02) above++;
        if (height < -0.02) below++;
      }
      if (above && below) continue;
      faces.push(above ? { at: [i, k, j], normal: normal.map((x) => -x / size) } : { at: [i, j, k], normal: normal.map((x) => x / size) });
    }
    return faces;
  }

  class View {
    // Makes a view in `element`; returns null where the browser cannot draw it.
    static create(element, { still = false, scale } = {}) {
      if (!available()) return null;
      try {
        const viewer = root.$3Dmol.createViewer(element, {
          backgroundAlpha: 0, backgroundColor: 'white', antialias: true, disableFog: true, orthographic: true, nomouse: still,
          minimumZoomToDistance: 1.5, upscale: scale,
        });
        return viewer ? new View(element, viewer, still) : null;
      } catch {
        return null;
      }
    }

    constructor(element, viewer, still) {
      this.element = element;
      this.viewer = viewer;
      this.options = { ...DEFAULTS };
      this.crystal = null;
      if (still) return;
      element.tabIndex = 0;
      element.setAttribute('role', 'img');
      element.addEventListener('keydown', (event) => this.key(event));
      if (root.ResizeObserver) {
        this.observer = new ResizeObserver(() => { this.viewer.resize(); });
        this.observer.observe(element);
      }
    }

    // Shows a crystal, with options that stay for the next ones. The direction of view is kept when `turn` is false.
    show(crystal, options = {}, turn = true) {
      Object.assign(this.options, options);
      const before = turn || !this.crystal ? null : this.viewer.getView();
      this.crystal = crystal;
      this.viewer.removeAllModels();
      this.viewer.removeAllShapes();
      this.viewer.removeAllLabels();
      this.drawn = this.draw();
      this.element.setAttribute('aria-label', describe(crystal) + ' Arrow keys turn it, plus and minus change its size.');
      this.aim();
      if (before) {
        const now = this.viewer.getView();
        this.viewer.setView([now[0], now[1], now[2], now[3], ...before.slice(4, 8)]);
      }
      this.viewer.render();
    }

    // c upwards, seen along b and a little from above.
    aim() {
      this.viewer.setView([0, 0, 0, 0, 0, 0, 0, 1]);
      this.viewer.zoomTo();
      this.viewer.rotate(-90, 'x');
      this.viewer.rotate(-22, 'vy');
      this.viewer.rotate(14, 'vx');
    }

    set(options) {
      if (this.crystal) this.show(this.crystal, options, false);
      else Object.assign(this.options, options);
    }

    draw() {
      const { crystal, viewer } = this;
      let n = Math.max(1, this.options.supercell);
      while (n > 1 && crystal.frac.length * n ** 3 > MOST_ATOMS) n--;
      const set = atomsOf(crystal, n);
      const neighbors = neighborsOf(crystal);
      if (this.options.polyhedra) this.polyhedra(set, neighbors);
      this.atoms(set, neighbors);
      if (this.options.cell) this.cell(n);
      if (this.options.labels) {
        set.atoms.slice(0, MOST_LABELS).forEach((atom) => this.label(crystal.elements[crystal.species[atom.site]].symbol, atom.position));
      }
      return { atoms: set.atoms.length, cells: n };
    }

    label(text, position) {
      this.viewer.addLabel(text, {
        position: xyz(position), inFront: true, fontSize: 13, fontColor: 'black', backgroundColor: 'white', backgroundOpacity: 0.75,
        borderThickness: 0, alignment: 'center',
      });
    }

    atoms(set, neighbors) {
      const { crystal, viewer } = this;
      const atoms = set.atoms.map((atom) => ({
        elem: crystal.elements[crystal.species[atom.site]].symbol, ...xyz(atom.position), bonds: [], bondOrder: [],
      }));
      if (this.options.bonds) {
        set.atoms.forEach((atom, at) => {
          for (const [j, image] of neighbors[atom.site]) {
            const other = set.index.get(j + ',' + image.map((x, k) => x + atom.image[k]).join());
            if (other === undefined || other === at) continue;
            atoms[at].bonds.push(other);
            atoms[at].bondOrder.push(1);
          }
        });
      }
      const model = viewer.addModel();
      model.addAtoms(atoms);
      for (const element of crystal.elements) {
        const style = { sphere: { radius: radius(element), color: color(element.symbol) } };
        if (this.options.bonds) style.stick = { radius: 0.11, color: color(element.symbol) };
        model.setStyle({ elem: element.symbol }, style);
      }
    }

    cell(n) {
      const { crystal, viewer } = this;
      const dark = root.matchMedia && root.matchMedia('(prefers-color-scheme: dark)').matches;
      const shape = viewer.addShape({ color: dark ? '#c4ccd8' : '#39424f' });
      const size = Math.max(...crystal.lattice.map((v) => Math.hypot(...v)));
      const thickness = Math.min(0.06, 0.006 * size + 0.01);
      const edge = (from, to) => shape.addCylinder({
        start: xyz(cartesian(crystal.lattice, from)), end: xyz(cartesian(crystal.lattice, to)), radius: thickness, fromCap: 1, toCap: 1,
      });
      for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) for (let k = 0; k < n; k++) {
        const at = [i, j, k];
        for (let axis = 0; axis < 3; axis++) {
          for (const [p, q] of [[0, 0], [0, 1], [1, 0], [1, 1]]) {
            const from = at.slice();
            from[(axis + 1) % 3] += p;
            from[(axis + 2) % 3] += q;
            // Edges that a cell shares with the one before it are drawn once.
            if ((p && at[(axis + 1) % 3] < n - 1) || (q && at[(axis + 2) % 3] < n - 1)) continue;
            const to = from.slice();
            to[axis] += 1;
            edge(from, to);
          }
        }
      }
      if (!this.options.axes) return;
      ['a', 'b', 'c'].forEach((name, axis) => {
        const at = [0, 0, 0];
        at[axis] = 1 + 0.6 / Math.hypot(...crystal.lattice[axis]);
        this.label(name, cartesian(crystal.lattice, at));
      });
    }

    polyhedra(set, neighbors) {
      const { crystal, viewer } = this;
      const middle = centers(crystal, neighbors);
      for (const { site, image } of set.atoms.slice()) {
        if (!middle[site]) continue;
        const corners = neighbors[site].map(([j, shift]) => set.atoms[set.add(j, shift.map((x, k) => x + image[k]))].position);
        const vertexArr = [], normalArr = [], faceArr = [];
        for (const face of hull(corners)) {
          for (const corner of face.at) {
            faceArr.push(vertexArr.length);
            vertexArr.push(xyz(corners[corner]));
            normalArr.push(xyz(face.normal));
          }
        }
        if (faceArr.length) {
          viewer.addCustom({ vertexArr, normalArr, faceArr, color: color(crystal.elements[crystal.species[site]].symbol), opacity: 0.55 });
        }
      }
    }

    key(event) {
      const turns = { ArrowLeft: [-12, 'vy'], ArrowRight: [12, 'vy'], ArrowUp: [-12, 'vx'], ArrowDown: [12, 'vx'] };
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (turns[event.key]) this.viewer.rotate(...turns[event.key]);
      else if (event.key === '+' || event.key === '=') this.viewer.zoom(1.15);
      else if (event.key === '-') this.viewer.zoom(1 / 1.15);
      else if (event.key === '0') this.aim();
      else return;
      event.preventDefault();
      event.stopPropagation();
      this.viewer.render();
    }

    // The picture as the address of a PNG.
    image() {
      return this.viewer.pngURI();
    }

    // Gives the drawing context back; browsers have some sixteen of them.
    close() {
      if (this.observer) this.observer.disconnect();
      const canvas = this.viewer.getCanvas();
      const context = canvas.getContext('webgl2') || canvas.getContext('webgl');
      const lose = context && context.getExtension('WEBGL_lose_context');
      this.viewer.clear();
      this.element.replaceChildren();
      if (lose) lose.loseContext();
    }
  }

  // One view outside the page that makes all small pictures, one after the other.
  const pictures = {
    view: undefined,
    waiting: [],
    at(width, height) {
      if (this.view === undefined) {
        const box = document.createElement('div');
        box.style.cssText = `position:fixed;left:-10000px;top:0;width:${width}px;height:${height}px`;
        box.setAttribute('aria-hidden', 'true');
        document.body.append(box);
        this.view = View.create(box, { still: true });
      }
      return this.view;
    },
  };

  // A picture of a crystal as the address of a PNG, made when the page is idle; null where nothing can be drawn.
  // `wanted` may say at the last moment that nobody looks any more.
  function picture(crystal, { width = 320, height = 240, wanted = () => true, options = {} } = {}) {
    return new Promise((resolve) => {
      pictures.waiting.push(() => {
        const view = wanted() ? pictures.at(width, height) : null;
        if (!view) return resolve(null);
        try {
          view.show(crystal, { ...DEFAULTS, ...options });
          resolve(view.image());
        } catch {
          resolve(null);
        }
      });
      if (pictures.waiting.length === 1) setTimeout(work, 0);
    });
  }

  function work() {
    const start = performance.now();
    while (pictures.waiting.length) {
      pictures.waiting[0]();
      pictures.waiting.shift();
      if (performance.now() - start > 24) break;
    }
    if (pictures.waiting.length) setTimeout(work, 0);
  }

  // A sentence on a crystal for those who do not see it.
  function describe(crystal) {
    return `${crystal.formula}: ${crystal.frac.length} atoms in the cell. ${crystal.text[0] || ''}`.trim();
  }

  // Symbols of the elements with their colors.
  function legend(crystal) {
    const list = document.createElement('ul');
    list.className = 'crystal-legend';
    list.setAttribute('aria-label', 'Elements');
    for (const element of crystal.elements) {
      const item = document.createElement('li');
      const dot = document.createElement('i');
      const size = Math.round(9 + 5 * radius(element));
      dot.style.cssText = `background:${color(element.symbol)};width:${size}px;height:${size}px`;
      item.append(dot, element.symbol);
      list.append(item);
    }
    return list;
  }

  // Switches of a view: bonds, polyhedra, cell, names of the elements, number of cells.
  function controls(view) {
    const bar = document.createElement('div');
    bar.className = 'crystal-controls';
    const box = (name, text) => {
      const label = document.createElement('label');
      const input = document.createElement('input');
      input.type = 'checkbox';
      input.checked = view.options[name];
      input.addEventListener('change', () => view.set({ [name]: input.checked }));
      label.append(input, text);
      bar.append(label);
    };
    box('bonds', 'bonds');
    box('polyhedra', 'polyhedra');
    box('cell', 'cell');
    box('labels', 'symbols');
    const label = document.createElement('label');
    const select = document.createElement('select');
    for (const n of [1, 2, 3]) select.add(new Option(`${n} × ${n} × ${n}`, n, false, n === view.options.supercell));
    select.addEventListener('change', () => view.set({ supercell: Number(select.value) }));
    label.append('cells', select);
    bar.append(label);
    return bar;
  }

  root.DruseCrystal = { available, View, picture, describe, legend, controls, color };
})(typeof globalThis !== 'undefined' ? globalThis : window);
