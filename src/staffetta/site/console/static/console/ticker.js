// A worker that wakes its page: the timers of a page in the background are slowed to one a minute, a worker's are not,
// and a session's end pings every second whether or not anybody looks at it.
self.onmessage = ({ data: { number, milliseconds } }) => {
  setTimeout(() => self.postMessage(number), milliseconds);
};
