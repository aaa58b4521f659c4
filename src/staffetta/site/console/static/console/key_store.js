// This browser's console key of one rep, and its credential: kept in IndexedDB, where a key stays one that cannot be
// taken out. A reload finds them again; signing out removes them.

import { toBase64url } from "./base64.js";
import { claimsOf, makeKey } from "./identity.js";

const DATABASE = "staffetta-console";
const STORE = "keys";
const RENEW_SECONDS = 600;

/** Signing out here is told to every page of the site in this browser. */
export const signedOut = new BroadcastChannel("staffetta-signed-out");

/** The rep's key and a credential for it, asked for at `url` if there is none that is still good.
 * One by a release before hangs on no web session: by that the site takes this browser for a terminal. */
export async function credentialFor(rep, url, csrf) {
  const known = await keyOf(rep);
  const good = known?.credential && known.until > Date.now() / 1000 + RENEW_SECONDS;
  if (good && claimsOf(known.credential).web) return known;
  const key = known ?? { rep, ...(await makeKey()) };
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": csrf, Accept: "application/json" },
    body: JSON.stringify({ public_key: toBase64url(key.publicKey) }),
  });
  if (!answer.ok) throw new CredentialRefused(answer.status, await wordsOf(answer));
  const { credential, expires } = await answer.json();
  const kept = { ...key, credential, until: expires };
  await transact("readwrite", (store) => store.put(kept));
  return kept;
}

/** The site gives no credential: not signed in any more, not allowed, or not the primary. */
export class CredentialRefused extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }
}

/** The rep's key as it is kept, or undefined. */
export function keyOf(rep) {
  return transact("readonly", (store) => store.get(rep));
}

/** A credential that the site does not take is asked for anew the next time. */
export async function forgetCredential(rep) {
  const known = await keyOf(rep);
  if (known) await transact("readwrite", (store) => store.put({ ...known, credential: null, until: 0 }));
}

async function wordsOf(answer) {
  try {
    return (await answer.json()).message;
  } catch {
    return "";
  }
}

async function transact(mode, work) {
  const database = await new Promise((resolve, reject) => {
    const opening = indexedDB.open(DATABASE, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "rep" });
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const request = work(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}
