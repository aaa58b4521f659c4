// Keeps parts of a page current: from a stream of events, or by asking again and again (htmx, `every …s`).
//
// Neither replaces anything while something is pressed: a click whose button is gone in its midst is none.
//
//   <div data-live="/address/of/the/stream" data-live-after="7"> … <p data-live-lost hidden>…</p></div>
//
// Events: `fragment` {"id", "html"} replaces the element with that id by HTML the server has rendered; `moved`: the
// server is being replaced, open again at once from the last id seen; `ended`: there is nothing more to come, and
// {"reload": true} loads the page again. A lost connection is opened again, later and later up to ten seconds.
(() => {
  "use strict";
  const FIRST_WAIT = 250;
  const LONGEST_WAIT = 10000;
  const TELL_AFTER = 4;
  const LONGEST_PRESS = 10000; // the end of some presses is told to nobody: that on a list of choices, say

  let pressed = false;
  const waiting = [];
  let release = 0;
  const press = () => {
    pressed = true;
    window.clearTimeout(release);
    release = window.setTimeout(letGo, LONGEST_PRESS);
  };
  const letGo = () => window.setTimeout(() => { // after the click that comes with it
    pressed = false;
    for (const work of waiting.splice(0)) work();
  });
  if (document.querySelector(":active")) press(); // since before this was here
  document.addEventListener("pointerdown", (event) => { if (event.button === 0) press(); }, true);
  document.addEventListener("keydown", (event) => { if (event.key === " ") press(); }, true);
  document.addEventListener("keyup", letGo, true);
  for (const name of ["pointerup", "pointercancel"]) window.addEventListener(name, letGo, true);
  window.addEventListener("blur", letGo); // of the window: that of a part does not bubble to it
  // Asked again in seconds anyway. What a person asked for (a search) has an event that it came by, and is not held up.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (pressed && !event.detail.requestConfig.triggeringEvent) event.detail.shouldSwap = false;
  });

  const whenLetGo = (work) => {
    if (pressed) waiting.push(work);
    else work();
  };

  const replace = (id, html) => {
    const target = document.getElementById(id);
    if (!target) return;
    const parsed = new DOMParser().parseFromString(html, "text/html").getElementById(id);
    if (!parsed) return;
    target.replaceWith(document.adoptNode(parsed));
    document.dispatchEvent(new Event("staffetta:replaced"));
  };

  const follow = (element) => {
    let last = element.dataset.liveAfter || "0";
    let failures = 0;
    let source = null;

    const tell = (lost) => {
      for (const note of element.querySelectorAll("[data-live-lost]")) note.hidden = !lost;
      element.dataset.liveState = lost ? "lost" : "open";
    };
    const saw = (event) => {
      if (event.lastEventId) last = event.lastEventId;
      failures = 0;
      tell(false);
    };
    const again = (wait) => {
      source.close();
      window.setTimeout(open, wait);
    };
    const open = () => {
      const address = new URL(element.dataset.live, window.location.href);
      address.searchParams.set("after", last);
      source = new EventSource(address);
      source.addEventListener("open", () => { failures = 0; tell(false); });
      source.addEventListener("fragment", (event) => {
        saw(event);
        const { id, html } = JSON.parse(event.data);
        whenLetGo(() => replace(id, html));
      });
      source.addEventListener("moved", (event) => { saw(event); again(FIRST_WAIT); });
      source.addEventListener("ended", (event) => {
        saw(event);
        source.close();
        element.dataset.liveState = "ended";
        if (JSON.parse(event.data)?.reload) whenLetGo(() => window.location.reload());
      });
      source.addEventListener("error", () => {
        failures += 1;
        if (failures >= TELL_AFTER) tell(true);
        again(Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** failures));
      });
    };
    open();
    window.addEventListener("pagehide", () => source.close());
  };

  for (const element of document.querySelectorAll("[data-live]")) follow(element);
})();
