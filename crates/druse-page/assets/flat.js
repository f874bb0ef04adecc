// Crystals painted on a plain canvas, from back to front: small pictures at once and by the thousand, without the graphics
// card, and the large view of browsers that have none.
(function (root) {
  'use strict';
  const { geometry, color, radius, describe } = root.DruseCrystal;
  const { dot, minus, length } = geometry;

  const multiply = (a, b) => a.map((row) => [0, 1, 2].map((k) => row[0] * b[0][k] + row[1] * b[1][k] + row[2] * b[2][k]));
  const turn = (degrees, axis) => {
    const c = Math.cos(degrees * Math.PI / 180), s = Math.sin(degrees * Math.PI / 180);
    return axis === 'x' ? [[1, 0, 0], [0, c, -s], [0, s, c]] : [[c, 0, s], [0, 1, 0], [-s, 0, c]];
  };
  // c upwards, seen along b and a little from above.
  const AIM = multiply(turn(14, 'x'), multiply(turn(-22, 'y'), turn(-90, 'x')));

  // '#rrggbb' made lighter (amount > 0) or darker (< 0).
  function shade(hex, amount) {
    const parts = [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
    return `rgb(${parts.map((x) => Math.round(amount > 0 ? x + (255 - x) * amount : x * (1 + amount))).join()})`;
  }

  function isDark() {
    return Boolean(root.matchMedia && root.matchMedia('(prefers-color-scheme: dark)').matches);
  }

  // Paints a scene into a canvas of this size in CSS pixels.
  function paint(canvas, crystal, { width, height, rotation = AIM, zoom = 1, dark = isDark(), axes = false, labels = false, ratio = root.devicePixelRatio || 1, ...options }) {
    const scene = geometry.scene(crystal, options);
    const points = scene.atoms.map((atom) => atom.position).concat(...scene.edges);
    const low = [0, 1, 2].map((k) => points.reduce((m, p) => Math.min(m, p[k]), Infinity));
    const high = [0, 1, 2].map((k) => points.reduce((m, p) => Math.max(m, p[k]), -Infinity));
    const middle = low.map((x, k) => (x + high[k]) / 2);
    const reach = points.reduce((m, p) => Math.max(m, length(minus(p, middle))), 0.5) + 0.9;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext('2d');
    const scale = zoom * Math.min(canvas.width, canvas.height) / (2 * reach);
    const seen = (p) => rotation.map((row) => dot(row, minus(p, middle)));
    const x = (p) => canvas.width / 2 + scale * p[0];
    const y = (p) => canvas.height / 2 - scale * p[1];
    const parts = [];
    const line = (from, to, thickness, style) => {
      parts.push([(from[2] + to[2]) / 2, () => {
        context.strokeStyle = style;
        context.lineWidth = thickness;
        context.beginPath();
        context.moveTo(x(from), y(from));
        context.lineTo(x(to), y(to));
        context.stroke();
      }]);
    };
    context.lineCap = 'round';
    context.lineJoin = 'round';
    const between = (a, b, t) => a.map((value, k) => value + t * (b[k] - value));
    const ink = dark ? '#c4ccd8' : '#39424f';
    for (const [from, to] of scene.edges) {
      const [a, b] = [seen(from), seen(to)];
      for (let k = 0; k < 12; k++) {
        // What lies inside of an atom is not seen.
        const inside = between(from, to, (k + 0.5) / 12);
        if (scene.atoms.length < 500 && scene.atoms.some((atom) => length(minus(atom.position, inside)) < radius(atom.element))) continue;
        line(between(a, b, k / 12), between(a, b, (k + 1) / 12), Math.max(ratio, 0.06 * scale), ink);
      }
    }
    const at = scene.atoms.map((atom) => seen(atom.position));
    for (const [i, j] of scene.bonds) {
      const far = length(minus(at[i], at[j])) || 1;
      for (const [one, other] of [[i, j], [j, i]]) {
        const element = scene.atoms[one].element;
        // From the surface of the sphere, so that it covers what lies behind it.
        const start = Math.min(0.5, 0.9 * radius(element) / far);
        line(between(at[one], at[other], start), between(at[one], at[other], 0.5), 0.24 * scale, shade(color(element.symbol), -0.12));
      }
    }
    for (const solid of scene.polyhedra) {
      const corners = solid.corners.map(seen);
      for (const face of solid.faces) {
        const three = face.at.map((k) => corners[k]);
        const light = Math.max(0, dot(rotation[2], face.normal));
        parts.push([(three[0][2] + three[1][2] + three[2][2]) / 3, () => {
          context.globalAlpha = 0.5;
          context.fillStyle = shade(color(solid.element.symbol), 0.35 * light - 0.1);
          context.beginPath();
          three.forEach((p) => context.lineTo(x(p), y(p)));
          context.fill();
          context.globalAlpha = 1;
        }]);
      }
    }
    at.forEach((p, k) => {
      const { element } = scene.atoms[k];
      const size = Math.max(1, radius(element) * scale);
      parts.push([p[2], () => {
        const hue = color(element.symbol);
        const gradient = context.createRadialGradient(x(p) - 0.35 * size, y(p) - 0.4 * size, 0.05 * size, x(p), y(p), size);
        gradient.addColorStop(0, shade(hue, 0.7));
        gradient.addColorStop(0.45, shade(hue, 0.05));
        gradient.addColorStop(1, shade(hue, -0.35));
        context.fillStyle = gradient;
        context.beginPath();
        context.arc(x(p), y(p), size, 0, 2 * Math.PI);
        context.fill();
        // Light atoms stay visible on a light page, dark ones on a dark page.
        context.strokeStyle = dark ? 'rgba(255,255,255,.25)' : 'rgba(20,26,34,.45)';
        context.lineWidth = Math.max(0.6 * ratio, 0.02 * scale);
        context.stroke();
        if (labels) write(context, element.symbol, x(p), y(p), ratio);
      }]);
    });
    parts.sort((a, b) => a[0] - b[0]);
    for (const [, draw] of parts) draw();
    if (axes) {
      for (const { name, position } of geometry.axesOf(crystal)) write(context, name, x(seen(position)), y(seen(position)), ratio);
    }
    return scene;
  }

  function write(context, text, x, y, ratio) {
    context.font = `600 ${12 * ratio}px system-ui, sans-serif`;
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    context.lineWidth = 3 * ratio;
    context.strokeStyle = 'rgba(255,255,255,.85)';
    context.strokeText(text, x, y);
    context.fillStyle = '#10151c';
    context.fillText(text, x, y);
  }

  // A small picture of a crystal as the address of a PNG, for light or dark pages.
  function picture(crystal, { width = 320, height = 240, ...options } = {}) {
    const canvas = document.createElement('canvas');
    paint(canvas, crystal, { width, height, ...options });
    return canvas.toDataURL('image/png');
  }

  // What the large view is where the browser has no WebGL: the same pictures, turned by mouse and keys.
  class FlatView {
    constructor(element) {
      this.element = element;
      this.options = {};
      this.rotation = AIM;
      this.zoom = 1;
      this.canvas = document.createElement('canvas');
      this.canvas.className = 'crystal-flat';
      element.replaceChildren(this.canvas);
      let last = null;
      element.addEventListener('pointerdown', (event) => {
        last = [event.clientX, event.clientY];
        element.setPointerCapture(event.pointerId);
      });
      element.addEventListener('pointermove', (event) => {
        if (!last || !event.buttons) return;
        this.turn(event.clientX - last[0], 'y');
        this.turn(event.clientY - last[1], 'x');
        last = [event.clientX, event.clientY];
      });
      element.addEventListener('wheel', (event) => {
        event.preventDefault();
        this.scale(event.deltaY < 0 ? 1.1 : 1 / 1.1);
      }, { passive: false });
      if (root.ResizeObserver) {
        this.observer = new ResizeObserver(() => this.draw());
        this.observer.observe(element);
      }
    }

    show(crystal, options) {
      Object.assign(this.options, options);
      this.crystal = crystal;
      this.element.setAttribute('aria-label', describe(crystal) + ' Arrow keys turn it, plus and minus change its size.');
      this.draw();
    }

    draw() {
      if (!this.crystal) return;
      const { clientWidth: width, clientHeight: height } = this.element;
      if (width && height) paint(this.canvas, this.crystal, { width, height, rotation: this.rotation, zoom: this.zoom, ...this.options });
    }

    turn(degrees, axis) {
      this.rotation = multiply(turn(degrees, axis), this.rotation);
      this.draw();
    }

    scale(factor) {
      this.zoom = Math.min(20, Math.max(0.2, this.zoom * factor));
      this.draw();
    }

    aim() {
      this.rotation = AIM;
      this.zoom = 1;
      this.draw();
    }

    image() {
      return this.canvas.toDataURL('image/png');
    }

    close() {
      if (this.observer) this.observer.disconnect();
      this.element.replaceChildren();
    }
  }

  Object.assign(root.DruseCrystal, { paint, picture, FlatView });
})(globalThis);
