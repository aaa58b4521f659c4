// Opening a session: this console comes online at /client/connect with the rep's credential, asks, and leaves
// (docs/protocols/session.md, "/client/connect: presence").

import * as frames from "./frames.js";
import * as messages from "./messages.js";
import { toBase64url } from "./base64.js";
import { now, pause, within } from "./clock.js";
import { dial, LinkClosed, Route } from "./dialling.js";
import { NotProven, prove } from "./identity.js";
import { Reconnect } from "./liveness.js";

const PATH = "/client/connect";
const ANSWER_SECONDS = 20;
const WELCOME_SECONDS = 12;

/** The site does not grant it; `code` is its word. */
export class Refused extends Error {
  constructor(code, reason) {
    super(reason || code);
    this.code = code;
  }
}

/** A gateway that leaves, or serves nobody now: asked again. */
class Passing extends Error {}

/**
 * Open a session of this kind on a Jump Client: {session, ticket, recorded}. `about`: {site, origin, version};
 * `account`: {credential, privateKey}. A site that restarts or moves meanwhile is asked again. Throws Refused.
 */
export async function openSession(about, account, client, kind, options) {
  const route = new Route(about.site, about.origin);
  const reconnect = new Reconnect(now(), ANSWER_SECONDS);
  for (;;) {
    await pause(reconnect.delay(Math.random()));
    let link = null;
    try {
      link = await dial(about.site, route.next(), PATH);
      await hello(about, account, link, kind);
      return await ask(link, client, kind, options);
    } catch (error) {
      const passes = error instanceof LinkClosed || error instanceof Passing || error instanceof NotProven;
      route.failed();
      if (!passes || reconnect.givenUp(now()) !== null) throw error;
    } finally {
      link?.close(frames.Close.ENDED, "done");
    }
  }
}

async function hello(about, account, link, kind) {
  const { credential } = account;
  const proof = toBase64url(await prove(account.privateKey, "connect", link.nonce, link.certificate, credential));
  link.send(messages.encode("hello", {
    role: "console", credential, version: about.version, proof, capabilities: ["shell", "files", "resume"],
  }));
  const welcome = await answer(link, WELCOME_SECONDS, (message) => message.kind === "welcome");
  if (kind !== "shell" && !welcome.capabilities.includes(kind)) {
    throw new Refused("site-lacks-capability", `This site has no sessions of kind ${kind} yet.`);
  }
}

async function ask(link, client, kind, options) {
  link.send(messages.encode("open", { request: 1, client, kind, options }));
  return answer(link, ANSWER_SECONDS, (message) => message.kind === "opened" && message.request === 1);
}

/** The first message that is the wanted one. Throws what stands in its way. */
async function answer(link, seconds, wanted) {
  const enough = now() + seconds;
  let refusal = null;
  for (;;) {
    let message;
    try {
      message = await within(enough - now(), link.receive());
    } catch (error) {
      throw refusal ?? error;
    }
    if (message === undefined) throw new Passing("The site did not answer in time.");
    const frame = frames.decode(message);
    if (frame.type === frames.PING) link.send(frames.encode(frames.pong(frame.token)));
    if (frame.type !== frames.CONTROL) continue;
    const said = messages.parse(frame);
    if (wanted(said)) return said;
    if (said.kind === "move") throw new Passing("The site has moved.");
    if (said.kind === "refused") throw said.code === "elsewhere" ? new Passing(said.reason) : new Refused(said.code, said.reason);
    if (said.kind === "refuse") refusal = new Refused(said.code, said.reason);
  }
}
