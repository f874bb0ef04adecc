// Galleries of reports: draws the small pictures when they come near the screen, and opens one large view. Without script
// the text of the cards stays.
(function () {
  'use strict';
  const { DruseCrystal } = globalThis;
  const cards = [...document.querySelectorAll('.gallery>li[data-crystal]')];
  if (!cards.length || !DruseCrystal) return;
  const crystalOf = (card) => JSON.parse(card.querySelector('script[type="application/json"]').textContent);

  let large;
  function open(card) {
    if (!large) {
      const dialog = document.createElement('dialog');
      dialog.className = 'gallery-large';
      dialog.innerHTML = '<header><h2 id="gallery-large-title"></h2><button type="button">Close</button></header><div class="crystal"></div>';
      dialog.setAttribute('aria-labelledby', 'gallery-large-title');
      dialog.querySelector('button').addEventListener('click', () => dialog.close());
      document.body.append(dialog);
      dialog.showModal();
      large = { dialog, view: DruseCrystal.view(dialog.querySelector('.crystal')) };
      dialog.append(DruseCrystal.controls(large.view));
    } else {
      large.dialog.showModal();
    }
    const crystal = crystalOf(card);
    large.dialog.querySelector('h2').textContent = card.querySelector('h3').firstChild.textContent;
    large.view.show(crystal, { axes: true });
    large.dialog.querySelector('.crystal-legend')?.remove();
    large.dialog.append(DruseCrystal.legend(crystal));
    large.dialog.querySelector('.crystal').focus();
  }

  function draw(card) {
    if (card.dataset.drawn) return;
    card.dataset.drawn = 'yes';
    const crystal = crystalOf(card);
    const button = card.querySelector('.picture');
    const image = new Image(320, 240);
    image.alt = DruseCrystal.describe(crystal);
    const paint = (dark) => { image.src = DruseCrystal.picture(crystal, { dark }); };
    paint();
    // Paper is light.
    addEventListener('beforeprint', () => paint(false));
    addEventListener('afterprint', () => paint());
    button.append(image);
    button.classList.add('drawn');
    button.after(DruseCrystal.legend(crystal));
    button.addEventListener('click', () => open(card));
  }

  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) draw(entry.target);
  }, { rootMargin: '600px' });
  cards.forEach((card) => observer.observe(card));
  // Paper shows all of them.
  addEventListener('beforeprint', () => cards.forEach(draw));
})();
