/** Which phone this is, as far as its browser tells. */

import type { Capabilities } from '../probe';

interface Hints {
  readonly brands?: readonly Brand[];
  getHighEntropyValues(names: string[]): Promise<{
    model?: string;
    platform?: string;
    platformVersion?: string;
    fullVersionList?: readonly Brand[];
  }>;
}

interface Brand {
  readonly brand: string;
  readonly version: string;
}

export interface Identity {
  readonly model: string;
  readonly platform: string;
  readonly browser: string;
}

/** From client hints where there are any, else from the user agent. */
export async function identify(): Promise<Identity> {
  const hints = (navigator as { userAgentData?: Hints }).userAgentData;
  const guess = fromUserAgent(navigator.userAgent);
  if (hints === undefined) return guess;
  try {
    const told = await hints.getHighEntropyValues([
      'model',
      'platform',
      'platformVersion',
      'fullVersionList',
    ]);
    const real = (told.fullVersionList ?? []).filter(({ brand }) => !/not.?a.?brand/i.test(brand));
    const best = real.find(({ brand }) => brand !== 'Chromium') ?? real[0];
    return {
      model: told.model || guess.model,
      platform: [told.platform, told.platformVersion].filter(Boolean).join(' ') || guess.platform,
      browser: best === undefined ? guess.browser : `${best.brand} ${best.version}`,
    };
  } catch {
    return guess;
  }
}

export function fromUserAgent(text: string): Identity {
  const android = /Android ([\d.]+)(?:; ([^;)]+))?/.exec(text);
  const apple = /\((iPhone|iPad)[^)]*OS ([\d_]+)/.exec(text);
  const browser = /(Firefox|FxiOS|CriOS|EdgA?|SamsungBrowser|Chrome|Version)\/([\d.]+)/.exec(text);
  const named = (browser?.[1] ?? '')
    .replace('Version', 'Safari')
    .replace('CriOS', 'Chrome')
    .replace('FxiOS', 'Firefox');
  const version = browser?.[2] ?? '';
  if (android !== null) {
    const model = (android[2] ?? '').replace(/ Build\/.*/, '').trim();
    return {
      model: model.length > 1 ? model : 'Android phone',
      platform: `Android ${android[1]}`,
      browser: `${named} ${version}`.trim(),
    };
  }
  if (apple !== null) {
    const system = `iOS ${(apple[2] ?? '').replaceAll('_', '.')}`;
    return { model: apple[1] as string, platform: system, browser: `${named} ${version}`.trim() };
  }
  const system = /\(([^;)]+)/.exec(text)?.[1] ?? '';
  return { model: '', platform: system, browser: `${named} ${version}`.trim() };
}

/** As the command takes it. */
export function described(found: Capabilities, identity: Identity): object {
  const gpu = found.webgpu;
  return {
    ...identity,
    user_agent: found.userAgent.slice(0, 300),
    cores: found.cores,
    memory_gb: found.deviceMemoryGb,
    secure: found.secureContext,
    isolated: found.crossOriginIsolated,
    simd: found.simd,
    threads: found.threads,
    webgpu:
      gpu === null ? '' : [gpu.vendor, gpu.architecture].filter(Boolean).join(' ').slice(0, 200) || 'unnamed',
    automated: navigator.webdriver === true,
  };
}

/** Random letters and digits. */
export function random(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The same for all runs of the command on one computer, whose port changes: the command sets the cookie. */
export function phone(cookies: string = document.cookie): string {
  const told = /(?:^|; )pocketpress-phone=([A-Za-z0-9_-]{8,64})(?:;|$)/.exec(cookies)?.[1];
  return told ?? kept('pocketpress-bench-phone', random);
}

/** What this browser kept under a name, or what is made now. */
export function kept(name: string, make: () => string): string {
  try {
    const before = localStorage.getItem(name);
    if (before !== null) return before;
    const made = make();
    localStorage.setItem(name, made);
    return made;
  } catch {
    return make();
  }
}

export function keep(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // private browsing: asked again next time
  }
}
