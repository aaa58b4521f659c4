// Small comforts of the pages; everything works without them.
(() => {
  "use strict";
  // A button is pressed once: while its form is on its way it is disabled and says so.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || form.method !== "post" || event.defaultPrevented) return;
    const button = event.submitter || form.querySelector("button[type=submit]");
    if (!(button instanceof HTMLButtonElement)) return;
    window.setTimeout(() => {
      button.disabled = true;
      button.setAttribute("aria-busy", "true");
      if (button.dataset.busy) button.textContent = button.dataset.busy;
    });
  });
  // A page that comes back out of the browser's memory is usable again.
  window.addEventListener("pageshow", (event) => { if (event.persisted) window.location.reload(); });
  // What must be ticked before a button does anything: <button data-needs-tick="id of the box">.
  for (const button of document.querySelectorAll("button[data-needs-tick]")) {
    const box = document.getElementById(button.dataset.needsTick);
    if (!(box instanceof HTMLInputElement)) continue;
    const follow = () => { button.disabled = !box.checked; };
    box.addEventListener("change", follow);
    follow();
  }
})();
