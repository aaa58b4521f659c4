// Plays a session's recording on its page; without this the link that downloads it remains.
//
//   <div data-recording="address" data-size="bytes" data-…="words"> … </div>
//
// The recording is fetched whole, a small one at once and a large one when it is asked for. What is missing in it is
// said in words: by the header's remarks, and by the marks (events "m") where something is missing.
(() => {
  "use strict";
  const AT_ONCE = 4_000_000;
  const place = document.querySelector("[data-recording]");
  if (!place || !window.AsciinemaPlayer || !window.WebAssembly) return;
  const part = (name) => place.querySelector(`[data-player="${name}"]`);
  const words = place.dataset;
  const [choices, load, state, remarks, screen] = ["choices", "load", "state", "remarks", "screen"].map(part);
  const speed = part("speed");
  const idle = part("idle");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let text = "";
  let player = null;

  const say = (what) => { state.textContent = what; state.hidden = !what; };

  const clock = (seconds) => {
    const two = (number) => String(number).padStart(2, "0");
    const whole = Math.floor(seconds);
    const hours = Math.floor(whole / 3600);
    return `${hours ? `${hours}:` : ""}${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
  };

  // What the recording itself says is missing.
  const tellWhatIsMissing = (lines) => {
    const found = (JSON.parse(lines[0]).remarks || []).slice();
    for (const line of lines) {
      if (!/^\[[0-9.e-]+, "m", /.test(line)) continue;
      const [at, , label] = JSON.parse(line);
      found.push(`${clock(at)} ${label}`);
    }
    remarks.hidden = !found.length;
    const list = remarks.querySelector("ul");
    const shown = found.length > 20 ? [...found.slice(0, 20), `… +${found.length - 20}`] : found;
    list.replaceChildren(...shown.map((one) => {
      const item = document.createElement("li");
      item.textContent = one;
      return item;
    }));
  };

  const show = (options = {}) => {
    if (player) player.dispose();
    screen.replaceChildren();
    player = window.AsciinemaPlayer.create({ data: text }, screen, {
      fit: "width",
      preload: true,
      controls: true,
      speed: Number(speed.value),
      idleTimeLimit: Number(idle.value) || undefined,
      theme: dark.matches ? "asciinema" : "staffetta-light",
      poster: "npt:0:01",
      ...options,
    });
    // The player's own wrapper takes no focus by itself; its keys are for whoever has tabbed to it.
    player.el.setAttribute("tabindex", "0");
    player.el.setAttribute("role", "group");
    player.el.setAttribute("aria-label", words.label);
    for (const picture of screen.querySelectorAll("canvas, .ap-term-symbols")) picture.setAttribute("aria-hidden", "true");
    const play = screen.querySelector(".ap-playback-button");
    if (play && !play.hasAttribute("aria-label")) play.setAttribute("aria-label", words.play);
    return player;
  };

  // Another speed is another player; it goes on where the one before was.
  const again = async () => {
    if (!player) return;
    const at = await player.getCurrentTime();
    show(at ? { startAt: at, poster: undefined, autoPlay: words.playing === "yes" } : {});
    follow();
  };
  const follow = () => {
    player.addEventListener("playing", () => { words.playing = "yes"; });
    player.addEventListener("pause", () => { words.playing = "no"; });
    player.addEventListener("ended", () => { words.playing = "no"; });
  };

  const fetchAll = async () => {
    load.hidden = true;
    say(words.loading);
    try {
      const answer = await fetch(words.recording, { headers: { Accept: "application/x-asciicast" } });
      if (!answer.ok) throw new Error(String(answer.status));
      text = await answer.text();
      const lines = text.split("\n");
      tellWhatIsMissing(lines);
      if (!lines.slice(1).some((line) => line)) { say(words.empty); return; }
      say("");
      choices.hidden = false;
      show();
      follow();
      // Who came for the recording has its keys at once; else Space scrolls the page, and the report is read first.
      if (window.location.hash === "#recording") player.el.focus();
    } catch (error) {
      say(`${words.trouble} (${error.message})`);
      load.hidden = false;
    }
  };

  speed.addEventListener("change", again);
  // With other pauses the same moment has another time: from the beginning.
  idle.addEventListener("change", () => { if (player) { show(); follow(); } });
  dark.addEventListener("change", again);
  load.addEventListener("click", fetchAll);
  place.hidden = false;
  if (Number(words.size) <= AT_ONCE) fetchAll(); else load.hidden = false;
})();
