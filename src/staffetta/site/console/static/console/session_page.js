// The page that holds a session: begins it or goes on with it, shows how it is, ends it, hands it over to another page.
// What is carried is shell.js's or files_page.js's business.

import { fromBase64url } from "./base64.js";
import { Site, claimsOf } from "./identity.js";
import { CredentialRefused, credentialFor, forgetCredential, keyOf, signedOut } from "./key_store.js";
import { SessionLink } from "./link.js";
import { openSession, Refused } from "./presence.js";
import { Tab } from "./tabs.js";
import { say, words } from "./words.js";

const WISH = "staffetta-begin";
const TELL_AFTER = 1000; // milliseconds: a shorter pause is shown, not announced
/** Reasons of an end as the report has them, and the words for them here. */
const LEFT = "left by the rep";
const SIGNED_OUT = "the rep signed out";
const REASONS = new Map([
  [LEFT, "by-rep"], [SIGNED_OUT, "signed-out"], ["signed-out", "signed-out-elsewhere"],
  ...["exit", "positions-lost", "rep-not-allowed", "client-revoked"].map((reason) => [reason, reason]),
]);

const part = (id) => document.getElementById(id);
const page = part("console");

class Page {
  constructor() {
    const { siteKey, addresses, version, kind } = page.dataset;
    this.kind = kind;
    this.session = page.dataset.session;
    this.about = {
      site: new Site(fromBase64url(siteKey), addresses.split(" ").filter(Boolean)), origin: location.host, version,
    };
    this.link = null;
    this.carrier = null;
    this.tab = null;
    this.pending = null; // a kept state that nothing goes on from yet
    this.lost = false;
    this.announcing = 0;
    this.restored = false;
    part("begin")?.addEventListener("click", () => this.begin());
    part("again").addEventListener("click", () => location.reload());
    part("take-back").addEventListener("click", () => location.reload());
    part("end").addEventListener("click", () => this.link?.finish(LEFT));
    signedOut.onmessage = () => {
      this.pending = null;
      this.link?.finish(SIGNED_OUT);
    };
    // Only then: what was kept while the session goes on would be gone on from with positions long passed.
    window.addEventListener("pagehide", () => this.keep());
    setInterval(() => this.show(), 250);
  }

  async open() {
    if (!(await canProve())) return this.trouble(words["old-browser"]);
    if (this.session) return this.goOn();
    const wished = sessionStorage.getItem(WISH) === location.pathname;
    sessionStorage.removeItem(WISH);
    if (wished) return this.begin();
    part("beginning").hidden = false;
  }

  // -- beginning, and going on

  async begin() {
    part("beginning").hidden = true;
    this.status("connecting", words.opening);
    const carrier = await this.carry(null);
    const { rep, credential, csrf, client } = page.dataset;
    let opened, account;
    for (let again = true; !opened; again = false) {
      try {
        account = await credentialFor(rep, credential, csrf);
        opened = await openSession(this.about, account, client, this.kind, carrier.options());
      } catch (error) {
        // The credential of a sign-in that is over; whoever has signed in since gets another.
        if (!again || error.code !== "signed-out") return this.notBegun(error, rep);
        await forgetCredential(rep);
      }
    }
    this.session = opened.session;
    const opening = claimsOf(opened.ticket).about?.opened;
    if (opening) this.since(new Date(opening));
    this.tab = this.makeTab();
    await this.tab.hold();
    this.start(account.privateKey, opened.ticket, null);
    history.replaceState(null, "", page.dataset.sessions.replace("ID", opened.session));
  }

  async notBegun(error, rep) {
    if (error instanceof CredentialRefused) {
      const word = { 401: "sign-in", 403: "sign-in", 409: "elsewhere" }[error.status];
      return this.trouble(words[word] ?? (error.message || `${words["no-answer"]} ${error.status}`), true);
    }
    if (error instanceof Refused) {
      if (error.code === "not-proven") await forgetCredential(rep);
      if (error.code === "signed-out") return this.trouble(words["sign-in"], true);
      return this.trouble(say(error.message), true);
    }
    console.warn(error);
    return this.trouble(words["no-answer"] + say(error.message), true);
  }

  async goOn() {
    this.status("connecting", words.connecting);
    this.tab = this.makeTab();
    const { held, state } = await this.tab.hold();
    if (!held || state === null) return this.trouble(words["not-here"]);
    this.pending = state;
    const key = await keyOf(page.dataset.rep);
    if (!key) {
      this.pending = null;
      return this.trouble(words["no-key"]);
    }
    this.kind ||= state.kind;
    this.restored = true;
    if (!page.dataset.client) { // this appliance does not know the session yet
      page.dataset.clientName = state.name;
      document.querySelector(".session h1").textContent = state.name;
    }
    await this.carry(state.own);
    if (this.pending === null) return; // left again, or handed over, meanwhile
    this.pending = null;
    this.start(key.privateKey, null, state.link);
  }

