// Points in time in the reader's own zone: <time datetime="…">. The server's words stay as the tip over it.

const shown = new Intl.DateTimeFormat(document.documentElement.lang || undefined, {
  dateStyle: "medium", timeStyle: "short",
});

/** Write the times below an element in the reader's zone. */
export function localTimes(element = document) {
  for (const time of element.querySelectorAll("time[datetime]:not([title])")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title = time.textContent;
    time.textContent = shown.format(at);
  }
}

localTimes();
