/** The one error that this library raises on purpose: what, got, allowed, next step, on one line. */

/** Who must act: `artifact` the file or the arrays given, `unsupported` this browser, `device` the machine or the
 * network, `trust` a hash that does not hold, `internal` a bug of ours. */
export type ErrorKind = 'artifact' | 'unsupported' | 'device' | 'trust' | 'internal';

/** Parts of a message besides what is wrong. */
export interface ErrorParts {
  readonly got?: unknown;
  readonly allowed?: unknown;
  readonly nextStep?: string;
}

export class PocketpressError extends Error {
  override readonly name = 'PocketpressError';
  readonly got: unknown;
  readonly allowed: unknown;
  readonly nextStep: string | undefined;

  constructor(
    readonly kind: ErrorKind,
    readonly what: string,
    parts: ErrorParts = {},
  ) {
    super(compose(what, parts));
    this.got = parts.got;
    this.allowed = parts.allowed;
    this.nextStep = parts.nextStep;
  }
}

/** "what: got X; allowed: Y; next" on one line, as Python composes it. */
export function compose(what: string, { got, allowed, nextStep }: ErrorParts): string {
  let text = what;
  if (got !== undefined && got !== null) text += `: got ${shown(got)}`;
  if (allowed !== undefined && allowed !== null) text += `; allowed: ${shown(allowed)}`;
  if (nextStep) text += `; ${nextStep}`;
  return text.split(/\s+/).filter(Boolean).join(' ');
}

function shown(value: unknown): string {
  return Array.isArray(value) ? value.map(String).join(', ') : String(value);
}

/** An error as it crosses from the worker to the page. */
export interface PlainError {
  readonly kind: ErrorKind;
  readonly what: string;
  readonly got?: string | undefined;
  readonly allowed?: string | undefined;
  readonly nextStep?: string | undefined;
}

export function toPlain(error: unknown): PlainError {
  if (error instanceof PocketpressError) {
    const { kind, what, got, allowed, nextStep } = error;
    return {
      kind,
      what,
      got: got === undefined ? undefined : shown(got),
      allowed: allowed === undefined ? undefined : shown(allowed),
      nextStep,
    };
  }
  return { kind: 'internal', what: 'the worker failed', got: firstLine(error) };
}

export function fromPlain({ kind, what, got, allowed, nextStep }: PlainError): PocketpressError {
  return new PocketpressError(kind, what, {
    ...(got === undefined ? {} : { got }),
    ...(allowed === undefined ? {} : { allowed }),
    ...(nextStep === undefined ? {} : { nextStep }),
  });
}

/** First line of what a runtime threw: an Error, a string or, from Emscripten, a number. */
export function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.trim().split('\n', 1)[0] || 'no message';
}
