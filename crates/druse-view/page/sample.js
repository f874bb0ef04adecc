// Sampling from the page: the form, the command line that does the same, the runs.
import { el, byId, toast } from './dom.js';
import { get, post } from './server.js';

const WHATS = [
  ['formula', 'Formula', 'LiFeO2', 'the atoms of one cell'],
  ['system', 'Chemical system', 'Li-Fe-O', 'all compositions of its elements'],
  ['sites', 'Space group and sites', 'Na:1,Cl:1', 'symmetrically distinct sites of each element'],
  ['wyckoff', 'Wyckoff positions', 'Na:4a,Cl:4b', 'positions in the space group'],
  ['', 'What the model draws', '', ''],
];

export class Sample {
  constructor({ onShow }) {
    this.onShow = onShow;
    this.box = byId('sample');
    this.jobs = el('div');
    this.form = el('form', { class: 'form', 'aria-label': 'What to sample' });
    this.command = el('code');
    this.build();
    this.box.append(el('h2', { id: 'sample-title' }, 'Sample structures'), this.note = el('p', { class: 'soft' }), this.form, this.jobs);
    this.version = '';
  }

  build() {
    const field = (name, label, attributes = {}, tag = 'input') => el('label', {}, label, el(tag, { name, autocomplete: 'off', spellcheck: 'false', ...attributes }));
    const whats = el('fieldset', {}, el('legend', {}, 'What'), ...WHATS.map(([value, label], k) => {
      const input = el('input', { type: 'radio', name: 'what', value });
      input.checked = k === 0;
      return el('label', {}, input, label);
    }));
    this.value = el('input', { name: 'value', autocomplete: 'off', spellcheck: 'false' });
    this.valueName = document.createTextNode('Formula');
    this.valueLabel = el('label', {}, this.valueName, this.value);
    this.model = el('select', { name: 'model' });
    const copy = el('button', { type: 'button', onclick: () => navigator.clipboard.writeText(this.command.textContent).then(() => toast('Copied'), () => toast('The browser does not let this page copy')) }, 'Copy');
    this.start = el('button', { class: 'main', type: 'submit' }, 'Sample');
    this.form.append(whats, this.valueLabel, field('group', 'Space group (1 to 230)', { inputmode: 'numeric' }), field('count', 'Structures', { inputmode: 'numeric', value: '8' }),
      field('seed', 'Seed', { inputmode: 'numeric', value: '0' }), el('label', {}, 'Model', this.model), field('name', 'Name of the new folder'),
      el('div', { class: 'end' }, el('div', { class: 'command' }, this.command, copy), this.problem = el('p', { class: 'bad', role: 'status' }), this.start));
    this.form.addEventListener('input', () => this.changed());
    this.form.addEventListener('submit', (event) => { event.preventDefault(); this.submit(); });
  }

  async shownNow() {
    try {
      const offer = await get('/api/sample');
      this.note.textContent = offer.problem ? `Sampling is not possible here: ${offer.problem}.` : `Structures go into a new folder in ${offer.folder}.`;
      this.start.disabled = Boolean(offer.problem);
      const before = this.model.value;
      this.model.replaceChildren(new Option('the model that ships', ''), ...offer.models.map((model) => new Option(model, model)));
      if ([...this.model.options].some((option) => option.value === before)) this.model.value = before;
      if (!this.form.elements.name.value) this.form.elements.name.value = this.newName();
      this.changed();
    } catch (error) {
      toast(error.message);
    }
  }

  newName() {
    const now = new Date();
    const two = (x) => String(x).padStart(2, '0');
    return `sampled-${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}-${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`;
  }

  request() {
    const { what, value, group, count, seed, model, name } = Object.fromEntries(new FormData(this.form));
    const whole = (text, label) => {
      if (text.trim() === '') return null;
      if (!/^\d{1,15}$/.test(text.trim())) throw new Error(`${label}: give a whole number`);
      return Number(text);
    };
    const asked = { name, model, seed: whole(seed, 'Seed') ?? 0, count: whole(count, 'Structures'), space_group: whole(group, 'Space group') };
    if (what) {
      if (!value.trim()) throw new Error(`${WHATS.find((w) => w[0] === what)[1]}: say what to sample, such as ${WHATS.find((w) => w[0] === what)[2]}`);
      asked[what] = value;
    }
    return asked;
  }

  changed() {
    const [what, label, example, hint] = WHATS.find(([value]) => value === this.form.elements.what.value);
    this.valueName.textContent = hint ? `${label}: ${hint}` : label;
    this.value.placeholder = example;
    this.valueLabel.hidden = !what;
    clearTimeout(this.later);
    this.later = setTimeout(() => this.preview(), 200);
  }

  async preview() {
    try {
      this.command.textContent = (await (await post('/api/command', this.request())).json()).command;
      this.problem.textContent = '';
    } catch (error) {
      this.command.textContent = '';
      this.problem.textContent = error.message;
    }
  }

  async submit() {
    try {
      await post('/api/sample', this.request());
      this.form.elements.name.value = this.newName();
      toast('Started: structures appear as they are finished');
      this.changed();
    } catch (error) {
      this.problem.textContent = error.message;
    }
  }

  /** Takes the runs of the server's state. */
  update(jobs, sets) {
    const version = JSON.stringify(jobs);
    if (version === this.version) return;
    this.version = version;
    const open = new Set([...this.jobs.querySelectorAll('details[open]')].map((d) => d.dataset.name));
    this.jobs.replaceChildren(...jobs.map((job, k) => {
      const bar = el('progress', { max: job.total || 1, 'aria-label': `Progress of ${job.name}` });
      if (job.total) bar.value = job.done;
      const at = sets.findIndex((set) => set.name === job.name || set.name.endsWith(`/${job.name}`));
      const log = el('details', { 'data-name': job.name, open: job.state === 'failed' || open.has(job.name) }, el('summary', {}, 'Messages'), el('pre', { tabindex: 0, 'aria-label': 'Messages' }, job.messages.join('\n') || 'none'));
      return el('article', { class: 'job' }, el('h3', {}, job.name),
        el('p', {}, el('span', { class: job.state === 'failed' ? 'bad' : 'soft' }, `${job.state}: ${job.done}${job.total ? ` of ${job.total}` : ''} structures`)),
        job.state === 'running' || job.state === 'stopping' ? bar : null,
        el('div', { class: 'buttons' },
          at >= 0 ? el('button', { type: 'button', onclick: () => this.onShow(at) }, 'Show the structures') : null,
          job.state === 'running' ? el('button', { type: 'button', onclick: () => post('/api/cancel', { job: k }).catch((e) => toast(e.message)) }, 'Cancel') : null),
        el('div', { class: 'command' }, el('code', {}, job.command)), log);
    }).reverse());
  }
}
