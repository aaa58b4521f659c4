// Small comforts of the site's pages; everything works without them.
(() => {
  "use strict";
  // <button data-copy="id of the element with the text" data-copied="words for done" hidden>
  for (const button of document.querySelectorAll("button[data-copy]")) {
    const source = document.getElementById(button.dataset.copy);
    if (!source || !navigator.clipboard) continue;
    const label = button.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(source.textContent.trim());
      button.textContent = button.dataset.copied;
      window.setTimeout(() => { button.textContent = label; }, 2000);
    });
  }
  // Escape closes a question that was opened (web/confirm.html), and the keyboard is where it was opened.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    const open = "details.confirm[open]";
    const asked = document.activeElement?.closest(open) ?? document.querySelector(open);
    if (!asked) return;
    asked.open = false;
    asked.querySelector("summary").focus();
  });
  // <form data-upload> with a <progress hidden>: shows how much has been sent.
  for (const form of document.querySelectorAll("form[data-upload]")) {
    const bar = form.querySelector("progress");
    form.addEventListener("submit", (event) => {
      const chosen = form.querySelector("input[type=file]");
      if (!bar || !chosen.files.length) return;
      event.preventDefault();
      const button = form.querySelector("button[type=submit]");
      const request = new XMLHttpRequest();
      const trouble = form.querySelector("[data-upload-trouble]");
      request.upload.addEventListener("progress", (sent) => {
        if (sent.lengthComputable) { bar.max = sent.total; bar.value = sent.loaded; }
      });
      request.addEventListener("load", () => {
        const onward = request.getResponseHeader("HX-Redirect");
        if (request.status < 400) { window.location.assign(onward || request.responseURL); return; }
        // The answer is a whole page, with the sentence of what went wrong in it.
        const answer = new DOMParser().parseFromString(request.responseText, "text/html");
        const said = answer.querySelector("[role=alert]") || answer.querySelector("main p");
        trouble.textContent = said ? said.textContent : String(request.status);
        trouble.hidden = false;
        bar.hidden = true;
        button.disabled = false;
      });
      request.addEventListener("error", () => {
        trouble.textContent = trouble.dataset.uploadTrouble;
        trouble.hidden = false;
        bar.hidden = true;
        button.disabled = false;
      });
      const body = new FormData(form);
      bar.hidden = false;
      trouble.hidden = true;
      button.disabled = true;
      request.open("POST", form.action);
      request.setRequestHeader("HX-Request", "true");
      request.send(body);
    });
  }
})();
