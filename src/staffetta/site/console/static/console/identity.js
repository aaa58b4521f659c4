// Who is who (docs/protocols/session.md, "Who is who"): this console's own key and what it proves, the site's statement.
//
// The key is made by the browser and cannot be taken out of it; Ed25519 is WebCrypto's.

import { fromBase64url } from "./base64.js";
import { readObject } from "./strict_json.js";

const ED25519 = { name: "Ed25519" };
const OTHER_SECONDS = 900; // how much older the other appliance's statement may be
const utf8 = new TextEncoder();

export class NotProven extends Error {}

/** A key of this browser, of which only the public half can leave it. */
export async function makeKey() {
  const pair = await crypto.subtle.generateKey(ED25519, false, ["sign", "verify"]);
  return { privateKey: pair.privateKey, publicKey: new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey)) };
}

/** Proof of a key for exactly these values: purpose, the gateway's nonce, its certificate's SHA-256, subject, counter. */
export async function prove(privateKey, purpose, nonce, certificate, subject, counter = 0) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", utf8.encode(subject)));
  const number = new Uint8Array(8);
  new DataView(number.buffer).setBigUint64(0, BigInt(counter));
  const parts = [utf8.encode(`staffetta proof v1\0${purpose}\0`), nonce, certificate, digest, number];
  const text = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let end = 0;
  for (const part of parts) {
    text.set(part, end);
    end += part.length;
  }
  return new Uint8Array(await crypto.subtle.sign(ED25519, privateKey, text));
}

/** The claims of a token, unverified: only for what is shown. */
export function claimsOf(token) {
  return readObject(fromBase64url(token.split(".")[1]));
}

/** What the site says of itself, and which certificates it answers with. */
export class Site {
  constructor(key, addresses) {
    this.key = key; // 32 bytes, from the page
    this.first = addresses;
    this.newest = null;
    this.ofAppliance = new Map();
  }

  get term() {
    return this.newest?.term ?? 0;
  }

  /** Every address the site is known by, as host:port. */
  get addresses() {
    return [...new Set([...(this.newest?.addresses ?? []), ...this.first])];
  }

  /** Take a statement if it is newer than the one held. Throws NotProven if it is not this site's. */
  async adopt(token) {
    const statement = await this.#verified(token);
    if (this.newest && statement.site !== this.newest.site) throw new NotProven("The statement is of another site.");
    const same = this.ofAppliance.get(statement.appliance);
    if (!same || newer(statement, same)) this.ofAppliance.set(statement.appliance, statement);
    if (!this.newest || newer(statement, this.newest)) this.newest = statement;
  }

  /** Whether a newest statement names this leaf certificate (SHA-256, base64url). */
  names(certificate) {
    const { newest } = this;
    const believed = [...this.ofAppliance.values()].filter((one) => one === newest || (
      one.appliance !== "" && one.appliance !== newest.appliance && one.term === newest.term &&
      one.issued >= newest.issued - OTHER_SECONDS
    ));
    return [newest, ...believed].some((one) => one?.certificates.includes(certificate));
  }

  async #verified(token) {
    const [header, body, signature, ...rest] = token.split(".");
    let said, claims, good;
    try {
      said = readObject(fromBase64url(header));
      claims = readObject(fromBase64url(body));
      const key = await crypto.subtle.importKey("raw", this.key, ED25519, false, ["verify"]);
      good = !rest.length && await crypto.subtle.verify(
        ED25519, key, fromBase64url(signature), utf8.encode(`${header}.${body}`));
    } catch {
      good = false;
    }
    if (!good || said.alg !== "EdDSA" || said.typ !== "statement+jwt" || !Array.isArray(claims.certificates)) {
      throw new NotProven("The other end is not this site: its statement is not signed by the site's identity key.");
    }
    return { appliance: "", ...claims };
  }
}

const newer = (one, other) => one.term > other.term || (one.term === other.term && one.sequence > other.sequence);
