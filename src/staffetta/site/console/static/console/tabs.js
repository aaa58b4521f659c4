// One page of this browser holds a session: a reload comes back into it, a second tab takes it over.
//
// - Who holds it has a lock of the browser (Web Locks) for as long as the page lives. Whoever opens the session's page
//   and finds the lock taken asks the holder over a BroadcastChannel for everything it has; the holder freezes first, so
//   that there is never more than one end, and says on its page where the session went.
// - Across a reload what the page has is kept in sessionStorage, which is this tab's own. It is removed when it is read:
//   an old state must never be gone on from.

import { pause, within } from "./clock.js";

const HAND_OVER_SECONDS = 3;
const ON_ITS_WAY_SECONDS = 0.3; // the lock may come a moment before what its holder gave
const nameOf = (session) => `staffetta-session-${session}`;

export class Tab {
  /** `give()` freezes the session and returns what another page needs; `taken()` is told when another has it. */
  constructor(session, give, taken) {
    this.name = nameOf(session);
    this.give = give;
    this.taken = taken;
    this.channel = new BroadcastChannel(this.name);
    this.channel.onmessage = ({ data }) => this.#heard(data);
    this.release = null;
    this.asked = null;
  }

  /** Become the holder: {held, state}. `state` is what the holder before this gave, or what this tab had kept, or null. */
  async hold() {
    if (await this.#lock({ ifAvailable: true })) return { held: true, state: takeOut(this.name) };
    // A page that is just being left keeps its lock a moment longer; a living one answers.
    const given = new Promise((resolve) => { this.asked = resolve; });
    const queued = new AbortController();
    const lock = this.#lock({ signal: queued.signal });
    this.channel.postMessage({ say: "give" });
    const state = await within(HAND_OVER_SECONDS, Promise.race([given, lock.then(() => pause(ON_ITS_WAY_SECONDS))]));
    this.asked = null;
    const held = await within(HAND_OVER_SECONDS, lock);
    if (!held) queued.abort();
    if (!held && !state) return { held: false, state: null }; // what this tab has kept it keeps
    const kept = takeOut(this.name);
    return { held: held === true, state: state ?? kept };
  }

  /** Keep the state for the page that this tab loads next; whether there was room for it. */
  static keep(session, state) {
    try {
      sessionStorage.setItem(nameOf(session), JSON.stringify(pack(state)));
      return true;
    } catch {
      return false;
    }
  }

  /** Nobody goes on from what this tab has kept: the session is over. */
  static forget(session) {
    sessionStorage.removeItem(nameOf(session));
  }

  #lock(options) {
    return new Promise((resolve) => {
      navigator.locks.request(this.name, options, (lock) => {
        resolve(lock !== null);
        return lock === null ? undefined : new Promise((release) => { this.release = release; });
      }).catch(() => resolve(false));
    });
  }

  #heard(message) {
    if (message.say === "given" && this.asked) this.asked(message.state);
    if (message.say === "give" && this.release) {
      this.channel.postMessage({ say: "given", state: this.give() });
      this.release();
      this.release = null;
      this.taken();
    }
  }
}

function takeOut(name) {
  const text = sessionStorage.getItem(name);
  sessionStorage.removeItem(name);
  return text === null ? null : JSON.parse(text, unpacked);
}

// Bytes in JSON: {"bytes": base64}.

function pack(value) {
  if (value instanceof Uint8Array) return { bytes: btoa(Array.from(value, (one) => String.fromCharCode(one)).join("")) };
  if (Array.isArray(value)) return value.map(pack);
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, pack(item)]));
  }
  return value;
}

function unpacked(key, value) {
  if (value !== null && typeof value === "object" && typeof value.bytes === "string" && Object.keys(value).length === 1) {
    return Uint8Array.from(atob(value.bytes), (one) => one.charCodeAt(0));
  }
  return value;
}
