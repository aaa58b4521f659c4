// The two halves of one channel at one end, and how much may be in them: numbers and bytes, no messages.
//
// What is sent is kept, numbered, until the far application has consumed it ("Rules of an end", 1 and 6); sending again
// starts at any kept number (4). Bytes are those of whole frames, header included.

import { DATA_HEADER, FrameError, MAX_PAYLOAD } from "./frames.js";

export const MAX_CHANNELS = 64;

/**
 * Bytes. payload: of one frame; window: of a channel; hold: in all; reserve: the part of hold that is for channel 0. Hold
 * is half of what an end may keep: with the screen it must fit, as base64, into what a tab may store.
 */
export const LIMITS = Object.freeze({ payload: MAX_PAYLOAD, window: 256 * 1024, hold: 2 * 1024 * 1024, reserve: 64 * 1024 });

/** One channel's sending side: `kept` are the encoded frames from `base` on; `cursor` is the next to send. */
export class Outgoing {
  constructor(saved = {}) {
    this.kept = saved.kept ?? [];
    this.base = saved.base ?? 0;
    this.cursor = this.base; // whether any of it is there, only a sync can tell (rule 2)
    this.next = this.base + this.kept.length;
    this.reached = saved.reached ?? 0;
    this.inFlight = 0;
    this.keptBytes = this.kept.reduce((sum, message) => sum + message.length, 0);
  }

  /** Keep an encoded frame that was given the number `next`. */
  add(message) {
    this.kept.push(message);
    this.keptBytes += message.length;
    this.next += 1;
  }

  /** The next frame if the window has room for it, else null; it then counts as sent. */
  sendable(window) {
    if (this.cursor === this.next) return null;
    const message = this.kept[this.cursor - this.base];
    if (this.inFlight + message.length > window) return null;
    this.cursor += 1;
    this.reached = Math.max(this.reached, this.cursor);
    this.inFlight += message.length;
    return message;
  }

  /** Forget every frame below `next`; an older statement than the newest changes nothing. */
  consumed(next) {
    if (next > this.reached) throw new FrameError("bad-ack", `${next} was never sent`);
    let gone = 0;
    while (this.base < next) {
      const size = this.kept[gone].length;
      this.keptBytes -= size;
      if (this.base < this.cursor) this.inFlight -= size;
      this.base += 1;
      gone += 1;
    }
    if (gone) this.kept.splice(0, gone);
    this.cursor = Math.max(this.cursor, this.base);
  }

  /** Send again from `expect` on; how many frames that is. */
  rewind(expect) {
    if (expect > this.reached) throw new FrameError("bad-ack", `${expect} was never sent`);
    this.cursor = Math.max(expect, this.base);
    this.inFlight = 0;
    for (let index = 0; index < this.cursor - this.base; index += 1) this.inFlight += this.kept[index].length;
    return this.reached - this.cursor;
  }

  /** What another page needs to go on. */
  saved() {
    return { kept: [...this.kept], base: this.base, reached: this.reached };
  }
}

/** One channel's receiving side: `expect` is the next to arrive, `taken` the next to be consumed. */
export class Incoming {
  constructor(saved = {}) {
    this.taken = saved.taken ?? 0;
    // What had arrived and was not consumed went with the page it was in: the peer has kept it, and sends it again.
    this.expect = this.taken;
    this.acked = this.taken;
    this.waiting = [];
    this.unconsumed = 0;
    this.sinceAck = 0;
  }

  /** What another page needs to go on. */
  saved() {
    return { taken: this.taken };
  }
}

/** How many bytes of payload fit into so many bytes of frames. */
export function payloadIn(free, payload) {
  const room = Math.max(free, 0);
  const whole = Math.floor(room / (payload + DATA_HEADER));
  return whole * payload + Math.max((room % (payload + DATA_HEADER)) - DATA_HEADER, 0);
}
