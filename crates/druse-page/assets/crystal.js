// The large view of a crystal, which is turned: drawn with 3Dmol, or flat where the browser has no WebGL; its legend and
// its switches.
(function (root) {
  'use strict';
  const { geometry, color, radius, describe, FlatView } = root.DruseCrystal;
  const MOST_LABELS = 300;
  const xyz = (p) => ({ x: p[0], y: p[1], z: p[2] });

  // Whether this browser has WebGL, and whether a graphics card is behind it.
  let known;
  function webgl() {
    if (known === undefined) {
      known = { available: false, software: false };
      try {
        const context = document.createElement('canvas').getContext('webgl2');
        if (context && root.$3Dmol) {
          const info = context.getExtension('WEBGL_debug_renderer_info');
          const name = info ? String(context.getParameter(info.UNMASKED_RENDERER_WEBGL)) : '';
          known = { available: true, software: /swiftshader|llvmpipe|software/i.test(name) };
          context.getExtension('WEBGL_lose_context')?.loseContext();
        }
      } catch {
        // No WebGL.
      }
    }
    return known;
  }

  class SolidView {
    constructor(element) {
      this.element = element;
      this.options = {};
      // Smooth edges cost a processor that draws without a graphics card four times the work.
      this.viewer = root.$3Dmol.createViewer(element, {
        backgroundAlpha: 0, backgroundColor: 'white', antialias: !webgl().software, disableFog: true, orthographic: true,
        minimumZoomToDistance: 1.5,
      });
      if (!this.viewer) throw new Error('no viewer');
      // 3Dmol follows the size by itself. What is shown while there is none is drawn when there is.
      this.size = this.sizeNow();
      if (root.ResizeObserver) {
        this.observer = new ResizeObserver(() => {
          this.size = this.sizeNow();
          if (this.waiting && element.clientWidth) this.show(...this.waiting);
        });
        this.observer.observe(element);
      }
    }

    sizeNow() {
      return `${this.element.clientWidth} ${this.element.clientHeight}`;
    }

    // Shows a crystal, with options that stay for the next ones. The direction of view is kept when `aim` is false.
    show(crystal, options, aim = true) {
      this.waiting = null;
      if (!this.element.clientWidth || !this.element.clientHeight) {
        this.waiting = [crystal, options, aim];
        return;
      }
      if (this.size !== this.sizeNow()) {
        this.size = this.sizeNow();
        this.viewer.resize();
      }
      Object.assign(this.options, options);
      const before = aim || !this.crystal ? null : this.viewer.getView();
      this.crystal = crystal;
      this.viewer.removeAllModels();
      this.viewer.removeAllShapes();
      this.viewer.removeAllLabels();
      const scene = geometry.scene(crystal, this.options);
      this.atoms(scene);
      this.edges(scene);
      this.polyhedra(scene);
      if (this.options.labels) scene.atoms.slice(0, MOST_LABELS).forEach((atom) => this.label(atom.element.symbol, atom.position));
      if (this.options.axes) geometry.axesOf(crystal).forEach(({ name, position }) => this.label(name, position));
      this.element.setAttribute('aria-label', describe(crystal) + ' Arrow keys turn it, plus and minus change its size.');
      this.aim();
      if (before) {
        const now = this.viewer.getView();
        this.viewer.setView([now[0], now[1], now[2], now[3], ...before.slice(4, 8)]);
      }
      this.viewer.render();
    }

    atoms(scene) {
      const atoms = scene.atoms.map((atom) => ({ elem: atom.element.symbol, ...xyz(atom.position), bonds: [], bondOrder: [] }));
      for (const [i, j] of scene.bonds) {
        atoms[i].bonds.push(j);
        atoms[j].bonds.push(i);
        atoms[i].bondOrder.push(1);
        atoms[j].bondOrder.push(1);
      }
      const model = this.viewer.addModel();
      model.addAtoms(atoms);
      for (const element of this.crystal.elements) {
        const style = { sphere: { radius: radius(element), color: color(element.symbol) } };
        if (scene.bonds.length) style.stick = { radius: 0.11, color: color(element.symbol) };
        model.setStyle({ elem: element.symbol }, style);
      }
    }

    edges(scene) {
      if (!scene.edges.length) return;
      const dark = root.matchMedia && root.matchMedia('(prefers-color-scheme: dark)').matches;
      const shape = this.viewer.addShape({ color: dark ? '#c4ccd8' : '#39424f' });
      const longest = Math.max(...scene.edges.map(([from, to]) => geometry.length(geometry.minus(to, from))));
      const thickness = Math.min(0.06, 0.006 * longest + 0.01);
      for (const [from, to] of scene.edges) shape.addCylinder({ start: xyz(from), end: xyz(to), radius: thickness, fromCap: 1, toCap: 1 });
    }

    polyhedra(scene) {
      for (const { element, corners, faces } of scene.polyhedra) {
        const spec = { vertexArr: [], normalArr: [], faceArr: [], color: color(element.symbol), opacity: 0.55 };
        for (const face of faces) {
          for (const corner of face.at) {
            spec.faceArr.push(spec.vertexArr.length);
            spec.vertexArr.push(xyz(corners[corner]));
            spec.normalArr.push(xyz(face.normal));
          }
        }
        this.viewer.addCustom(spec);
      }
    }

    label(text, position) {
      this.viewer.addLabel(text, {
        position: xyz(position), inFront: true, fontSize: 13, fontColor: 'black', backgroundColor: 'white', backgroundOpacity: 0.75,
        borderThickness: 0, alignment: 'center',
      });
    }

    turn(degrees, axis) {
      this.viewer.rotate(degrees, 'v' + axis);
      this.viewer.render();
    }

    scale(factor) {
      this.viewer.zoom(factor);
      this.viewer.render();
    }

    // c upwards, seen along b and a little from above.
    aim() {
      this.viewer.setView([0, 0, 0, 0, 0, 0, 0, 1]);
      this.viewer.zoomTo();
      this.viewer.zoom(1.3);
      this.viewer.rotate(-90, 'x');
      this.viewer.rotate(-22, 'vy');
      this.viewer.rotate(14, 'vx');
      this.viewer.render();
    }

    // The picture as the address of a PNG.
    image() {
      return this.viewer.pngURI();
    }

    close() {
      if (this.observer) this.observer.disconnect();
      this.viewer.clear();
      this.element.replaceChildren();
    }
  }

  const KEYS = {
    ArrowLeft: (view) => view.turn(-12, 'y'),
    ArrowRight: (view) => view.turn(12, 'y'),
    ArrowUp: (view) => view.turn(-12, 'x'),
    ArrowDown: (view) => view.turn(12, 'x'),
    '+': (view) => view.scale(1.15),
    '=': (view) => view.scale(1.15),
    '-': (view) => view.scale(1 / 1.15),
    0: (view) => view.aim(),
  };

  // A view in `element`, which `show` gives a crystal.
  function view(element) {
    let made;
    try {
      made = webgl().available ? new SolidView(element) : new FlatView(element);
    } catch {
      made = new FlatView(element);
    }
    element.tabIndex = 0;
    element.setAttribute('role', 'img');
    element.addEventListener('keydown', (event) => {
      const act = KEYS[event.key];
      if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
      act(made);
      event.preventDefault();
      event.stopPropagation();
    });
    return made;
  }

  // Symbols of the elements with their colors.
  function legend(crystal) {
    const list = document.createElement('ul');
    list.className = 'crystal-legend';
    list.setAttribute('aria-label', 'Elements');
    for (const element of crystal.elements) {
      const item = document.createElement('li');
      const dot = document.createElement('i');
      const size = Math.round(8 + 7 * radius(element)) + 'px';
      Object.assign(dot.style, { background: color(element.symbol), width: size, height: size });
      item.append(dot, element.symbol);
      list.append(item);
    }
    return list;
  }

  // Switches of a view: bonds, polyhedra, cell, symbols, number of cells.
  function controls(made) {
    const bar = document.createElement('div');
    bar.className = 'crystal-controls';
    const set = (options) => made.crystal && made.show(made.crystal, options, false);
    const box = (name, text, checked) => {
      const label = document.createElement('label');
      const input = document.createElement('input');
      Object.assign(input, { type: 'checkbox', checked });
      input.addEventListener('change', () => set({ [name]: input.checked }));
      label.append(input, text);
      bar.append(label);
    };
    box('bonds', 'bonds', true);
    box('polyhedra', 'polyhedra', false);
    box('cell', 'cell', true);
    box('labels', 'symbols', false);
    const label = document.createElement('label');
    const select = document.createElement('select');
    for (const n of [1, 2, 3]) select.add(new Option(`${n} × ${n} × ${n}`, n));
    select.addEventListener('change', () => set({ supercell: Number(select.value) }));
    label.append('cells', select);
    bar.append(label);
    return bar;
  }

  Object.assign(root.DruseCrystal, { view, legend, controls });
})(globalThis);
