// Moving one file over one lane, at the console's end: what files.js decides, with a file of this computer.
//
// The note of how it ended goes over channel 0 just before the last word, so that it arrives before that; the site keeps
// it in the session's story (docs/protocols/session.md, "Channels of kind files").

import { toBase64url } from "./base64.js";
import { PIECE, Receiver, Sender } from "./files.js";
import { LaneOver } from "./lane.js";

const READ_AT_ONCE = 16 * PIECE;

/** It did not come to its end: `code` is the word of it, `message` the far side's or our sentence. */
export class FileProblem extends Error {
  constructor(code, message, answer = null) {
    super(message || code);
    this.code = code;
    this.answer = answer;
  }
}

/** One transfer. `moved`, `size`, `state` (choosing, waiting, moving, checking, stored, failed) and `sha256` are for who shows it. */
export class Transfer {
  constructor(direction, name, path) {
    this.direction = direction;
    this.name = name;
    this.path = path;
    this.size = null;
    this.state = "waiting";
    this.trouble = null;
    this.sha256 = null;
    this.lane = null;
    this.side = direction === "send" ? new Sender() : new Receiver();
  }

  /** How many bytes are where they go. */
  get moved() {
    if (this.state === "stored") return this.size;
    return Math.max(0, this.side.count - (this.direction === "send" ? this.lane?.unconsumed ?? 0 : 0));
  }

  /** Move it over a lane; never throws: `state` and `trouble` say how it ended. */
  async run(lane, work) {
    this.lane = lane;
    this.state = "moving";
    try {
      await work(this);
      this.state = "stored";
    } catch (error) {
      if (this.state !== "failed") this.fail(error);
    } finally {
      lane.close();
    }
  }

  /** Give it up, in words that reach the far side. */
  cancel() {
    if (["stored", "failed"].includes(this.state)) return;
    if (this.lane === null) this.state = "failed";
    else this.fail(new FileProblem("cancelled", ""));
    this.trouble = new FileProblem("cancelled", "");
    this.lane?.close();
  }

  fail(error) {
    this.state = "failed";
    this.trouble = error;
    if (error instanceof LaneOver) return;
    const { code, message, answer } = error instanceof FileProblem ? error : new FileProblem("failed", String(error.message));
    this.tell(code);
    const last = answer ?? (this.side.over ? null : this.side.refuse(code, message));
    if (last) this.lane.sayLast(last);
    if (!(error instanceof FileProblem)) console.warn(error);
  }

  /** The note of how it ended. */
  tell(outcome) {
    this.lane.link.sendNote("transferred", {
      channel: this.lane.channel, direction: this.direction, name: this.name, outcome: outcome.slice(0, 64),
      path: this.path, size: this.size, sha256: this.sha256 && toBase64url(this.sha256),
    });
  }

  /** The far side's next message of this kind. Throws FileProblem if it refuses or breaks the protocol. */
  async heard(...wanted) {
    for (;;) {
      const message = this.side.receive(await this.lane.next());
      if (message === null) continue;
      if (message.say === "refused") throw new FileProblem(message.code, message.reason);
      if (message.say === "broken") throw new FileProblem(message.code, message.reason, message.answer);
      if (wanted.includes(message.say)) return message;
    }
  }
}

/** Send a File; returns when the far end has stored it. */
export async function send(transfer, file, overwrite) {
  const { lane, side } = transfer;
  transfer.size = file.size;
  await lane.say(side.offer({ name: transfer.name, size: file.size, path: transfer.path, overwrite }));
  await transfer.heard("ready");
  // The receiver may refuse while pieces are on their way: its last word is listened for beside them.
  const stored = transfer.heard("stored");
  let refused = false;
  stored.catch(() => { refused = true; });
  for (let place = 0; place < file.size && !refused;) {
    const block = await blockOf(file, place);
    place += block.length;
    for (let start = 0; start < block.length && !refused && !side.over; start += PIECE) {
      await lane.say(side.piece(block.subarray(start, start + PIECE)));
    }
  }
  if (!refused && !side.over) {
    await lane.say(side.end());
    transfer.state = "checking";
  }
  const said = await stored;
  transfer.path = said.path || transfer.path;
  transfer.sha256 = said.sha256;
  transfer.tell("stored");
}

async function blockOf(file, place) {
  try {
    const block = new Uint8Array(await file.slice(place, place + READ_AT_ONCE).arrayBuffer());
    if (block.length) return block;
  } catch (error) {
    throw new FileProblem("file-changed", error.message);
  }
  throw new FileProblem("file-changed", "the file became shorter");
}

/** Fetch a file into a `landing` {write(bytes), keep(name), discard()}. */
export async function fetchFile(transfer, landing) {
  const { lane, side } = transfer;
  try {
    await lane.say(side.ask(transfer.path));
    const offer = await transfer.heard("offer");
    transfer.size = offer.size;
    transfer.path = offer.path || transfer.path;
    await lane.say(side.ready());
    let message;
    while ((message = await transfer.heard("piece", "end")).say === "piece") await landing.write(message.data);
    transfer.state = "checking";
    transfer.sha256 = side.sha256;
    await landing.keep(offer.name);
    transfer.tell("stored");
    await lane.say(side.stored(transfer.path));
  } catch (error) {
    await landing.discard();
    throw error;
  }
}
