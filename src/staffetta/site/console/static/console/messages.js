// The CONTROL messages that a console's end hears and says, checked at the door (docs/protocols/session.md).
//
// Unknown types come back as {kind: "unknown"}; unknown fields are dropped; a field that is missing or of a wrong type
// makes the frame a bad one (FrameError).

import * as frames from "./frames.js";
import { fromBase64url } from "./base64.js";

const text = (most, least = 1) => (value) =>
  typeof value === "string" && lengthOf(value) >= least && lengthOf(value) <= most ? value : undefined;
const id = text(128);
const name = text(256);
const sentence = text(1024, 0);
const token = text(12288);
const flag = (value) => (typeof value === "boolean" ? value : undefined);
const count = (value) => (Number.isInteger(value) && value >= 0 && value < 2 ** 64 ? value : undefined);
const bytes = (size) => (value) => {
  if (typeof value !== "string") return undefined;
  try {
    const read = fromBase64url(value);
    return read.length === size ? read : undefined;
  } catch {
    return undefined;
  }
};
const list = (item, most) => (value) => {
  if (!Array.isArray(value) || value.length > most) return undefined;
  const read = value.map(item);
  return read.includes(undefined) ? undefined : read;
};
const positions = (value) => {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return undefined;
  const entries = Object.entries(value);
  return entries.length <= 256 && entries.every(([, position]) => count(position) !== undefined) ? value : undefined;
};
const orNull = (reader) => (value) => (value === null ? null : reader(value));
const capabilities = list(text(64), 64);

/** Per type its fields: [reader] must be there, [reader, default] may be missing. */
const HEARD = {
  challenge: { nonce: [bytes(32)], statement: [token], certificate: [orNull(bytes(32)), null] },
  welcome: {
    generation: [id], site_version: [name], term: [count], statement: [token],
    ping_seconds: [(value) => (count(value) >= 1 && value <= 3600 ? value : undefined), 20],
    capabilities: [capabilities, []],
  },
  refuse: { code: [name], reason: [sentence, ""] },
  opened: { request: [count], session: [id], ticket: [token], recorded: [flag, false] },
  refused: { request: [count], code: [name], reason: [sentence, ""] },
  move: { term: [count], statement: [token], reason: [sentence, ""], addresses: [orNull(list(text(300, 3), 32)), null] },
  attached: {
    session: [id], generation: [id], site_version: [name], ticket: [token], term: [count], peer: [flag],
    recorded: [flag, false],
  },
  peer: { present: [flag], counter: [count, 0] },
  ticket: { ticket: [token] },
  statement: { statement: [token] },
  sync: { expect: [positions], consumed: [positions] },
  end: { reason: [sentence, ""] },
  ended: { reason: [sentence, ""] },
};

/** The message in a CONTROL frame, with its `kind`. Throws FrameError for a known one whose fields do not fit. */
export function parse(frame) {
  const fields = Object.hasOwn(HEARD, frame.kind) ? HEARD[frame.kind] : null;
  return fields === null ? { kind: "unknown" } : { kind: frame.kind, ...readFields(fields, frame.fields) };
}

/** The values of these fields in an object. Throws FrameError. */
export function readFields(fields, values) {
  const read = {};
  for (const [field, [reader, ...otherwise]] of Object.entries(fields)) {
    if (Object.hasOwn(values, field)) read[field] = reader(values[field]);
    else if (otherwise.length) [read[field]] = otherwise;
    if (read[field] === undefined) throw new frames.FrameError("bad-message", `'${field}' is missing or does not fit`);
  }
  return read;
}

/** The WebSocket message that says it. */
export function encode(kind, fields = {}) {
  return frames.encode(frames.control(kind, fields));
}

export const field = { text, flag, count, bytes, orNull };

/** Characters as the protocol counts them: code points, not UTF-16 units. */
function lengthOf(value) {
  let points = 0;
  for (const _ of value) points += 1;
  return points;
}
