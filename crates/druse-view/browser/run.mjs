// The local page as a person uses it, in a real browser: DRUSE_BIN=target/release/druse node run.mjs [part of a name].
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { createRequire } from 'node:module';
import { large, perovskite, small } from './data.mjs';
import { becomes, launch, open, pixels, serve } from './tools.mjs';

const axe = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'druse-view-'));
const shots = process.env.SHOTS;
const tests = [];
const test = (name, work) => tests.push([name, work]);

async function accessible(page, what) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  const serious = violations.filter((v) => ['serious', 'critical'].includes(v.impact));
  const words = serious.map((v) => `${v.id}: ${v.help} (${v.nodes.slice(0, 3).map((n) => n.target.join(' ')).join(', ')})`);
  assert.deepEqual(words, [], `${what} is not accessible`);
}

async function shot(page, name) {
  if (shots) await page.screenshot({ path: path.join(shots, `${name}.png`) });
}

const cards = (page) => page.locator('.card');
const shown = (page) => page.locator('#count').textContent();
const settled = (page) => page.waitForFunction(() => document.getElementById('status').textContent === '' && document.querySelector('.card,.row'), null, { timeout: 40000 });

let browser, server, home;

test('structures are shown with pictures, failures with their reason', async () => {
  const { page, context, wrong } = await open(browser, server);
  await settled(page);
  assert.equal(await shown(page), '4 structures');
  assert.equal(new URL(page.url()).search, '', 'the token stays in the address');
  await page.waitForFunction(() => document.documentElement.dataset.firstPicture);
  const picture = await pixels(page, page.locator('.card canvas').first());
  assert.ok(picture.share > 0.05 && picture.colors > 50, `the picture is empty: ${JSON.stringify(picture)}`);
  await page.getByText('the cell has no volume').first().waitFor();
  await page.locator('.card', { hasText: 'invalid: two sites' }).waitFor();
  await shot(page, 'structures');
  await accessible(page, 'the gallery');
  assert.deepEqual(wrong, []);
  await context.close();
});

test('the large view shows the crystal and is turned by keys', async () => {
  const { page, context, wrong } = await open(browser, server);
  await settled(page);
  const stage = page.locator('#detail > .crystal');
  await stage.waitFor();
  const first = await becomes(() => pixels(page, stage), (p) => p.share > 0.05 && p.colors > 50);
  assert.ok(first.share > 0.05 && first.colors > 50, `the view is empty: ${JSON.stringify(first)}`);
  await page.locator('#list').focus();
  await page.keyboard.press('Enter');
  const before = await stage.screenshot();
  await page.keyboard.press('ArrowRight');
  const turned = await becomes(() => stage.screenshot(), (after) => !before.equals(after));
  assert.ok(!before.equals(turned), 'the arrow key does not turn it');
  await page.getByLabel('polyhedra').check();
  await page.getByLabel('cells').selectOption('2');
  await page.waitForTimeout(800);
  await shot(page, 'view');
  assert.ok((await becomes(() => pixels(page, stage), (p) => p.colors > 50)).colors > 50);
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Compare with the nearest' }).click();
  await page.getByText('the same structure').waitFor();
  await page.locator('.pair .crystal').first().waitFor();
  for (const one of await page.locator('.pair .crystal').all()) {
    assert.ok((await becomes(() => pixels(page, one), (p) => p.colors > 30)).colors > 30);
  }
  await page.locator('.pair').scrollIntoViewIfNeeded();
  await shot(page, 'nearest');
  await accessible(page, 'the comparison');
  assert.deepEqual(wrong, []);
  await context.close();
});

