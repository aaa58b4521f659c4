// One end of a session, sans-IO: numbers what it sends, keeps what the far application has not consumed, replays after
// a loss. The second implementation of docs/protocols/session.md, "Rules of an end"; src/staffetta/wire/resume.py is the
// first, and tests/console drives the two against each other.
//
// Bytes and facts in; events, messages and closes out. No socket, clock or random in it. A connection is named by its
// attach counter; times are seconds of the caller's monotonic clock. For each attempt: `dial()`; answer the challenge
// with that counter; give every further message to `receive` and the end of the connection to `lost`. Call `tick` about
// every 250 ms. After any call, carry out `take()`.

import * as frames from "./frames.js";
import * as messages from "./messages.js";
import { Incoming, LIMITS, MAX_CHANNELS, Outgoing, payloadIn } from "./channel.js";
import { Liveness } from "./liveness.js";

export const NOTES = 0;
export const SHELL = 1;

const { Close, FrameError } = frames;

export class SessionEnd {
  /** `saved`: what `save()` of the page before this one gave. */
  constructor(limits = LIMITS, saved = null) {
    this.limits = limits;
    this.counter = saved?.counter ?? 0;
    this.joined = saved?.joined ?? 0;
    this.over = saved?.over ?? null;
    this.current = null;
    this.peerPresent = false;
    this.flowing = false;
    this.liveness = null;
    this.outputs = [];
    this.turn = 0;
    this.outgoing = restored(saved?.outgoing, Outgoing);
    this.incoming = restored(saved?.incoming, Incoming);
    this.keptBytes = 0;
    for (const one of this.outgoing.values()) this.keptBytes += one.keptBytes;
  }

  /** Everything that an end on another page needs to go on where this one is. Nothing of a connection is in it. */
  save() {
    const halves = (side) => [...side].map(([channel, half]) => [channel, half.saved()]);
    const { counter, joined, over } = this;
    return { counter, joined, over, outgoing: halves(this.outgoing), incoming: halves(this.incoming) };
  }

  // -- connections

  /** The counter for the next attempt; it rises with every attempt, used or not (rule 7). */
  dial() {
    this.counter += 1;
    return this.counter;
  }

  /** This connection has ended, however. Nothing if it is no longer the current one. */
  lost(connection) {
    if (connection !== this.current) return;
    this.current = null;
    this.liveness = null;
    this.peerPresent = this.flowing = false; // rule 2: held until the next sync
  }

  /**
   * What a message means, as a list of events. Throws FrameError: then close that connection with 4400 and tell `lost`.
   * A well-formed frame by which the peer breaks the protocol ends the session instead.
   */
  receive(connection, message, now) {
    const frame = frames.decode(message);
    const parsed = frame.type === frames.CONTROL ? messages.parse(frame) : null;
    if (this.over !== null) return [];
    if (connection === this.current) this.liveness.heard(now);
    try {
      return this.#events(connection, frame, parsed, now);
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      this.end(error.message);
      return [{ event: "over", reason: this.over }];
    }
  }

