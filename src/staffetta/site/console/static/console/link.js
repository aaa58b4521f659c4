// One end of a session on the network: carries out what end.js decides, over one connection after another.
//
// - A new connection is opened beside the old one when the site says `move`; after a loss at once, then with growing
//   pauses; at most one attempt is under way ("Rules of an end", 7 and 8).
// - While this end is sent elsewhere and does not get in, its far end getting in there cuts the pause short.
// - `freeze` stops it without a word: another page goes on from what `save` gave.

import * as frames from "./frames.js";
import * as messages from "./messages.js";
import { toBase64url } from "./base64.js";
import { now, onEveryPage, onThisPage, pause, within } from "./clock.js";
import { dial, LinkClosed, Route } from "./dialling.js";
import { NOTES, SessionEnd } from "./end.js";
import { LIMITS } from "./channel.js";
import { NotProven, prove } from "./identity.js";
import { Reconnect } from "./liveness.js";
import { writeObject } from "./strict_json.js";

const PATH = "/client/session";
const ATTACH_SECONDS = 4;
const SETTLED_SECONDS = 0.25; // a place held this long counts as a success: the next attempt comes at once
const TICK_SECONDS = 0.25;

export class SessionLink {
  /**
   * `about`: {site, origin, ticket, key, version}; `saved`: what `save()` gave on an earlier page. `told(event)` hears
   * of arrived, joined, flows, held, over.
   */
  constructor(about, told, saved = null) {
    this.about = about;
    this.told = told;
    this.ticket = saved?.ticket ?? about.ticket;
    this.end = new SessionEnd(LIMITS, saved?.end ?? null);
    this.timeBefore = saved?.time ?? 0; // microseconds since the session was joined, up to this page
    this.began = now();
    this.route = new Route(about.site, about.origin);
    this.reconnect = new Reconnect(now());
    this.links = new Map();
    this.joining = null;
    this.moving = false;
    this.heldSince = now();
    this.settled = this.heard = now();
    const awaySince = saved?.awaySince ?? null;
    this.awaySince = awaySince === null ? null : onThisPage(awaySince); // of this end, on whatever page
    this.closeCode = null;
    this.recorded = false;
    this.stopped = new AbortController();
    this.hurry = new AbortController();
    this.dialWanted = () => {};
    this.roomWanted = [];
  }

  /** Hold a place in the session until it is over or frozen. */
  async run() {
    this.#tick();
    window.addEventListener("online", () => this.#hurryUp(), { signal: this.stopped.signal });
    while (!this.#done) {
      if (this.moving || this.end.current === null) {
        if (!(await this.#attempt()) && !this.#done && this.end.current === null) {
          const why = this.reconnect.givenUp(now());
          if (why !== null) this.#over(why);
        }
      } else {
        await new Promise((resolve) => { this.dialWanted = resolve; });
      }
    }
  }

  get #done() {
    return this.end.over !== null || this.stopped.signal.aborted;
  }

  // -- the application's side

  /** Send bytes; the caller has looked at `writable`. */
  send(channel, payload) {
    this.end.send(channel, payload, this.#at());
    this.#carryOut();
  }

  /** Send a note of channel 0. False when there is no room, which the part reserved for it makes rare. */
  sendNote(kind, fields) {
    const body = writeObject({ ...fields, type: kind });
    if (body.length > this.end.room(NOTES)) return false;
    this.send(NOTES, body);
    return true;
  }

  consumed(arrived) {
    this.end.consumed(arrived);
    this.#carryOut();
  }

  /** Wait until a whole frame may be sent; false when the session is over or frozen. */
  async writable() {
    while (!this.#done && !this.end.writable) await new Promise((resolve) => this.roomWanted.push(resolve));
    return !this.#done;
  }

  /** End the session for both ends. */
  finish(reason) {
    if (this.end.over !== null) return;
    this.end.end(reason);
    this.#carryOut();
    this.#ended();
  }

  /** Stop without a word to anybody, so that another page can go on. */
  freeze() {
    this.#stop();
    for (const link of this.links.values()) link.close(frames.Close.MOVED, "moved");
  }

  /** What the session needs to go on in another page. */
  save() {
    const away = this.end.current === null ? this.awaySince : now();
    return {
      ticket: this.ticket, end: this.end.save(), time: this.#at(), awaySince: away === null ? null : onEveryPage(away),
    };
  }

  #at() {
    return this.timeBefore + Math.floor((now() - this.began) * 1e6);
  }

  // -- the network's side

  /** Try once to get a place; whether it is ours. */
  async #attempt() {
    this.hurry = new AbortController();
    await pause(this.reconnect.delay(Math.random()), AbortSignal.any([this.hurry.signal, this.stopped.signal]));
    if (this.#done) return false;
    let link;
    try {
      link = await dial(this.about.site, this.route.next(), PATH);
    } catch (error) {
      if (!(error instanceof LinkClosed || error instanceof NotProven)) throw error;
      this.route.failed();
      this.told({ event: "attempt", why: error.message });
      return false;
    }
    if (this.#done) {
      link.close(frames.Close.MOVED);
      return false;
    }
    const { ticket } = this;
    const counter = this.end.dial();
    const proof = await prove(this.about.key, "attach", link.nonce, link.certificate, ticket, counter);
    if (this.#done) { // frozen meanwhile: another page goes on
      link.close(frames.Close.MOVED);
      return false;
    }
    const joined = new Promise((resolve) => { this.joining = { counter, resolve }; });
    this.links.set(counter, link);
    link.send(messages.encode("attach", {
      ticket, counter, proof: toBase64url(proof), version: this.about.version, capabilities: ["shell", "files", "resume"],
      away_ms: this.#away(),
    }));
    this.#read(counter, link);
    const ours = await within(ATTACH_SECONDS, joined);
    this.joining = null;
    if (ours === undefined) link.close(frames.Close.SILENT, "no answer to attach");
    if (!ours) this.route.failed();
    return ours === true;
  }

  async #read(counter, link) {
    let code = null, why = "";
    try {
      for (;;) {
        const message = await link.receive();
        if (this.stopped.signal.aborted) return;
        if (counter === this.end.current) this.heard = now();
        await this.#meet(this.end.receive(counter, message, now()));
        this.#carryOut();
      }
    } catch (error) {
      why = error.message;
      if (error instanceof frames.FrameError) link.close(frames.Close.BAD_FRAME, error.message);
      else if (error instanceof LinkClosed) code = error.code;
      else throw error;
    } finally {
      this.#linkEnded(counter, link, code, why);
    }
  }

  /** A connection is over: an attempt has failed, an old place was left, or the place is lost. */
  #linkEnded(counter, link, code, why) {
    link.close(frames.Close.MOVED);
    this.links.delete(counter);
    const attempting = this.joining !== null;
    if (this.joining?.counter === counter) this.joining.resolve(false);
    const held = this.end.current === counter;
    this.end.lost(counter);
    if (held) this.awaySince = now();
    if (this.#done) return;
    if (held && !(attempting && [frames.Close.FENCED, frames.Close.MOVED].includes(code))) this.#placeLost(why);
    if (frames.FINAL_CODES.has(code) && this.end.current === null) {
      this.closeCode = code;
      this.#over(why || `the site answered ${code}`);
    }
  }

  #placeLost(why) {
    this.#settle();
    this.#held(why);
    this.dialWanted();
  }