test('filters, order and keys', async () => {
  const { page, context, wrong } = await open(browser, server);
  await settled(page);
  await page.keyboard.press('/');
  await page.keyboard.type('nacl');
  assert.equal(await shown(page), '1 of 4');
  await page.locator('#f-reset').click();
  await page.getByLabel('Elements', { exact: false }).first().fill('Ba Ti');
  await page.waitForFunction(() => document.getElementById('count').textContent === '1 of 4');
  await page.locator('#f-elements').fill('O -Ba');
  await page.waitForFunction(() => document.getElementById('count').textContent === '2 of 4');
  await page.locator('#f-reset').click();
  for (const [value, count] of [['valid', '2 of 4'], ['invalid', '1 of 4'], ['failed', '1 of 4']]) {
    await page.locator('#f-valid').selectOption(value);
    assert.equal(await shown(page), count, value);
  }
  await page.locator('#f-valid').selectOption('');
  await page.locator('#f-group').fill('Pm-3m');
  assert.match(await shown(page), /^1 of 4/);
  await page.locator('#f-reset').click();
  await page.locator('#f-add').click();
  await page.locator('.range select').selectOption('density');
  await page.getByLabel('to', { exact: true }).fill('100');
  assert.equal(await shown(page), '2 of 4');
  await page.locator('#f-reset').click();
  await page.locator('#f-sort').selectOption('formula');
  const formulas = () => page.locator('.card b').allTextContents();
  const up = [...await formulas()].length;
  assert.equal(up, 4);
  await page.locator('#list').focus();
  await page.keyboard.press('End');
  await page.keyboard.press('Space');
  assert.match(await shown(page), /1 selected/);
  await page.keyboard.press('?');
  await page.getByRole('dialog').waitFor();
  await accessible(page, 'the help');
  await page.keyboard.press('Escape');
  await page.locator('#as-list').click();
  await page.getByRole('button', { name: /Density/ }).click();
  await shot(page, 'list');
  await accessible(page, 'the list');
  assert.deepEqual(wrong, []);
  await context.close();
});

test('what is selected is downloaded', async () => {
  const { page, context, wrong } = await open(browser, server);
  await settled(page);
  await page.locator('#select-all').click();
  for (const [format, name, part] of [['cif', 'structures.cif', '_cell_length_a'], ['poscar', 'structures.zip', 'PK'], ['extxyz', 'structures.extxyz', 'Lattice='], ['csv', 'structures.csv', 'id,set,formula']]) {
    await page.locator('#export-format').selectOption(format);
    const [file] = await Promise.all([page.waitForEvent('download'), page.locator('#export').click()]);
    assert.equal(file.suggestedFilename(), name);
    assert.ok(fs.readFileSync(await file.path(), 'latin1').includes(part), format);
  }
  assert.deepEqual(wrong, []);
  await context.close();
});

test('a run in progress is followed', async () => {
  const { page, context, wrong } = await open(browser, server);
  await settled(page);
  const file = path.join(home, 'run', 'structures.jsonl');
  const line = perovskite(12) + '\n';
  fs.appendFileSync(file, line.slice(0, 50));
  await page.waitForTimeout(1500);
  assert.equal(await shown(page), '4 structures');
  fs.appendFileSync(file, line.slice(50));
  await page.waitForFunction(() => document.getElementById('count').textContent === '5 structures', null, { timeout: 20000 });
  assert.deepEqual(wrong, []);
  await context.close();
});

test('sampling from the page', async () => {
  const { page, context, wrong } = await open(browser, server);
  await settled(page);
  await page.getByRole('link', { name: 'Sample' }).click();
  await page.getByLabel('Formula: the atoms').fill('NaCl');
  await page.getByRole('textbox', { name: 'Structures', exact: true }).fill('2');
  await page.getByLabel('Name of the new folder').fill('from-the-page');
  await page.waitForFunction(() => document.querySelector('#sample .command code').textContent.includes('--count=2'));
  const command = await page.locator('#sample .form .command code').textContent();
  assert.match(command, /^druse sample --formula=NaCl --count=2 --seed=0 --format=jsonl --out=.*from-the-page$/);
  await shot(page, 'sample');
  await accessible(page, 'the form');
  await page.getByRole('button', { name: 'Sample', exact: true }).click();
  await page.getByText(/^(running|done)/).waitFor({ timeout: 20000 });
  await page.getByText(/^done: 2 of 2 structures/).waitFor({ timeout: 240000 });
  await accessible(page, 'the runs');
  await shot(page, 'sampled');
  await page.getByRole('button', { name: 'Show the structures' }).click();
  await page.waitForFunction(() => /^2 of/.test(document.getElementById('count').textContent));
  await page.goto(`${server.origin}/#sample`);
  await page.getByLabel('Name of the new folder').fill('../outside');
  await page.getByText('is no name for a folder').waitFor();
  assert.deepEqual(wrong.filter((text) => !/422/.test(text)), []);
  assert.ok(!fs.existsSync(path.join(home, '..', 'outside')));
  await context.close();
});

