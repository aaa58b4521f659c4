// Bytes of one WebSocket message to one frame and back (docs/protocols/session.md, "Transport and frames").
//
// - A message is one type byte and a body, at most 16,384 bytes; integers are unsigned and big-endian.
// - Decoding is strict: whatever is not exactly one frame throws FrameError, and nothing else is ever thrown.
// - A u64 is a number while a number can hold it exactly, else a BigInt; the two compare with each other.

import { JsonError, readObject, writeObject } from "./strict_json.js";

export const SUBPROTOCOL = "staffetta.1";
export const MAX_MESSAGE = 16384;
export const DATA_HEADER = 19;
export const MAX_PAYLOAD = MAX_MESSAGE - DATA_HEADER;

export const CONTROL = 0x01;
export const PING = 0x02;
export const PONG = 0x03;
export const DATA = 0x10;
export const ACK = 0x11;

export const Close = Object.freeze({
  BAD_FRAME: 4400,
  NOT_PROVEN: 4401,
  REFUSED: 4403,
  UNKNOWN_SESSION: 4404,
  SILENT: 4408,
  FENCED: 4409,
  ENDED: 4410,
  MOVED: 4412,
  TOO_MUCH_HELD: 4413,
});

/** After one of these an end does not dial again: no other address would answer differently. */
export const FINAL_CODES = new Set([Close.NOT_PROVEN, Close.REFUSED, Close.UNKNOWN_SESSION, Close.ENDED]);

/** A message that breaks the protocol: its connection is closed with 4400. `problem` is the word of the rule. */
export class FrameError extends Error {
  constructor(problem, detail = "") {
    super(detail ? `${problem}: ${detail}` : problem);
    this.problem = problem;
  }
}

export const control = (kind, fields = {}) => ({ type: CONTROL, kind, fields });
export const ping = (token) => ({ type: PING, token });
export const pong = (token) => ({ type: PONG, token });
export const data = (channel, sequence, at, payload) => ({ type: DATA, channel, sequence, at, payload });
export const ack = (channel, next) => ({ type: ACK, channel, next });

/** The message for a frame. Throws FrameError when it would break the protocol. */
export function encode(frame) {
  let message;
  switch (frame.type) {
    case CONTROL: {
      const body = writeObject({ ...frame.fields, type: frame.kind });
      message = new Uint8Array(1 + body.length);
      message.set(body, 1);
      break;
    }
    case PING:
    case PONG:
      message = new Uint8Array(9);
      putU64(view(message), 1, frame.token);
      break;
    case DATA:
      if (!frame.payload.length) throw new FrameError("empty-frame", "DATA carries at least one byte");
      message = new Uint8Array(DATA_HEADER + frame.payload.length);
      putU16(view(message), 1, frame.channel);
      putU64(view(message), 3, frame.sequence);
      putU64(view(message), 11, frame.at);
      message.set(frame.payload, DATA_HEADER);
      break;
    case ACK:
      message = new Uint8Array(11);
      putU16(view(message), 1, frame.channel);
      putU64(view(message), 3, frame.next);
      break;
    default:
      throw new FrameError("unknown-frame-type", String(frame.type));
  }
  message[0] = frame.type;
  if (message.length > MAX_MESSAGE) {
    throw new FrameError("oversized-frame", `${message.length} bytes, at most ${MAX_MESSAGE}`);
  }
  return message;
}

/** The frame in a message (Uint8Array). Throws FrameError for bytes that are not exactly one frame. */
export function decode(message) {
  if (!message.length) throw new FrameError("empty-frame");
  if (message.length > MAX_MESSAGE) {
    throw new FrameError("oversized-frame", `${message.length} bytes, at most ${MAX_MESSAGE}`);
  }
  const at = view(message);
  switch (message[0]) {
    case DATA:
      if (message.length <= DATA_HEADER) throw new FrameError("truncated-frame", "DATA needs a header and a payload");
      return data(at.getUint16(1), u64(at, 3), u64(at, 11), message.slice(DATA_HEADER));
    case ACK:
      exactly(message, 11);
      return ack(at.getUint16(1), u64(at, 3));
    case PING:
      exactly(message, 9);
      return ping(u64(at, 1));
    case PONG:
      exactly(message, 9);
      return pong(u64(at, 1));
    case CONTROL:
      return readControl(message.subarray(1));
    default:
      throw new FrameError("unknown-frame-type", `0x${message[0].toString(16).padStart(2, "0")}`);
  }
}

/** The JSON object of a CONTROL frame, of a note on channel 0, or of a file's message. Throws FrameError. */
export function readControl(body) {
  let fields;
  try {
    fields = readObject(body);
  } catch (error) {
    if (error instanceof JsonError) throw new FrameError("bad-json", error.message);
    throw error;
  }
  if (typeof fields.type !== "string" || !fields.type) {
    throw new FrameError("bad-message", "the object has no text 'type'");
  }
  return control(fields.type, fields);
}

const view = (message) => new DataView(message.buffer, message.byteOffset, message.byteLength);

function exactly(message, size) {
  if (message.length < size) throw new FrameError("truncated-frame", `${message.length} bytes, needs ${size}`);
  if (message.length > size) throw new FrameError("trailing-bytes", `${message.length} bytes, needs ${size}`);
}

function u64(at, offset) {
  const value = at.getBigUint64(offset);
  return value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}

function putU64(at, offset, value) {
  const exact = typeof value === "bigint" ? value : Number.isSafeInteger(value) ? BigInt(value) : -1n;
  if (exact < 0n || exact >= 2n ** 64n) throw new FrameError("bad-message", `${value} is no u64`);
  at.setBigUint64(offset, exact);
}

function putU16(at, offset, value) {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff) throw new FrameError("bad-message", `${value} is no u16`);
  at.setUint16(offset, value);
}