  #events(connection, frame, parsed, now) {
    switch (frame.type) {
      case frames.PING:
        this.#say(connection, frames.encode(frames.pong(frame.token)));
        return [];
      case frames.DATA:
        return connection === this.current ? this.#data(frame) : []; // rule 7: what an older one brings does not count
      case frames.ACK:
        if (connection === this.current) this.#consumedByPeer(frame.channel, frame.next);
        return [];
      case frames.CONTROL:
        return this.#control(connection, parsed, now);
      default:
        return [];
    }
  }

  /** Ping when due, acknowledge with every PING what is not yet (rule 6), and drop a silent connection (rule 8). */
  tick(now) {
    const connection = this.current;
    if (connection === null || this.over !== null) return [];
    if (this.liveness.dead(now)) {
      this.#close(connection, Close.SILENT, "nothing heard");
      this.lost(connection);
      return [{ event: "lost", connection }];
    }
    if (this.liveness.pingDue(now)) {
      this.#say(connection, frames.encode(frames.ping(Math.floor(now * 1000))));
      for (const [channel, incoming] of this.incoming) this.#acknowledge(channel, incoming);
    }
    return [];
  }

  // -- the application's side

  /** Whether a whole frame may be given to any channel; while false the application holds its input (rule 6). */
  get writable() {
    return this.over === null && this.room(SHELL) >= this.limits.payload;
  }

  /** How many bytes `send` takes for this channel now; a part of the hold is reserved for channel 0. */
  room(channel) {
    const free = this.limits.hold - this.keptBytes - (channel === NOTES ? 0 : this.limits.reserve);
    return payloadIn(free, this.limits.payload);
  }

  /** What is kept for the peer now. */
  get held() {
    let kept = 0;
    for (const one of this.outgoing.values()) kept += one.kept.length;
    return { frames: kept, bytes: this.keptBytes };
  }

  /**
   * Take bytes for the peer; `at` is microseconds since this end joined the session, never falling. They are cut into
   * frames once (rule 1). Throws RangeError if `room` is smaller, and nothing is taken; after the end nothing is either.
   */
  send(channel, payload, at) {
    if (this.over !== null || !payload.length) return;
    if (!(channel >= 0 && channel < MAX_CHANNELS)) throw new RangeError(`channel ${channel}`);
    if (payload.length > this.room(channel)) throw new RangeError(`${payload.length} bytes, room for ${this.room(channel)}`);
    const outgoing = half(this.outgoing, channel, Outgoing);
    for (let start = 0; start < payload.length; start += this.limits.payload) {
      const part = payload.subarray(start, start + this.limits.payload);
      const message = frames.encode(frames.data(channel, outgoing.next, at, part));
      outgoing.add(message);
      this.keptBytes += message.length;
    }
  }

  /** The application has taken this frame and all before it on its channel. */
  consumed(arrived) {
    const incoming = this.incoming.get(arrived.channel);
    while (incoming.taken <= arrived.sequence && incoming.waiting.length) {
      const size = incoming.waiting.shift();
      incoming.unconsumed -= size;
      incoming.sinceAck += size;
      incoming.taken += 1;
    }
    if (incoming.sinceAck >= Math.floor(this.limits.window / 4)) this.#acknowledge(arrived.channel, incoming);
  }

  /** End the session for both ends, if there is a connection to say it on; this end is over either way. */
  end(reason) {
    if (this.over === null && this.current !== null) {
      this.#say(this.current, messages.encode("end", { reason: reason.slice(0, 1024) }));
    }
    this.over ??= reason;
  }

  /** What to do now, in order: replies first, then as much DATA as windows and the peer allow. */
  take() {
    const outputs = this.outputs;
    this.outputs = [];
    if (this.current !== null && this.flowing && this.over === null) {
      for (const message of this.#due()) outputs.push({ do: "send", connection: this.current, message });
    }
    return outputs;
  }

  /** Channel 0 first, the others in turn, a frame each, so that none starves another. */
  *#due() {
    const { window } = this.limits;
    let message;
    while ((message = this.outgoing.get(NOTES)?.sendable(window) ?? null) !== null) yield message;
    const others = [...this.outgoing.keys()].filter((channel) => channel !== NOTES).sort((a, b) => a - b);
    let blocked = 0;
    while (others.length && blocked < others.length) {
      this.turn = (this.turn + 1) % others.length;
      message = this.outgoing.get(others[this.turn]).sendable(window);
      blocked = message === null ? blocked + 1 : 0;
      if (message !== null) yield message;
    }
  }

  // -- the far side

  #control(connection, message, now) {
    if (message.kind === "attached") return this.#attached(connection, message, now);
    if (message.kind === "ended") {
      this.over = message.reason || "ended";
      return [{ event: "over", reason: this.over }];
    }
    if (message.kind === "move" && (this.current === null || connection > this.current)) {
      return [{ event: "pointed", connection, move: message }];
    }
    if (connection !== this.current) return [];
    switch (message.kind) {
      case "peer":
        this.#peer(message.present);
        return [{ event: "peer", present: message.present }];
      case "sync":
        return this.#synchronised(positionsIn(message.expect), positionsIn(message.consumed));
      case "ticket":
        return [{ event: "ticket", ticket: message.ticket }];
      case "statement":
        return [{ event: "statement", statement: message.statement }];
      case "move":
        return [{ event: "move", move: message }];
      default:
        return [];
    }
  }

  /** Make before break (rule 7): the older connection is closed when the newer one's `attached` arrives. */
  #attached(connection, attached, now) {
    if (this.current !== null && connection < this.current) {
      this.#close(connection, Close.FENCED, "a newer connection is attached");
      return [];
    }
    if (this.current !== null && connection !== this.current) this.#close(this.current, Close.MOVED, "moved");
    this.current = connection;
    this.liveness = new Liveness(now);
    this.joined += 1;
    this.#peer(attached.peer);
    return [
      { event: "joined", attached, connection, resumed: this.joined > 1 },
      { event: "ticket", ticket: attached.ticket },
      { event: "peer", present: attached.peer },
    ];
  }

  /** Hold what is to be sent (rule 2); to a peer that is there, tell what has arrived (rule 3). */
  #peer(present) {
    this.peerPresent = present;
    this.flowing = false;
    if (!present || this.current === null) return;
    const expect = {}, consumed = {};
    for (const [channel, incoming] of this.incoming) {
      expect[channel] = incoming.expect;
      consumed[channel] = incoming.taken;
      incoming.acked = incoming.taken;
      incoming.sinceAck = 0;
    }
    this.#say(this.current, messages.encode("sync", { expect, consumed }));
  }

  /** The peer's sync (rule 4). If the two ends cannot both be right, one has lost its state: the session is over. */
  #synchronised(expect, consumed) {
    const nothing = new Outgoing();
    for (const channel of new Set([...this.outgoing.keys(), ...expect.keys(), ...consumed.keys()])) {
      const outgoing = this.outgoing.get(channel) ?? nothing;
      const position = expect.get(channel) ?? 0;
      if (position < outgoing.base || position > outgoing.reached) {
        this.end("positions-lost");
        return [{ event: "over", reason: this.over }];
      }
      if ((consumed.get(channel) ?? 0) > position) throw new FrameError("bad-ack", "more is consumed than received");
    }
    let replayed = 0;
    for (const [channel, outgoing] of this.outgoing) {
      this.#consumedByPeer(channel, consumed.get(channel) ?? 0);
      replayed += outgoing.rewind(expect.get(channel) ?? 0);
    }
    this.flowing = true;
    return [{ event: "resumed", replayed }];
  }

  #consumedByPeer(channel, next) {
    const outgoing = this.outgoing.get(channel);
    if (outgoing === undefined) {
      if (next) throw new FrameError("bad-ack", "ACK of a channel on which nothing was sent");
      return;
    }
    const before = outgoing.keptBytes;
    outgoing.consumed(next);
    this.keptBytes -= before - outgoing.keptBytes;
  }

  /** DATA is taken only if its sequence is the expected one (rule 5); everything else is dropped in silence. */
  #data(frame) {
    if (frame.channel >= MAX_CHANNELS) throw new FrameError("bad-message", `channel ${frame.channel}`);
    const incoming = half(this.incoming, frame.channel, Incoming);
    if (frame.sequence !== incoming.expect) return [];
    const size = frame.payload.length + frames.DATA_HEADER;
    if (incoming.unconsumed + size > this.limits.window) throw new FrameError("window-exceeded", `channel ${frame.channel}`);
    incoming.expect += 1;
    incoming.unconsumed += size;
    incoming.waiting.push(size);
    return [{ event: "arrived", channel: frame.channel, sequence: frame.sequence, at: frame.at, payload: frame.payload }];
  }

  #acknowledge(channel, incoming) {
    if (this.current === null || !this.peerPresent || incoming.taken === incoming.acked) return;
    this.#say(this.current, frames.encode(frames.ack(channel, incoming.taken)));
    incoming.acked = incoming.taken;
    incoming.sinceAck = 0;
  }

  #say(connection, message) {
    this.outputs.push({ do: "send", connection, message });
  }

  #close(connection, code, reason) {
    this.outputs.push({ do: "close", connection, code, reason });
  }
}

function restored(saved, Half) {
  return new Map((saved ?? []).map(([channel, half]) => [channel, new Half(half)]));
}

function half(side, channel, Half) {
  if (!side.has(channel)) side.set(channel, new Half());
  return side.get(channel);
}

/** The positions of a sync by channel number. Throws FrameError for a key that is no channel. */
function positionsIn(values) {
  return new Map(Object.entries(values).map(([text, position]) => {
    if (!/^(0|[1-9]\d{0,4})$/.test(text)) throw new FrameError("bad-message", `'${text.slice(0, 20)}' is no channel`);
    return [Number(text), position];
  }));
}
