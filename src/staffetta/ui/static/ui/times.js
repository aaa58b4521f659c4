// Turns every <time datetime="…"> into the reader's own zone, which it names; the server's text stays as its title.
// English pages write it as ISO 8601 does, others as their language does (ui/formats.py does the same).
// Without scripts the server's text is shown. What comes into the page later is turned when it comes.
(() => {
  "use strict";
  const language = document.documentElement.lang || "en";
  const format = new Intl.DateTimeFormat(language, {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
    hourCycle: "h23", timeZoneName: "short",
  });
  const written = (at) => {
    if (!language.startsWith("en")) return format.format(at).replace(",", "");
    const part = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, value]));
    return `${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute}:${part.second} ${part.timeZoneName}`;
  };
  const turn = (element) => {
    const at = new Date(element.getAttribute("datetime"));
    if (element.dataset.turned || Number.isNaN(at.getTime())) return;
    const local = written(at);
    element.dataset.turned = "yes";
    if (element.textContent.trim() === local) return;
    element.title = element.textContent.trim();
    element.textContent = local;
  };
  const turnAll = (root) => {
    if (root.matches("time[datetime]")) turn(root);
    for (const element of root.querySelectorAll("time[datetime]")) turn(element);
  };
  turnAll(document.documentElement);
  new MutationObserver((changes) => {
    for (const change of changes) {
      for (const node of change.addedNodes) if (node instanceof Element) turnAll(node);
    }
  }).observe(document.documentElement, { childList: true, subtree: true });
})();
