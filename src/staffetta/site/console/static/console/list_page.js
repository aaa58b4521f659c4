// The list of computers: sessions that this browser holds, and the wish to begin one.
// No module: it is there before the first link is, so no click is too early to be a wish.
(() => {
  "use strict";

  /** Where a click on "Start session" is remembered until the session's page reads it: asking for that page is no wish. */
  const WISH = "staffetta-begin";
  const NAME = "staffetta-session-";

  async function look() {
    const row = document.querySelector("[data-going-on]");
    if (!row) return;
    const { held } = await navigator.locks.query();
    const names = new Set(held.map((lock) => lock.name));
    for (const one of row.children) {
      const name = NAME + one.dataset.session;
      one.hidden = !names.has(name) && sessionStorage.getItem(name) === null;
    }
    row.hidden = [...row.children].every((one) => one.hidden);
  }

  document.addEventListener("click", ({ target, ctrlKey, metaKey, shiftKey }) => {
    const link = target.closest?.("a[data-begin]");
    if (link && !ctrlKey && !metaKey && !shiftKey) sessionStorage.setItem(WISH, new URL(link.href).pathname);
  });
  document.addEventListener("htmx:afterSettle", look);
  // What was typed or ticked before htmx was there (or is put back by the browser) is searched for now.
  window.addEventListener("load", () => {
    const [search, online] = [document.getElementById("search"), document.getElementById("online")];
    if (search.value === search.defaultValue && online.checked === online.defaultChecked) return;
    document.getElementById("find").requestSubmit();
  });
  document.addEventListener("DOMContentLoaded", look);
})();
