// Time on a page: seconds that only rise, and pauses that are as long in the background as in front (ticker.js).

const worker = new Worker(new URL("./ticker.js", import.meta.url));
const waiting = new Map();
let numbers = 0;
worker.onmessage = ({ data: number }) => {
  const done = waiting.get(number);
  waiting.delete(number);
  done?.();
};

/** Seconds of a clock that only rises; its zero is the page's. */
export const now = () => performance.now() / 1000;

/** A moment of this page's clock as the browser's other pages can read it, and back. */
export const onEveryPage = (moment) => performance.timeOrigin / 1000 + moment;
export const onThisPage = (moment) => moment - performance.timeOrigin / 1000;

/** Wait so many seconds, or until the signal (an AbortSignal) cuts it short. */
export function pause(seconds, signal = null) {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const number = (numbers += 1);
    const cut = () => {
      waiting.delete(number);
      resolve();
    };
    waiting.set(number, () => {
      signal?.removeEventListener("abort", cut); // a signal that lives long must not gather them
      resolve();
    });
    signal?.addEventListener("abort", cut, { once: true });
    worker.postMessage({ number, milliseconds: Math.max(0, seconds * 1000) });
  });
}

/** What the promise gives, or undefined if it takes longer than so many seconds. */
export async function within(seconds, promise) {
  const enough = new AbortController();
  try {
    return await Promise.race([promise, pause(seconds, enough.signal).then(() => undefined)]);
  } finally {
    enough.abort();
  }
}