test('training runs side by side', async () => {
  const { page, context, wrong } = await open(browser, server);
  await settled(page);
  await page.getByRole('link', { name: 'Training' }).click();
  await page.locator('.chart path').first().waitFor();
  assert.equal(await page.locator('.chart').count(), 4);
  assert.equal(await page.locator('.chart').first().locator('path.curve').count(), 4);
  const log = path.join(home, 'training', 'first', 'metrics.jsonl');
  fs.appendFileSync(log, JSON.stringify({ kind: 'step', step: 2000, epoch: 20, loss: 0.1, parts: {}, grad_norm: 1, lr: 1e-3, structures_per_s: 50 }) + '\n');
  await page.getByRole('cell', { name: '2000' }).waitFor({ timeout: 20000 });
  await shot(page, 'training');
  await accessible(page, 'the curves');
  await page.getByRole('checkbox', { name: 'first' }).uncheck();
  await page.waitForFunction(() => document.querySelector('.chart').querySelectorAll('path.curve').length === 2);
  assert.deepEqual(wrong, []);
  await context.close();
});

test('dark, narrow, and back', async () => {
  const { page, context, wrong } = await open(browser, server, { colorScheme: 'dark' });
  await settled(page);
  await page.waitForTimeout(800);
  await shot(page, 'dark');
  await accessible(page, 'the dark gallery');
  for (const [width, height] of [[390, 844], [800, 700], [1600, 1000]]) {
    await page.setViewportSize({ width, height });
    await page.waitForTimeout(700);
    const wide = await becomes(() => page.evaluate(() => document.documentElement.scrollWidth), (w) => w <= width);
    assert.ok(wide <= width, `${wide} pixels wide at ${width}`);
    assert.ok(await becomes(() => cards(page).count(), (n) => n > 0) > 0, `no card at ${width}`);
    await shot(page, `width-${width}`);
    await accessible(page, `the gallery at ${width}`);
  }
  for (const view of ['sample', 'training']) {
    await page.setViewportSize({ width: 390, height: 844 });
    await page.goto(`${server.origin}/#${view}`);
    await page.waitForTimeout(800);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= 390, view);
    await shot(page, `narrow-${view}`);
    await accessible(page, `${view}, dark and narrow`);
  }
  assert.deepEqual(wrong, []);
  await context.close();
});

test('without the token, or from another page, nothing is told', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  for (const address of [server.origin, `${server.origin}/?token=wrong`, `${server.origin}/api/state`]) {
    const response = await page.goto(address);
    assert.equal(response.status(), 403, address);
    assert.ok(!(await page.content()).includes('structures.jsonl'));
  }
  // With the cookie of the right page, from a page of another origin.
  await page.goto(server.address);
  const other = http.createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>other</title>'));
  await new Promise((resolve) => other.listen(0, '127.0.0.1', resolve));
  await page.goto(`http://127.0.0.1:${other.address().port}/`);
  const told = await page.evaluate(async (origin) => {
    const results = [];
    for (const settings of [{}, { credentials: 'include' }, { method: 'POST', body: '{}', credentials: 'include' }]) {
      results.push(await fetch(`${origin}/api/state`, settings).then(() => 'answered', () => 'refused'));
    }
    const frame = document.createElement('iframe');
    frame.src = origin;
    document.body.append(frame);
    await new Promise((resolve) => { frame.onload = resolve; setTimeout(resolve, 2000); });
    try {
      results.push(frame.contentDocument ? 'framed' : 'refused');
    } catch {
      results.push('refused');
    }
    return results;
  }, server.origin);
  assert.deepEqual(told, ['refused', 'refused', 'refused', 'refused']);
  other.close();
  const status = (headers) => new Promise((resolve, reject) => {
    http.get(`${server.origin}/api/state`, { headers: { 'x-druse-token': server.token, ...headers } }, (response) => { response.resume(); resolve(response.statusCode); }).on('error', reject);
  });
  assert.equal(await status({}), 200);
  assert.equal(await status({ host: 'rebound.example' }), 403);
  assert.equal(await status({ origin: 'http://evil.example' }), 403);
  await context.close();
});

