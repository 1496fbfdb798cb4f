/** The photo page: choose, look, compare, save. */

import { orAborted } from '../abort';
import { PocketpressError } from '../errors';
import { type Look, enhance, see } from './enhance';
import { type Network, loadNetwork } from './network';
import { watchOffline } from './offline';
import { type Photo, type Pixels, decode, megapixels, openPhoto, release, shrink } from './photo';
import { type Format, type Saved, canShare, download, encode, share } from './save';
import { connectSlider } from './slider';

/** Longest side of what is shown; the saved photo has all pixels. */
const SHOWN_PIXELS = 1600;

const SHARED = {
  shared: 'Shared',
  cancelled: 'Not shared',
  late: 'The photo is ready: press Share once more',
} as const;

function element<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`no element ${id}`);
  return found as T;
}

const ui = {
  start: element('start'),
  stage: element('stage'),
  tools: element('tools'),
  frame: element('frame'),
  before: element<HTMLCanvasElement>('before'),
  after: element<HTMLCanvasElement>('after'),
  work: element('work'),
  progress: element<HTMLProgressElement>('progress'),
  status: element('status'),
  problem: element('problem'),
  format: element<HTMLSelectElement>('format'),
  save: element<HTMLButtonElement>('save'),
  share: element<HTMLButtonElement>('share'),
  choose: element<HTMLInputElement>('choose'),
  slider: element<HTMLInputElement>('slider'),
};
const recentre = connectSlider(ui.slider, ui.frame, [element('tag-before'), element('tag-after')]);

interface Shown {
  readonly photo: Photo;
  readonly look: Look;
}

let network: Promise<Network> | null = null;
let shown: Shown | null = null;
/** What was saved or shared last: browsers share only soon after a press, which a large photo may miss once. */
let last: { what: Shown; format: Format; saved: Saved } | null = null;
let running = new AbortController();

/** Load the network once; a failure is forgotten, so that the next photo tries again. */
function theNetwork(): Promise<Network> {
  network ??= loadNetwork(new URL('.', document.baseURI)).catch((error: unknown) => {
    network = null;
    throw error;
  });
  return network;
}

/** Run one job at a time: a new one stops the one before. */
async function run(job: (signal: AbortSignal) => Promise<string>, doing: string): Promise<void> {
  running.abort();
  const mine = (running = new AbortController());
  ui.problem.hidden = true;
  setBusy(doing);
  try {
    const done = await job(mine.signal);
    if (mine === running) setIdle(done);
  } catch (error) {
    if (mine !== running) return;
    setIdle('');
    explain(error);
  }
}

async function take(file: File, signal: AbortSignal): Promise<string> {
  const started = performance.now();
  const photo = await openPhoto(file);
  signal.throwIfAborted();
  const { look, by, runtime } = await lookAt(photo, signal);
  shown = { photo, look };
  ui.format.value = file.type === 'image/png' ? 'png' : 'jpeg';
  recentre();
  const took = ((performance.now() - started) / 1000).toFixed(1);
  const network = `network ${look.networkMs.toFixed(0)}\u00a0ms in ${runtime}`;
  const pixels = `${megapixels(photo.width * photo.height)}\u00a0megapixels in ${took}\u00a0s`;
  return `${pixels} · ${network} · colours by ${by}`;
}

/** Decode a photo once, and show it before and after in a size that fits a screen. */
async function lookAt(
  photo: Photo,
  signal: AbortSignal,
): Promise<{ look: Look; by: string; runtime: string }> {
  const pixels = await decode(photo);
  let preview: Pixels | null = null;
  try {
    signal.throwIfAborted();
    preview = shrink(pixels, SHOWN_PIXELS);
    showBefore(preview.canvas);
    const network = await orAborted(theNetwork(), signal);
    const look = await see(pixels, network, { signal, progress: setProgress });
    release(pixels); // a large photo's memory, before the graphics processor asks for its own
    const by = await enhance(preview, look, { signal });
    copy(preview.canvas, ui.after);
    return { look, by, runtime: network.runtime };
  } finally {
    release(pixels);
    if (preview !== null) release(preview);
  }
}

async function finish(
  what: Shown,
  signal: AbortSignal,
  hand: (file: File) => Promise<string>,
): Promise<string> {
  const format = ui.format.value as Format;
  const { photo, look } = what;
  if (last?.what !== what || last.format !== format) {
    last = { what, format, saved: await encode(photo, look, format, { signal, progress: setProgress }) };
  }
  const { saved } = last;
  const whole = saved.width === photo.width && saved.height === photo.height;
  const size = whole
    ? 'full size'
    : `${saved.width} x ${saved.height} pixels, all that this browser can hold`;
  return `${await hand(saved.file)} (${size}, without the camera's data such as place and time)`;
}

