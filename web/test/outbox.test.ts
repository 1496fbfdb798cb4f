import { afterEach, describe, expect, it, vi } from 'vitest';

import type { Answer, Result } from '../src/bench/protocol';
import { Outbox } from '../src/bench/server';

const ANSWER: Answer = { table: [], ended: false, lease: true };
const WHO = { phone: 'p', tab: 't' };
const never = new AbortController().signal;

function result(task: string): Result {
  return { task, outcome: 'failed', reason: 'because' };
}

/** Answers of the command, in order, each as late as a network makes it; what it was sent. */
function command(...answers: (number | 'lost')[]): string[] {
  const taken: string[] = [];
  vi.stubGlobal('fetch', async (_: string, { body }: { body: string }): Promise<Response> => {
    const answer = answers.shift() ?? 200;
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (answer === 'lost') throw new TypeError('no connection');
    if (answer === 200) taken.push((JSON.parse(body) as Result).task);
    return new Response(JSON.stringify(answer === 200 ? ANSWER : { error: 'no' }), { status: answer });
  });
  return taken;
}

describe('Outbox', () => {
  afterEach(() => vi.unstubAllGlobals());

  function filled(...tasks: string[]): Outbox {
    const outbox = new Outbox('key', WHO, () => undefined, () => undefined); // prettier-ignore
    for (const task of tasks) outbox.add(result(task));
    return outbox;
  }

  it('sends each result once, however often it is asked', async () => {
    const taken = command();
    const outbox = filled('a', 'b', 'c');
    await Promise.all([outbox.flush(never), outbox.flush(never), outbox.flush(never)]);
    expect(taken).toEqual(['a', 'b', 'c']);
    expect(outbox.tasks).toEqual([]);
  });

  it('keeps what did not arrive', async () => {
    const taken = command(200, 'lost', 'lost', 200);
    const outbox = filled('a', 'b');
    await outbox.flush(never);
    expect(taken).toEqual(['a', 'b']);
  });

  it('keeps all while another tab measures', async () => {
    const taken = command(409);
    const outbox = filled('a', 'b');
    await outbox.flush(never);
    expect([taken, outbox.tasks]).toEqual([[], ['a', 'b']]);
    await outbox.flush(never);
    expect(taken).toEqual(['a', 'b']);
  });
});
