// For the keyboard: a link past the sidebar, and popovers whose content comes next. Set up once per page load.

const INSIDE = 'input, button, select, textarea, [tabindex="0"], [role="combobox"]';
const PATIENCE = 60; // frames until a popover is there

function skipLink() {
  const link = Object.assign(document.createElement('a'), { className: 'palora-skip', href: '#', textContent: 'Skip to the content' });
  link.addEventListener('click', (event) => {
    event.preventDefault();
    const main = document.querySelector('[data-testid=stMain]');
    main.tabIndex = -1;
    main.focus();
  });
  document.body.prepend(link);
}

/** Focus the first thing in the popover that a key has just opened; it lies at the end of the document. */
function enter(left = PATIENCE) {
  const body = document.querySelector('[data-testid=stPopoverBody]');
  const first = [...(body?.querySelectorAll(INSIDE) ?? [])].find((node) => node.checkVisibility() && !node.disabled);
  if (first) first.focus();
  else if (left) requestAnimationFrame(() => enter(left - 1));
}

function popovers() {
  let opener = null;
  document.addEventListener('click', (event) => {
    const button = event.target.closest?.('[data-testid=stPopover] button');
    if (!button) return;
    opener = button;
    if (event.detail === 0) enter(); // by a key, not by the mouse
  });
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape' && event.target.closest?.('[data-testid=stPopoverBody]')) opener?.focus();
  }, true);
}

/** Called by Streamlit whenever the component is rendered. */
export function mount() {
  if (document.querySelector('.palora-skip')) return;
  skipLink();
  popovers();
}