  /** How many milliseconds this end has had no connection: 0 while it holds one, null before its first. */
  #away() {
    if (this.end.current !== null) return 0;
    return this.awaySince === null ? null : Math.max(1, Math.round((now() - this.awaySince) * 1000));
  }

  /** The newest place was left; if it was held for a while, the next attempt comes at once. */
  #settle() {
    if (now() - this.settled >= SETTLED_SECONDS) this.reconnect.succeeded(now());
    this.settled = now();
  }

  #hurryUp() {
    this.reconnect.succeeded(now());
    this.hurry.abort();
  }

  #held(why = "") {
    this.heldSince ??= now();
    this.told({ event: "held", why });
  }

  async #tick() {
    while (!this.#done) {
      await pause(TICK_SECONDS, this.stopped.signal);
      if (this.#done) return;
      for (const { event, connection } of this.end.tick(now())) {
        if (event !== "lost") continue;
        this.awaySince = this.heard;
        this.#placeLost(`nothing heard on connection ${connection} for two seconds`);
      }
      this.#carryOut();
    }
  }

  async #meet(events) {
    for (const event of events) {
      switch (event.event) {
        case "arrived":
          this.told(event);
          break;
        case "joined":
          this.#settle();
          this.heard = now();
          this.moving = false;
          this.route.succeeded();
          this.recorded = event.attached.recorded;
          this.joining?.resolve(true);
          this.told(event);
          break;
        case "peer":
          if (this.moving && !event.present) this.#hurryUp();
          this.#held(event.present ? "" : "the remote computer is away");
          break;
        case "resumed":
          this.heldSince = null;
          this.told({ event: "flows", replayed: event.replayed });
          break;
        case "ticket":
          this.ticket = event.ticket;
          break;
        case "statement":
          await this.#learn(event.statement);
          break;
        case "move":
          if (await this.#follows(event.move)) {
            this.#settle();
            this.moving = true;
            this.dialWanted();
          }
          break;
        case "pointed": // an appliance that serves nobody has answered: the next attempt comes after a while
          if (await this.#follows(event.move)) this.reconnect.pointed();
          break;
        case "over":
          this.#over(event.reason);
          break;
      }
    }
  }

  /** Whether a `move` counts: not one of an older term than known, nor one that another site signed. */
  async #follows(move) {
    return (await this.#learn(move.statement)) && move.term >= this.about.site.term;
  }

  async #learn(statement) {
    try {
      await this.about.site.adopt(statement);
      return true;
    } catch (error) {
      if (!(error instanceof NotProven)) throw error;
      console.warn(error.message);
      return false;
    }
  }

  #carryOut() {
    for (const output of this.end.take()) {
      const link = this.links.get(output.connection);
      if (output.do === "send") link?.send(output.message);
      else link?.close(output.code, output.reason);
    }
    if (this.end.writable) for (const wake of this.roomWanted.splice(0)) wake();
  }

  #over(reason) {
    this.end.over ??= reason;
    this.#ended();
  }

  #ended() {
    if (this.stopped.signal.aborted) return;
    this.#stop();
    for (const link of this.links.values()) link.close(frames.Close.ENDED, "ended");
    this.told({ event: "over", reason: this.end.over, code: this.closeCode });
  }

  #stop() {
    this.stopped.abort();
    this.dialWanted();
    for (const wake of this.roomWanted.splice(0)) wake();
  }
}
