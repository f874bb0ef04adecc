(function (id, atoms, bonds, edges, size) {
  "use strict";
  // Replaces the still picture by one that turns. atoms: x, y, z, radius (Å), color; bonds: two atoms;
  // edges: two points each.
  var box = document.getElementById(id);
  if (!box || box.dataset.alive) return;
  var canvas = document.createElement("canvas"), pen = canvas.getContext("2d");
  if (!pen) return;
  box.dataset.alive = "1";
  var sharp = window.devicePixelRatio || 1;
  canvas.width = canvas.height = size * sharp;
  canvas.style.cssText = "width:" + size + "px;height:" + size + "px;cursor:grab;touch-action:none";
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", box.dataset.label + "; arrow keys turn it");
  while (box.firstChild) box.removeChild(box.firstChild);
  box.appendChild(canvas);
  var far = 1;
  atoms.forEach(function (a) { far = Math.max(far, Math.hypot(a[0], a[1], a[2]) + a[3]); });
  edges.forEach(function (e) { e.forEach(function (p) { far = Math.max(far, Math.hypot(p[0], p[1], p[2])); }); });
  var turn = JSON.parse(box.dataset.turn), start = turn, held = null;
  function times(a, b) {
    return a.map(function (row) {
      return [0, 1, 2].map(function (j) { return row[0] * b[0][j] + row[1] * b[1][j] + row[2] * b[2][j]; });
    });
  }
  function rotate(dx, dy) {
    var a = Math.cos(dx), b = Math.sin(dx), c = Math.cos(dy), d = Math.sin(dy);
    turn = times(times([[1, 0, 0], [0, c, -d], [0, d, c]], [[a, 0, b], [0, 1, 0], [-b, 0, a]]), turn);
    draw();
  }
  function seen(p) {
    var q = turn.map(function (row) { return row[0] * p[0] + row[1] * p[1] + row[2] * p[2]; });
    var scale = canvas.width * 0.48 / far * (1 + 0.12 * q[2] / far);
    return [canvas.width / 2 + q[0] * scale, canvas.height / 2 - q[1] * scale, q[2], scale];
  }
  function line(p, q, color, width) {
    pen.beginPath();
    pen.moveTo(p[0], p[1]);
    pen.lineTo(q[0], q[1]);
    pen.strokeStyle = color;
    pen.lineWidth = width * sharp;
    pen.lineCap = "round";
    pen.stroke();
  }
  function draw() {
    pen.clearRect(0, 0, canvas.width, canvas.height);
    var at = atoms.map(seen), items = [];
    edges.forEach(function (e) {
      var p = seen(e[0]), q = seen(e[1]);
      items.push([Math.min(p[2], q[2]), function () { line(p, q, "#8a8a8a", 1); }]);
    });
    bonds.forEach(function (b) {
      var p = at[b[0]], q = at[b[1]], m = [(p[0] + q[0]) / 2, (p[1] + q[1]) / 2];
      items.push([(p[2] + q[2]) / 2 - 0.01, function () {
        line(p, m, atoms[b[0]][4], 5);
        line(m, q, atoms[b[1]][4], 5);
      }]);
    });
    atoms.forEach(function (a, i) {
      var p = at[i], r = a[3] * p[3];
      items.push([p[2], function () {
        var shade = pen.createRadialGradient(p[0] - r / 3, p[1] - r / 3, r / 8, p[0], p[1], r);
        shade.addColorStop(0, "#ffffff");
        shade.addColorStop(0.35, a[4]);
        shade.addColorStop(1, a[4]);
        pen.beginPath();
        pen.arc(p[0], p[1], r, 0, 2 * Math.PI);
        pen.fillStyle = shade;
        pen.fill();
        pen.strokeStyle = "rgba(0,0,0,0.45)";
        pen.lineWidth = sharp * 0.8;
        pen.stroke();
      }]);
    });
    items.sort(function (a, b) { return a[0] - b[0]; });
    items.forEach(function (item) { item[1](); });
  }
  canvas.addEventListener("pointerdown", function (e) {
    held = [e.clientX, e.clientY];
    canvas.setPointerCapture(e.pointerId);
  });
  canvas.addEventListener("pointermove", function (e) {
    if (!held) return;
    rotate((e.clientX - held[0]) / 90, (e.clientY - held[1]) / 90);
    held = [e.clientX, e.clientY];
  });
  canvas.addEventListener("pointerup", function () { held = null; });
  canvas.addEventListener("dblclick", function () { turn = start; draw(); });
  canvas.addEventListener("keydown", function (e) {
    var way = { ArrowLeft: [-0.2, 0], ArrowRight: [0.2, 0], ArrowUp: [0, -0.2], ArrowDown: [0, 0.2] }[e.key];
    if (way) {
      rotate(way[0], way[1]);
      e.preventDefault();
    }
  });
  draw();
})
