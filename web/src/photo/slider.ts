/** The before/after slider: a range input over both pictures, so that keyboards and screen readers have it too. */

/** Wire the slider up; returns a function that puts it back to the middle. */
export function connectSlider(
  slider: HTMLInputElement,
  frame: HTMLElement,
  tags: [HTMLElement, HTMLElement],
): () => void {
  const show = (): void => {
    const at = slider.valueAsNumber;
    frame.style.setProperty('--at', `${at}%`);
    slider.setAttribute('aria-valuetext', `${at} % before, ${100 - at} % after`);
    tags[0].classList.toggle('covered', at < 22);
    tags[1].classList.toggle('covered', at > 80);
  };
  slider.addEventListener('input', show);
  // the thumb is invisible: the divider goes where the finger is, exactly, wherever it starts
  slider.addEventListener('pointerdown', (event) => follow(event, slider, show));
  slider.addEventListener('pointermove', (event) => {
    if (event.buttons & 1) follow(event, slider, show);
  });
  return () => {
    slider.value = '50';
    show();
  };
}

function follow(event: PointerEvent, slider: HTMLInputElement, show: () => void): void {
  const { left, width } = slider.getBoundingClientRect();
  slider.valueAsNumber = Math.round(Math.min(Math.max((event.clientX - left) / width, 0), 1) * 100);
  show();
}
