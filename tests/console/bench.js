// What the tests of the console's modules call in a page: ends by number, and the codec, a batch of calls at a time.

import { SessionEnd } from "/static/console/end.js";
import * as frames from "/static/console/frames.js";
import { Unfinished } from "/static/console/unfinished.js";
import { Receiver, Sender } from "/static/console/files.js";

const bytesOf = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
const textOf = (bytes) => btoa(Array.from(bytes, (one) => String.fromCharCode(one)).join(""));

let end, arrived;

const CALLS = {
  begin(limits) {
    end = new SessionEnd(limits);
    arrived = [];
  },
  // The page is left and loaded again: everything that is kept goes through JSON, as it does in sessionStorage.
  reload() {
    const packed = JSON.stringify(end.save(), (_, value) => (value instanceof Uint8Array ? { b: textOf(value) } : value));
    end = new SessionEnd(end.limits, JSON.parse(packed, (_, value) => (value?.b ? bytesOf(value.b) : value)));
    arrived = [];
  },
  dial: () => end.dial(),
  lost: (connection) => end.lost(connection),
  send: (channel, payload, at) => end.send(channel, bytesOf(payload), at),
  consumed: () => end.consumed(arrived.shift()),
  tick: (now) => end.tick(now),
  receive(connection, message, now) {
    const events = end.receive(connection, bytesOf(message), now);
    arrived.push(...events.filter((one) => one.event === "arrived"));
    return events.map((one) => (one.payload ? { ...one, payload: textOf(one.payload) } : one));
  },
};

/** Carry out calls [name, …arguments] in order: what each gave, what the end wants done now, and how it stands. */
window.carryOut = (calls) => {
  const results = calls.map(([name, ...values]) => CALLS[name](...values) ?? null);
  const outputs = end.take().map((one) => (one.message ? { ...one, message: textOf(one.message) } : one));
  const taken = Object.fromEntries([...end.incoming].map(([channel, incoming]) => [channel, incoming.taken]));
  return { results, outputs, rooms: [0, 1, 2].map((channel) => end.room(channel)), held: end.held.bytes, taken };
};

/** For each message: what it says, once more encoded, or the word of what is wrong with it. */
window.roundTrip = (messages) => messages.map((text) => {
  try {
    return { bytes: textOf(frames.encode(frames.decode(bytesOf(text)))) };
  } catch (error) {
    if (!(error instanceof frames.FrameError)) throw error;
    return { problem: error.problem };
  }
});

/** What is unfinished after each of these pieces of one stream. */
window.unfinished = (pieces) => {
  const tail = new Unfinished();
  return pieces.map((piece) => {
    tail.feed(bytesOf(piece));
    return textOf(tail.bytes);
  });
};

const sides = {};
/** Call a method of the sender or receiver; a payload comes back as text. */
window.side = (name, method, ...values) => {
  if (method === "new") {
    sides[name] = name === "sender" ? new Sender() : new Receiver();
    return null;
  }
  const given = values.map((value) => (value?.b === undefined ? value : bytesOf(value.b)));
  const answer = sides[name][method](...given);
  if (answer instanceof Uint8Array) return textOf(answer);
  return answer && JSON.parse(JSON.stringify(answer, (_, value) => (value instanceof Uint8Array ? textOf(value) : value)));
};
window.ready = true;