  /** What is carried in the session, on its part of the page. */
  async carry(saved) {
    const { carrierOf } = await import(this.kind === "files" ? "./files_page.js" : "./shell.js");
    for (const one of document.querySelectorAll("[data-for]")) one.hidden = one.dataset.for !== this.kind;
    part(this.kind === "files" ? "files" : "shell").hidden = false;
    this.carrier = carrierOf(words, page.dataset.nonce, saved);
    return this.carrier;
  }

  start(key, ticket, saved) {
    const about = { ...this.about, key, ticket };
    this.link = new SessionLink(about, (event) => this.meet(event), saved);
    part("tools").hidden = false;
    this.carrier.start(this.link);
    this.link.run();
    this.show();
  }

  makeTab() {
    return new Tab(this.session, () => this.give(), () => {
      Tab.forget(this.session);
      part("taken").hidden = false;
      part("tools").hidden = true;
      this.carrier?.stopped();
      this.status("ended", words.moved);
    });
  }

  // -- handing over

  /** Freeze the session, and everything that the page that goes on needs. */
  give() {
    const state = this.pending ?? (this.link && this.link.end.over === null ? this.state() : null);
    this.pending = null;
    this.carrier?.freeze();
    this.link?.freeze();
    this.link = null;
    return state;
  }

  state() {
    return { kind: this.kind, name: page.dataset.clientName, link: this.link.save(), own: this.carrier.save() };
  }

  /** Keep it all for the next page in this tab; this one stops. */
  keep() {
    if (this.pending === null && (this.link === null || this.link.end.over !== null)) return;
    const state = this.give();
    if (Tab.keep(this.session, state) || Tab.keep(this.session, { ...state, own: this.carrier?.save(true) })) return;
    console.warn("there is no room to keep this session for the next page");
  }

  // -- how it is

  meet(event) {
    switch (event.event) {
      case "arrived":
        this.carrier.arrived(event);
        break;
      case "flows":
        if (this.restored) Tab.forget(this.session);
        if (this.lost) this.announce(words.again);
        this.lost = false;
        clearTimeout(this.announcing);
        break;
      case "held":
        clearTimeout(this.announcing);
        this.announcing = setTimeout(() => {
          if (!this.link || this.link.heldSince === null || this.link.end.joined === 0) return;
          this.lost = true;
          this.announce(`${words.reconnecting} ${this.heldWords()}`);
        }, TELL_AFTER);
        break;
      case "over":
        this.over(event);
        break;
    }
    this.show();
  }

  show() {
    if (!this.link || this.link.end.over !== null) return;
    if (this.link.heldSince === null) return this.status("connected", words.connected);
    if (this.link.end.joined === 0 && !this.restored) return this.status("connecting", words.connecting);
    const bytes = this.link.end.held.bytes + this.carrier.waiting;
    this.status("reconnecting", `${words.reconnecting} ${this.heldWords()}${bytes ? ` (${bytes} B)` : ""}`);
  }

  heldWords() {
    return words[this.kind === "files" ? "held-files" : "held"];
  }

  status(state, text) {
    const status = part("status");
    if (status.dataset.state !== state) status.dataset.state = state;
    if (part("status-words").textContent !== text) part("status-words").textContent = text;
    const name = page.dataset.clientName;
    const title = state === "connected" ? name : `${text.split(" (")[0]} · ${name}`;
    if (document.title !== title) document.title = title;
  }

  announce(text) {
    part("announced").textContent = text;
  }

  since(at) {
    const time = document.createElement("time"); // ui/times.js writes it in the reader's zone
    time.dateTime = at.toISOString();
    time.textContent = at.toISOString();
    part("opened").replaceChildren(time);
    part("since").hidden = false;
  }

  over({ reason, code }) {
    this.carrier.stopped();
    Tab.forget(this.session);
    this.status("ended", words.ended);
    const refused = code === 4403 || code === 4401 ? words.refused : say(reason);
    const known = words[REASONS.get(reason)] ?? refused;
    part("over-words").textContent = words.over + (this.carrier.ending?.(reason) ?? known);
    part("over").hidden = false;
    part("tools").hidden = true;
    if (page.dataset.reports) {
      part("report").href = page.dataset.reports.replace("ID", this.session);
      part("report").hidden = false;
    }
  }

  trouble(text, again = false) {
    this.status("ended", words.ended);
    part("status").dataset.state = "none";
    part("shell").hidden = part("files").hidden = true;
    part("trouble-words").textContent = text;
    part("again").hidden = !again;
    part("trouble").hidden = false;
  }
}

async function canProve() {
  try {
    await crypto.subtle.generateKey({ name: "Ed25519" }, false, ["sign"]);
    return Boolean(navigator.locks);
  } catch {
    return false;
  }
}

new Page().open();