test('ten thousand structures', async () => {
  const file = path.join(folder, 'large.jsonl');
  large(file, 10000);
  const many = await serve([file]);
  try {
    const first = async () => {
      const { page, context, wrong } = await open(browser, many);
      await page.waitForFunction(() => document.documentElement.dataset.firstPicture, null, { timeout: 60000 });
      const ms = Number(await page.evaluate(() => document.documentElement.dataset.firstPicture));
      return { page, context, wrong, ms };
    };
    const cold = await first();
    await cold.context.close();
    await new Promise((resolve) => setTimeout(resolve, 3000));
    const { page, context, wrong, ms } = await first();
    await page.waitForFunction(() => /^10,000/.test(document.getElementById('count').textContent), null, { timeout: 60000 });
    const filter = await page.evaluate(async () => {
      const frame = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
      const times = [];
      for (const text of ['ti', 'tio3', 'ba', 'zr', '']) {
        const input = document.getElementById('f-text');
        const begun = performance.now();
        input.value = text;
        input.dispatchEvent(new Event('input', { bubbles: true }));
        const worked = performance.now() - begun;
        await frame();
        times.push([Math.round(worked), Math.round(performance.now() - begun), Number(document.documentElement.dataset.filterMs)]);
      }
      return times;
    });
    const middle = (k) => filter.map((t) => t[k]).sort((a, b) => a - b)[2];
    console.log(`   10,000 structures: first picture ${cold.ms} ms while they are read, ${ms} ms later; filter ${middle(0)} ms (${middle(2)} ms without the page), shown after ${middle(1)} ms`);
    await page.locator('#f-elements').fill('Ba Ti');
    await page.waitForFunction(() => / of 10,000/.test(document.getElementById('count').textContent));
    await page.locator('#f-reset').click();
    await page.locator('#list').focus();
    await page.keyboard.press('End');
    await page.waitForTimeout(1500);
    assert.ok(await cards(page).count() < 200, 'the page holds cards that nobody sees');
    const last = await becomes(() => pixels(page, page.locator('.card.active canvas')), (p) => p.colors > 50);
    assert.ok(last.colors > 50, 'the last picture is empty');
    await shot(page, 'large');
    // A list higher than browsers draw is scrolled faster, from the first row to the last.
    await page.evaluate(async () => { (await import('./gallery.js')).Gallery.tallest = 40000; });
    for (const layout of ['#as-list', '#as-grid']) {
      await page.locator(layout).click();
      await page.locator('#list').focus();
      const seen = () => page.evaluate(() => {
        const list = document.getElementById('list'), box = list.getBoundingClientRect();
        const within = [...list.querySelectorAll('[role=option]')].filter((e) => {
          const { top, bottom } = e.getBoundingClientRect();
          return bottom > box.top && top < box.bottom;
        });
        const at = within.map((e) => Number(e.dataset.at)).sort((a, b) => a - b);
        return { height: list.scrollHeight, first: at[0], last: at[at.length - 1], count: at.length };
      });
      for (const [key, whole] of [['Home', (s) => s.first === 0], ['End', (s) => s.last === 9999], ['PageUp', (s) => s.first > 9000]]) {
        await page.keyboard.press(key);
        const now = await becomes(seen, (s) => whole(s) && s.last - s.first + 1 === s.count);
        assert.ok(now.height <= 40100 && whole(now), `${layout} after ${key}: ${JSON.stringify(now)}`);
        assert.equal(now.last - now.first + 1, now.count, `${layout} after ${key} has gaps`);
      }
      await page.evaluate(() => { const list = document.getElementById('list'); list.scrollTop = (list.scrollHeight - list.clientHeight) / 2; });
      const centered = (s) => s.first < 5000 && s.last > 4990 && s.count > 3;
      const halfway = await becomes(seen, (s) => centered(s) && s.last - s.first + 1 === s.count);
      assert.ok(centered(halfway), `${layout}: ${JSON.stringify(halfway)}`);
      assert.equal(halfway.last - halfway.first + 1, halfway.count, `${layout} has gaps in its middle`);
    }
    assert.deepEqual(wrong, []);
    await context.close();
  } finally {
    await many.end();
  }
});

