// Galleries of reports: draws the small pictures, one after the other when they come near the screen, and opens one
// large view. Without script or three dimensions the text of the cards stays.
(function () {
  'use strict';
  const { DruseCrystal } = globalThis;
  const cards = [...document.querySelectorAll('.gallery>li[data-crystal]')];
  if (!cards.length || !DruseCrystal || !DruseCrystal.available()) return;
  const crystals = new Map();
  const crystalOf = (card) => {
    if (!crystals.has(card)) crystals.set(card, JSON.parse(card.querySelector('script[type="application/json"]').textContent));
    return crystals.get(card);
  };

  let large;
  function open(card) {
    const crystal = crystalOf(card);
    if (!large) {
      const dialog = document.createElement('dialog');
      dialog.className = 'gallery-large';
      dialog.innerHTML = '<header><h2></h2><button type="button">Close</button></header><div class="crystal"></div>';
      dialog.querySelector('button').addEventListener('click', () => dialog.close());
      dialog.setAttribute('aria-label', 'Crystal');
      document.body.append(dialog);
      large = { dialog, view: null };
    }
    const { dialog } = large;
    dialog.querySelector('h2').textContent = card.querySelector('h3').firstChild.textContent;
    dialog.showModal();
    if (!large.view) {
      large.view = DruseCrystal.View.create(dialog.querySelector('.crystal'));
      if (large.view) dialog.append(DruseCrystal.controls(large.view));
    }
    if (!large.view) return;
    large.view.show(crystal, { axes: true });
    dialog.querySelector('.crystal-legend')?.remove();
    dialog.append(DruseCrystal.legend(crystal));
    dialog.querySelector('.crystal').focus();
  }

  async function draw(card) {
    if (card.dataset.drawn) return;
    card.dataset.drawn = 'yes';
    const crystal = crystalOf(card);
    const address = await DruseCrystal.picture(crystal);
    if (!address) return;
    const button = card.querySelector('.picture');
    const image = new Image(320, 240);
    image.src = address;
    image.alt = DruseCrystal.describe(crystal);
    button.replaceChildren(image);
    button.classList.add('drawn');
    button.after(DruseCrystal.legend(crystal));
    button.addEventListener('click', () => open(card));
  }

  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) draw(entry.target);
  }, { rootMargin: '600px' });
  cards.forEach((card) => observer.observe(card));
  // Paper shows all of them.
  globalThis.addEventListener('beforeprint', () => cards.forEach(draw));
})();
