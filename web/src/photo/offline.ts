/** Keeping the page for use without a network, and saying so. */

/** Register the service worker once the page has what it needs, and show in `chip` how far it is. */
export function watchOffline(chip: HTMLElement): void {
  if (!('serviceWorker' in navigator)) {
    chip.textContent = ''; // plain http: there is none, and the page works while its server does
    return;
  }
  const register = (): void => {
    keep(chip).catch((error: unknown) => {
      chip.textContent = navigator.serviceWorker.controller === null ? 'Online only' : 'Works offline';
      console.warn('not kept for offline use:', error);
    });
  };
  if (document.readyState === 'complete') register();
  else addEventListener('load', register, { once: true });
}

async function keep(chip: HTMLElement): Promise<void> {
  const registration = await navigator.serviceWorker.register(new URL('photo-sw.js', document.baseURI), {
    updateViaCache: 'none',
  });
  if (registration.active === null) {
    chip.textContent = 'Getting ready for offline…';
    await activated(registration.installing ?? registration.waiting);
  }
  chip.textContent = 'Works offline';
}

function activated(worker: ServiceWorker | null): Promise<void> {
  return new Promise((resolve, reject) => {
    const look = (): void => {
      if (worker === null || worker.state === 'redundant') reject(new Error('a file could not be kept'));
      else if (worker.state === 'activated') resolve();
    };
    worker?.addEventListener('statechange', look);
    look();
  });
}
