// JSON as the session protocol reads it: an object, no doubled key, no infinity, no lone surrogate, UTF-8 without a BOM.
//
// JSON.parse is the judge of the grammar; what it lets through and the protocol does not is found by a walk over the
// tokens of a text that it has accepted.

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/g;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const bytes = new TextEncoder();

export class JsonError extends Error {}

/** The object in these UTF-8 bytes. Throws JsonError for anything else. */
export function readObject(body) {
  let text, value;
  try {
    text = utf8.decode(body);
    value = JSON.parse(text);
  } catch (error) {
    throw new JsonError(String(error.message).slice(0, 80));
  }
  checkTokens(text);
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new JsonError("not an object");
  return value;
}

/** The UTF-8 bytes of an object. */
export function writeObject(value) {
  return bytes.encode(JSON.stringify(value));
}

function checkTokens(text) {
  const open = []; // for each object the keys seen so far, for each array null
  let keyComes = false;
  for (const [token] of text.matchAll(TOKEN)) {
    const keys = open.at(-1);
    if (token === "{") open.push(new Set());
    else if (token === "[") open.push(null);
    else if (token === "}" || token === "]") open.pop();
    else if (token[0] === '"') {
      const said = token.includes("\\") ? JSON.parse(token) : token.slice(1, -1);
      if (!said.isWellFormed()) throw new JsonError("a lone surrogate");
      if (keys && keyComes) {
        if (keys.has(said)) throw new JsonError("a key appears twice");
        keys.add(said);
      }
    } else if (/[.eE]/.test(token) && /^-?\d/.test(token) && !Number.isFinite(Number(token))) {
      throw new JsonError("a number is too large");
    }
    keyComes = token === "{" || (token === "," && open.at(-1) instanceof Set);
  }
}
