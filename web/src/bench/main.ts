/** The bench page: say who this phone is, work off the tasks, send the numbers. */

import { probe } from '../probe';
import { described, identify, keep, kept, phone, random } from './identity';
import { measure } from './measure';
import type { Answer, Job, Task } from './protocol';
import { getJob, Outbox, pause, post, Refused, type Who } from './server';
import * as view from './view';
import { keepAwake } from './visible';

const NAME = 'pocketpress-bench-name';
const AGAIN_MS = 1500;

const who: Who = { phone: phone(), tab: random() };
let own = '';
let capabilities: object = {};
let lastSaid = { task: null as string | null, doing: '', share: 0, median_s: null as number | null };
/** Ends the work of this tab: another one took over, or the command is gone. */
let work = new AbortController();
let over = false;

function take(answer: Answer): void {
  view.rows(answer.table, own);
  if (answer.ended && !over) {
    over = true;
    work.abort(new Error('the command has ended'));
    view.progress(null);
    view.trouble(null);
    view.say('The command has ended. What this phone sent is kept there.');
  }
}

const outbox = new Outbox(`pocketpress-bench-results:${location.pathname}`, who, take, view.trouble);

async function hello(takeOver: boolean): Promise<Answer> {
  const name = view.nodes.name.value.trim();
  const answer = await persistently(() =>
    post('api/hello', { ...who, name, capabilities, take_over: takeOver }),
  );
  own = answer.name ?? own;
  view.nodes.device.textContent = `This phone is called ${own}.`;
  take(answer);
  return answer;
}

/** Try until there is an answer, or a no. */
async function persistently<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      const answer = await ask();
      view.trouble(null);
      return answer;
    } catch (error) {
      if (error instanceof Refused) throw error;
      view.trouble('No connection to the computer that showed the code. Trying again …');
      await pause(AGAIN_MS);
    }
  }
}

async function beat(job: Job): Promise<void> {
  while (!over) {
    await pause(job.beat_s * 1000);
    if (work.signal.aborted) continue;
    try {
      const answer = await post('api/beat', { ...who, ...lastSaid });
      if (outbox.tasks.length === 0) view.trouble(null);
      take(answer);
      if (!answer.lease && !over) yieldTo('Another tab of this phone measures now.');
    } catch (error) {
      if (error instanceof Refused) fatal(error);
      else view.trouble('No connection. Measuring goes on; what was measured is sent when it is back.');
    }
  }
}

/** Stop measuring, and wait until the other tab is closed or somebody decides otherwise. */
function yieldTo(text: string): void {
  work.abort(new Error(text));
  view.progress(null);
  view.say(`${text} This one waits; two at a time would slow each other.`);
  const mine = (work = new AbortController());
  mine.abort();
  view.offer('Measure in this tab instead', () => void begin(true));
  void (async () => {
    while (work === mine && !over) {
      await pause(3 * AGAIN_MS);
      if (work === mine && !over) await begin(false);
    }
  })();
}

let attempts = 0;

/** Ask whether this tab may measure, and do; of several that ask at a time, the last one goes on. */
async function begin(takeOver: boolean): Promise<void> {
  const mine = ++attempts;
  try {
    const answer = await hello(takeOver);
    if (over || mine !== attempts) return;
    if (!answer.lease) {
      if (!work.signal.aborted) yieldTo('Another tab of this phone measures already.');
      return;
    }
    view.offer(null);
    work.abort(new Error('begun again'));
    work = new AbortController();
    await workOff(await jobComing, new Set(answer.done ?? []), work.signal);
  } catch (error) {
    if (error instanceof Refused) fatal(error);
    else if (mine === attempts && !work.signal.aborted && !over) view.trouble(String(error));
  }
}

async function workOff(job: Job, done: Set<string>, signal: AbortSignal): Promise<void> {
  keepAwake(signal);
  void outbox.flush(signal);
  for (const name of outbox.tasks) done.add(name);
  const left = job.tasks.filter((task) => !done.has(task.task));
  for (const [i, task] of left.entries()) {
    view.say(`Artifact ${i + 1} of ${left.length}: ${view.label(task)}`);
    const result = await measure(task, { job, signal, progress: told(task, i, left.length) });
    outbox.add(result);
    view.live(task, result.outcome === 'measured' ? 'sending' : (result.reason ?? ''), null);
    lastSaid = { task: null, doing: '', share: 0, median_s: null };
    void outbox.flush(signal);
  }
  await outbox.flush(signal);
  while (outbox.tasks.length > 0 && !signal.aborted) {
    await pause(AGAIN_MS);
    await outbox.flush(signal);
  }
  await judged(signal);
  if (signal.aborted) return;
  view.progress(null);
  view.say('Done. Thank you! This page may be closed.');
}

/** The command judges a result within a second; then its row shows here. */
async function judged(signal: AbortSignal): Promise<void> {
  for (let i = 0; i < 10 && !signal.aborted; i++) {
    try {
      const answer = await post('api/beat', { ...who, ...lastSaid });
      take(answer);
      if (answer.table.every((row) => row.phone !== own || row.state !== 'pending')) return;
    } catch {
      return; // the beat says what is the matter
    }
    await pause(300);
  }
}

function told(
  task: Task,
  index: number,
  count: number,
): (doing: string, share: number, medianS?: number) => void {
  let last: number | null = null;
  return (doing, share, medianS) => {
    last = medianS ?? last;
    lastSaid = { task: task.task, doing, share, median_s: last };
    view.progress((index + share) / count);
    view.live(task, doing, last);
  };
}

function fatal(error: Refused, again = (): void => void begin(false)): void {
  over = error.status === 403;
  work.abort(error);
  view.progress(null);
  view.say('Stopped.');
  view.trouble(error.message);
  if (!over) view.offer('Try again', again);
}

view.nodes.naming.addEventListener('submit', (event) => {
  event.preventDefault();
  keep(NAME, view.nodes.name.value.trim());
  const before = own;
  void hello(false).then(
    () => {
      const asked = view.nodes.name.value.trim() !== '' && own === before;
      view.nodes.named.textContent = asked ? `Saved; in this run it stays ${own}.` : `Saved: ${own}.`;
    },
    (error: unknown) => view.trouble(String(error)),
  );
});

addEventListener('pagehide', () => {
  const message = new Blob([JSON.stringify(who)], { type: 'application/json' });
  navigator.sendBeacon('api/bye', message);
});

addEventListener('pageshow', (event) => {
  if (event.persisted) void begin(false);
});

const jobComing = persistently(getJob);

async function start(): Promise<void> {
  const [found, identity, job] = await Promise.all([probe(), identify(), jobComing]);
  capabilities = described(found, identity);
  view.nodes.name.value = kept(NAME, () => identity.model);
  if (!found.crossOriginIsolated) {
    view.trouble('This address gives no threads and no WebGPU: numbers are of one thread.');
  }
  void beat(job);
  await begin(false);
}

start().catch((error: unknown) => {
  if (error instanceof Refused) fatal(error, () => location.reload());
  else view.trouble(String(error));
});
