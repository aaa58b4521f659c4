// Signing out ends the sessions that this browser holds, and takes its console key and what its tabs have kept of
// sessions away (site/console). Every page of the site hears it, and has this before its button is there.
(() => {
  "use strict";
  const signedOut = new BroadcastChannel("staffetta-signed-out");
  const forget = () => {
    for (const name of Object.keys(sessionStorage)) {
      if (name.startsWith("staffetta-session-")) sessionStorage.removeItem(name);
    }
  };
  signedOut.addEventListener("message", forget);
  document.addEventListener("submit", (event) => {
    if (!event.target.action?.endsWith("/sign-out")) return;
    signedOut.postMessage("");
    forget();
    indexedDB.deleteDatabase("staffetta-console");
  });
})();
