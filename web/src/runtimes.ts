/** The runtimes' versions and where their files are. */

import type { RuntimeName } from './artifact/read';

declare const __LITERT_VERSION__: string;
declare const __ONNXRUNTIME_VERSION__: string;

/** Filled in by the build from the installed packages. */
export const RUNTIME_VERSIONS: Readonly<Record<RuntimeName, string>> = {
  litert: __LITERT_VERSION__,
  onnxruntime: __ONNXRUNTIME_VERSION__,
};

/** This file is in the folder `assets/`, beside `runtimes/`. */
const UP = '../';

/** Absolute address of a runtime's folder, with a slash at its end. */
export function runtimeFolder(runtime: RuntimeName, base?: string): string {
  const root = base === undefined ? new URL(UP, import.meta.url) : new URL(withSlash(base), document.baseURI);
  return new URL(`runtimes/${runtime}-${RUNTIME_VERSIONS[runtime]}/`, root).href;
}

function withSlash(address: string): string {
  return address.endsWith('/') ? address : `${address}/`;
}
