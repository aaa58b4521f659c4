// When to ping, when a connection counts as dead, and when to dial again ("Rules of an end", 8). Pure: time and jitter
// are passed in; times are seconds of one monotonic clock of the caller.

import { FINAL_CODES } from "./frames.js";

export const PING_SECONDS = 1;
export const GIVE_UP_SECONDS = 300;
const RETRY_DELAYS = [0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2];
const POINTED_DELAYS = [0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3, 6, 12];

/** One connection: a ping every so often, dead when nothing at all was heard for twice that. */
export class Liveness {
  constructor(now, pingEvery = PING_SECONDS) {
    this.pingEvery = pingEvery;
    this.heardAt = now;
    this.pingedAt = now;
  }

  heard(now) {
    this.heardAt = Math.max(this.heardAt, now);
  }

  /** Whether to send a PING now; asking takes it as sent. */
  pingDue(now) {
    if (now - this.pingedAt < this.pingEvery) return false;
    this.pingedAt = now;
    return true;
  }

  dead(now) {
    return now - this.heardAt >= 2 * this.pingEvery;
  }
}

/** How long to wait before each attempt, and when to give up. */
export class Reconnect {
  constructor(now, giveUpAfter = GIVE_UP_SECONDS) {
    this.attempt = 0;
    this.pointedTimes = 0;
    this.final = null;
    this.giveUpAfter = giveUpAfter;
    this.lastSuccess = now;
  }

  /** Seconds to wait before the next attempt, from half to the whole of the step; jitter is within [0, 1]. */
  delay(jitter) {
    const step = Math.max(stepOf(RETRY_DELAYS, this.attempt), stepOf(POINTED_DELAYS, this.pointedTimes));
    this.attempt += 1;
    return step * (1 - 0.5 * jitter);
  }

  succeeded(now) {
    this.attempt = this.pointedTimes = 0;
    this.lastSuccess = now;
  }

  /** An appliance that serves nobody has answered, and named another. */
  pointed() {
    this.pointedTimes += 1;
  }

  failed(code) {
    if (FINAL_CODES.has(code)) this.final = code;
  }

  /** Why not to dial again, or null. */
  givenUp(now) {
    if (this.final !== null) return `the site answered ${this.final}`;
    if (now - this.lastSuccess >= this.giveUpAfter) return `no connection for ${this.giveUpAfter} seconds`;
    return null;
  }
}

const stepOf = (delays, number) => delays[Math.min(number, delays.length - 1)];
