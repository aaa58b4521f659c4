// One file over one channel, sans-IO: messages, states, the hash at the end. The second implementation of
// docs/protocols/session.md, "Channels of kind files"; src/staffetta/wire/files.py is the first.
//
// - A message is one DATA payload: 0x01 and a strict JSON object, or 0x02 and a piece of the file.
// - The receiver counts and hashes: a piece too many, an end too early or another hash ends the transfer.
// - What cannot be understood ends this transfer (bad-message); after its last word an end takes no notice of more.

import { sha256 } from "/static/ui/vendor/noble-hashes/sha2.js";
import { toBase64url } from "./base64.js";
import * as frames from "./frames.js";
import { field, readFields } from "./messages.js";
import { writeObject } from "./strict_json.js";

export const PIECE = frames.MAX_PAYLOAD - 1;
export const MOST_PATH = 1024;
const OBJECT = 0x01;
const DATA = 0x02;

const size = (value) => (Number.isSafeInteger(value) && value >= 0 ? value : undefined);
const path = field.text(MOST_PATH, 0);
const SPOKEN = {
  ask: { path: [field.text(MOST_PATH)] },
  offer: { name: [field.text(256)], size: [size], path: [path, ""], overwrite: [field.flag, false] },
  ready: {},
  end: { sha256: [field.bytes(32)] },
  stored: { path: [path], sha256: [field.bytes(32)] },
  refused: { code: [field.text(256)], reason: [field.text(1024, 0), ""] },
};

/** The message in a DATA payload: {say, …}. Throws FrameError for what is none. */
export function read(payload) {
  switch (payload[0]) {
    case DATA:
      if (payload.length < 2) throw new frames.FrameError("empty-frame", "a piece has at least one byte");
      return { say: "piece", data: payload.subarray(1) };
    case OBJECT: {
      const { kind, fields } = frames.readControl(payload.subarray(1));
      return Object.hasOwn(SPOKEN, kind) ? { say: kind, ...readFields(SPOKEN[kind], fields) } : { say: "unknown" };
    }
    default:
      throw new frames.FrameError(payload.length ? "unknown-frame-type" : "empty-frame");
  }
}

/** The DATA payload of a message. */
export function write(say, fields = {}) {
  const plain = Object.fromEntries(Object.entries(fields).map(
    ([name, value]) => [name, value instanceof Uint8Array ? toBase64url(value) : value]));
  const body = writeObject({ ...plain, type: say });
  if (body.length >= frames.MAX_PAYLOAD) throw new frames.FrameError("oversized-frame", `${body.length} bytes`);
  return withFirst(OBJECT, body);
}

function withFirst(first, body) {
  const payload = new Uint8Array(1 + body.length);
  payload[0] = first;
  payload.set(body, 1);
  return payload;
}

/** Both ends go through it; each says only the steps that are its own. */
const TRANSFER = {
  begun: { ask: "asked", offer: "offered" },
  asked: { offer: "offered" },
  offered: { ready: "flowing" },
  flowing: { piece: "flowing", end: "ended" },
  ended: { stored: "stored" },
};
const FINALS = new Set(["stored", "refused"]);
const SENDERS = new Set(["offer", "piece", "end", "refused"]);
const RECEIVERS = new Set(["ask", "ready", "stored", "refused"]);

function after(state, step) {
  return step === "refused" && !FINALS.has(state) ? "refused" : TRANSFER[state]?.[step];
}

/** What both sides share: the state, the count, the hash, the far side's messages checked. */
class Side {
  state = "begun";
  size = null;
  count = 0;
  hash = sha256.create();

  get over() {
    return FINALS.has(this.state);
  }

  /** The SHA-256 of the pieces so far. */
  get sha256() {
    return this.hash.clone().digest();
  }

  /** End the transfer; returns the message that says so, which is the last. */
  refuse(code, reason = "") {
    this.advance("refused");
    return write("refused", { code, reason: [...reason].slice(0, 1024).join("") });
  }

  /** What the far side says; null if it means nothing. {say: "broken", code, reason, answer} is the end: send `answer`. */
  receive(payload) {
    if (this.over) return null;
    let message;
    try {
      message = read(payload);
    } catch (error) {
      if (!(error instanceof frames.FrameError)) throw error;
      return this.broken("bad-message", error.message);
    }
    if (message.say === "unknown") return null;
    const state = this.theirs.has(message.say) ? after(this.state, message.say) : undefined;
    if (state === undefined) return this.broken("bad-message", `'${message.say}' is not to be said now`);
    const trouble = this.trouble(message);
    if (trouble) return this.broken(...trouble);
    this.state = state;
    return message;
  }

  broken(code, reason) {
    return { say: "broken", code, reason, answer: this.refuse(code, reason) };
  }

  advance(step) {
    const state = after(this.state, step);
    if (state === undefined) throw new RangeError(`${step} cannot be said when the transfer is ${this.state}`);
    this.state = state;
  }

  add(data) {
    this.hash.update(data);
    this.count += data.length;
  }
}

/** The side that has the file. Every method gives the payload to send. */
export class Sender extends Side {
  theirs = RECEIVERS;

  offer(offer) {
    this.advance("offer");
    this.size = offer.size;
    return write("offer", offer);
  }

  piece(data) {
    if (this.count + data.length > this.size) throw new RangeError("more than was offered");
    this.advance("piece");
    this.add(data);
    return withFirst(DATA, data);
  }

  end() {
    if (this.count !== this.size) throw new RangeError("less than was offered");
    this.advance("end");
    return write("end", { sha256: this.sha256 });
  }

  trouble(message) {
    if (message.say === "stored" && !same(message.sha256, this.sha256)) {
      return ["hash-differs", "What was stored has another SHA-256 than what was sent."];
    }
    return null;
  }
}

/** The side that stores the file. Every method gives the payload to send. */
export class Receiver extends Side {
  theirs = SENDERS;

  ask(wanted) {
    this.advance("ask");
    return write("ask", { path: wanted });
  }

  ready() {
    this.advance("ready");
    return write("ready");
  }

  stored(where) {
    this.advance("stored");
    return write("stored", { path: where, sha256: this.sha256 });
  }

  trouble(message) {
    if (message.say === "offer") this.size = message.size;
    if (message.say === "piece") {
      if (this.count + message.data.length > this.size) {
        return ["size-differs", `More than the ${this.size} bytes that were offered arrived.`];
      }
      this.add(message.data);
    }
    if (message.say === "end") {
      if (this.count !== this.size) return ["size-differs", `${this.count} bytes arrived, ${this.size} were offered.`];
      if (!same(message.sha256, this.sha256)) return ["hash-differs", "What arrived has another SHA-256 than what was sent."];
    }
    return null;
  }
}

const same = (one, other) => one.length === other.length && one.every((byte, index) => byte === other[index]);
