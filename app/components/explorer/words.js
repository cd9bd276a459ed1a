// Sentences of the page: how answers come, the policy that λ sets, and what Python says about λ.

import { say } from './gallery.js';
import { element } from './panels.js';

export class Words {
  constructor(find) {
    Object.assign(this, { status: find('status'), policyTold: find('policy'), tradeOff: find('tradeoff') });
  }

  say(text, problem) {
    say(this.status, text, problem);
  }

  policy(text) {
    if (this.policyTold.textContent !== text) Object.assign(this.policyTold, { textContent: text, hidden: !text });
  }

  tell(sentences) {
    this.tradeOff.replaceChildren(...sentences.map((textContent) => element('span', { textContent })));
    this.tradeOff.hidden = !sentences.length;
    this.tradeOff.classList.remove('p-stale');
  }

  /** λ moves on: what was said is about where it was. */
  leave() {
    this.tradeOff.classList.add('p-stale');
  }
}