test('outputs of a notebook', async () => {
  const notebook = process.env.NOTEBOOK;
  if (!notebook || !fs.existsSync(notebook)) return console.log('   left out: no page of outputs; the test of the Python package writes it');
  const context = await browser.newContext({ viewport: { width: 1000, height: 800 } });
  const page = await context.newPage();
  const wrong = [];
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) wrong.push(message.text()); });
  page.on('pageerror', (error) => wrong.push(error.message));
  page.on('request', (request) => { if (!request.url().startsWith('file:')) wrong.push(`request to ${request.url()}`); });
  await page.goto(`file://${notebook}`);
  await page.waitForFunction(() => document.documentElement.dataset.ready === 'yes');
  for (const [name, pictures] of [['structure', 1], ['structures', 3]]) {
    const live = page.locator(`#live [data-name=${name}] canvas`);
    assert.equal(await live.count(), pictures, `${name}: pictures that turn`);
    for (const picture of await live.all()) {
      const found = await pixels(page, picture);
      assert.ok(found.share > 0.02 && found.colors > 50, `${name} is empty: ${JSON.stringify(found)}`);
    }
    const before = await live.first().screenshot();
    await live.first().focus();
    await page.keyboard.press('ArrowRight');
    const turned = await becomes(() => live.first().screenshot(), (after) => !before.equals(after));
    assert.ok(!before.equals(turned), `${name} does not turn`);
    // Without scripts, a still picture of the same.
    const still = page.locator(`#still [data-name=${name}] svg`);
    assert.equal(await still.count(), pictures, `${name}: still pictures`);
    assert.ok((await pixels(page, still.first())).share > 0.02, `the still picture of ${name} is empty`);
  }
  for (const place of ['live', 'still']) {
    const text = await page.locator(`#${place} [data-name=report]`).textContent();
    assert.match(text, /cov_recall/);
  }
  await shot(page, 'notebook');
  await accessible(page, 'the notebook');
  assert.deepEqual(wrong, []);
  await context.close();
});

test('the server ends, and the page says so', async () => {
  const alone = await serve([home]);
  const { page, context } = await open(browser, alone);
  await settled(page);
  await alone.end();
  await page.getByText('The server has ended').waitFor({ timeout: 20000 });
  await context.close();
});

home = path.join(folder, 'shown');
fs.mkdirSync(home);
const { known } = small(home);
browser = await launch();
server = await serve([home], ['--train', known]);
let failed = 0;
for (const [name, work] of tests.filter(([name]) => !process.argv[2] || name.includes(process.argv[2]))) {
  const begun = Date.now();
  try {
    await work();
    console.log(`ok ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed++;
    console.log(`FAILED ${name}: ${error.stack}`);
  }
}
await browser.close();
await server.end();
fs.rmSync(folder, { recursive: true, force: true });
process.exitCode = failed ? 1 : 0;
