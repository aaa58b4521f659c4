// One WebSocket to the site, past its challenge; and which address to dial next.
//
// - The page's own origin comes first, and always: the browser has verified its certificate, and an appliance's own
//   address has a certificate of another name as a rule. After a move or a change of the primary the browser goes on
//   dialling its origin until the new primary answers there; other addresses are tried in between once that has failed
//   some times.
// - A browser cannot see its peer's certificate. The gateway names it in `challenge`, and the statement that the site's
//   identity key signed must name it too (docs/protocols/session.md, "Who is who").

import * as frames from "./frames.js";
import * as messages from "./messages.js";
import { toBase64url } from "./base64.js";
import { within } from "./clock.js";
import { NotProven } from "./identity.js";

const DIAL_SECONDS = 4;
const ORIGIN_ALONE = 3;

/** Where one place in the site goes: whose turn it is to be dialled. */
export class Route {
  constructor(site, origin) {
    this.site = site;
    this.origin = origin; // host:port as the page was reached
    this.failures = 0;
  }

  /** The next address to dial. */
  next() {
    const others = this.site.addresses.filter((address) => withPort(address) !== withPort(this.origin));
    const turn = this.failures - ORIGIN_ALONE;
    return turn >= 0 && turn % 2 === 1 && others.length ? others[Math.floor(turn / 2) % others.length] : this.origin;
  }

  failed() {
    this.failures += 1;
  }

  succeeded() {
    this.failures = 0;
  }
}

const withPort = (address) => (/:\d+$/.test(address) ? address.toLowerCase() : `${address.toLowerCase()}:443`);

/** A connection that was closed: `code` is the WebSocket close code, if one came. */
export class LinkClosed extends Error {
  constructor(code, reason) {
    super(reason || (code ? `closed with ${code}` : "the connection broke"));
    this.code = code;
  }
}

/** A WebSocket whose challenge was read and believed. Messages wait until `receive` asks for them. */
export class Link {
  constructor(socket, address) {
    this.address = address;
    this.socket = socket;
    this.nonce = this.certificate = null;
    this.#queue = [];
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") this.close(frames.Close.BAD_FRAME, "not-a-binary-message");
      else this.#put(new Uint8Array(data));
    };
    socket.onclose = ({ code, reason }) => this.#put(new LinkClosed(code >= 4000 ? code : null, reason));
  }

  #queue;
  #wake = null;

  #put(item) {
    this.#queue.push(item);
    this.#wake?.();
  }

  /** The next message (Uint8Array). Throws LinkClosed when there are no more. */
  async receive() {
    while (!this.#queue.length) {
      await new Promise((resolve) => { this.#wake = resolve; });
      this.#wake = null;
    }
    const item = this.#queue[0] instanceof LinkClosed ? this.#queue[0] : this.#queue.shift();
    if (item instanceof LinkClosed) throw item;
    return item;
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(message);
  }

  close(code, reason = "") {
    if (this.socket.readyState < WebSocket.CLOSING) this.socket.close(code, reason.slice(0, 100));
  }
}

/** A link to the gateway at an address: challenge read, statement verified. Throws LinkClosed or NotProven. */
export async function dial(site, address, path) {
  const link = new Link(new WebSocket(`wss://${address}${path}`, frames.SUBPROTOCOL), address);
  try {
    const first = await within(DIAL_SECONDS, link.receive());
    if (first === undefined) throw new LinkClosed(null, "no answer in time");
    const frame = frames.decode(first);
    const challenge = frame.type === frames.CONTROL ? messages.parse(frame) : null;
    if (challenge?.kind !== "challenge") throw new NotProven("The site sent something else than a challenge.");
    if (challenge.certificate === null) throw new NotProven("This site is too old for a console in the browser.");
    await site.adopt(challenge.statement);
    if (!site.names(toBase64url(challenge.certificate))) {
      throw new NotProven("The certificate is not one that the site has signed for.");
    }
    link.nonce = challenge.nonce;
    link.certificate = challenge.certificate;
    return link;
  } catch (error) {
    link.close(frames.Close.NOT_PROVEN);
    if (error instanceof frames.FrameError) throw new NotProven(error.message);
    throw error;
  }
}
