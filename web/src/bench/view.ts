/** The page: texts only, so that nothing a phone or the command says becomes markup. */

import { duration } from './duration';
import type { Row, Task } from './protocol';

const VERDICTS: Record<string, string> = {
  pass: 'same numbers',
  fail: 'fails',
  vacuous: 'proves nothing',
  skipped: 'not measured here',
  pending: 'waiting',
};

function find<T extends Element>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`no #${id}`);
  return found;
}

export const nodes = {
  device: find('device', HTMLParagraphElement),
  status: find('status', HTMLParagraphElement),
  progress: find('progress', HTMLProgressElement),
  trouble: find('trouble', HTMLParagraphElement),
  action: find('action', HTMLButtonElement),
  cards: find('cards', HTMLDivElement),
  phones: find('phones', HTMLTableElement),
  naming: find('naming', HTMLFormElement),
  name: find('name', HTMLInputElement),
  named: find('named', HTMLParagraphElement),
};

/** One line, read out by screen readers when it changes. */
export function say(text: string): void {
  if (nodes.status.textContent !== text) nodes.status.textContent = text;
}

export function progress(share: number | null): void {
  nodes.progress.hidden = share === null;
  nodes.progress.value = share ?? 0;
}

export function trouble(text: string | null): void {
  nodes.trouble.hidden = text === null;
  nodes.trouble.textContent = text ?? '';
}

/** A button with one purpose, or none. */
export function offer(text: string | null, act?: () => void): void {
  nodes.action.hidden = text === null;
  nodes.action.textContent = text ?? '';
  nodes.action.onclick = act ?? null;
}

/** A number while it is still being measured. */
export function live(task: Task, doing: string, medianS: number | null): void {
  const card = cardOf(label(task));
  card.replaceChildren(
    element('h3', label(task)),
    element('p', medianS === null ? '…' : duration(medianS), 'median'),
    element('p', doing, 'small'),
  );
}

/** A result as the command judged it, or sent it back. */
export function rows(table: readonly Row[], own: string): void {
  for (const row of table) if (row.phone === own && row.state !== 'pending') settle(row);
  const body = nodes.phones.tBodies[0] as HTMLTableSectionElement;
  body.replaceChildren(
    ...table.map((row) => {
      const line = document.createElement('tr');
      const cells = [row.phone, row.artifact, row.median, row.speedup, row.equal];
      line.append(...cells.map((text) => element('td', text)), element('td', verdict(row), colour(row)));
      return line;
    }),
  );
}

function settle(row: Row): void {
  const facts: [string, string][] = [
    ['p90', row.p90],
    ['against float', row.speedup],
    ['agreement', row.equal],
    ['load', row.load],
    ['after a long run', row.sustained],
    ['runs in', row.runtime],
  ];
  const list = document.createElement('dl');
  for (const [name, value] of facts) {
    if (value === '') continue;
    const pair = document.createElement('div');
    pair.append(element('dt', name), element('dd', value));
    list.append(pair);
  }
  const card = cardOf(row.artifact);
  card.replaceChildren(element('h3', row.artifact));
  if (row.median !== '') card.append(element('p', row.median, 'median'));
  card.append(element('p', verdict(row), colour(row)));
  if (row.remark !== '') card.append(element('p', row.remark, 'small'));
  card.append(list);
}

function verdict(row: Row): string {
  const text = VERDICTS[row.state] ?? row.state;
  return row.steady === false ? `${text}, unsteady` : text;
}

/** An unsteady number proves nothing, however good it looks. */
function colour(row: Row): string {
  return row.steady === false && row.state === 'pass' ? 'unsteady' : row.state;
}

function cardOf(name: string): HTMLElement {
  for (const card of nodes.cards.querySelectorAll('article')) if (card.dataset['name'] === name) return card;
  const card = document.createElement('article');
  card.dataset['name'] = name;
  nodes.cards.append(card);
  return card;
}

/** As the command names the row. */
export function label(task: Task): string {
  return task.backend === 'auto' ? task.artifact : `${task.artifact} (${task.backend})`;
}

function element(tag: string, text: string, kind = ''): HTMLElement {
  const made = document.createElement(tag);
  made.textContent = text;
  if (kind !== '') made.className = kind;
  return made;
}