function showBefore(canvas: HTMLCanvasElement): void {
  copy(canvas, ui.before);
  copy(canvas, ui.after);
  ui.frame.style.setProperty('--ratio', String(canvas.width / canvas.height));
  shown = last = null;
  setStart(false);
  document.body.dataset['view'] = 'busy';
}

function copy(from: HTMLCanvasElement, to: HTMLCanvasElement): void {
  to.width = from.width;
  to.height = from.height;
  to.getContext('2d')?.drawImage(from, 0, 0);
}

function setBusy(doing: string): void {
  document.body.dataset['view'] = shown === null ? 'busy' : 'saving';
  ui.work.hidden = false;
  ui.progress.removeAttribute('value');
  ui.status.textContent = doing;
  setPressable(false);
}

function setIdle(done: string): void {
  document.body.dataset['view'] = shown === null ? 'start' : 'shown';
  ui.work.hidden = true;
  ui.status.textContent = done;
  setStart(shown === null);
  setPressable(true);
}

/** Show the first view or a photo; a keyboard whose place is gone goes on in the other. */
function setStart(start: boolean): void {
  ui.start.hidden = !start;
  ui.stage.hidden = ui.tools.hidden = start;
  const focused = document.activeElement;
  if (focused !== document.body && focused?.getClientRects().length === 0)
    (start ? ui.choose : ui.slider).focus({ preventScroll: true });
}

/** Not `disabled`: that would take the focus from the button that was pressed. */
function setPressable(pressable: boolean): void {
  for (const button of [ui.save, ui.share]) button.setAttribute('aria-disabled', String(!pressable));
}

function setProgress(share: number): void {
  ui.progress.value = share;
}

/** Say what went wrong and what to do, in that order. */
function explain(error: unknown): void {
  const title = document.createElement('strong');
  const rest = document.createElement('span');
  if (error instanceof PocketpressError) {
    title.textContent = error.what;
    const got = error.got === undefined ? '' : `Got ${String(error.got)}. `;
    const allowed = error.allowed === undefined ? '' : `Possible: ${String(error.allowed)}. `;
    const next =
      error.nextStep === undefined ? '' : `${error.nextStep[0]?.toUpperCase()}${error.nextStep.slice(1)}.`;
    rest.textContent = `${got}${allowed}${next}`;
  } else {
    title.textContent = 'Something went wrong that should not';
    rest.textContent = error instanceof Error ? error.message : String(error);
    console.error(error);
  }
  ui.problem.replaceChildren(title, rest);
  ui.problem.hidden = false;
  ui.problem.scrollIntoView({ block: 'nearest' });
}

function choose(file: File | undefined): void {
  if (file === undefined) return;
  void run((signal) => take(file, signal), 'Looking at the photo…');
}

function connect(): void {
  for (const id of ['choose', 'take', 'another']) {
    const input = element<HTMLInputElement>(id);
    input.addEventListener('change', () => {
      choose(input.files?.[0]);
      input.value = ''; // so that the same photo can be chosen again
    });
  }
  const hand = (doing: string, how: (file: File) => Promise<string>) => (): void => {
    const current = shown;
    if (current !== null && document.body.dataset['view'] === 'shown')
      void run((signal) => finish(current, signal, how), doing);
  };
  ui.save.addEventListener(
    'click',
    hand('Enhancing the whole photo…', async (file) => {
      download(file);
      return `Saved ${file.name}`;
    }),
  );
  ui.share.hidden = !canShare();
  ui.share.addEventListener(
    'click',
    hand('Enhancing the whole photo…', async (file) => SHARED[await share(file)]),
  );
  document.addEventListener('dragover', (event) => {
    event.preventDefault();
    document.body.classList.add('dropping');
  });
  document.addEventListener('dragleave', (event) => {
    if (event.relatedTarget === null) document.body.classList.remove('dropping');
  });
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    document.body.classList.remove('dropping');
    choose(event.dataTransfer?.files[0]);
  });
  document.addEventListener('paste', (event) => choose(event.clipboardData?.files[0]));
}

connect();
watchOffline(element('offline'));
// the network loads while the user looks for a photo
theNetwork().catch(explain);
