// One channel of a session, for one reader: a frame counts as consumed when the next of its channel is asked for, so
// that a slow disk holds up its own file and nothing else.

/** The session is over, or goes on in another page. */
export class LaneOver extends Error {}

export class Lane {
  #frames = [];
  #last = null;
  #wake = null;
  #closed = false;

  constructor(link, channel) {
    this.link = link;
    this.channel = channel;
  }

  /** What arrives next, the one before being taken. Throws LaneOver. */
  async next() {
    this.#take();
    while (!this.#frames.length) {
      if (this.#closed) throw new LaneOver();
      await new Promise((resolve) => { this.#wake = resolve; });
    }
    this.#last = this.#frames.shift();
    return this.#last.payload;
  }

  /** Send one message when there is room for it. Throws LaneOver. */
  async say(payload) {
    if (!(await this.link.writable()) || this.#closed) throw new LaneOver();
    this.link.send(this.channel, payload);
  }

  /** Send the last word as soon as there is room for it, whoever still serves the channel here. */
  async sayLast(payload) {
    if (await this.link.writable()) this.link.send(this.channel, payload);
  }

  /** How many bytes, headers included, the far application has not yet taken. */
  get unconsumed() {
    return this.link.end.outgoing.get(this.channel)?.keptBytes ?? 0;
  }

  /** A frame has arrived; once nobody serves the channel any more it is taken and dropped. */
  put(frame) {
    if (this.#closed) this.link.consumed(frame);
    else this.#frames.push(frame);
    this.#wake?.();
  }

  /** Nobody serves it any more. */
  close() {
    this.#closed = true;
    this.#take();
    for (const frame of this.#frames.splice(0)) this.link.consumed(frame);
    this.#wake?.();
  }

  #take() {
    if (this.#last !== null) this.link.consumed(this.#last);
    this.#last = null;
  }
}
