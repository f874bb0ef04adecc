// What of a crystal is drawn: atoms with their images on the faces of the block, bonds, polyhedra, edges of the cells.
// Everything hangs on one global, `DruseCrystal`. What a crystal is here (lattice, elements, species, frac, bonds, text) is
// said in druse-page's `Crystal`.
(function (root) {
  'use strict';

  const FACE = 0.08; // Å: atoms nearer to a face than this appear on the opposite one, too
  const MOST_ATOMS = 4000; // atoms drawn at most

  const cartesian = (lattice, f) => [0, 1, 2].map((k) => f[0] * lattice[0][k] + f[1] * lattice[1][k] + f[2] * lattice[2][k]);
  const minus = (a, b) => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const length = (a) => Math.hypot(a[0], a[1], a[2]);

  // Jmol's color of an element.
  function color(symbol) {
    const table = root.$3Dmol && root.$3Dmol.elementColors && root.$3Dmol.elementColors.Jmol;
    const value = table && table[symbol];
    return typeof value === 'number' ? '#' + value.toString(16).padStart(6, '0') : '#b080a0';
  }

  // Radius of an atom's sphere in Å: covalent radii made smaller, so that bonds are seen between them.
  const radius = (element) => 0.42 * element.radius + 0.06;

  // Neighbors of each site over its bonds: [site, image].
  function neighborsOf(crystal) {
    const all = crystal.frac.map(() => []);
    for (const [i, j, a, b, c] of crystal.bonds) {
      all[i].push([j, [a, b, c]]);
      all[j].push([i, [-a, -b, -c]]);
    }
    return all;
  }

  // Triangles of the convex hull of a few points, as triples of indices: every plane through three of them that has all
  // others on one side.
  function hull(points) {
    const faces = [];
    const n = points.length;
    for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) for (let k = j + 1; k < n; k++) {
      const normal = cross(minus(points[j], points[i]), minus(points[k], points[i]));
      const size = length(normal);
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

  // The scene of n × n × n cells (fewer where that were too many atoms):
  // atoms [{site, element, position}], bonds [[atom, atom]], edges [[from, to]], polyhedra [{element, corners, faces}].
  function scene(crystal, { supercell = 1, bonds = true, polyhedra = false, cell = true } = {}) {
    let n = Math.max(1, supercell);
    while (n > 1 && crystal.frac.length * n ** 3 > MOST_ATOMS) n--;
    const lengths = crystal.lattice.map(length);
    const atoms = [];
    const index = new Map();
    const add = (site, image) => {
      const key = site + ',' + image.join();
      if (!index.has(key)) {
        index.set(key, atoms.length);
        const position = cartesian(crystal.lattice, crystal.frac[site].map((x, k) => x + image[k]));
        atoms.push({ site, image, element: crystal.elements[crystal.species[site]], position });
      }
      return index.get(key);
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
    const neighbors = neighborsOf(crystal);
    const solids = polyhedra ? solidsOf(crystal, atoms, neighbors, add) : [];
    const joined = [];
    if (bonds) {
      atoms.forEach((atom, at) => {
        for (const [j, shift] of neighbors[atom.site]) {
          const other = index.get(j + ',' + shift.map((x, k) => x + atom.image[k]).join());
          if (other !== undefined && other > at) joined.push([at, other]);
        }
      });
    }
    return { cells: n, atoms, bonds: joined, edges: cell ? edgesOf(crystal.lattice, n) : [], polyhedra: solids };
  }

  // Coordination polyhedra: around atoms with four to eight neighbors that are all more electronegative. Corners outside
  // the block become atoms of it.
  function solidsOf(crystal, atoms, neighbors, add) {
    const chi = (site) => crystal.elements[crystal.species[site]].electronegativity || 0;
    const solids = [];
    for (const { site, image, element } of atoms.slice()) {
      const around = neighbors[site];
      if (around.length < 4 || around.length > 8 || !around.every(([j]) => chi(j) > chi(site) + 0.3)) continue;
      const corners = around.map(([j, shift]) => atoms[add(j, shift.map((x, k) => x + image[k]))].position);
      const faces = hull(corners);
      if (faces.length) solids.push({ element, corners, faces });
    }
    return solids;
  }

  // Edges of n × n × n cells, those that cells share once.
  function edgesOf(lattice, n) {
    const edges = [];
    for (let axis = 0; axis < 3; axis++) {
      for (let p = 0; p <= n; p++) for (let q = 0; q <= n; q++) for (let along = 0; along < n; along++) {
        const from = [0, 0, 0];
        from[axis] = along;
        from[(axis + 1) % 3] = p;
        from[(axis + 2) % 3] = q;
        const to = from.slice();
        to[axis] += 1;
        edges.push([cartesian(lattice, from), cartesian(lattice, to)]);
      }
    }
    return edges;
  }

  // Places of the letters a, b, c: a little beyond the ends of the lattice vectors and the atoms there.
  function axesOf({ lattice, elements }) {
    const beyond = 0.5 + Math.max(...elements.map(radius));
    return ['a', 'b', 'c'].map((name, axis) => {
      const at = [0, 0, 0];
      at[axis] = 1 + beyond / length(lattice[axis]);
      return { name, position: cartesian(lattice, at) };
    });
  }

  // A sentence on a crystal for those who do not see it.
  function describe(crystal) {
    const n = crystal.frac.length;
    return `${crystal.formula}, ${n} ${n === 1 ? 'atom' : 'atoms'} in the cell, ${crystal.text[0]}.`;
  }

  root.DruseCrystal = { geometry: { scene, axesOf, dot, minus, length }, color, radius, describe };
})(globalThis);
