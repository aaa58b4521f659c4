// Says to screen readers what is new in parts of a page that are replaced every few seconds.
//
//   <div data-announce="polite"> … </div>   or "assertive", for what went wrong
//
// A live region inside such a part is said again at each replacement. So the regions stand outside (ui/base.html), and
// get what was not there before. Of what a page begins with only what went wrong is said; the rest is read with the page.
(() => {
  "use strict";
  let known = new Set();

  const tell = (hows) => {
    const found = new Set();
    const news = { polite: [], assertive: [] };
    for (const element of document.querySelectorAll("[data-announce]")) {
      const text = element.textContent.replace(/\s+/g, " ").trim();
      if (!known.has(text) && !found.has(text)) news[element.dataset.announce].push(text);
      found.add(text);
    }
    known = found;
    for (const how of hows) {
      const texts = news[how];
      if (texts.length) document.getElementById(`announced-${how}`).textContent = texts.join(" ");
    }
  };

  for (const name of ["htmx:afterSettle", "staffetta:replaced"]) {
    document.addEventListener(name, () => tell(["polite", "assertive"]));
  }
  tell(["assertive"]);
})();
