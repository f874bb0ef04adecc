// What the tests share: the server, the browser, pixels.
import fs from 'node:fs';
import { spawn } from 'node:child_process';
import { chromium } from 'playwright-core';

/** Starts the server over paths; gives its address and how to end it. */
export async function serve(paths, options = []) {
  // The example `serve` is built in a minute, the program in many: for work on the page.
  const quick = process.env.DRUSE_SERVE;
  const words = quick ? paths : ['view', ...paths, '--no-open', ...options];
  const train = options[options.indexOf('--train') + 1];
  const env = { ...process.env, ...(quick && options.includes('--train') ? { DRUSE_TRAIN: train } : {}) };
  const child = spawn(quick || process.env.DRUSE_BIN, words, { stdio: ['ignore', 'pipe', 'pipe'], env });
  let messages = '';
  child.stderr.on('data', (text) => { messages += text; });
  const address = await new Promise((resolve, reject) => {
    child.stdout.once('data', (text) => resolve(String(text).trim()));
    child.once('exit', () => reject(new Error(`the server has ended: ${messages}`)));
    child.once('error', reject);
  });
  const end = () => new Promise((resolve) => {
    if (child.exitCode !== null) return resolve(child.exitCode);
    child.once('exit', resolve);
    child.kill('SIGINT');
  });
  return { address, origin: new URL(address).origin, token: new URL(address).searchParams.get('token'), end, child };
}

export function launch() {
  const args = ['--no-sandbox', '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist'];
  return chromium.launch({ executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args });
}

// With the example `serve`, files of the page as they are now, not as they were when it was built.
async function fresh(context) {
  const own = (name) => fs.readFileSync(new URL(`../page/${name}`, import.meta.url), 'utf8');
  const drawn = (name) => fs.readFileSync(new URL(`../../druse-page/assets/${name}`, import.meta.url), 'utf8');
  await context.route(/\/([\w-]+\.(js|css))?$/, async (route) => {
    const name = new URL(route.request().url()).pathname.slice(1);
    const response = await route.fetch({ maxRedirects: 0 });
    if (response.status() !== 200 || name.startsWith('3Dmol')) return route.fulfill({ response });
    const body = name === '' ? own('index.html') : name === 'crystal.js' ? ['geometry.js', 'flat.js', 'crystal.js'].map(drawn).join('') : name === 'crystal.css' ? drawn(name) : own(name);
    return route.fulfill({ response, body });
  });
}

/** A page that notes errors on its console and requests that leave the server. */
export async function open(browser, server, settings = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 820 }, acceptDownloads: true, ...settings });
  if (process.env.DRUSE_SERVE) await fresh(context);
  context.setDefaultTimeout(20000);
  const page = await context.newPage();
  const wrong = [];
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type()) && !/GPU stall|GL Driver|swiftshader/i.test(message.text())) wrong.push(`console: ${message.text()}`); });
  page.on('pageerror', (error) => wrong.push(`error: ${error.message}`));
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(server.origin) && !/^(data|blob):/.test(url)) wrong.push(`request to ${url}`);
  });
  page.on('requestfailed', (request) => { if (!/ERR_ABORTED/.test(request.failure()?.errorText || '')) wrong.push(`failed: ${request.url()} ${request.failure()?.errorText}`); });
  await page.goto(server.address);
  return { page, context, wrong };
}

/** Share of pixels of an element's picture that are not of its most frequent color, and the number of colors. */
export async function pixels(page, locator) {
  const shot = (await locator.screenshot()).toString('base64');
  return page.evaluate(async (base64) => {
    const image = new Image();
    image.src = `data:image/png;base64,${base64}`;
    await image.decode();
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, image.width, image.height);
    const counts = new Map();
    for (let i = 0; i < data.length; i += 4) {
      const color = (data[i] << 16) | (data[i + 1] << 8) | data[i + 2];
      counts.set(color, (counts.get(color) || 0) + 1);
    }
    return { share: 1 - Math.max(...counts.values()) / (data.length / 4), colors: counts.size };
  }, shot);
}

/** What `look` gives once it is `right`, or at last: a busy machine has ten seconds to draw its next frame. */
export async function becomes(look, right) {
  const begun = Date.now();
  let seen = await look();
  while (!right(seen) && Date.now() - begun < 10000) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    seen = await look();
  }
  return seen;
}
